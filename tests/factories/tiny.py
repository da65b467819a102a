"""Tiny random models that share the zoo's tokenizers, saved as ordinary folders."""

from pathlib import Path

import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    GPT2Config,
    GPT2LMHeadModel,
)

from tests.factories.folders import BLOCKS, GPT2_SHAPE, SHAPE
from tests.factories.zoo_tokenizers import tokenizer


def save(folder: Path, model, name: str, processor=None) -> str:
    model.save_pretrained(folder)
    tokenizer(name).save_pretrained(folder)
    if processor is not None:
        processor.save_pretrained(folder)
    return str(folder)


def gpt2(folder: Path, seed: int = 0) -> str:
    torch.manual_seed(seed)
    words = tokenizer("byte")
    config = GPT2Config(
        vocab_size=len(words),
        **GPT2_SHAPE,
        bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
    )
    return save(folder, GPT2LMHeadModel(config), "byte")


def clip(folder: Path, seed: int = 0) -> str:
    torch.manual_seed(seed)
    words = tokenizer("clip")
    text = {
        **BLOCKS,
        "vocab_size": len(words),
        "max_position_embeddings": 48,
        "bos_token_id": words.bos_token_id,
        "eos_token_id": words.eos_token_id,
        "pad_token_id": words.pad_token_id,
        "initializer_factor": 3.0,
    }
    vision = {**BLOCKS, "image_size": 32, "patch_size": 16}
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=16)
    half = [0.5, 0.5, 0.5]
    size = {"height": 32, "width": 32}
    processor = CLIPImageProcessorPil(
        size=size, crop_size=size, do_center_crop=True, image_mean=half, image_std=half
    )
    return save(folder, CLIPModel(config), "clip", processor)


def classifier(folder: Path, seed: int = 0) -> str:
    torch.manual_seed(seed)
    words = tokenizer("pieces")
    config = BertConfig(
        **SHAPE,
        vocab_size=len(words),
        max_position_embeddings=48,
        id2label={0: "negative", 1: "neutral", 2: "positive"},
        label2id={"negative": 0, "neutral": 1, "positive": 2},
    )
    return save(folder, BertForSequenceClassification(config), "pieces")


def three(root: Path) -> dict[str, str]:
    """A language model, a CLIP and a classifier, each in a folder of its name."""
    return {build.__name__: build(root / build.__name__) for build in (gpt2, clip, classifier)}
