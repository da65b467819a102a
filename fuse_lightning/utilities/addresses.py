"""Web addresses without passwords and keys, for all output."""

import re

WHOLE = re.compile(r"(.*?(?:\w[\w+.-]*://|https?:/)/*)(.*)", re.DOTALL)
"""Pattern of a text that is one address: its scheme, and the rest."""
INSIDE = re.compile(r"((?:://|https?:/)/*)([^\s'\"]*)")
"""Pattern of an address inside a text: the end of its scheme, and the rest."""


def shown(address: str) -> str:
    """Address without user, password, query and fragment, any of which may be a key.

    What is no address of the Internet stays as it is. Where it is unclear what is a password, as in
    a malformed address, more is left out.

    >>> shown("https://me:word@host/a.png?key=secret")
    'https://host/a.png'
    """
    found = WHOLE.match(address)
    return found[1] + _without_secrets(found[2]) if found else address


def without_secrets(text: str) -> str:
    """Text with all its addresses as :func:`shown` gives them.

    >>> without_secrets("no picture at 'https://me:word@host/a.png'; check it")
    "no picture at 'https://host/a.png'; check it"
    """
    return INSIDE.sub(lambda found: found[1] + _without_secrets(found[2]), text)


def _without_secrets(rest: str) -> str:
    """Address behind its scheme, without secrets."""
    place = re.split(r"[/?#]", rest, maxsplit=1)[0]
    # A password may hold a slash, a question mark or another @ by mistake.
    if re.search(r":(?!\d*$)", place):
        rest = rest.rpartition("@")[2]
    elif ":" in place:
        rest = re.split(r"[?#]", rest, maxsplit=1)[0].rpartition("@")[2]
    elif "@" in place:
        rest = rest[place.rindex("@") + 1 :]
    return re.split(r"[?#]", rest, maxsplit=1)[0]
