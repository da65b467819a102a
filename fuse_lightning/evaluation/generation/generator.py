"""Generators of pictures from texts."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from PIL import Image

from fuse_lightning.errors import FuseError
from fuse_lightning.models.loading import resolve, unreadable
from fuse_lightning.utilities.plugins import registered

NOUNS = {
    "man": "woman",
    "woman": "man",
    "dog": "cat",
    "cat": "dog",
    "car": "bus",
    "bus": "car",
    "horse": "cow",
    "boat": "car",
    "bird": "cat",
    "table": "bed",
    "ball": "box",
    "tree": "house",
    "house": "tree",
}
"""Common nouns of pictures, each with one to put in its place."""


class Generator(ABC):
    """Base of generators: one picture of a text.

    Attributes:
        judge: Id of the CLIP that judges the pictures where none is given; ``None`` for none.
        nouns: Nouns that an edit exchanges, each with one to put in its place.
    """

    judge: str | None = None
    nouns: Mapping[str, str] = NOUNS

    def load(self, device: torch.device) -> None:  # noqa: B027
        """Loads what the generator needs; a second call does nothing."""

    def changes_one(self, before: str, after: str) -> bool | None:
        """Whether two texts make pictures that differ in one object alone.

        ``None`` where only the pictures can tell.
        """
        return None

    def draws(self, text: str) -> bool | None:
        """Whether a text says anything that the generator can draw; ``None`` if nobody can tell."""
        return None

    @abstractmethod
    def generate(self, texts: Sequence[str], seed: int) -> list[Image.Image]:
        """Pictures of texts, RGB, one for each.

        Args:
            texts: The texts.
            seed: Seed of all random draws, so that two texts can be compared.
        """


class PipelineGenerator(Generator):
    """Generator that is a text-to-image pipeline of diffusers.

    Args:
        model_id: Hub id or folder of a pipeline that ``AutoPipelineForText2Image`` reads.
        steps: Steps of denoising; by default the pipeline's own.
        size: Height and width of the pictures in pixels; by default the pipeline's own.
    """

    def __init__(self, model_id: str, steps: int | None = None, size: int | None = None) -> None:
        self.model_id = model_id
        self.options: dict[str, Any] = {}
        if steps is not None:
            self.options["num_inference_steps"] = steps
        if size is not None:
            self.options |= {"height": size, "width": size}
        self.pipeline: Any = None

    def load(self, device: torch.device) -> None:
        """Loads the pipeline, in half precision on a GPU.

        Raises:
            FuseError: If diffusers is missing, or this is no such pipeline.
        """
        if self.pipeline is not None:
            return
        try:
            from diffusers import AutoPipelineForText2Image
        except ImportError as error:
            raise FuseError(
                f"pictures of {self.model_id!r} are generated with diffusers, which is missing; "
                "install fuse-lightning[diffusion]"
            ) from error
        dtype = torch.float32 if device.type == "cpu" else torch.float16
        try:
            pipeline = AutoPipelineForText2Image.from_pretrained(
                resolve(self.model_id),
                use_safetensors=True,
                safety_checker=None,
                requires_safety_checker=False,
            )
        except (OSError, ValueError, TypeError) as error:
            raise unreadable(self.model_id, error) from error
        pipeline.set_progress_bar_config(disable=True)
        self.pipeline = pipeline.to(device, dtype)

    def generate(self, texts: Sequence[str], seed: int) -> list[Image.Image]:
        """Pictures of texts; each has the same noise to begin with."""
        pictures = []
        for text in texts:
            noise = torch.Generator("cpu").manual_seed(seed)
            made = self.pipeline(text, generator=noise, output_type="pil", **self.options)
            pictures.append(made.images[0].convert("RGB"))
        return pictures


def generator_of(model_id: str) -> Generator:
    """Generator that an id names: one of a registered class, or a pipeline of diffusers."""
    for kind in registered("generator"):
        if kind.name == model_id:
            generator: Generator = kind()
            return generator
    return PipelineGenerator(model_id)
