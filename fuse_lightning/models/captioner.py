"""Image-to-text models: BLIP, BLIP-2, vision encoder-decoders, chat models."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from PIL import Image
from transformers import (
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
    AutoImageProcessor,
    AutoModelForImageTextToText,
    AutoProcessor,
    PretrainedConfig,
    VisionEncoderDecoderModel,
)

from fuse_lightning.errors import FuseError
from fuse_lightning.models.base import FrozenModel
from fuse_lightning.models.in_memory import same
from fuse_lightning.models.options import ModelOptions, ModelSource, ProcessorSource, Unpack
from fuse_lightning.models.sources import find_processor
from fuse_lightning.models.vocabulary import Vocabulary

NUM_BEAMS = 5
TOP_P = 0.9
"""Total probability of the likeliest tokens, from which the next is drawn (arXiv 1904.09751)."""
REQUEST = "Describe the image in one short sentence."
"""Question to a chat model."""


class CaptionModel(FrozenModel):
    """Image-to-text model of transformers, which writes on from a given text.

    Args:
        model_id: Hub id, local folder, or a network in memory.
        processor: The processor of transformers that makes its inputs, or the hub id or folder of
            one; by default the model's own. The tokenizer of a network in memory may be part of it.
        **options: Options of every :class:`FrozenModel`.
    """

    kind = "captioner such as BLIP"

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

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """Tokens of the tokenizer, whatever the picture part of the network reads."""
        return Vocabulary(self.tokenizer, name=self.model_id)

    @property
    def auto_class(self) -> Any:
        """The transformers auto class of image-to-text models."""
        return AutoModelForImageTextToText

    def accepts(self, config: PretrainedConfig) -> bool:
        """Whether transformers knows the architecture as an image-to-text model."""
        return type(config) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING

    def prepare(self) -> None:
        """Loads the processor that turns a picture and a text into inputs."""
        self.composite = isinstance(self.module, VisionEncoderDecoderModel)
        auto = AutoImageProcessor if self.composite else AutoProcessor
        self.processor = find_processor(self, self.processor_source, auto, "processor")
        if getattr(self.processor, "num_query_tokens", 0) is None:
            # Folders of old releases of BLIP-2 do not say how a text makes room for a picture.
            config = self.module.config
            self.processor.num_query_tokens = config.num_query_tokens
            config.image_token_index = self.processor.tokenizer.convert_tokens_to_ids("<image>")

    @torch.no_grad()
    def captions(
        self,
        images: Sequence[Image.Image],
        count: int,
        prefix: str = "",
        max_new_tokens: int = 24,
        seed: int = 0,
        num_beams: int = NUM_BEAMS,
    ) -> list[list[str]]:
        """Distinct captions of each picture, without prefix, special tokens and double spaces.

        The first is that of a beam search, the others are drawn. Those of a picture do not depend
        on the pictures beside it, nor on random numbers drawn elsewhere.

        Args:
            images: N pictures of any size and mode.
            count: Most captions of each; fewer where some are equal.
            prefix: Text that the captions go on from.
            max_new_tokens: Most tokens of a caption.
            seed: Seed of what is drawn.
            num_beams: Width of the beam search; 0 for drawn captions only.

        Raises:
            FuseError: If the model does not read that many tokens.
        """
        found = []
        for image in images:
            inputs = self._inputs(image.convert("RGB"), prefix)
            prompt = inputs.get("decoder_input_ids", inputs.get("input_ids", torch.empty(1, 0)))
            room = self.max_tokens - prompt.shape[1]
            if max_new_tokens > room:
                raise FuseError(
                    f"max_new_tokens is {max_new_tokens}, but {self.model_id!r} has room for "
                    f"{room} behind picture and prefix; lower it or shorten the prefix"
                )
            rows = self._rows(inputs, count, max_new_tokens, seed, num_beams)
            texts = [self._text(row, prompt[0].tolist()) for row in rows]
            found.append([text for text in dict.fromkeys(texts) if text])
        return found

    def _inputs(self, image: Image.Image, prefix: str) -> Any:
        """Inputs of the network for a picture and a prefix, on its device."""
        if self.composite:
            inputs = self.processor(images=image, return_tensors="pt")
            if prefix:
                ids = self.tokenizer(prefix, add_special_tokens=False).input_ids
                inputs["decoder_input_ids"] = torch.tensor([ids])
        elif getattr(self.processor, "chat_template", None):
            content = [{"type": "image", "image": image}, {"type": "text", "text": REQUEST}]
            answer = {"role": "assistant", "content": [{"type": "text", "text": prefix}]}
            inputs = self.processor.apply_chat_template(
                [{"role": "user", "content": content}, *([answer] if prefix else [])],
                add_generation_prompt=not prefix,
                continue_final_message=bool(prefix),
                tokenize=True,
                return_dict=True,
                return_tensors="pt",
            )
        else:
            inputs = self.processor(images=image, text=prefix, return_tensors="pt")
        return inputs.to(self.device, getattr(torch, self.dtype))

    def _rows(
        self, inputs: Any, count: int, max_new_tokens: int, seed: int, num_beams: int
    ) -> list[list[int]]:
        """Generated ids, behind those of the prompt where the network repeats them."""
        rows: list[list[int]] = []
        if num_beams:
            rows += self.module.generate(
                **inputs, max_new_tokens=max_new_tokens, num_beams=num_beams, do_sample=False
            ).tolist()
        if count > len(rows):
            with torch.random.fork_rng([self.device] if self.device.type == "cuda" else []):
                torch.manual_seed(seed)
                rows += self.module.generate(
                    **inputs,
                    max_new_tokens=max_new_tokens,
                    num_beams=1,
                    do_sample=True,
                    temperature=1.0,
                    top_k=0,
                    top_p=TOP_P,
                    num_return_sequences=count - len(rows),
                ).tolist()
        return rows

    @cached_property
    def _spelling(self) -> set[int]:
        """Ids of all tokens but special and unknown ones."""
        return set(self.tokenizer.get_vocab().values()) - self.vocabulary.special_ids

    def _text(self, row: list[int], prompt: list[int]) -> str:
        """Text of a generated row, without the prompt."""
        row, prompt = ([i for i in ids if i in self._spelling] for ids in (row, prompt))
        if row[: len(prompt)] == prompt:
            row = row[len(prompt) :]
        return " ".join(self.tokenizer.decode(row).split())
