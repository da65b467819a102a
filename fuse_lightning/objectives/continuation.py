"""How likely a causal language model goes on from a prompt to a wanted text."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from fuse_lightning.data.targets import Target
from fuse_lightning.engine.token_batch import pad
from fuse_lightning.errors import FuseError
from fuse_lightning.models import CausalLM, TokenBatch
from fuse_lightning.objectives.causal_term import CausalTerm
from fuse_lightning.objectives.frames import covered, gap
from fuse_lightning.objectives.term import Reading


class Continuation(CausalTerm):
    """Cross-entropy of a wanted text behind prompt and suffix (nats per token, lower is better).

    Targeted generation as in GCG (arXiv 2307.15043). The wanted text is the target's own. A space
    joins it, unless it begins with white space, or suffix or prompt before it end with white
    space or a special token; white space at its end is left out. Prompts that leave no room for
    it have infinite loss.

    Args:
        model: The language model, or its id.
        weight: Factor in the objective; negative repels.
        prefix: Text before the prompt.
        suffix: Text between the prompt and the wanted text.
        name: Name in logs and results.
        label: Text wanted where a target has none of its own, such as "Sure, here's".
    """

    splits = True
    labels: list[str]
    tails: list[tuple[int, ...]]
    label_tokens: Tensor

    def __init__(
        self,
        model: str | CausalLM,
        weight: float = 1.0,
        prefix: str = "",
        suffix: str = "",
        name: str | None = None,
        label: str | None = None,
    ) -> None:
        super().__init__(model, weight, prefix, suffix, name)
        self.label = None if label is None else label.rstrip()
        if self.label == "":
            raise FuseError(
                f"label of {self.name} is empty; give the wanted text, or null for the targets' own"
            )

    def check(self) -> None:
        """Also requires that a prompt and the label fit into the model."""
        super().check()
        if self.label is not None:
            self._tail(self.label)

    def set_targets(self, targets: Sequence[Target]) -> None:
        """Finds the ids of suffix and wanted text for every target.

        Raises:
            FuseError: If a target has no text and there is no label, or no prompt would fit.
        """
        labels, tails, counts = [], [], []
        for target in targets:
            label = (target.text or "").rstrip() or self.label
            if label is None:
                raise FuseError(
                    f"target {target.id!r} has no text, which {self.name} needs; give it one or "
                    f"set the label of {self.name}"
                )
            tail, count = self._tail(label)
            labels.append(label)
            tails.append(tail)
            counts.append(count)
        self.labels = labels
        self.tails = tails
        self.label_tokens = torch.tensor(counts)

    def _complete(self, text: str, label: str) -> str:
        return f"{text}{gap(text, label, self.model.marks)}{label}"

    def complete(self, text: str, owner: int) -> tuple[str, int]:
        """Adds the wanted text."""
        label = self.labels[owner]
        return self._complete(text, label), len(label)

    @property
    def fuses(self) -> bool:
        """Whether a wanted text begins with white space that may join the prompt's last token."""
        spaces = [label[: len(label) - len(label.lstrip())] for label in self.labels]
        return not self.suffix and any(space not in ("", " ") for space in spaces)

    def _tail(self, label: str) -> tuple[tuple[int, ...], int]:
        """Ids of suffix and label behind a prompt, and how many are the label's."""
        text, start = self.compose("a")
        whole = self._complete(text, label)
        encoded = self.model.encode([whole])
        (used,) = encoded.mask.sum(1).tolist()
        if used > self.model.max_tokens:
            raise FuseError(
                f"prefix, suffix and label {label!r} of {self.name} take {used - 1} tokens and "
                f"leave no room for a prompt in the {self.model.max_tokens} that "
                f"{self.model.model_id!r} reads; shorten them"
            )
        ends = torch.tensor([start + 1]), torch.tensor([len(whole)])
        prompt = covered(encoded, [whole], torch.tensor([start]), ends[0])
        wanted = covered(encoded, [whole], ends[1] - len(label), ends[1])
        behind = int(prompt[0].nonzero()[-1]) + 1
        return tuple(encoded.ids[0, behind:].tolist()), int(wanted.sum())

    def extend(self, reading: Reading) -> Reading:
        """Adds suffix and wanted text to every row."""
        encoded = reading.encoded
        rows = [
            (*ids[mask].tolist(), *self.tails[owner])
            for ids, mask, owner in zip(
                encoded.ids, encoded.mask, reading.owner.tolist(), strict=True
            )
        ]
        longer = pad(rows, None, self.model.pad_id)
        more = longer.ids.shape[1] - encoded.ids.shape[1]
        # Tokens behind the text lie nowhere in it: their spans are empty, as those of padding.
        spans = F.pad(encoded.spans, (0, 0, 0, more))
        first = longer.mask.sum(1) - self.label_tokens[reading.owner]
        place = torch.arange(longer.mask.shape[1])
        return replace(
            reading,
            encoded=TokenBatch(longer.ids, longer.mask, spans),
            prompt=F.pad(reading.prompt, (0, more)),
            wanted=longer.mask & (place >= first[:, None]),
        )

    def loss(self, reading: Reading, embeds: Tensor | None = None) -> Tensor:
        """Mean over label tokens of -log P(token | all before), shape (N,)."""
        if reading.wanted is None:
            raise ValueError("the reading holds no text that the model shall write")
        return self.mean_nll(reading, reading.wanted, embeds)
