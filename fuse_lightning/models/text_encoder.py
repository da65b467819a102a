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

from fuse_lightning.errors import FuseError
from fuse_lightning.models.base import FrozenModel
from fuse_lightning.models.encoded import Encoded
from fuse_lightning.models.forward import run_vectors
from fuse_lightning.models.loading import resolve

POOLINGS = ("mean", "mean_sqrt_len", "cls", "max", "lasttoken")


class TextEncoder(FrozenModel):
    """A frozen model with text features; loss functions compare them by cosine."""

    @property
    def auto_class(self) -> Any:
        """The auto class."""
        return AutoModel

    @abstractmethod
    def text_features(
        self, encoded: Encoded, embeds: Tensor | None = None, fixed: Tensor | None = None
    ) -> Tensor:
        """Unit vectors of texts, float32, shape (N, d).

        Args:
            encoded: The texts.
            embeds: Input embeddings to use instead of those of the ids, shape (N, T, d).
            fixed: How many leading tokens of each text have the embeddings of their ids, and
                need no gradient, shape (N,).
        """


class SentenceEncoder(TextEncoder):
    """A sentence-transformers style encoder such as all-MiniLM-L6-v2.

    Pools as the model's ``1_Pooling/config.json`` says, by default the mean over tokens.
    """

    kind = "sentence encoder"
    # Pooling is done here, so checkpoints of masked language models will do.
    unused_weights = ("pooler.",)

    def accepts(self, config: PretrainedConfig) -> bool:
        """Any single text network: no pictures, no decoder half."""
        return not hasattr(config, "vision_config") and not config.is_encoder_decoder

    def prepare(self) -> None:
        """Finds how vectors are pooled."""
        self.pooling = self._pooling()

    def _read(self, name: str) -> Any:
        """A file of the model, {} if there is none."""
        path = cached_file(
            resolve(self.model_id),
            name,
            revision=self.revision,
            _raise_exceptions_for_missing_entries=False,
            _raise_exceptions_for_connection_errors=False,
        )
        return {} if path is None else json.loads(Path(path).read_text(encoding="utf-8"))

    @cached_property
    def max_tokens(self) -> int:
        """Longest input in tokens: sentence-transformers may read less than the network could."""
        limit = self._read("sentence_bert_config.json").get("max_seq_length")
        return min(super().max_tokens, int(limit)) if limit else super().max_tokens

    def _pooling(self) -> str:
        for module in self._read("modules.json"):
            part = module["type"].rsplit(".")[-1]
            if part not in ("Transformer", "Pooling", "Normalize"):
                raise FuseError(
                    f"{self.model_id!r} ends in a {part} layer, which a {self.kind} here cannot "
                    "have; give one that only pools"
                )
        config = self._read("1_Pooling/config.json")
        modes = [
            key.removeprefix("pooling_mode_").removesuffix("s").removesuffix("_token")
            for key, value in config.items()
            if key.startswith("pooling_mode_") and value is True
        ]
        mode = config.get("pooling_mode") or "+".join(modes) or "mean"
        if mode not in POOLINGS:
            raise FuseError(
                f"{self.model_id!r} pools by {mode!r}; a {self.kind} here pools by one of: "
                f"{', '.join(POOLINGS)}"
            )
        return str(mode)

    def text_features(
        self, encoded: Encoded, embeds: Tensor | None = None, fixed: Tensor | None = None
    ) -> Tensor:
        """Unit vectors of texts, float32, shape (N, d)."""
        return run_vectors(self, encoded, self._vectors, embeds, fixed)

    def _vectors(
        self, ids: Tensor, mask: Tensor, embeds: Tensor | None, _: Tensor | None
    ) -> Tensor:
        with self.embeddings_replaced(embeds):
            output = self.module(input_ids=ids, attention_mask=mask.long())
        hidden = output.last_hidden_state.float()
        match self.pooling:
            case "cls":
                vectors = hidden[:, 0]
            case "lasttoken":
                last = mask.sum(1) - 1
                vectors = hidden[torch.arange(len(hidden), device=hidden.device), last]
            case "max":
                vectors = hidden.masked_fill(~mask.unsqueeze(-1), -torch.inf).amax(1)
            case _:
                # The mean times the root of the length has the same direction.
                vectors = (hidden * mask.unsqueeze(-1)).sum(1)
        return F.normalize(vectors, dim=-1)


def same_direction(a: Tensor, b: Tensor) -> bool:
    """Whether two batches of unit vectors agree to rounding."""
    return bool(((a * b).sum(-1) > 1 - 1e-4).all()) and not bool(torch.isnan(a).any())
