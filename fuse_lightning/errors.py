"""The one error that users see as a single line."""

LONGEST = 1500


class FuseError(ValueError):
    """Bad input. The message is one line that names the thing, its value and the remedy.

    Args:
        message: The line. What ends a line in it becomes a space; of a line of thousands of
            characters the beginning and the end are kept.
    """

    def __init__(self, message: str) -> None:
        message = " ".join(message.splitlines())
        if len(message) > LONGEST:
            message = f"{message[: 2 * LONGEST // 3]} … {message[-LONGEST // 3 :]}"
        super().__init__(message)
