"""Addresses without the passwords and keys in them, for everything that is shown."""

import re

WHOLE = re.compile(r"(.*?(?:\w[\w+.-]*://|https?:/)/*)(.*)", re.DOTALL)
"""The scheme of an address that is all of a text, and the rest."""
INSIDE = re.compile(r"((?:://|https?:/)/*)([^\s'\"]*)")
"""The end of the scheme of an address inside a text, and the rest of the address."""


def shown(address: str) -> str:
    """An address without its user, its password, its query and its fragment, which may be a key.

    What is no address of the Internet stays as it is. Where it is unclear what is a password, as in
    a malformed address, more is left out.

    >>> shown("https://me:word@host/a.png?key=secret")
    'https://host/a.png'
    """
    found = WHOLE.match(address)
    return found[1] + _without_secrets(found[2]) if found else address


def without_secrets(text: str) -> str:
    """A text in which every address is as :func:`shown` has it; spaces and quotes end an address.

    >>> without_secrets("no picture at 'https://me:word@host/a.png'; check it")
    "no picture at 'https://host/a.png'; check it"
    """
    return INSIDE.sub(lambda found: found[1] + _without_secrets(found[2]), text)


def _without_secrets(rest: str) -> str:
    """What stands behind the scheme of an address, without its secrets."""
    place = re.split(r"[/?#]", rest, maxsplit=1)[0]
    # A password may hold a slash, a question mark or another @ by mistake.
    if re.search(r":(?!\d*$)", place):
        rest = rest.rpartition("@")[2]
    elif ":" in place:
        rest = re.split(r"[?#]", rest, maxsplit=1)[0].rpartition("@")[2]
    elif "@" in place:
        rest = rest[place.rindex("@") + 1 :]
    return re.split(r"[?#]", rest, maxsplit=1)[0]
