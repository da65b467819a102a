"""Passwords and keys in addresses, which nothing that is shown may hold."""

import re

# A password may hold a slash or another @ by mistake.
USER = re.compile(r"(?<=://)(?:[^\s/@'\"]*:[^\s'\"]*|[^\s/'\"]*)@")
QUERY = re.compile(r"(://[^\s'\"?#]*)[?#][^\s'\"]*")


def without_secrets(text: str) -> str:
    """The text, its addresses without user, password, query and fragment."""
    return QUERY.sub(r"\1", USER.sub("", text)) if "://" in text else text
