"""Layout of the text that a term's model reads: a prompt and other fields in their places."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from string import Formatter
from typing import Any, NamedTuple, TypedDict

from fuse_lightning.errors import FuseError

PROMPT, ANSWER = "prompt", "answer"
ROLES = ("system", "user", "assistant")
OPEN, CLOSE = "\ue000", "\ue001"
"""Marks around a field's name while a template writes a chat; no text holds them."""
Fields = Mapping[str, str]
"""Texts by the name of their field."""
Span = tuple[int, int]
"""First character, and the one after the last."""


class Message(TypedDict):
    """One turn of a chat.

    Attributes:
        role: ``system``, ``user`` or ``assistant``.
        content: Text with fields such as ``{prompt}``.
    """

    role: str
    content: str


class Filled(NamedTuple):
    """Text of a layout with filled fields.

    Attributes:
        text: The whole text.
        spans: Characters of each field.
    """

    text: str
    spans: dict[str, Span]

    @property
    def prompt(self) -> Span:
        """Span of the prompt."""
        return self.spans[PROMPT]

    @property
    def answer(self) -> Span | None:
        """Span of the text that the model shall write; ``None`` if there is none."""
        return self.spans.get(ANSWER)


@dataclass(frozen=True)
class Piece:
    """Part of a layout: literal text or a field.

    Attributes:
        text: The text; empty for a field.
        name: The field; empty for a text.
    """

    text: str = ""
    name: str = ""


def parse(text: str) -> list[Piece]:
    """Pieces of a text with fields in braces; ``{{`` and ``}}`` stand for braces.

    Args:
        text: Such as ``"{text} It was{answer}"``.

    Raises:
        ValueError: If a brace has no partner, or a field has more than a name.

    Example:
        >>> [piece.name or piece.text for piece in parse("Say {prompt}:")]
        ['Say ', 'prompt', ':']
    """
    pieces = []
    for before, name, form, conversion in Formatter().parse(text):
        if before:
            pieces.append(Piece(text=before))
        if name is not None:
            if form or conversion or not name.isidentifier():
                raise ValueError(f"{{{name}}} is no field")
            pieces.append(Piece(name=name))
    return pieces


def gap(left: str, right: str, marks: Collection[str]) -> str:
    r"""Separator of two texts: a space, unless white space or a special token is there already.

    Args:
        left: The first text.
        right: The second text.
        marks: Texts of special tokens.

    Example:
        >>> gap("a photo of", "dogs", ()), gap("Q:", "\nA:", ())
        (' ', '')
    """
    if not left or not right or left[-1].isspace() or right[0].isspace():
        return ""
    special = tuple(marks)
    return "" if left.endswith(special) or right.startswith(special) else " "


@dataclass(frozen=True)
class Layout:
    """Order of a prompt, other fields and literal text in the text that a model reads.

    White space is kept as it is written. ``{prompt}`` stands once, with text of the layout or
    nothing on either side; ``{answer}`` is what the model shall write, and comes last.

    Attributes:
        pieces: Texts and fields in order.
        joined: Whether a space joins pieces where neither has white space or a special token, as
            for a prefix and a suffix.
        marks: Texts of special tokens.
    """

    pieces: tuple[Piece, ...]
    joined: bool = False
    marks: frozenset[str] = field(default_factory=frozenset)

    @classmethod
    def around(cls, prefix: str, suffix: str, marks: Collection[str], *, answer: bool) -> Layout:
        """Layout of a prefix and a suffix.

        Args:
            prefix: Text before the prompt.
            suffix: Text behind it.
            marks: Texts of special tokens.
            answer: Whether the model shall write an answer behind that.
        """
        pieces = [Piece(text=prefix), Piece(name=PROMPT), Piece(text=suffix)]
        pieces += [Piece(name=ANSWER)] if answer else []
        kept = tuple(piece for piece in pieces if piece.name or piece.text)
        return cls(kept, True, frozenset(marks))

    @classmethod
    def read(cls, given: str | Sequence[Message], tokenizer: Any = None) -> Layout:
        """Layout of a text with fields, or of a chat.

        The turns of a chat but a last one of the assistant are written by the tokenizer's chat
        template, which then asks for an answer. What that last one says follows as it stands.

        Args:
            given: The text, or the turns.
            tokenizer: Tokenizer whose template writes a chat.

        Raises:
            FuseError: If it is no layout, or the tokenizer writes no chats.
        """
        try:
            pieces = parse(given) if isinstance(given, str) else _chat(given, tokenizer)
        except FuseError:
            raise
        except ValueError as error:
            raise FuseError(
                f"layout {given!r} cannot be read: {error}; write fields such as {{prompt}}, and "
                "{{ or }} for a brace"
            ) from None
        names = [piece.name for piece in pieces if piece.name]
        if (count := names.count(PROMPT)) != 1:
            raise FuseError(f"layout {given!r} holds {{prompt}} {count} times; write it once")
        if names.count(ANSWER) > 1 or (ANSWER in names and pieces[-1].name != ANSWER):
            raise FuseError(f"layout {given!r} goes on behind {{answer}}; nothing may stand there")
        place = next(n for n, piece in enumerate(pieces) if piece.name == PROMPT)
        beside = [*pieces[max(0, place - 1) : place], *pieces[place + 1 : place + 2]]
        if bad := next((p.name for p in beside if p.name not in ("", ANSWER)), None):
            raise FuseError(
                f"layout {given!r} has {{prompt}} right beside {{{bad}}}; put a space, a line or "
                "other text between them"
            )
        return cls(tuple(pieces))

    @property
    def names(self) -> list[str]:
        """Names of the fields beside the prompt, each once."""
        names = (piece.name for piece in self.pieces)
        return [*dict.fromkeys(name for name in names if name not in ("", PROMPT))]

    def without_answer(self) -> Layout:
        """The layout up to the answer."""
        kept = tuple(piece for piece in self.pieces if piece.name != ANSWER)
        return Layout(kept, self.joined, self.marks)

    def up_to_prompt(self) -> Layout:
        """The layout up to the prompt."""
        place = next(n for n, piece in enumerate(self.pieces) if piece.name == PROMPT)
        return Layout(self.pieces[: place + 1], self.joined, self.marks)

    def fill(self, prompt: str, fields: Fields | None = None) -> Filled:
        """Whole text with a prompt and other fields in their places.

        Args:
            prompt: The prompt, without white space around.
            fields: Texts of the other fields.

        Example:
            >>> Layout.read("{text} It was{prompt}.").fill(" fun", {"text": "Go!"}).text
            'Go! It was fun.'
        """
        given = {**(fields or {}), PROMPT: prompt}
        text, spans = "", dict[str, Span]()
        for piece in self.pieces:
            part = given[piece.name] if piece.name else piece.text
            if self.joined:
                text += gap(text, part, self.marks)
            if piece.name:
                spans[piece.name] = len(text), len(text) + len(part)
            text += part
        return Filled(text, spans)


def _split(text: str) -> list[Piece]:
    """Pieces of a text with marks around its fields."""
    parts = re.split(f"{OPEN}([^{CLOSE}]*){CLOSE}", text)
    return [
        Piece(name=part) if number % 2 else Piece(text=part)
        for number, part in enumerate(parts)
        if part
    ]


def _marked(pieces: Sequence[Piece]) -> str:
    return "".join(f"{OPEN}{each.name}{CLOSE}" if each.name else each.text for each in pieces)


def _chat(turns: Sequence[Message], tokenizer: Any) -> list[Piece]:
    """Pieces of a chat in the tokenizer's chat template."""
    for turn in turns:
        if not isinstance(turn, Mapping) or {*turn} != {"role", "content"}:
            raise FuseError(f"turn {turn!r} of the layout must have a role and a content")
        if turn["role"] not in ROLES:
            raise FuseError(
                f"role {turn['role']!r} of the layout is none of {', '.join(ROLES)}; give one"
            )
    # A template may hold braces of its own, and a text marks of no meaning here.
    asked = [{"role": turn["role"], "content": _marked(parse(turn["content"]))} for turn in turns]
    answer = asked.pop()["content"] if asked and asked[-1]["role"] == "assistant" else ""
    if not getattr(tokenizer, "chat_template", None):
        name = getattr(tokenizer, "name_or_path", "")
        raise FuseError(
            f"the layout is a chat, but the tokenizer of {name!r} has no chat template; give the "
            "layout as one text, or an instruct model"
        )
    try:
        text = tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
    except Exception as error:  # A template is a program of its own, which may refuse in any way.
        raise FuseError(f"the chat template refuses the layout: {error}") from None
    return _split(f"{text}{answer}")
