"""Ids of the text around a prompt in one model, and how prompts join them."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from fuse_lightning.engine.token_batch import TokenBatch
from fuse_lightning.models import CausalLM, FrozenModel
from fuse_lightning.models.word_tokenizer import KINDS
from fuse_lightning.objectives.context import Context
from fuse_lightning.objectives.layout import PROMPT, Layout, Piece, Span

BEFORE, BEHIND = re.compile(r" *[^ ]* *\Z"), re.compile("^ *[^ ]*")
"""Patterns of the last word of a text, and of the first, with the spaces beside them."""
Ids = tuple[int, ...]
Columns = dict[str, tuple[int, ...]]
"""Places in some ids, by the name of their field."""


@dataclass(frozen=True)
class Frame:
    """Ids of prefix and suffix, and how prompts join them.

    Attributes:
        head: Ids before the prompt, special ones included.
        prefix: The head without special ids that the model puts there itself.
        tail: Ids behind the prompt; for a language model as far as an answer, of whose likelihood
            the prompt tells, and none without one.
        lead: White space with which the ids of a prompt begin their text.
        openings: Ids of words of every kind as the first of a prompt; ``None`` where they change
            the ids around them, or the other way round.
        firsts: The same behind the text before alone, whatever follows.
        apart: Whether nothing stands right behind a prompt that could be one token with its end.
        before: Places in the head of the tokens of each field.
        behind: Places in the tail of the tokens of each field.
    """

    head: Ids
    prefix: Ids
    tail: Ids
    lead: str
    openings: tuple[Ids, ...] | None
    firsts: tuple[Ids, ...] | None
    apart: bool
    before: Columns
    behind: Columns


@dataclass(frozen=True)
class _Joint:
    """Ids and white space where a prompt meets the text beside it, see :class:`Frame`."""

    lead: str
    openings: tuple[Ids, ...] | None
    firsts: tuple[Ids, ...] | None


class Frames:
    """Cache of the frames of contexts in one model.

    Where the tokenizer reads words apart, what happens beside a prompt depends on the nearest
    words alone: contexts that agree on these share what was found there.

    Args:
        model: The loaded model.
    """

    def __init__(self, model: FrozenModel) -> None:
        self.model = model
        self._frames: dict[Context, Frame] = {}
        self._joints: dict[tuple[str, str], _Joint] = {}

    def at(self, context: Context) -> Frame:
        """Frame of a context."""
        if context not in self._frames:
            self.find([context])
        return self._frames[context]

    def forget(self) -> None:
        """Drops the frames of contexts, which may never come again."""
        self._frames.clear()

    def find(self, contexts: Iterable[Context]) -> None:
        """Computes the frames of new contexts, in one batch."""
        new = [each for each in dict.fromkeys(contexts) if each not in self._frames]
        if not new:
            return
        bare, full = (self._cut(new, ["a"], special=special) for special in (False, True))
        for context, (plain,), (whole,) in zip(new, bare, full, strict=True):
            joint = self._joint(context)
            if not whole.clean:
                whole = self._clean(context) or whole
            tail = whole.behind
            if isinstance(self.model, CausalLM):
                tail = tail if context.fill("a").answer else ()
            self._frames[context] = Frame(
                whole.before,
                plain.before,
                tail,
                joint.lead,
                joint.openings,
                joint.firsts,
                self._apart(context.sides[1]),
                {name: places for name, (places, _) in whole.fields.items()},
                {name: places for name, (_, places) in whole.fields.items()} if tail else {},
            )

    def _clean(self, context: Context) -> "_Cut | None":
        """Ids around the first kind of word of which no token spells what follows, too."""
        (cuts,) = self._cut([context], KINDS, special=True)
        return next((cut for cut in cuts if cut.clean), None)

    def _apart(self, behind: str) -> bool:
        """Whether a text behind prompts is never one token with their ends."""
        return not behind or behind[0].isspace() or behind.startswith(self._marks)

    @cached_property
    def _marks(self) -> tuple[str, ...]:
        return tuple(self.model.marks)

    def _joint(self, context: Context) -> _Joint:
        before, behind = context.sides
        if self.model.words.separable:
            (behind,) = BEHIND.findall(behind)
        key = self.nearest(before), behind
        if key not in self._joints:
            self._joints[key] = self._found(*key)
        return self._joints[key]

    def nearest(self, before: str) -> str:
        """As much of a text before a prompt as tells what the prompt's first token is read as."""
        if not self.model.words.separable:
            return before
        # Words are cut at spaces. A word before the last one stands for all of the text.
        (last,) = BEFORE.findall(before)[:1]
        return f"a{last}" if last.startswith(" ") else last

    def _found(self, before: str, behind: str) -> _Joint:
        """Joint of two texts, found by reading words of every kind between them."""
        first, both = _around(before, ""), _around(before, behind)
        ((word,),) = self._cut([first], ["a"], special=False)
        head, text = self.model.decode([word.before, (*word.before, *word.inside)])
        text = text[len(head) if word.before else 0 :]
        (alone,), (whole,) = (self._cut([each], KINDS, special=False) for each in (first, both))
        begins = all(row.before == word.before and row.inside for row in alone)
        plain = begins and len({row.behind for row in whole}) == 1
        same = [(row.before, row.inside) for row in alone]
        plain = plain and same == [(row.before, row.inside) for row in whole]
        return _Joint(
            text[: len(text) - len(text.lstrip())],
            tuple(row.inside for row in alone) if plain else None,
            tuple(row.inside for row in alone) if begins else None,
        )

    def _cut(
        self, contexts: Sequence[Context], words: Sequence[str], *, special: bool
    ) -> list[list["_Cut"]]:
        """Ids before, of and behind each word in each context."""
        filled = [context.fill(word) for context in contexts for word in words]
        texts = [each.text for each in filled]
        encoded = self.model.encode(texts, special=special)
        names = [*dict.fromkeys(name for each in filled for name in each.spans)]
        places = {
            name: covered(encoded, texts, [each.spans.get(name, (0, 0)) for each in filled])
            for name in names
        }
        ends = torch.tensor([each.prompt[1] for each in filled])[:, None]
        crossed = ((encoded.spans[..., 0] < ends) & (ends < encoded.spans[..., 1])).any(1).tolist()
        cuts = []
        for row, mask in enumerate(encoded.mask):
            ids = encoded.ids[row][mask].tolist()
            inside = {
                name: tuple(found[row][mask].nonzero().flatten().tolist())
                for name, found in places.items()
            }
            cuts.append(_cut(ids, inside, clean=not crossed[row]))
        size = len(words)
        return [cuts[start : start + size] for start in range(0, len(cuts), size)]


@dataclass(frozen=True)
class _Cut:
    before: Ids
    inside: Ids
    behind: Ids
    fields: dict[str, tuple[tuple[int, ...], tuple[int, ...]]]
    clean: bool
    """Whether no token spells both the prompt's end and what follows."""


def _cut(ids: list[int], places: Columns, *, clean: bool) -> _Cut:
    """Ids before, at and behind a prompt, whose tokens lie together."""
    prompt = places[PROMPT]
    start, stop = (prompt[0], prompt[-1] + 1) if prompt else (len(ids), len(ids))
    fields = {
        name: (
            tuple(place for place in found if place < start),
            tuple(place - stop for place in found if place >= stop),
        )
        for name, found in places.items()
        if name != PROMPT
    }
    return _Cut(tuple(ids[:start]), tuple(ids[start:stop]), tuple(ids[stop:]), fields, clean)


def _around(before: str, behind: str) -> Context:
    pieces = (Piece(text=before), Piece(name=PROMPT), Piece(text=behind))
    return Context(Layout(tuple(piece for piece in pieces if piece.name or piece.text)))


def covered(encoded: TokenBatch, texts: Sequence[str], spans: Sequence[Span]) -> Tensor:
    """Mask of the tokens that overlap a part of each text, shape (N, T).

    The space before a part belongs to its first token, or is a token of its own there.

    Args:
        encoded: Tokens of N texts.
        texts: The texts.
        spans: First and last-plus-one character of each part.
    """
    begin, end = encoded.spans.unbind(-1)
    spaced = [text[:start].endswith(" ") for text, (start, _) in zip(texts, spans, strict=True)]
    starts, stops = torch.tensor([*spans], dtype=torch.long).view(-1, 2).T[..., None]
    spaces = torch.tensor(spaced)[:, None].long()
    reaches = (begin >= starts - spaces) | (end > starts)
    inside: Tensor = reaches & (begin < stops) & (begin < end) & (starts < stops)
    return inside
