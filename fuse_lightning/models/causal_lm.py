"""Causal language models of any architecture."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, PretrainedConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

from fuse_lightning.models.base import FrozenModel, pad


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

    @cached_property
    def start_ids(self) -> tuple[int, ...]:
        """Ids before every text: those the tokenizer puts there, else the begin or end token."""
        special = self.tokenizer("", add_special_tokens=True)["input_ids"]
        trailing = self.tokenizer.eos_token_id
        start = [index for index in special if index != trailing or index == self._begin]
        if start:
            return tuple(start[:1])
        return () if self._begin is None else (self._begin,)

    @property
    def _begin(self) -> int | None:
        begin: int | None = self.tokenizer.bos_token_id
        end: int | None = self.tokenizer.eos_token_id
        return end if begin is None else begin

    @cached_property
    def end_ids(self) -> tuple[int, ...]:
        """Ids after which the model would stop generating."""
        ids = self.module.generation_config.eos_token_id
        ids = ids if isinstance(ids, list) else [ids]
        known = {*ids, self.tokenizer.eos_token_id} - {None}
        return tuple(sorted(index for index in known if index < len(self.tokenizer)))

    def prefix_ids(self, prefix: str) -> tuple[int, ...]:
        """Ids of a prefix, without the start."""
        ids: Sequence[int] = self.tokenizer(prefix, add_special_tokens=False)["input_ids"]
        return tuple(ids)

    def logits(self, ids: Tensor, mask: Tensor, embeds: Tensor | None = None) -> Tensor:
        """Next-token logits.

        Args:
            ids: Shape (N, T), padded on the right.
            mask: True for tokens, shape (N, T).
            embeds: Input embeddings to use instead of those of ``ids``, shape (N, T, d).

        Returns:
            Shape (N, T, V), float32, V the size of the tokenizer.
        """
        with self.embeddings_replaced(embeds):
            output = self.module(input_ids=ids, attention_mask=mask.long(), use_cache=False)
        logits: Tensor = output.logits[..., : len(self.tokenizer)].float()
        return logits

    @torch.no_grad()
    def next_log_probs(self, rows: Sequence[Sequence[int]]) -> Tensor:
        """Log-probabilities of the token after each row of ids (nats), shape (N, V)."""
        batch = pad(rows, None, self.pad_id).to(self.device)
        last = batch.mask.sum(1) - 1
        logits = self.logits(batch.ids, batch.mask)
        return logits[torch.arange(len(rows), device=self.device), last].log_softmax(-1)
