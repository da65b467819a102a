"""Ids of extractors and of the answers behind them, and where the ids of labels branch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from fuse_lightning.engine.prefixes import Row
from fuse_lightning.errors import FuseError
from fuse_lightning.models import FrozenModel
from fuse_lightning.objectives.layout import gap

LEADS = ("a", ".", "\n", "1")
"""Texts of other kinds, one of which no tokenizer joins with what follows it."""
BESIDE = "$*([{\"'"
"""Characters that an answer stands right behind, without a space."""


class Branch(NamedTuple):
    """Token of a label at which labels with the same beginning differ.

    Attributes:
        place: Place of the token in the ids of the label.
        among: Number of the set of tokens that stand there in these labels.
    """

    place: int
    among: int


def parted(extractor: str, marks: frozenset[str]) -> tuple[str, str]:
    r"""Extractor as it stands behind a chain, and the space between it and an answer.

    A space goes before an extractor that begins with no white space, and before an answer, unless
    the extractor ends with white space, a quote or an opening sign. Spaces at the extractor's end
    belong to the answer: that is how tokenizers read words.

    Args:
        extractor: The text as it is given.
        marks: Texts of special tokens.

    >>> parted("\nSo it is:", frozenset()), parted("So it is $ ", frozenset())
    (('\nSo it is:', ' '), (' So it is $', ' '))
    >>> parted("So it is **", frozenset())
    (' So it is **', '')
    """
    base = extractor.rstrip(" ")
    between = extractor[len(base) :]
    if not between and not base[-1:].isspace() and base[-1:] not in BESIDE:
        between = gap(base, "a", marks)
    return gap("a", base, marks) + base, between


def read_behind(model: FrozenModel, base: str, texts: Sequence[str]) -> tuple[Row, list[Row]]:
    """Ids of a text that others follow, and of each of these right behind it.

    They are read together, so that all texts follow the same ids. Where a tokenizer would make one
    token of the end of the first text and the beginning of another, each is read by itself.

    Args:
        model: The loaded model.
        base: The first text.
        texts: Texts that follow it.

    Raises:
        FuseError: If the model has no tokens for one of them.
    """
    cuts = _cut(model, [(lead, base, text) for lead in LEADS for text in (*texts, "")])
    groups = [cuts[n : n + len(texts) + 1] for n in range(0, len(cuts), len(texts) + 1)]
    found: list[tuple[Row, Row]] = []
    for group in groups:
        whole = [cut for cut in group if cut is not None]
        if len(whole) == len(group) and len({first for first, _ in whole[:-1] or whole}) == 1:
            found = whole[: len(texts)] or whole
            break
    if found:
        first, behind = found[0][0], [ids for _, ids in found[: len(texts)]]
    else:
        first, *behind = _apart(model, [base, *texts])
    for text, ids in zip([base, *texts], [first, *behind], strict=True):
        if not ids:
            raise FuseError(
                f"{model.model_id!r} has no tokens for {text!r:.60}, an extractor or an answer; "
                "write it otherwise"
            )
    return first, behind


def _apart(model: FrozenModel, texts: Sequence[str]) -> list[Row]:
    """Ids of texts that each stand behind another text, of whatever kind that leaves them alone."""
    # What ends a line is joined with no word.
    leads = ("\n", *LEADS)
    cuts = _cut(model, [(lead, text, "") for text in texts for lead in leads])
    alone = model.encode(texts, special=False).rows
    found = []
    for number, ids in enumerate(alone):
        own = cuts[number * len(leads) : (number + 1) * len(leads)]
        found.append(next((cut[0] for cut in own if cut is not None), ids))
    return found


def _cut(model: FrozenModel, texts: Sequence[tuple[str, str, str]]) -> list[tuple[Row, Row] | None]:
    """Ids of the second and the third of texts that stand together; ``None`` if they share one.

    Some tokenizers put a space before a text that stands alone: that is the first text's.
    """
    whole = model.encode(["".join(parts) for parts in texts], special=False)
    found: list[tuple[Row, Row] | None] = []
    for (lead, base, _), ids, spans in zip(texts, whole.rows, whole.spans.tolist(), strict=True):
        ends = len(lead), len(lead) + len(base)
        spans = spans[: len(ids)]
        if any(start < end < stop for start, stop in spans for end in ends):
            found.append(None)
            continue
        first, last = (
            next((n for n, (_, stop) in enumerate(spans) if stop > end), len(ids)) for end in ends
        )
        found.append((ids[first:last], ids[last:]))
    return found


def branches(labels: Sequence[Row]) -> tuple[list[list[Branch]], list[Row]] | None:
    """Tokens of each label at which labels with the same beginning differ, and what stands there.

    A label's probability among all labels is the product of its tokens' probabilities among these
    sets: that of a model which may write nothing but labels.

    Args:
        labels: Ids of labels. One that begins with another counts as that one, as no token says
            where it ends.

    Returns:
        Branches of each label, and the ids in each set; ``None`` for fewer than two labels.

    >>> found, sets = branches([(5, 7), (5, 8, 9), (6,)])
    >>> [[tuple(each) for each in label] for label in found], sets
    ([[(0, 0), (1, 1)], [(0, 0), (1, 1)], [(0, 0)]], [(5, 6), (7, 8)])
    >>> branches([(5, 7), (5,), (6,)]) == branches([(5,), (5,), (6,)])
    True
    """
    short = {*labels}
    labels = [
        next(row[:count] for count in range(1, len(row) + 1) if row[:count] in short)
        for row in labels
    ]
    if len({*labels}) < 2:
        return None
    numbers: dict[Row, int] = {}
    sets: list[Row] = []
    found: list[list[Branch]] = []
    for label in labels:
        found.append([])
        for place in range(len(label)):
            begun = label[:place]
            if begun not in numbers:
                following = {each[place] for each in labels if each[:place] == begun}
                numbers[begun] = len(sets) if len(following) > 1 else -1
                if len(following) > 1:
                    sets.append(tuple(sorted(following)))
            if numbers[begun] >= 0:
                found[-1].append(Branch(place, numbers[begun]))
    return found, sets
