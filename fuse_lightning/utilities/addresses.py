"""Removal of passwords and keys from web addresses."""

import re

# A password may hold a slash or another @ by mistake.
USER = re.compile(r"(?<=://)(?:[^\s/@'\"]*:[^\s'\"]*|[^\s/'\"]*)@")
QUERY = re.compile(r"(://[^\s'\"?#]*)[?#][^\s'\"]*")


def without_secrets(text: str) -> str:
    """Text whose web addresses have lost their user, password, query and fragment.

    >>> without_secrets("see https://me:secret@example.org/a?key=1#b")
    'see https://example.org/a'
    """
    return QUERY.sub(r"\1", USER.sub("", text)) if "://" in text else text
