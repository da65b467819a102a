"""Docstrings as Markdown: examples become blocks of code, and roles of Sphinx plain names."""

import re
from typing import Any

import griffe

ROLE = re.compile(r":\w+:`~?(?:[\w.]*\.)?(\w+)`")
EXAMPLE = re.compile(r"^( *)>>> .*\n?(?:\1.*\S.*\n?)*", re.MULTILINE)


def markdown(text: str) -> str:
    """Docstring for a reader of Markdown.

    >>> markdown("See :class:`~fuse_lightning.search.Frontier`.")
    'See `Frontier`.'
    """
    text = ROLE.sub(r"`\1`", text)
    return EXAMPLE.sub(_fenced, text)


def _fenced(found: re.Match[str]) -> str:
    space, example = found[1], found[0].rstrip()
    return f"{space}```pycon\n{example}\n{space}```\n"


class Docstrings(griffe.Extension):
    """Extension of griffe that rewrites each docstring before it is parsed."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrites the docstring of a module, class, function or attribute."""
        if obj.docstring:
            obj.docstring.value = markdown(obj.docstring.value)
