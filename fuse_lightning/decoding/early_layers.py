"""Early layers that decoding by contrasting layers chooses from, arXiv 2309.03883."""

from __future__ import annotations

from typing import Any

from fuse_lightning.errors import FuseError

PARTS = "low", "high"
DEEP = 40
"""Most layers of which a half are candidates; of deeper networks it is the first or last 20."""


def early_layers(config: Any, part: str = "high") -> tuple[int, ...]:
    """Candidate layers of the lower or the upper half of a network, for ``layers`` of a stream.

    They are those of transformers 4.55: every other layer, without the embeddings where these are
    also the head. Its documentation advises "low" for long answers with reasons, and "high" for
    short answers that state a fact.

    Args:
        config: Configuration of the network, as transformers has it.
        part: Which half.

    Returns:
        Numbers of layers as in ``hidden_states``: 0 is the embeddings.

    Raises:
        FuseError: If the part is unknown, or the network has no candidate in it.

    >>> from transformers import GPT2Config
    >>> early_layers(GPT2Config(n_layer=12), "low"), early_layers(GPT2Config(n_layer=12), "high")
    ((2, 4), (6, 8, 10))
    """
    if part not in PARTS:
        raise FuseError(
            f"layers is {part!r}; give numbers of early layers, such as 2 or 2,4, or one of "
            f"{', '.join(PARTS)}"
        )
    text = config.get_text_config()
    count: int = text.num_hidden_layers
    half = count // 2 if count <= DEEP else 20
    if part == "high":
        return tuple(range(count // 2 if count <= DEEP else count - 20, count, 2))
    first = 0
    if getattr(config, "tie_word_embeddings", True):
        first = 2 if count > 2 else count - 1
    found = tuple(range(first, half, 2)) or ((first,) if first == count // 2 else ())
    if not found:
        raise FuseError(
            f"a network of {count} layers whose embeddings are its head has no early layer in its "
            "lower half; give layers high, or numbers such as 1,2"
        )
    return found
