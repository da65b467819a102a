"""Models that turn a text into one unit vector."""

import json
from abc import abstractmethod
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoModel, PretrainedConfig
from transformers.utils import cached_file

from fuse_lightning.models.base import Encoded, FrozenModel
from fuse_lightning.models.loading import resolve


class TextEncoder(FrozenModel):
    """A frozen model with text features; loss functions compare them by cosine."""

    @property
    def auto_class(self) -> Any:
        """The auto class."""
        return AutoModel

    @abstractmethod
    def text_features(self, encoded: Encoded, embeds: Tensor | None = None) -> Tensor:
        """Unit vectors of texts, float32, shape (N, d).

        Args:
            encoded: The texts.
            embeds: Input embeddings to use instead of those of the ids, shape (N, T, d).
        """


class SentenceEncoder(TextEncoder):
    """A sentence-transformers style encoder such as all-MiniLM-L6-v2.

    Pools as the model's ``1_Pooling/config.json`` says, by default the mean over tokens.
    """

    kind = "sentence encoder"

    def accepts(self, config: PretrainedConfig) -> bool:
        """Any single text network: no pictures, no decoder half."""
        return not hasattr(config, "vision_config") and not config.is_encoder_decoder

    @cached_property
    def _first_token(self) -> bool:
        path = cached_file(
            resolve(self.model_id),
            "1_Pooling/config.json",
            revision=self.revision,
            _raise_exceptions_for_missing_entries=False,
            _raise_exceptions_for_connection_errors=False,
        )
        return path is not None and bool(
            json.loads(Path(path).read_text()).get("pooling_mode_cls_token")
        )

    def text_features(self, encoded: Encoded, embeds: Tensor | None = None) -> Tensor:
        """Unit vectors of texts, float32, shape (N, d)."""
        with self.embeddings_replaced(embeds):
            output = self.module(input_ids=encoded.ids, attention_mask=encoded.mask.long())
        hidden = output.last_hidden_state.float()
        if self._first_token:
            return F.normalize(hidden[:, 0], dim=-1)
        weights = encoded.mask.unsqueeze(-1).float()
        return F.normalize((hidden * weights).sum(1) / weights.sum(1), dim=-1)


def same_direction(a: Tensor, b: Tensor) -> bool:
    """Whether two batches of unit vectors agree to rounding."""
    return bool(((a * b).sum(-1) > 1 - 1e-4).all()) and not bool(torch.isnan(a).any())
