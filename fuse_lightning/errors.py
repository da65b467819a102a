"""The one error that users see as a single line."""

LONGEST = 1500


class FuseError(ValueError):
    """Bad input. The message is one line that names the thing, its value and the remedy.

    Args:
        message: The line; of one that holds a value of thousands of characters the beginning and
            the end are kept.
    """

    def __init__(self, message: str) -> None:
        if len(message) > LONGEST:
            message = f"{message[: 2 * LONGEST // 3]} … {message[-LONGEST // 3 :]}"
        super().__init__(message)
