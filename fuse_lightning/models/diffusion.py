"""Stable Diffusion pipelines: text tower, denoising network and picture encoder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CLIPTextModel, PretrainedConfig

from fuse_lightning.engine.token_batch import TokenBatch
from fuse_lightning.errors import FuseError
from fuse_lightning.models.base import FrozenModel
from fuse_lightning.models.in_memory import IN_MEMORY, borrow
from fuse_lightning.models.loading import load_module, resolve, unreadable
from fuse_lightning.models.options import DType, PipelineSource

PARTS = ("text_encoder", "tokenizer", "unet", "vae", "scheduler")
"""Parts that a pipeline in memory must have."""


class Diffusion(FrozenModel):
    """Stable Diffusion 1 or 2 pipeline, as saved by diffusers.

    Of its parts the safety checker is never read. Weights must be safetensors.

    Args:
        model_id: Hub id or folder of the pipeline, or a diffusers pipeline in memory, whose parts
            are used themselves, see :class:`FrozenModel`.
        revision: Branch, tag or commit on the hub.
        dtype: Type of the text tower and the denoising network, by default float32. The picture
            encoder works in float32: it runs once a picture, and some overflow in float16. The
            parts of a pipeline in memory keep their types.
        device: Device of the model, by default the trainer's.
    """

    kind = "Stable Diffusion pipeline"
    tokenizer_folder = "tokenizer"
    network_folder = "text_encoder"

    def __init__(
        self,
        model_id: PipelineSource,
        revision: str | None = None,
        dtype: DType | None = None,
        device: str | None = None,
    ) -> None:
        if isinstance(model_id, str | Path):
            self.pipeline: Any = None
            super().__init__(model_id, revision, dtype, device)
            return
        if missing := [name for name in PARTS if not hasattr(model_id, name)]:
            raise FuseError(
                f"a {type(model_id).__name__} is no {self.kind}: it has no {missing[0]}; give a "
                "pipeline of diffusers, a hub id or a folder"
            )
        tokenizer = model_id.tokenizer
        super().__init__(model_id.text_encoder, revision, dtype, device, tokenizer=tokenizer)
        self.pipeline = model_id
        name = getattr(model_id, "name_or_path", None)
        self.model_id = str(name or f"{type(model_id).__name__} {IN_MEMORY}")

    @property
    def key(self) -> tuple[object, ...]:
        """Key that is equal for two models that can share weights in memory."""
        return (*super().key, id(self.pipeline))

    @property
    def auto_class(self) -> Any:
        """The class of the text tower."""
        return CLIPTextModel

    def accepts(self, config: PretrainedConfig) -> bool:
        """Whether the text tower is CLIP's."""
        return bool(config.model_type == "clip_text_model")

    def load(self, device: torch.device | str = "cpu") -> None:
        """Loads all parts of the pipeline; a second call does nothing.

        Raises:
            FuseError: If diffusers is missing, or this is no pipeline of the kind.
        """
        if not self.loaded:
            unet = self._read_settings() if self.pipeline is None else self._given_settings()
            self._check(unet)
            super().load(device)

    def _given_settings(self) -> Any:
        """Takes the noise schedule of a pipeline in memory, and returns its network's settings."""
        from diffusers import DDPMScheduler

        self.scheduler = DDPMScheduler.from_config(self.pipeline.scheduler.config)
        return self.pipeline.unet.config

    def _read_settings(self) -> Any:
        """Reads the noise schedule and the network's settings, before the weights."""
        try:
            from diffusers import DDPMScheduler, UNet2DConditionModel
        except ImportError as error:
            raise FuseError(
                f"{self.model_id!r} is read with diffusers, which is missing; "
                "install fuse-lightning[diffusion]"
            ) from error
        source = {"pretrained_model_name_or_path": resolve(self.model_id)}
        try:
            unet = UNet2DConditionModel.load_config(
                **source, revision=self.revision, subfolder="unet"
            )
            # Noise is added as in training, whatever sampler the pipeline generates with.
            self.scheduler = DDPMScheduler.from_pretrained(
                **source, revision=self.revision, subfolder="scheduler"
            )
        except (OSError, ValueError) as error:
            raise unreadable(self.model_id, error) from error
        return unet

    def _check(self, unet: Any) -> None:
        """Checks that the pipeline is of a supported kind.

        Raises:
            FuseError: If the network reads or predicts something else.
        """
        more = unet.get("addition_embed_type") or unet.get("class_embed_type")
        if more or unet.get("in_channels") != unet.get("out_channels"):
            raise FuseError(
                f"the network of {self.model_id!r} reads more than a noisy picture and one text, "
                f"so it is not a {self.kind}; give Stable Diffusion 1 or 2, not XL or inpainting"
            )
        self.predicted = self.scheduler.config.prediction_type
        if self.predicted not in ("epsilon", "v_prediction"):
            raise FuseError(
                f"{self.model_id!r} predicts {self.predicted!r}; a {self.kind} here must predict "
                "'epsilon' or 'v_prediction'"
            )

    @property
    def networks(self) -> dict[str, nn.Module]:
        """All networks of the pipeline, by name."""
        return super().networks | {"unet": self.unet, "vae": self.vae}

    def prepare(self) -> None:
        """Loads the denoising network and the picture encoder, or takes them from memory."""
        from diffusers import AutoencoderKL, UNet2DConditionModel

        if self.pipeline is None:
            self.unet = self._part(UNet2DConditionModel, "unet", getattr(torch, self.dtype))
            self.vae = self._part(AutoencoderKL, "vae", torch.float32)
        else:
            self.unet, self.vae = self.pipeline.unet, self.pipeline.vae
            for part in (self.unet, self.vae):
                self.put_back.push(borrow(part, self.device, self.model_id))
        self.image_size: int = self.unet.config.sample_size * 2 ** (
            len(self.vae.config.block_out_channels) - 1
        )

    def _part(self, network: Any, folder: str, dtype: torch.dtype) -> Any:
        from diffusers.utils import is_accelerate_available

        def read(source: str, *, dtype: torch.dtype, **options: Any) -> Any:
            names = ("revision", "subfolder", "output_loading_info")
            return network.from_pretrained(
                source,
                torch_dtype=dtype,
                use_safetensors=True,
                low_cpu_mem_usage=is_accelerate_available(),
                **{name: options[name] for name in names},
            )

        part = load_module(read, self.model_id, self.revision, dtype, False, subfolder=folder)
        return part.to(self.device)

    @torch.no_grad()
    def latents(self, images: Sequence[Image.Image]) -> Tensor:
        """Latents of pictures, which the network denoises, float32, shape (N, channels, h, w).

        The mean of the encoder's distribution at the pipeline's own size, so always the same.
        Pictures are scaled to it at their shorter side and cropped to the middle.
        """
        size = (self.image_size, self.image_size)
        fitted = [np.asarray(ImageOps.fit(image.convert("RGB"), size)) for image in images]
        values = torch.tensor(np.stack(fitted), device=self.device).permute(0, 3, 1, 2)
        scaled = (values / 127.5 - 1).to(self.vae.dtype)
        mean: Tensor = self.vae.encode(scaled).latent_dist.mode()
        latents: Tensor = mean.float() * self.vae.config.scaling_factor
        return latents

    def noised(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> tuple[Tensor, Tensor]:
        """Noisy latents and their prediction target: the noise or the velocity.

        Args:
            latents: Shape (N, channels, h, w).
            noise: Noise of the same shape.
            timesteps: How noisy each becomes, shape (N,); more is noisier.
        """
        noisy: Tensor = self.scheduler.add_noise(latents, noise, timesteps)
        if self.predicted == "epsilon":
            return noisy, noise
        return noisy, self.scheduler.get_velocity(latents, noise, timesteps)

    def text_states(self, encoded: TokenBatch, embeds: Tensor | None = None) -> Tensor:
        """The text tower's last hidden states, shape (N, :attr:`max_tokens`, d).

        Texts are padded to full length, as the pipeline does: the network attends to padding.

        Args:
            encoded: The texts.
            embeds: Input embeddings to use instead of those of the ids, shape (N, T, d).
        """
        length = encoded.ids.shape[1]
        missing = self.max_tokens - length
        inputs = {"input_ids": F.pad(encoded.ids, (0, missing), value=self.pad_id)}
        if getattr(self.module.config, "use_attention_mask", False):
            inputs["attention_mask"] = F.pad(encoded.mask, (0, missing)).long()
        if embeds is not None:
            embeds = torch.cat([embeds, self.embed(inputs["input_ids"][:, length:])], dim=1)
        with self.embeddings_replaced(embeds):
            states: Tensor = self.module(**inputs).last_hidden_state
        return states

    def noise_prediction(
        self, encoded: TokenBatch, embeds: Tensor | None, noisy: Tensor, timesteps: Tensor
    ) -> Tensor:
        """Prediction of the denoising network for noisy latents and texts, float32.

        Args:
            encoded: N texts.
            embeds: Input embeddings to use instead of those of the ids, shape (N, T, d).
            noisy: Shape (N, channels, h, w).
            timesteps: How noisy they are, shape (N,).

        Returns:
            The noise or the velocity, shape (N, channels, h, w).
        """
        states = self.text_states(encoded, embeds)
        (output,) = self.unet(
            noisy.to(states.dtype), timesteps, encoder_hidden_states=states, return_dict=False
        )
        prediction: Tensor = output.float()
        return prediction
