"""Limits on the length of rows that a network reads, alone or beside shorter ones."""

from typing import Any

from torch import nn

NO_LIMIT = 2**31 - 1
"""Tokens where nothing limits a row. Tokenizers that know no limit say 10^30, which no tensor
holds."""


def longest_input(network: nn.Module, config: Any, tokenizer_limit: float) -> int:
    """Longest input in tokens, special ones included.

    Args:
        network: The network.
        config: Configuration of the part that reads text.
        tokenizer_limit: Longest input according to the tokenizer.

    Example:
        >>> from transformers import GPT2Config
        >>> longest_input(nn.Identity(), GPT2Config(n_positions=48), 1e30)
        48
    """
    positions = getattr(config, "max_position_embeddings", None)
    limit = min(int(tokenizer_limit), NO_LIMIT)
    if not positions:
        return limit
    # Where a position stands for padding, the others start after it.
    unused = [
        layer.padding_idx + 1
        for name, layer in network.named_modules()
        if name.endswith("position_embeddings") and getattr(layer, "padding_idx", None) is not None
    ]
    return min(limit, int(positions) - max(unused, default=0))


def longest_beside_shorter(config: Any) -> int | None:
    """Longest row that may be batched with shorter ones; ``None`` for any.

    With LongRoPE the rotations of all rows follow the longest: those of a batch change where one is
    longer than the network was first trained on.

    Args:
        config: Configuration of the part that reads text.

    Example:
        >>> from transformers import Phi3Config
        >>> factors = {"short_factor": [1.0] * 48, "long_factor": [2.0] * 48}
        >>> longest_beside_shorter(
        ...     Phi3Config(
        ...         original_max_position_embeddings=32,
        ...         rope_parameters={"rope_type": "longrope", "rope_theta": 1e4, **factors},
        ...     )
        ... )
        32
    """
    known = getattr(config, "rope_parameters", None) or {}
    kinds = [known, *(part for part in known.values() if isinstance(part, dict))]
    limits = [
        int(kind["original_max_position_embeddings"])
        for kind in kinds
        if kind.get("rope_type") == "longrope"
    ]
    return min(limits, default=None)
