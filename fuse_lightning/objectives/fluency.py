"""Term: likelihood of the prompt under a causal language model."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Self

import torch
from torch import Tensor
from torchmetrics import Metric

from fuse_lightning.data.targets import Target
from fuse_lightning.engine.devices import to_device
from fuse_lightning.metrics import Perplexity
from fuse_lightning.models import CausalLM, FrozenModel
from fuse_lightning.objectives.causal_term import CausalTerm
from fuse_lightning.objectives.reading import Reading
from fuse_lightning.objectives.term import Term
from fuse_lightning.objectives.transfer import placed_like


class Fluency(CausalTerm):
    """Mean negative log-likelihood of the prompt's tokens after the prefix (nats per token).

    The gradient reaches every prompt embedding through the likelihood of the tokens after it;
    :meth:`label_change` is the part that it cannot know. Optimizers that replace tokens add that
    part to their predictions, PEZ as the nearest linear function of embeddings.
    """

    splits = True

    def loss(self, reading: Reading, embeds: Tensor | None = None) -> Tensor:
        """Mean over prompt tokens of -log P(token | all before), shape (N,)."""
        return self.mean_nll(reading, reading.prompt, embeds)

    @torch.no_grad()
    def label_change(self, reading: Reading) -> Tensor:
        """Change of the loss when one prompt token is replaced as a label, with fixed inputs.

        A token counts twice: the model reads it, and it is what the model should have expected.
        The gradient at input embeddings knows the former only. Coordinate methods such as GCG
        (arXiv 2307.15043) add this, which is exact: -(log P(v | before) - log P(x_i | before)) / n
        for token v instead of x_i in a prompt of n tokens.

        Args:
            reading: R rows that read the ids of prompts; of other tokens it would say nothing.

        Returns:
            At the columns of each prompt, shape (R, P, V), float32, without the term's weight;
            lower is better, 0 beyond the end of a prompt.
        """
        return label_change(self.model, reading)

    def metrics(self) -> dict[str, Metric]:
        """Mean loss, and perplexity over all tokens of all prompts."""
        return {**super().metrics(), "perplexity": Perplexity()}

    def update_metrics(
        self, metrics: Mapping[str, Metric], reading: Reading, losses: Tensor
    ) -> None:
        """Adds rows, with each token of a prompt weighted equally."""
        metrics["perplexity"].update(losses, reading.prompt.sum(1))

    @classmethod
    def for_transfer(
        cls, model: FrozenModel, targets: Sequence[Target], search: Sequence[Term]
    ) -> Self | None:
        """Fluency under another causal language model, for any targets."""
        return cls(model, **placed_like(model, search)) if isinstance(model, CausalLM) else None


def label_change(model: CausalLM, reading: Reading) -> Tensor:
    """Change of the mean -log P of prompts when one token is replaced as a label.

    Args:
        model: The model, which has read the rows.
        reading: R rows.

    Returns:
        See :meth:`Fluency.label_change`.
    """
    ids, mask, counts = reading.rows.ids, reading.rows.mask, reading.prompt.sum(1)[:, None]
    there = partial(to_device, device=model.device)
    place = torch.arange(int(counts.max()))
    # Beyond the end of a prompt any column will do.
    columns = (reading.start[:, None] + place).clamp(max=ids.shape[1] - 1)
    rows = torch.arange(len(ids))[:, None]
    logits = model.logits(there(ids), there(mask))[there(rows), there(columns - 1)]
    chosen = logits.gather(-1, there(ids.gather(1, columns)[..., None]))
    # A factor for each place: 1/n in the prompt, 0 outside.
    share = there((place < counts) / counts.clamp(min=1))
    return share[..., None] * (chosen - logits[..., : model.vocab_size])
