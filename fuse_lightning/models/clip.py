"""Models with a picture tower and a text tower: CLIP, OpenCLIP exports, SigLIP, dual encoders."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoImageProcessor, PretrainedConfig

from fuse_lightning.engine.batching import run_vectors
from fuse_lightning.engine.token_batch import TokenBatch
from fuse_lightning.engine.trials import try_sharing
from fuse_lightning.errors import FuseError
from fuse_lightning.models.in_memory import same
from fuse_lightning.models.options import ModelOptions, ModelSource, ProcessorSource, Unpack
from fuse_lightning.models.sources import find_processor
from fuse_lightning.models.text_encoder import TextEncoder, same_direction

PICTURES = 32
"""Most pictures in one forward."""


class CLIP(TextEncoder):
    """Model with ``get_text_features`` and ``get_image_features``, such as CLIP or SigLIP.

    Args:
        model_id: Hub id, local folder, ``zoo/NAME``, or a network in memory.
        processor: A processor or image processor of transformers, or the hub id or folder of one;
            by default the model's own. The tokenizer of a network in memory may be part of it.
        **options: Options of every :class:`FrozenModel`.
    """

    kind = "CLIP-like model with image and text features"

    def __init__(
        self,
        model_id: ModelSource,
        *,
        processor: ProcessorSource = None,
        **options: Unpack[ModelOptions],
    ) -> None:
        if options.get("tokenizer") is None:
            options["tokenizer"] = getattr(processor, "tokenizer", None)
        super().__init__(model_id, **options)
        self.processor_source = processor

    @property
    def key(self) -> tuple[object, ...]:
        """Key that is equal for two models that can share weights and read pictures alike."""
        return (*super().key, same(self.processor_source))

    def accepts(self, config: PretrainedConfig) -> bool:
        """Whether the configuration has a picture and a text part."""
        return hasattr(config, "vision_config") and hasattr(config, "text_config")

    def prepare(self) -> None:
        """Loads the image processor, corrects the end token, and finds whether padding matters."""
        for method in ("get_text_features", "get_image_features"):
            if not hasattr(self.module, method):
                raise FuseError(f"{self.model_id!r} has no {method}, so it is not a {self.kind}")
        found = find_processor(self, self.processor_source, AutoImageProcessor, "image processor")
        self.processor = getattr(found, "image_processor", found)
        end = self.tokenizer.eos_token_id
        if end is not None and end in self.encode(["a"]).ids:
            # Old configurations name id 2 as end token and rely on the largest id being it.
            for part in self.module.text_model.modules():
                if hasattr(part, "eos_token_id"):
                    self.put_back.callback(setattr, part, "eos_token_id", part.eos_token_id)
                    part.eos_token_id = end
        self.full_length = self._padded_length()
        if not self.full_length:
            texts = self.encode(["a b c", "a b d", "a b c d", "a"])
            try_sharing(self, partial(self.text_features, texts))

    def _padded_length(self) -> int:
        """Length that every text is padded to; 0 if padding does not matter.

        A causal tower, or one with an attention mask, gives the same features at any length; a
        tower that was trained without either (SigLIP) must see its full length, and gets no mask
        even where its tokenizer gives one. Asked of the network itself, with one text at both
        lengths.
        """
        short = self.encode(["a"])
        longest = min(self.max_tokens, 512)
        long = TokenBatch(
            F.pad(short.ids, (0, longest - short.ids.shape[1]), value=self.pad_id),
            F.pad(short.mask, (0, longest - short.ids.shape[1])),
            short.spans,
        )
        with torch.no_grad():
            features = [
                self._vectors(batch.ids.to(self.device), batch.mask.to(self.device))
                for batch in (short, long)
            ]
        return 0 if same_direction(*features) else longest

    @property
    def text_network(self) -> nn.Module:
        """The text tower."""
        tower: nn.Module = self.module.text_model
        return tower

    def embedding_of(self, network: Any) -> nn.Module:
        """Token embedding of the text tower."""
        layer: nn.Module = network.text_model.get_input_embeddings()
        return layer

    def text_features(
        self, encoded: TokenBatch, embeds: Tensor | None = None, fixed: Tensor | None = None
    ) -> Tensor:
        """Unit vectors of texts, float32, shape (N, d)."""
        return run_vectors(self, encoded, self._vectors, embeds, fixed)

    def _vectors(
        self,
        ids: Tensor,
        mask: Tensor,
        embeds: Tensor | None = None,
        positions: Tensor | None = None,
    ) -> Tensor:
        """Unit vectors of texts, or of the ends of texts, in one forward."""
        if missing := max(0, self.full_length - ids.shape[1]):
            ids = F.pad(ids, (0, missing), value=self.pad_id)
            mask = F.pad(mask, (0, missing))
            if embeds is not None:
                embeds = torch.cat([embeds, self.embed(ids[:, -missing:])], dim=1)
        inputs = {"input_ids": ids}
        if "attention_mask" in self.tokenizer.model_input_names and not self.full_length:
            inputs["attention_mask"] = mask.long()
        if positions is not None:
            inputs["position_ids"] = positions
        with self.embeddings_replaced(embeds):
            output = self.module.get_text_features(**inputs)
        return self._unit(output)

    @torch.no_grad()
    def image_features(self, images: Sequence[Image.Image]) -> Tensor:
        """Unit vectors of pictures, float32, shape (N, d)."""
        vectors = []
        for start in range(0, len(images), PICTURES):
            part = list(images[start : start + PICTURES])
            inputs = self.processor(images=part, return_tensors="pt")
            inputs = inputs.to(self.device, getattr(torch, self.dtype))
            output = self.module.get_image_features(**inputs)
            vectors.append(self._unit(output))
        return torch.cat(vectors)

    def _unit(self, output: Any) -> Tensor:
        """Unit vectors of a tower's output, which is a tensor in older models."""
        vector: Tensor = output if isinstance(output, Tensor) else output.pooler_output
        # The towers of one model may lie on two devices.
        return F.normalize(vector.float().to(self.device), dim=-1)
