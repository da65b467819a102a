"""Error that users see as a single line."""

LONGEST = 1500


class FuseError(ValueError):
    r"""Error about bad input. The message is one line: the thing, its value and the remedy.

    Args:
        message: The line. Line ends become spaces; a line of thousands of characters loses its
            middle.

    >>> print(FuseError("steps is 0;\nit must be at least 1"))
    steps is 0; it must be at least 1
    """

    def __init__(self, message: str) -> None:
        message = " ".join(message.splitlines())
        if len(message) > LONGEST:
            message = f"{message[: 2 * LONGEST // 3]} … {message[-LONGEST // 3 :]}"
        super().__init__(message)
