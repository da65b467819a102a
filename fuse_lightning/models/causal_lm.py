"""Causal language models of any architecture."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoModelForCausalLM, PretrainedConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

from fuse_lightning.errors import FuseError
from fuse_lightning.models.base import Encoded, FrozenModel, pad


class CausalLM(FrozenModel):
    """Any model that ``AutoModelForCausalLM`` reads."""

    kind = "causal language model"

    @property
    def auto_class(self) -> Any:
        """The auto class."""
        return AutoModelForCausalLM

    def accepts(self, config: PretrainedConfig) -> bool:
        """Whether the auto class maps the configuration to a network."""
        return type(config) in MODEL_FOR_CAUSAL_LM_MAPPING

    @torch.no_grad()
    def prepare(self) -> None:
        """Checks that logits do not depend on later tokens."""
        # Masked language models load as causal ones too, and would see what they predict.
        ids = torch.tensor([[0, 0], [0, 1]], device=self.device)
        first = self.logits(ids, torch.ones_like(ids))[:, 0]
        if (first[0] - first[1]).abs().max() > 1e-2 * first.abs().max():
            raise FuseError(
                f"{self.model_id!r} is no {self.kind}: its {type(self.module).__name__} reads "
                "later tokens; give a model trained to continue text"
            )

    @cached_property
    def start_ids(self) -> tuple[int, ...]:
        """Ids before every text: those the tokenizer puts there, else the begin or end token."""
        whole = self.tokenizer("a")["input_ids"]
        plain = self.tokenizer("a", add_special_tokens=False)["input_ids"]
        for start in range(1, len(whole) - len(plain) + 1):
            if whole[start : start + len(plain)] == plain:
                return tuple(whole[:start])
        for begin in (self.tokenizer.bos_token_id, self.tokenizer.eos_token_id):
            if begin is not None:
                return (begin,)
        return ()

    @cached_property
    def end_ids(self) -> tuple[int, ...]:
        """Ids after which the model would stop generating."""
        ids = self.module.generation_config.eos_token_id
        ids = ids if isinstance(ids, list) else [ids]
        known = {*ids, self.tokenizer.eos_token_id} - {None}
        return tuple(sorted(index for index in known if index < self.vocab_size))

    def prefix_ids(self, prefix: str) -> tuple[int, ...]:
        """Ids of a prefix, without the start."""
        ids: Sequence[int] = self.tokenizer(prefix, add_special_tokens=False)["input_ids"]
        return tuple(ids)

    def encode(self, texts: Sequence[str], *, special: bool = True) -> Encoded:
        """Tokens of whole texts, behind :attr:`start_ids` unless ``special`` is false.

        So a text begins the same whether or not the tokenizer itself puts a token there.
        """
        plain = super().encode(texts, special=False)
        start = self.start_ids if special else ()
        head = torch.tensor(start, dtype=torch.long).expand(len(texts), -1)
        return Encoded(
            torch.cat([head, plain.ids], dim=1),
            F.pad(plain.mask, (len(start), 0), value=True),
            F.pad(plain.spans, (0, 0, len(start), 0)),
        )

    def logits(self, ids: Tensor, mask: Tensor, embeds: Tensor | None = None) -> Tensor:
        """Next-token logits.

        Args:
            ids: Shape (N, T), padded on the right.
            mask: True for tokens, shape (N, T).
            embeds: Input embeddings to use instead of those of ``ids``, shape (N, T, d).

        Returns:
            Shape (N, T, W), float32. W is the width of the network's output, which may exceed V;
            the rows beyond take their share of the probability.
        """
        with self.embeddings_replaced(embeds):
            output = self.module(input_ids=ids, attention_mask=mask.long(), use_cache=False)
        logits: Tensor = output.logits.float()
        return logits

    @torch.no_grad()
    def next_log_probs(self, rows: Sequence[Sequence[int]]) -> Tensor:
        """Log-probabilities of the token after each row of ids (nats), shape (N, V)."""
        batch = pad(rows, None, self.pad_id).to(self.device)
        last = batch.mask.sum(1) - 1
        logits = self.logits(batch.ids, batch.mask)
        after = logits[torch.arange(len(rows), device=self.device), last]
        return after.log_softmax(-1)[:, : self.vocab_size]
