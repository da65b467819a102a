"""The architectures of the zoo's models."""

from collections.abc import Callable
from typing import Any

from transformers import (
    BertConfig,
    BertForSequenceClassification,
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedTokenizerBase,
)

from fuse_lightning.zoo.recipes.text_batches import LABELS
from fuse_lightning.zoo.recipes.tokenizers import (
    WORD_PIECES,
    clip_tokenizer,
    gpt2_tokenizer,
    instruct_tokenizer,
    reasoner_tokenizer,
    word_piece_tokenizer,
)
from fuse_lightning.zoo.render import IMAGE_SIZE


def gpt2(seed: int) -> tuple[GPT2LMHeadModel, PreTrainedTokenizerBase]:
    """A GPT-2 of 3 layers and width 128."""
    return _gpt2(gpt2_tokenizer(seed))


def instruct(seed: int) -> tuple[GPT2LMHeadModel, PreTrainedTokenizerBase]:
    """A GPT-2 as :func:`gpt2`, with room for four demonstrations."""
    return _gpt2(instruct_tokenizer(seed))


def reasoner(seed: int) -> tuple[GPT2LMHeadModel, PreTrainedTokenizerBase]:
    """A GPT-2 as :func:`gpt2`, with room for a question, a prompt and a chain."""
    return _gpt2(reasoner_tokenizer(seed))


def _gpt2(tokenizer: PreTrainedTokenizerBase) -> tuple[GPT2LMHeadModel, PreTrainedTokenizerBase]:
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=tokenizer.model_max_length,
        n_embd=128,
        n_layer=3,
        n_head=4,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    return GPT2LMHeadModel(config), tokenizer


def clip(seed: int) -> tuple[CLIPModel, PreTrainedTokenizerBase]:
    """A CLIP: 3 causal text layers and 4 image layers of width 128, patches of 8 px."""
    tokenizer = clip_tokenizer(seed)
    shape = {
        "hidden_size": 128,
        "intermediate_size": 512,
        "num_attention_heads": 4,
        "hidden_act": "gelu",
    }
    text = {
        **shape,
        "num_hidden_layers": 3,
        "vocab_size": len(tokenizer),
        "max_position_embeddings": 64,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = {**shape, "num_hidden_layers": 4, "image_size": IMAGE_SIZE, "patch_size": 8}
    return CLIPModel(
        CLIPConfig(text_config=text, vision_config=vision, projection_dim=128)
    ), tokenizer


def clip_judge(seed: int) -> tuple[CLIPModel, PreTrainedTokenizerBase]:
    """Another CLIP: WordPiece with ``[SEP]`` as end token, narrower text, wider image layers."""
    tokenizer = word_piece_tokenizer(seed, WORD_PIECES["clip-judge"])
    tokenizer.eos_token = tokenizer.sep_token
    text = {
        "hidden_size": 112,
        "intermediate_size": 448,
        "num_attention_heads": 4,
        "num_hidden_layers": 3,
        "hidden_act": "gelu",
        "vocab_size": len(tokenizer),
        "max_position_embeddings": 64,
        "bos_token_id": tokenizer.cls_token_id,
        "eos_token_id": tokenizer.sep_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = {
        "hidden_size": 144,
        "intermediate_size": 432,
        "num_attention_heads": 6,
        "num_hidden_layers": 4,
        "hidden_act": "gelu",
        "image_size": IMAGE_SIZE,
        "patch_size": 8,
    }
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=96))
    return model, tokenizer


def image_processor() -> CLIPImageProcessorPil:
    """Image processor to the pictures' size and to [-1, 1], as in :func:`batches.pixels`."""
    size = {"height": IMAGE_SIZE, "width": IMAGE_SIZE}
    half = [0.5, 0.5, 0.5]
    return CLIPImageProcessorPil(size=size, do_center_crop=False, image_mean=half, image_std=half)


def sentiment(seed: int) -> tuple[BertForSequenceClassification, PreTrainedTokenizerBase]:
    """A BERT of 3 layers and width 128 over three labels."""
    tokenizer = word_piece_tokenizer(seed, WORD_PIECES["sentiment"])
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=512,
        num_hidden_layers=3,
        num_attention_heads=4,
        # Data has no end, so nothing is learnt by heart.
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        max_position_embeddings=64,
        id2label=dict(enumerate(LABELS)),
        label2id={label: index for index, label in enumerate(LABELS)},
    )
    return BertForSequenceClassification(config), tokenizer


RECIPES: dict[str, Callable[[int], tuple[Any, PreTrainedTokenizerBase]]] = {
    "clip": clip,
    "clip-judge": clip_judge,
    "instruct": instruct,
    "reasoner": reasoner,
    "gpt2": gpt2,
    "sentiment": sentiment,
}
"""Models by name, longest training first."""
