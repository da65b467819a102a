"""Questions of a target as a reasoning term reads them: fields, right answers, extractor."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile

import torch
from torch import Tensor

from fuse_lightning.data.answer_kinds import AnswerKind, find, guess
from fuse_lightning.data.targets import Example, Target
from fuse_lightning.engine.prefixes import Row
from fuse_lightning.errors import FuseError
from fuse_lightning.models import FrozenModel
from fuse_lightning.objectives.layout import Fields

LABEL, ACCEPTED = "label", "accepted"
"""Names of the right answer of an example, and of others that are right too."""
EXTRACTOR = "\nTherefore, the final answer is:"
"""Text between chain and answer where nothing else is given."""
BESIDE = "$*([{\"'"
"""Characters that an answer stands right behind, without a space."""


@dataclass(frozen=True)
class Questions:
    """Questions of one target, with what a term and its model need to read them.

    Attributes:
        kind: Kind of the answers.
        labels: The closed label set, each label with its words; empty for open answers.
        extractor: Ids between chain and answer.
        fields: Texts of each question by field.
        right: Right answers of each question, the one that is asked for first.
        answers: Ids of that one behind the extractor.
        streams: Number of each question's random stream.
        among: Ids of the tokens by which the labels differ; ``None`` for open answers, or where
            they do not differ in one place.
        place: Place of that token in the ids of an answer.
    """

    kind: AnswerKind
    labels: Mapping[str, Sequence[str]]
    extractor: Row
    fields: list[Fields]
    right: list[tuple[str, ...]]
    answers: list[Row]
    streams: list[int]
    among: Tensor | None
    place: int

    @classmethod
    def read(
        cls, target: Target, names: Sequence[str], extractor: str | None, model: FrozenModel
    ) -> Questions:
        """Questions of a target.

        Args:
            target: The target.
            names: Fields that the layout needs.
            extractor: Text between chain and answer, in place of the target's.
            model: The loaded model.

        Raises:
            FuseError: If an example lacks a field or its right answer, or an answer and the
                extractor would be read as one token.
        """
        seen = target.seen
        fields: list[Fields] = [_fields(target, names, example) for example in seen]
        right = [_right(target, example) for example in seen]
        kind = find(target.answer or guess([some[0] for some in right], target.labels))
        text = extractor or target.extractor or EXTRACTOR
        base = text.rstrip(" ")
        gap = text[len(base) :] or ("" if base[-1:].isspace() or base[-1:] in BESIDE else " ")
        shown = {label: next(iter(words), label) for label, words in target.labels.items()}
        asked = [shown.get(some[0], some[0]) for some in right]
        answers = dict.fromkeys([*asked, *shown.values()])
        ids, behind = read_behind(model, base, [f"{gap}{answer}" for answer in answers])
        known = dict(zip(answers, behind, strict=True))
        place, among = _apart([known[answer] for answer in shown.values()])
        streams = [_stream(each) for each in fields]
        own = [known[answer] for answer in asked]
        return cls(kind, target.labels, ids, fields, right, own, streams, among, place)

    def is_right(self, number: int, answer: str | None) -> bool:
        """Whether an answer that was found is right for a question."""
        return any(self.kind.same(answer, right) for right in self.right[number])

    def asked_labels(self, number: int) -> Mapping[str, Sequence[str]]:
        """The label set with the words that a question itself gives its answers."""
        return self.kind.asked(" ".join(self.fields[number].values()), self.labels)


def _fields(target: Target, names: Sequence[str], example: Example) -> dict[str, str]:
    for name in names:
        if name in (LABEL, ACCEPTED) or not isinstance(example.get(name), str):
            texts = [key for key, value in example.items() if isinstance(value, str)]
            known = ", ".join(key for key in texts if key != LABEL)
            raise FuseError(
                f"the layout has {{{name}}}, which is no text of the examples of target "
                f"{target.id!r}; their texts are: {known or 'none'}"
            )
    return {name: example[name] for name in names}


def _right(target: Target, example: Example) -> tuple[str, ...]:
    label, more = example.get(LABEL), example.get(ACCEPTED, ())
    texts = [label, *more] if isinstance(more, Sequence) and not isinstance(more, str) else [None]
    if not all(isinstance(text, str) and text.strip() for text in texts):
        raise FuseError(
            f"an example of target {target.id!r} has the right answer {label!r:.60} (accepted: "
            f"{more!r:.60}); give it a text as its label, and a list of texts as accepted"
        )
    return tuple(text.strip() for text in texts if isinstance(text, str))


def _stream(fields: Fields) -> int:
    """Number of a question's random stream: that of its text."""
    text = "\0".join(fields.values()).encode(errors="surrogatepass")
    return int.from_bytes(hashlib.sha256(text).digest()[:6], "big")


def read_behind(model: FrozenModel, base: str, texts: Sequence[str]) -> tuple[Row, list[Row]]:
    """Ids of a text that others follow, and of each of these right behind it.

    Args:
        model: The loaded model.
        base: The first text.
        texts: Texts that follow it.

    Raises:
        FuseError: If the end of the first text and the beginning of another are one token.
    """
    # Some tokenizers put a space before a text that stands alone.
    lead = "a"
    whole = model.encode([f"{lead}{base}{text}" for text in [*texts, ""]], special=False)
    bases, behind = [], []
    for text, ids, spans in zip([*texts, ""], whole.rows, whole.spans.tolist(), strict=True):
        end = len(lead) + len(base)
        first = next((n for n, span in enumerate(spans[: len(ids)]) if span[1] > len(lead)), 0)
        last = next((n for n, span in enumerate(spans[: len(ids)]) if span[1] > end), len(ids))
        if text and (last == len(ids) or spans[last][0] < end):
            raise FuseError(
                f"the extractor {base!r:.60} and the answer {text!r:.40} have a token in common in "
                f"{model.model_id!r}; end the extractor with a space, a colon or a line"
            )
        bases.append(ids[first:last])
        behind.append(ids[last:])
    if base and len({*bases}) > 1:
        raise FuseError(
            f"the extractor {base!r:.60} is read differently before different answers; end it "
            "with a space, a colon or a line"
        )
    return bases[0] if base else (), behind[:-1]


def _apart(labels: Sequence[Row]) -> tuple[int, Tensor | None]:
    """Place of the first token by which labels differ, and the ids that stand there.

    >>> _apart([(5, 7), (5, 8, 9)])
    (1, tensor([7, 8]))
    >>> _apart([(5, 7), (5,)]), _apart([])
    ((1, None), (0, None))
    """
    columns = zip(*labels, strict=False)
    place = sum(1 for _ in takewhile(lambda some: len({*some}) == 1, columns))
    some = sorted({label[place] for label in labels if len(label) > place})
    apart = len(some) > 1 and all(len(label) > place for label in labels)
    return place, torch.tensor(some) if apart else None
