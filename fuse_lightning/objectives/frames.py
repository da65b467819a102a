"""How prompts stand between prefix and suffix, as text and as ids."""

from collections.abc import Callable, Collection
from dataclasses import dataclass

import torch
from torch import Tensor

from fuse_lightning.models import CausalLM, FrozenModel, TokenBatch
from fuse_lightning.models.word_tokenizer import KINDS

Ids = tuple[int, ...]


@dataclass(frozen=True)
class Frame:
    """What a model reads around a prompt.

    Attributes:
        head: Ids before the prompt, special ones included.
        prefix: The same without the special ones that the model puts there itself.
        tail: Ids behind the prompt; none for a language model, to which they would tell nothing
            of the prompt.
        lead: White space with which the ids of a prompt begin their text.
        openings: Ids of words of every kind as the first of a prompt; ``None`` where they change
            the ids around them, or the other way round.
    """

    head: Ids
    prefix: Ids
    tail: Ids
    lead: str
    openings: tuple[Ids, ...] | None


def gap(left: str, right: str, marks: Collection[str]) -> str:
    """What joins two texts: a space, unless white space or a special token is there already.

    Args:
        left: The first text.
        right: The second text.
        marks: Texts of special tokens.
    """
    if not left or not right or left[-1].isspace() or right[0].isspace():
        return ""
    special = tuple(marks)
    return "" if left.endswith(special) or right.startswith(special) else " "


def covered(encoded: TokenBatch, texts: list[str], starts: Tensor, stops: Tensor) -> Tensor:
    """Tokens that hold some of a part of each text, shape (N, T).

    The space before a part belongs to its first token, or is a token of its own there.

    Args:
        encoded: Tokens of N texts.
        texts: The texts.
        starts: First character of each part, shape (N,).
        stops: Last-plus-one character of each part, shape (N,).
    """
    begin, end = encoded.spans.unbind(-1)
    spaced = [
        text[:start].endswith(" ") for text, start in zip(texts, starts.tolist(), strict=True)
    ]
    starts, stops, spaces = starts[:, None], stops[:, None], torch.tensor(spaced)[:, None].long()
    reaches = (begin >= starts - spaces) | (end > starts)
    return reaches & (begin < stops) & (begin < end) & (starts < stops)


def find_frame(model: FrozenModel, compose: Callable[[str], tuple[str, int]]) -> Frame:
    """The frame of a term, found by reading words of every kind in it.

    Args:
        model: The loaded model.
        compose: Gives the whole text of a prompt, and the prompt's place in it.
    """

    def cut(words: list[str], *, behind: bool, special: bool) -> list[tuple[Ids, Ids, Ids]]:
        """Ids before, of and behind each word."""
        pairs = [compose(word) for word in words]
        starts = torch.tensor([start for _, start in pairs])
        stops = starts + torch.tensor([len(word) for word in words])
        ends = [None if behind else stop for stop in stops.tolist()]
        texts = [text[:end] for (text, _), end in zip(pairs, ends, strict=True)]
        encoded = model.encode(texts, special=special)
        inside = covered(encoded, texts, starts, stops)
        rows = zip(encoded.ids, encoded.mask, inside, strict=True)
        return [_cut(ids[mask].tolist(), row[mask].nonzero().flatten()) for ids, mask, row in rows]

    ((prefix, word, _),) = cut(["a"], behind=False, special=False)
    ((head, _, tail),) = cut(["a"], behind=True, special=True)
    before, text = model.decode([prefix, (*prefix, *word)])
    text = text[len(before) if prefix else 0 :]
    alone = cut([*KINDS], behind=False, special=False)
    whole = cut([*KINDS], behind=True, special=False)
    plain = all(row[0] == prefix and row[1] for row in alone)
    plain = plain and len({behind for _, _, behind in whole}) == 1
    plain = plain and [row[:2] for row in alone] == [row[:2] for row in whole]
    return Frame(
        head,
        prefix,
        () if isinstance(model, CausalLM) else tail,
        text[: len(text) - len(text.lstrip())],
        tuple(row[1] for row in alone) if plain else None,
    )


def _cut(ids: list[int], places: Tensor) -> tuple[Ids, Ids, Ids]:
    """Ids before, at and behind places that lie together."""
    if not len(places):
        return tuple(ids), (), ()
    first, last = int(places[0]), int(places[-1]) + 1
    return tuple(ids[:first]), tuple(ids[first:last]), tuple(ids[last:])
