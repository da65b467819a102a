"""Term: whether a language model gives labelled examples the right label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import Metric

from fuse_lightning.data.targets import Example, Target
from fuse_lightning.engine.devices import to_device
from fuse_lightning.errors import FuseError
from fuse_lightning.metrics import MeanLoss, MeanScore
from fuse_lightning.models import CausalLM, FrozenModel
from fuse_lightning.models.options import ModelSource
from fuse_lightning.objectives.causal_term import CausalTerm
from fuse_lightning.objectives.context import Context
from fuse_lightning.objectives.layout import ANSWER, Fields, Layout, Message, Piece
from fuse_lightning.objectives.reading import Reading, mean_of
from fuse_lightning.objectives.target_cache import PerTarget
from fuse_lightning.objectives.term import Term
from fuse_lightning.objectives.transfer import nothing_to_compare
from fuse_lightning.objectives.verbalizers import NONE, Verbalizers
from fuse_lightning.utilities.numbers import check_number

LABEL = "label"
"""Name of the class of an example, beside its texts."""


@dataclass
class Labelled:
    """Labelled examples of a target as the term reads them.

    Attributes:
        verbalizers: Words of the classes.
        rows: For each example the fields of its rows, one for each word.
        right: Number of each example's class, shape (E,).
    """

    verbalizers: Verbalizers
    rows: list[list[Fields]]
    right: Tensor


class Classification(CausalTerm):
    """Cross-entropy of the right label among all, mean over labelled examples (nats).

    Each example is read with each word of each class behind it, and words count whole, however
    many tokens they have. The probability of a class is the sum over its words, made to add up to
    1 over the classes. Lower is better. A prompt that leaves no room for an example has infinite
    loss. Prompts for classification are those of AutoPrompt (arXiv 2010.15980) and PEZ
    (arXiv 2302.03668).

    Args:
        model: The language model, or its id.
        layout: Text or turns of a chat with ``{prompt}``, the fields of an example such as
            ``{text}``, and at its end ``{answer}``, the place of the words. The space before a
            word may stand in the layout or not.
        words: Word or words of each class, in place of those of the data.
        weight: Factor in the objective; negative repels.
        error_weight: What a wrong answer adds to the loss of an example, in nats. It changes what
            prompts are selected by, and no gradient.
        name: Name in logs and results.
        score_weight: Factor in the number by which prompts are selected; by default ``weight``.
    """

    splits = True
    batch: list[Labelled]

    def __init__(
        self,
        model: ModelSource | CausalLM,
        layout: str | list[Message] = "{prompt} {text}{answer}",
        words: dict[str, str | list[str]] | None = None,
        weight: float = 1.0,
        error_weight: float = 0.0,
        name: str | None = None,
        score_weight: float | None = None,
    ) -> None:
        super().__init__(model, weight, name=name, layout=layout, score_weight=score_weight)
        check_number("error_weight", error_weight, 0)
        self.words: dict[str, str | list[str]] | None = words and {
            name: [some] if isinstance(some, str) else [*some] for name, some in words.items()
        }
        self.error_weight = error_weight
        self._labelled = PerTarget(lambda targets: [self._read(target) for target in targets])

    @cached_property
    def form(self) -> Layout:
        """Layout of the loaded model; a space before the answer belongs to the words."""
        assert self.layout is not None
        return self.up_to_answer(Layout.read(self.layout, self.model.tokenizer))

    @staticmethod
    def up_to_answer(form: Layout) -> Layout:
        """Layout without the space before its answer."""
        *before, last = form.pieces
        if last.name == ANSWER and before and before[-1].text.endswith(" "):
            text = before.pop().text.rstrip(" ")
            before += [Piece(text=text)] if text else []
        return Layout((*before, last))

    @property
    def fills(self) -> tuple[str, ...]:  # type: ignore[override]
        """Fields of the layout, which the examples must have, and the answer."""
        return (*(name for name in self.form.names if name != ANSWER), ANSWER)

    @cached_property
    def gap(self) -> str:
        """White space between the layout and a word."""
        before = self.form.fill("a", dict.fromkeys(self.form.names, "a") | {ANSWER: ""}).text
        # A line, and the mark with which a chat's turn begins, need none.
        apart = before[-1:].isspace() or any(before.endswith(mark) for mark in self.model.marks)
        return "" if apart and not self.spaced else " "

    @cached_property
    def spaced(self) -> bool:
        """Whether the given layout has a space before the answer."""
        assert self.layout is not None
        *before, _ = Layout.read(self.layout, self.model.tokenizer).pieces
        return bool(before) and before[-1].text.endswith(" ")

    def set_targets(self, targets: Sequence[Target]) -> None:
        """Reads the examples of every target.

        Raises:
            FuseError: If a class has no word, two words are read as the same tokens, an example
                lacks a field or its label, or is longer than the model reads.
        """
        self.batch = self._labelled.of(targets)
        self.examples = [len(each.rows) for each in self.batch]

    def _read(self, target: Target) -> Labelled:
        words = Verbalizers.read(target, self.words, self.name)
        whole = [f"{self.gap}{word}" for word in words.words]
        read = self.model.tokenizer(whole, add_special_tokens=False).input_ids
        words.check([tuple(ids) for ids in read], target.id)
        names = [name for name in self.form.names if name != ANSWER]
        seen = target.seen
        if not names:
            texts = [key for key in (seen[0] if seen else {}) if key != LABEL]
            field = next(iter(texts), "text")
            raise FuseError(
                f"layout of {self.name} holds no text of the examples, so that the model would "
                f"answer without reading them; add {{{field}}}"
            )
        right = [self._class(target, words, example) for example in seen]
        fields = [self._fields(target, names, example) for example in seen]
        _, longest = max((len(ids), word) for ids, word in zip(read, whole, strict=True))
        self._check_room(target, fields, longest)
        rows: list[list[Fields]] = [[{**each, ANSWER: word} for word in whole] for each in fields]
        return Labelled(words, rows, torch.tensor(right, dtype=torch.long))

    def _class(self, target: Target, words: Verbalizers, example: Example) -> int:
        label = example.get(LABEL)
        if label not in words.classes:
            raise FuseError(
                f"an example of target {target.id!r} has the label {label!r:.60}, which is none "
                f"of: {', '.join(words.classes)}; give it one of these"
            )
        return words.classes.index(label)

    def _fields(self, target: Target, names: Sequence[str], example: Example) -> dict[str, str]:
        for name in names:
            if not isinstance(example.get(name), str) or name == LABEL:
                texts = [key for key, value in example.items() if isinstance(value, str)]
                known = ", ".join(key for key in texts if key != LABEL)
                raise FuseError(
                    f"layout of {self.name} has {{{name}}}, which is no text of the examples of "
                    f"target {target.id!r}; their texts are: {known or 'none'}"
                )
        return {name: example[name] for name in names}

    def _check_room(
        self, target: Target, fields: Sequence[Mapping[str, str]], longest: str
    ) -> None:
        """Checks that the model can read every example with a short prompt and its longest word."""
        texts = [Context(self.form, {**each, ANSWER: longest}).fill("a").text for each in fields]
        most = self.model.max_tokens
        # No token is shorter than a byte.
        some = [n for n, text in enumerate(texts) if len(text.encode()) + 8 > most]
        if not some:
            return
        lengths = self.model.encode([texts[number] for number in some]).mask.sum(1).tolist()
        if too_long := [pair for pair in zip(some, lengths, strict=True) if pair[1] > most]:
            number, length = max(too_long, key=lambda pair: pair[1])
            start = next(iter(fields[number].values()), "")
            raise FuseError(
                f"{len(too_long)} examples of target {target.id!r} are longer than the {most} "
                f"tokens that {self.model.model_id!r} reads, such as {start!r:.40} with {length}; "
                "shorten them or leave them out"
            )

    def shown(self, owner: int, example: int) -> str:
        """Text of an example with the word of its class, as a demonstration in a prompt.

        It has the layout's own words; those of a chat are left out.
        """
        labelled = self.batch[owner]
        right = int(labelled.right[example])
        fields = labelled.rows[example][labelled.verbalizers.of.index(right)]
        if isinstance(self.layout, str):
            text = self.form.fill("", fields).text.strip()
            return text if ANSWER in self.form.names else f"{text} {fields[ANSWER].strip()}"
        texts = [text for name, text in fields.items() if name != ANSWER]
        return "\n".join([*texts, fields[ANSWER].strip()])

    def contents(self, owner: int, example: int) -> Sequence[Fields]:
        """Fields of an example, once with each word as the answer."""
        return self.batch[owner].rows[example]

    def loss(self, reading: Reading, embeds: Tensor | None = None) -> Tensor:
        """-log P(word | all before) of each row, shape (R,)."""
        if reading.wanted is None:
            raise ValueError("the reading holds no words of classes")
        fixed, alike = reading.fixed, reading.alike
        nll = self.model.token_nll(reading.rows.ids, reading.wanted, embeds, fixed, alike=alike)
        return nll.sum(1)

    def log_probs(self, values: Tensor, reading: Reading) -> Tensor:
        """Log probabilities of the classes for each pair of a prompt and an example.

        Args:
            values: Losses of R rows, shape (R,).
            reading: The rows.

        Returns:
            Shape (M, C) for up to C classes of a target; next to minus infinity for classes that
            a target does not have.
        """
        table = -reading.table(values).clamp(max=-NONE)
        owner = reading.per_pair(reading.owner)
        parts, rows = [], []
        width = max(len(each.verbalizers.classes) for each in self.batch)
        for each in torch.unique(owner).tolist():
            mine = (owner == each).nonzero().squeeze(1)
            found = self.batch[each].verbalizers.class_logits(table[to_device(mine, table.device)])
            parts.append(F.pad(found, (0, width - found.shape[1]), value=NONE))
            rows.append(mine)
        order = torch.cat(rows).argsort()
        return torch.cat(parts)[to_device(order, table.device)].log_softmax(1)

    def right(self, reading: Reading) -> Tensor:
        """Number of the right class of each pair of a prompt and an example, shape (M,)."""
        counts = torch.tensor([len(each.right) for each in self.batch])
        begin = counts.cumsum(0) - counts
        whole = torch.cat([each.right for each in self.batch])
        return whole[begin[reading.per_pair(reading.owner)] + reading.pairs[:, 1]]

    def reduce(self, losses: Tensor, reading: Reading, count: int) -> Tensor:
        """Cross-entropy of the right class, and the price of a wrong answer, shape (M,)."""
        logs = self.log_probs(losses, reading)
        right = to_device(self.right(reading), logs.device)
        found = F.nll_loss(logs, right, reduction="none")
        if self.error_weight:
            found = found + self.error_weight * (logs.argmax(1) != right)
        return found

    def correct(self, values: Tensor, reading: Reading) -> Tensor:
        """Whether the most likely class is the right one, 1 or 0, shape (M,).

        An example that the model cannot read has no right answer.
        """
        logs = self.log_probs(values, reading)
        unread = mean_of(values.isinf().float(), reading.item, len(logs)) > 0
        right = logs.argmax(1) == to_device(self.right(reading), logs.device)
        return (right & ~unread).float()

    def metrics(self) -> dict[str, Metric]:
        """Mean cross-entropy, and the share of right answers."""
        return {"cross_entropy": MeanLoss("nats"), "accuracy": MeanScore("share")}

    def update_metrics(
        self, metrics: Mapping[str, Metric], reading: Reading, losses: Tensor
    ) -> None:
        """Adds the answers to the examples of some prompts."""
        metrics["accuracy"].update(self.correct(losses, reading))

    @classmethod
    def for_transfer(
        cls, model: FrozenModel, targets: Sequence[Target], search: Sequence[Term]
    ) -> Self | None:
        """The term of another model, with the layout and words of the search's first such term.

        Raises:
            FuseError: If a target has no labels.
        """
        own = next((term for term in search if isinstance(term, Classification)), None)
        if own is None or not isinstance(model, cls.model_class):
            return None
        if not all(target.labels for target in targets):
            raise nothing_to_compare(model, "labelled examples")
        assert own.layout is not None
        return cls(model, own.layout, own.words, name=model.model_id)
