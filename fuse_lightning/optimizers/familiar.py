"""Familiar tokens: those whose text every model of an objective reads as few tokens."""

from collections.abc import Iterable

import torch
from torch import Tensor

from fuse_lightning.errors import FuseError
from fuse_lightning.models import FrozenModel, Vocabulary

BEFORE = "a"
"""Word before a token's text, as many vocabularies read the start of a text differently."""


def familiar(primary: FrozenModel, models: Iterable[FrozenModel], most: int) -> Tensor:
    """Mask of the primary's tokens whose text every other model reads as few tokens, (V,).

    A model with few words spells all others in pieces, of which it knows no meaning.

    Args:
        primary: The model whose tokens prompts are made of.
        models: Models that read the prompts. Those with the primary's vocabulary read its tokens
            as they are.
        most: Most tokens of a text.

    Raises:
        FuseError: If no token is left.
    """
    mask = torch.ones(primary.vocab_size, dtype=torch.bool)
    others = [model for model in models if model.vocabulary != primary.vocabulary]
    for model in others:
        mask &= token_counts(model.vocabulary, primary.pieces) <= most
    if not mask.any():
        names = ", ".join(sorted({repr(model.model_id) for model in others}))
        raise FuseError(
            f"constraints.familiar is {most}, but {names} read no token of {primary.model_id!r} "
            "as so few; give a larger number"
        )
    return mask


def token_counts(vocabulary: Vocabulary, texts: Iterable[str]) -> Tensor:
    """Number of tokens of each text, read as a word behind another one, shape (N,).

    >>> from fuse_lightning.models.loading import load_tokenizer
    >>> vocabulary = Vocabulary(load_tokenizer("zoo/clip", None, False))
    >>> token_counts(vocabulary, [" circle", " squares", " motorcycle"]).tolist()
    [1, 1, 7]
    """
    behind = [f"{BEFORE} {text.strip()}" for text in texts]
    counts = vocabulary.encode([BEFORE, *behind], special=False).mask.sum(1)
    return counts[1:] - counts[0]
