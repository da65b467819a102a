"""Questions of a target as a reasoning term reads them: fields, right answers, extractor."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from fuse_lightning.data.answer_kinds import AnswerKind, find, guess
from fuse_lightning.data.targets import Example, Target
from fuse_lightning.engine.prefixes import Row
from fuse_lightning.errors import FuseError
from fuse_lightning.models import FrozenModel
from fuse_lightning.objectives.answer_check import check_read
from fuse_lightning.objectives.answer_ids import Branch, branches, parted, read_behind
from fuse_lightning.objectives.chains import MOST, Chain
from fuse_lightning.objectives.layout import Fields

LABEL, ACCEPTED = "label", "accepted"
"""Names of the right answer of an example, and of others that are right too."""
EXTRACTOR = "\nTherefore, the final answer is:"
"""Text between chain and answer where nothing else is given."""


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
        behind: Most tokens of an answer, written or right.
        branches: Tokens of each question's right answer by which labels differ; ``None`` for open
            answers.
        sets: Ids of the tokens that stand at each of these in some label.
        marks: What the term has noted of chains, by number of the question and chain.
    """

    kind: AnswerKind
    labels: Mapping[str, Sequence[str]]
    extractor: Row
    fields: list[Fields]
    right: list[tuple[str, ...]]
    answers: list[Row]
    streams: list[int]
    behind: int
    branches: list[list[Branch]] | None
    sets: list[Tensor]
    marks: dict[tuple[int, Chain], float] = field(default_factory=dict)

    @classmethod
    def read(
        cls,
        target: Target,
        names: Sequence[str],
        extractor: str | None,
        most: int,
        model: FrozenModel,
    ) -> Questions:
        """Questions of a target.

        Args:
            target: The target.
            names: Fields that the layout needs.
            extractor: Text between chain and answer, in place of the target's.
            most: Tokens that the model writes behind the extractor.
            model: The loaded model.

        Raises:
            FuseError: If an example lacks a field or its right answer, that answer is no label of
                a closed set, or the model reads two labels as the same tokens.
        """
        seen = target.seen
        fields: list[Fields] = [_fields(target, names, example) for example in seen]
        right = [_right(target, example) for example in seen]
        kind = find(target.answer or guess([some[0] for some in right], target.labels))
        base, gap = parted(extractor or target.extractor or EXTRACTOR, frozenset(model.marks))
        shown = {label: next(iter(words), label) for label, words in target.labels.items()}
        asked = [shown[_label(target, kind, some[0])] if shown else some[0] for some in right]
        answers = [*dict.fromkeys([*shown.values(), *asked])]
        ids, behind = read_behind(model, base, [f"{gap}{answer.strip()}" for answer in answers])
        known = dict(zip(answers, behind, strict=True))
        _check_labels(target, {label: known[word] for label, word in shown.items()}, model)
        words = {word: label for label, some in target.labels.items() for word in some}
        text = extractor or target.extractor or EXTRACTOR
        check_read(kind, text, words, target.labels, target.id)
        found = branches([known[word] for word in shown.values()])
        of, sets = found or ([], [])
        by_word = dict(zip(shown.values(), of, strict=False))
        return cls(
            *(kind, target.labels, ids, fields, right),
            [known[answer] for answer in asked],
            [_stream(each) for each in fields],
            max([most, *map(len, behind)]),
            None if found is None else [by_word[answer] for answer in asked],
            [torch.tensor(some) for some in sets],
        )

    def is_right(self, number: int, answer: str | None) -> bool:
        """Whether an answer that was found is right for a question."""
        return any(self.kind.same(answer, right) for right in self.right[number])

    def noted(
        self, number: int, chain: Chain, note: Callable[[Questions, int, Chain], float]
    ) -> float:
        """What a term notes of a question's chain, whose text it looks at once."""
        key = number, chain
        if key not in self.marks:
            if len(self.marks) >= MOST:
                self.marks.clear()
            self.marks[key] = note(self, number, chain)
        return self.marks[key]

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


def _label(target: Target, kind: AnswerKind, right: str) -> str:
    """The label of a closed set that a right answer is, however it is spelt."""
    if right in target.labels:
        return right
    for label, words in target.labels.items():
        if any(kind.same(right, each) for each in (label, *words)):
            return label
    raise FuseError(
        f"an example of target {target.id!r} has the right answer {right!r:.60}, which is none of "
        f"the labels: {', '.join(target.labels)}; give it one of these"
    )


def _check_labels(target: Target, labels: Mapping[str, Row], model: FrozenModel) -> None:
    first: dict[Row, str] = {}
    for label, ids in labels.items():
        if (other := first.setdefault(ids, label)) != label:
            raise FuseError(
                f"{model.model_id!r} reads the labels {other!r:.40} and {label!r:.40} of target "
                f"{target.id!r} as the same tokens; give them other words"
            )


def _stream(fields: Fields) -> int:
    """Number of a question's random stream: that of its text."""
    text = "\0".join(fields.values()).encode(errors="surrogatepass")
    return int.from_bytes(hashlib.sha256(text).digest()[:6], "big")
