"""Term: likelihood of a wanted text behind the prompt."""

from collections.abc import Sequence

from torch import Tensor

from fuse_lightning.data.targets import Target
from fuse_lightning.errors import FuseError
from fuse_lightning.models import CausalLM
from fuse_lightning.models.options import ModelSource
from fuse_lightning.objectives.causal_term import CausalTerm
from fuse_lightning.objectives.layout import ANSWER, Fields, Message
from fuse_lightning.objectives.reading import Reading


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
        layout: Text or turns of a chat with ``{prompt}`` and at its end ``{answer}``, the wanted
            text, in place of prefix and suffix.
        score_weight: Factor in the number by which prompts are selected; by default ``weight``.
    """

    splits = True
    fills = (ANSWER,)
    labels: list[str]

    def __init__(
        self,
        model: ModelSource | CausalLM,
        weight: float = 1.0,
        prefix: str = "",
        suffix: str = "",
        name: str | None = None,
        label: str | None = None,
        layout: str | list[Message] | None = None,
        score_weight: float | None = None,
    ) -> None:
        super().__init__(model, weight, prefix, suffix, name, layout, score_weight)
        self.label = None if label is None else label.rstrip()
        if self.label == "":
            raise FuseError(
                f"label of {self.name} is empty; give the wanted text, or null for the targets' own"
            )

    def check(self) -> None:
        """Checks the term, and that a prompt and the label fit into the model."""
        super().check()
        if self.label is not None:
            self._check_room(self.label)

    def _check_room(self, label: str) -> None:
        text = self.form.fill("a", {ANSWER: label}).text
        (used,) = self.model.encode([text]).mask.sum(1).tolist()
        if used > self.model.max_tokens:
            raise FuseError(
                f"prefix, suffix and label {label!r} of {self.name} take {used - 1} tokens and "
                f"leave no room for a prompt in the {self.model.max_tokens} that "
                f"{self.model.model_id!r} reads; shorten them"
            )

    def reads_targets(self, targets: Sequence[Target]) -> bool:
        """Whether a target has a text of its own."""
        return any((target.text or "").strip() for target in targets)

    def set_targets(self, targets: Sequence[Target]) -> None:
        """Finds the wanted text of every target.

        Raises:
            FuseError: If a target has no text and there is no label, or no prompt would fit.
        """
        labels = []
        for target in targets:
            label = (target.text or "").rstrip() or self.label
            if label is None:
                raise FuseError(
                    f"target {target.id!r} has no text, which {self.name} needs; give it one or "
                    f"set the label of {self.name}"
                )
            self._check_room(label)
            labels.append(label)
        self.labels = labels

    def contents(self, owner: int, example: int) -> Sequence[Fields]:
        """The wanted text, as the field ``answer``."""
        return ({ANSWER: self.labels[owner]},)

    def loss(self, reading: Reading, embeds: Tensor | None = None) -> Tensor:
        """Mean over label tokens of -log P(token | all before), shape (R,)."""
        if reading.wanted is None:
            raise ValueError("the reading holds no text that the model shall write")
        return self.mean_nll(reading, reading.wanted, embeds)
