"""How likely a causal language model goes on from a prompt to a wanted text."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from fuse_lightning.data.targets import Target
from fuse_lightning.errors import FuseError
from fuse_lightning.models import CausalLM, Encoded
from fuse_lightning.models.encoded import pad
from fuse_lightning.objectives.causal_term import CausalTerm
from fuse_lightning.objectives.term import Reading


class Continuation(CausalTerm):
    """Cross-entropy of a wanted text behind prompt and suffix (nats per token, lower is better).

    Targeted generation as in GCG (arXiv 2307.15043). The wanted text is the target's own; it
    stands behind a space. Prompts that leave no room for it have infinite loss.

    Args:
        model: The language model, or its id.
        weight: Factor in the objective; negative repels.
        prefix: Text before the prompt.
        suffix: Text between the prompt and the wanted text.
        name: Name in logs and results.
        label: Text wanted where a target has none of its own, such as "Sure, here's".
    """

    splits = True
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
        self.label = None if label is None else label.strip()
        if self.label == "":
            raise FuseError(
                f"label of {self.name} is empty; give the wanted text, or null for the targets' own"
            )

    def check(self) -> None:
        """Also requires that a prompt and the label fit into the model."""
        super().check()
        if self.label is not None:
            self._tail(self.label)

    def compose(self, prompt: str) -> tuple[str, int]:
        """Prefix and prompt; :meth:`extend` adds what follows."""
        text, start = super().compose(prompt)
        return text[: start + len(prompt)], start

    def set_targets(self, targets: Sequence[Target]) -> None:
        """Finds the ids of suffix and wanted text for every target.

        Raises:
            FuseError: If a target has no text and there is no label, or no prompt would fit.
        """
        tails, counts = [], []
        for target in targets:
            label = (target.text or "").strip() or self.label
            if label is None:
                raise FuseError(
                    f"target {target.id!r} has no text, which {self.name} needs; give it one or "
                    f"set the label of {self.name}"
                )
            suffix, wanted = self._tail(label)
            tails.append((*suffix, *wanted))
            counts.append(len(wanted))
        self.tails = tails
        self.label_tokens = torch.tensor(counts)

    def _tail(self, label: str) -> tuple[list[int], list[int]]:
        """Ids of suffix and label behind a prompt."""
        # Tokenizers of every kind give a text the same ids behind any word and a space.
        before = f"a {self.suffix}".rstrip()
        texts = ["a", before, f"{before} {label}"]
        word, middle, whole = self.model.tokenizer(texts, add_special_tokens=False).input_ids
        if middle[: len(word)] != word or whole[: len(middle)] != middle:
            raise FuseError(
                f"the tokenizer of {self.model.model_id!r} joins {label!r} with the word before "
                f"it; change suffix or label of {self.name}"
            )
        head = int(self.model.encode([self.compose("a")[0]]).mask.sum())
        used = head - len(word) + len(whole)
        if used > self.model.max_tokens:
            raise FuseError(
                f"prefix, suffix and label {label!r} of {self.name} take {used - 1} tokens and "
                f"leave no room for a prompt in the {self.model.max_tokens} that "
                f"{self.model.model_id!r} reads; shorten them"
            )
        return middle[len(word) :], whole[len(middle) :]

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
        prompt = F.pad(reading.prompt, (0, more))
        return Reading(
            Encoded(longer.ids, longer.mask, spans), prompt, reading.owner, reading.offset
        )

    def loss(self, reading: Reading, embeds: Tensor | None = None) -> Tensor:
        """Mean over label tokens of -log P(token | all before), shape (N,)."""
        mask = reading.encoded.mask
        first = mask.sum(1) - self.label_tokens[reading.owner]
        place = torch.arange(mask.shape[1], device=mask.device)
        label = mask & (place >= first[:, None])
        return self.mean_nll(reading, label, embeds)
