"""The one error that users see as a single line."""


class FuseError(ValueError):
    """Bad input. The message is one line that names the thing, its value and the remedy."""
