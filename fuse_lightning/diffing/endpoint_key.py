"""Keys and addresses of chat models: which are taken, and how none reaches a message."""

from __future__ import annotations

import ipaddress
import os
import re
from urllib.parse import urlsplit

from fuse_lightning.errors import FuseError
from fuse_lightning.utilities.addresses import shown
from fuse_lightning.utilities.terminal import quoted

HIDDEN = "[key]"
"""What stands in the place of a key."""
SHORTEST = 6
"""Shortest key, in characters, that is looked for in texts."""

VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def find_key(variable: str) -> str:
    """Key in an environment variable; empty if there is none.

    Raises:
        FuseError: If it holds what no header of a request may.
    """
    key = os.environ.get(variable, "").strip() if variable else ""
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise FuseError(
            f"the key in the environment variable {variable} holds white space or characters "
            "beyond ASCII; set it again"
        )
    return key


def without_key(text: str, key: str) -> str:
    """Text with the key hidden.

    >>> without_key("wrong key: sk-123456", "sk-123456")
    'wrong key: [key]'
    """
    return text.replace(key, HIDDEN) if len(key) >= SHORTEST else text


def check_address(base_url: str, key_variable: str) -> None:
    """Checks the address of a service, and that a key would travel encrypted.

    Args:
        base_url: Address of the service.
        key_variable: Name of the environment variable with the key; empty for none.

    Raises:
        FuseError: If the address is none of http or https, has no host, or holds a password, a
            query or a fragment; the variable has no possible name; or a key would be sent by http
            to another machine.

    >>> check_address("ftp://host/v1", "")
    Traceback (most recent call last):
    fuse_lightning.errors.FuseError: base_url 'ftp://host/v1' is no http or https address; give one
    """
    if key_variable and not VARIABLE.fullmatch(key_variable):
        # It may be the key itself.
        raise FuseError(
            "key_variable is no name of an environment variable; give a name such as "
            "OPENAI_API_KEY, and never the key"
        )
    name = f"base_url {quoted(shown(base_url))}"
    try:
        parts = urlsplit(base_url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise FuseError(f"{name} is no address; give one such as https://host/v1") from None
    if parts.scheme not in ("http", "https") or not host:
        raise FuseError(f"{name} is no http or https address; give one")
    if any(char.isspace() or not char.isprintable() or not char.isascii() for char in base_url):
        raise FuseError(f"{name} holds white space or characters beyond ASCII; leave them out")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise FuseError(
            f"{name} holds a user, a password, a query or a fragment; leave it out, and give the "
            "key in an environment variable"
        )
    if parts.scheme == "http" and not _here(host) and find_key(key_variable):
        raise FuseError(
            f"{name} is not encrypted, and the key in {key_variable} would be sent to it; give an "
            "https address, or key_variable: '' for no key"
        )


def _here(host: str) -> bool:
    """Whether a host is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
