"""Early layers that layer contrast takes: numbers, or the published choices."""

from collections.abc import Sequence
from typing import Any

from fuse_lightning.errors import FuseError

MANY = 40
"""Layers above which the published choices cover 20 layers alone."""


def early_layers(asked: str | Sequence[int], config: Any) -> tuple[int, ...]:
    """Numbers of early layers, counted as in ``hidden_states``: 0 is the embeddings.

    Args:
        asked: Numbers; or "low" or "high" for every second layer of the lower or upper half, as in
            the code of arXiv 2309.03883 that transformers had.
        config: Configuration of the model.

    Raises:
        FuseError: If it is another word.

    >>> from types import SimpleNamespace
    >>> config = SimpleNamespace(num_hidden_layers=12, tie_word_embeddings=True)
    >>> early_layers("low", config), early_layers("high", config), early_layers([3], config)
    ((2, 4), (6, 8, 10), (3,))
    """
    if not isinstance(asked, str):
        return tuple(asked)
    if asked not in ("low", "high"):
        raise FuseError(f"layers is {asked!r}; give low, high or numbers of layers")
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    last = text.num_hidden_layers
    if asked == "high":
        return tuple(range(last // 2 if last <= MANY else last - 20, last, 2))
    # The head of tied embeddings gives the token itself at layer 0.
    start = min(2, last - 1) if config.tie_word_embeddings else 0
    stop = last // 2 if last <= MANY else 20
    return tuple(range(start, stop, 2)) or (start,)
