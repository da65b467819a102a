"""Meters of the work of networks: positions that are read, and floating-point operations."""

import re
from collections.abc import Iterable
from contextlib import ExitStack
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from torch import Tensor, nn
from transformers import PreTrainedModel

FORWARD, BACKWARD = 2, 4
"""Operations for each parameter and position (arXiv 2001.08361, section 2.1)."""
EXPERTS = re.compile(r"(^|\.)experts\.")
"""Parameters of a mixture of experts, by name."""
EXPERT_COUNTS = ("num_local_experts", "num_experts", "n_routed_experts")
"""Settings that say how many experts a layer has."""


class Work(NamedTuple):
    """Work of networks.

    Attributes:
        tokens: Positions that were read: of texts, and patches of pictures; padding counts.
        flops: Floating-point operations, those of backward passes included.
    """

    tokens: int = 0
    flops: float = 0.0


class Meter:
    """Counter of the positions that one network has read and differentiated.

    Counts what goes through the network, whoever runs it: batched rows, ends of rows behind shared
    beginnings, single tokens of a generation. A position is one vector of the output. Shapes alone
    are looked at, so that no device is waited for.

    The operations are 2 for each parameter and position forward, and 4 backward (arXiv 2001.08361).
    The attention to other positions and the output head are not among them. A network of
    convolutions has other widths inside than at its end: there each layer's parameters count for
    the positions of that layer.

    Args:
        network: The network.

    Attributes:
        forward: Positions that were read.
        backward: Positions that a gradient went back through.
        flops: Operations of both.
    """

    def __init__(self, network: nn.Module) -> None:
        self.forward = self.backward = 0
        self.flops = 0.0
        self.users = 0
        self.undo = ExitStack()
        self._inner = 0
        """Multiplications inside a network of convolutions since its last output."""
        self._parameters: float | None = None
        if isinstance(network, PreTrainedModel):
            self._parameters = passed_parameters(network)
        else:
            for layer in network.modules():
                if isinstance(layer, nn.Conv2d | nn.Linear):
                    self.undo.callback(layer.register_forward_hook(self._add_layer).remove)
        self.undo.callback(network.register_forward_hook(self._add).remove)

    def _add_layer(self, layer: nn.Module, _: Any, output: Tensor) -> None:
        width = output.shape[1] if isinstance(layer, nn.Conv2d) else output.shape[-1]
        self._inner += layer.get_parameter("weight").numel() * (output.numel() // width)

    def _add(self, _: nn.Module, __: Any, output: Any) -> None:
        hidden = hidden_states(output)
        picture = hidden.dim() == 4
        positions = hidden.numel() // hidden.shape[1 if picture else -1]
        times: float = self._inner if self._parameters is None else self._parameters * positions
        self._inner = 0
        self.forward += positions
        self.flops += FORWARD * times

        def back(_: Tensor) -> None:
            self.backward += positions
            self.flops += BACKWARD * times

        if hidden.requires_grad:
            hidden.register_hook(back)  # type: ignore[no-untyped-call]


def hidden_states(output: Any) -> Tensor:
    """Last hidden states in what a network returns: shape (N, T, d), or (N, channels, h, w)."""
    if isinstance(output, Tensor):
        return output
    found: Tensor | None = getattr(output, "last_hidden_state", None)
    first: Tensor = output[0] if found is None else found
    return first


def passed_parameters(network: PreTrainedModel) -> float:
    """Number of the parameters that a position passes: all but embedding tables.

    Of a mixture of experts those of the experts count by the share that is active, if the
    configuration says it.
    """
    tables = {
        id(weight)
        for layer in network.modules()
        if isinstance(layer, nn.Embedding)
        for weight in layer.parameters()
    }
    active = _active_share(network.config)
    total = 0.0
    for name, weight in network.named_parameters():
        if id(weight) not in tables:
            # Weights of four bits lie packed, in another shape.
            shape = getattr(getattr(weight, "quant_state", None), "shape", weight.shape)
            total += shape.numel() * (active if EXPERTS.search(name) else 1)
    return total


def _active_share(config: Any) -> float:
    """Share of the experts of a layer that a position passes."""
    chosen = getattr(config, "num_experts_per_tok", None)
    counts = [count for name in EXPERT_COUNTS if (count := getattr(config, name, None))]
    return min(1.0, chosen / counts[0]) if chosen and counts else 1.0


def stacks(network: nn.Module) -> list[nn.Module]:
    """The innermost transformers networks of a network, such as encoder and decoder.

    Of a network of diffusers it is the encoder, which alone is run, or else the whole.

    >>> from transformers import GPT2Config, GPT2LMHeadModel
    >>> whole = GPT2LMHeadModel(GPT2Config(n_layer=1, n_embd=4, n_head=1, vocab_size=8))
    >>> [type(stack).__name__ for stack in stacks(whole)]
    ['GPT2Model']
    """
    found: list[nn.Module] = [part for part in network.modules() if _is_innermost(part)]
    return found or [getattr(network, "encoder", network)]


def _is_innermost(network: nn.Module) -> bool:
    inside = [part for part in network.modules() if isinstance(part, PreTrainedModel)]
    return [*map(id, inside)] == [id(network)]


_meters: WeakKeyDictionary[nn.Module, Meter] = WeakKeyDictionary()


def watch(networks: Iterable[nn.Module], undo: ExitStack) -> list[Meter]:
    """The meters of networks; a network has one, however many models read with it.

    Args:
        networks: The networks.
        undo: Takes what removes a meter, once its last user has gone.
    """
    found = []
    for network in networks:
        for stack in stacks(network):
            if stack not in _meters:
                _meters[stack] = Meter(stack)
            found.append(_meters[stack])
            found[-1].users += 1
            undo.callback(_leave, stack)
    return found


def _leave(network: nn.Module) -> None:
    meter = _meters[network]
    meter.users -= 1
    if not meter.users:
        del _meters[network]
        meter.undo.close()


def total_work(meters: Iterable[Meter]) -> Work:
    """Work of all meters together; one that is given twice counts once."""
    distinct = {id(meter): meter for meter in meters}.values()
    flops = sum(meter.flops for meter in distinct)
    return Work(sum(meter.forward for meter in distinct), flops)
