"""Multiplications of a transformer, told from its modules and its configuration."""

import re
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

EXPERTS = re.compile(r"(^|\.)experts\.")
"""Parameters of a mixture of experts, by name."""
EXPERT_COUNTS = ("num_local_experts", "num_experts", "n_routed_experts")
"""Settings that say how many experts a layer has."""
POOLER = re.compile(r"(^|\.)(pooler|head)\.")
"""Parameters that only one position of a row passes."""
ADDED = re.compile(r"embed|token|position")
"""Parameters that are added and multiply nothing, by the last part of their name."""
CROSS = re.compile(r"(encdec|cross|encoder_)att", re.IGNORECASE)
"""Parts that attend to the positions of an encoder, by name."""
SOURCE = re.compile(r"\.(k|v|key|value|k_proj|v_proj)\.weight$")
"""Weights that give keys and values."""
HEADS = ("num_attention_heads", "num_heads", "n_head")
"""Settings that say how many heads an attention has."""


@dataclass(frozen=True)
class Multiplications:
    """Multiplications of one forward of a transformer, by what they are done for.

    Attributes:
        position: For each position.
        row: For each row.
        source: For each position of an encoder that the network reads.
        key: For each pair of a position and a key that it attends to.
        source_key: For each pair of a position and one of the encoder's.
    """

    position: float
    row: float = 0.0
    source: float = 0.0
    key: float = 0.0
    source_key: float = 0.0

    def forward(
        self, rows: int, tokens: int, keys: float, source: int = 0, *, known: bool = False
    ) -> float:
        """Multiplications of a forward.

        >>> Multiplications(position=192.0, key=8.0).forward(rows=2, tokens=3, keys=3)
        1296.0

        Args:
            rows: Rows.
            tokens: Positions of each.
            keys: Keys that each position attends to, masked ones counted.
            source: Positions of the encoder for each row.
            known: Whether the keys of the encoder's positions are kept from earlier.
        """
        whole = self.row + tokens * self.position + (0 if known else source * self.source)
        return rows * whole + self.attention(rows, tokens, keys, source)

    def attention(self, rows: int, tokens: int, keys: float, source: int = 0) -> float:
        """Multiplications of attention in a forward, which are among those of :meth:`forward`.

        Backward they come twice, as both factors have a gradient; weights have none.
        """
        return rows * tokens * (keys * self.key + source * self.source_key)


def multiplications(network: PreTrainedModel) -> Multiplications:
    """Multiplications of a transformer.

    Embedding tables are looked up and multiply nothing. Convolutions over pictures are left out:
    they have other positions. Of a mixture of experts the active share
    counts, if the configuration says it.

    >>> from transformers import GPT2Config, GPT2Model
    >>> multiplications(GPT2Model(GPT2Config(n_layer=1, n_embd=4, n_head=1, vocab_size=8)))
    Multiplications(position=192.0, row=0.0, source=0.0, key=8.0, source_key=0.0)
    """
    tables = {
        id(weight)
        for layer in network.modules()
        if isinstance(layer, nn.Embedding)
        for weight in layer.parameters()
    }
    active = _active_share(network.config)
    totals = {"position": 0.0, "row": 0.0, "source": 0.0}
    for name, weight in network.named_parameters():
        shape = weight_shape(weight)
        if id(weight) in tables or not 2 <= len(shape) <= 3:
            continue
        if ADDED.search(name.rpartition(".")[2]):
            continue
        kind = "row" if POOLER.search(name) else "position"
        if CROSS.search(name) and SOURCE.search(name):
            kind = "source"
        totals[kind] += shape.numel() * (active if EXPERTS.search(name) else 1)
    names = _attentions(network)
    width = 2.0 * _attention_width(network.config)
    crossing = sum(bool(CROSS.search(name)) for name in names)
    return Multiplications(
        **totals, key=(len(names) - crossing) * width, source_key=crossing * width
    )


def weight_shape(weight: Tensor) -> torch.Size:
    """Shape of a weight as it multiplies; weights of four bits lie packed, in another shape.

    >>> weight_shape(torch.zeros(3, 2))
    torch.Size([3, 2])
    """
    found: torch.Size = getattr(getattr(weight, "quant_state", None), "shape", weight.shape)
    return found


def _attentions(network: nn.Module) -> list[str]:
    """Names of the innermost attention parts."""
    found = [name for name, part in network.named_modules() if _attends(part)]
    outer = {name for name in found if any(other.startswith(f"{name}.") for other in found)}
    return [name for name in found if name not in outer]


def _attends(part: nn.Module) -> bool:
    return "attention" in type(part).__name__.lower() and any(
        isinstance(child, nn.Module) and next(child.parameters(recurse=False), None) is not None
        for child in part.children()
    )


def _attention_width(config: Any) -> int:
    """Heads of an attention times the width of each; 0 where there are none."""
    heads = next((count for name in HEADS if (count := getattr(config, name, None))), None)
    width = getattr(config, "head_dim", None) or getattr(config, "d_kv", None)
    whole: int = getattr(config, "hidden_size", 0)
    if not isinstance(heads, int):
        return 0
    return heads * width if width else whole


def _active_share(config: Any) -> float:
    """Share of the experts of a layer that a position passes."""
    chosen = getattr(config, "num_experts_per_tok", None)
    counts = [count for name in EXPERT_COUNTS if (count := getattr(config, name, None))]
    return min(1.0, chosen / counts[0]) if chosen and counts else 1.0
