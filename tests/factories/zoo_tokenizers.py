"""The zoo's three kinds of tokenizer, made once."""

from functools import cache

from fuse_lightning.zoo.recipes.tokenizers import (
    clip_tokenizer,
    gpt2_tokenizer,
    word_piece_tokenizer,
)

TOKENIZERS = ("byte", "clip", "pieces")


@cache
def tokenizer(name):
    match name:
        case "byte":
            return gpt2_tokenizer(0)
        case "clip":
            return clip_tokenizer(0)
        case _:
            return word_piece_tokenizer(0, 460)
