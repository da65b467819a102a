"""Meters of the work of networks: positions that are read, and floating-point operations."""

from collections.abc import Iterable
from contextlib import ExitStack
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from torch import Tensor, nn
from transformers import EncoderDecoderCache, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from fuse_lightning.engine.attention import kept_keys
from fuse_lightning.engine.operations import multiplications, weight_shape

OPERATIONS = 2
"""Operations for each multiplication: it and a sum."""
LINEAR = nn.Linear | nn.Conv2d | Conv1D
"""Layers that count by themselves where they are no part of a transformer."""


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

    The operations are those of all matrix products and of attention to every key that is read,
    masked ones included: what :class:`torch.utils.flop_counter.FlopCounterMode` counts. Weights are
    frozen, so that backward a product with them counts once more and no gradient of theirs does.
    Of a network of convolutions the layers count, without attention.

    Args:
        network: The network.
        reads: Whether its positions count; those of an output head have been read before.

    Attributes:
        forward: Positions that were read.
        backward: Positions that a gradient went back through.
        flops: Operations of both.
    """

    def __init__(self, network: nn.Module, *, reads: bool = True) -> None:
        self.reads = reads
        self.forward = self.backward = 0
        self.flops = 0.0
        self.users = 0
        self.undo = ExitStack()
        self._inner = 0.0
        """Multiplications of layers that count by themselves since the network's last output."""
        self._work = multiplications(network) if isinstance(network, PreTrainedModel) else None
        # The patches of a picture are cut out by a convolution.
        kinds = LINEAR if self._work is None else nn.Conv2d
        for layer in network.modules():
            if isinstance(layer, kinds):
                self.undo.callback(layer.register_forward_hook(self._add_layer).remove)
        hook = network.register_forward_hook(self._add, with_kwargs=True)
        self.undo.callback(hook.remove)

    def _add_layer(self, layer: nn.Module, _: Any, output: Tensor) -> None:
        width = output.shape[1] if isinstance(layer, nn.Conv2d) else output.shape[-1]
        shape = weight_shape(layer.get_parameter("weight"))
        self._inner += shape.numel() * (output.numel() // max(1, width))

    def _add(self, _: nn.Module, __: Any, options: dict[str, Any], output: Any) -> None:
        hidden = hidden_states(output)
        picture = hidden.dim() == 4
        positions = hidden.numel() // hidden.shape[1 if picture else -1]
        times = self._inner
        twice = 0.0
        if self._work is not None:
            rows, tokens = hidden.shape[0], positions // max(1, hidden.shape[0])
            states = options.get("encoder_hidden_states")
            source = 0 if states is None else states.shape[1]
            before = known_keys(options.get("past_key_values"), tokens)
            keys = tokens + before + kept_keys()
            times += self._work.forward(rows, tokens, keys, source, known=before > 0)
            twice = self._work.attention(rows, tokens, keys, source)
        self._inner = 0.0
        if not self.reads:
            positions = 0
        self.forward += positions
        self.flops += OPERATIONS * times

        def back(_: Tensor) -> None:
            self.backward += positions
            self.flops += OPERATIONS * (times + twice)

        if hidden.requires_grad:
            hidden.register_hook(back)  # type: ignore[no-untyped-call]


def known_keys(cache: Any, tokens: int) -> int:
    """Number of keys in a cache of transformers before its last ``tokens``."""
    if isinstance(cache, EncoderDecoderCache):
        cache = cache.self_attention_cache
    length = getattr(cache, "get_seq_length", int)()
    # A cache of fixed size says it as a tensor, on its device.
    return max(0, length - tokens) if isinstance(length, int) else 0


def hidden_states(output: Any) -> Tensor:
    """Last hidden states in what a network returns: shape (N, T, d), or (N, channels, h, w)."""
    if isinstance(output, Tensor):
        return output
    found: Tensor | None = getattr(output, "last_hidden_state", None)
    first: Tensor = output[0] if found is None else found
    return first


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


def heads(network: nn.Module) -> list[nn.Module]:
    """The linear layers of a network beside its innermost transformers, such as an output head.

    >>> from transformers import GPT2Config, GPT2LMHeadModel
    >>> whole = GPT2LMHeadModel(GPT2Config(n_layer=1, n_embd=4, n_head=1, vocab_size=8))
    >>> heads(whole)
    [Linear(in_features=4, out_features=8, bias=False)]
    """
    inside = {id(part) for stack in stacks(network) for part in stack.modules()}
    if id(network) in inside or not any(_is_innermost(part) for part in network.modules()):
        return []
    return [
        part for part in network.modules() if isinstance(part, LINEAR) and id(part) not in inside
    ]


def position_operations(network: nn.Module) -> float:
    """Operations of one position that a network reads, those of its output head included.

    Attention is left out, as it counts little in short texts. A network that is no transformer
    counts with its linear layers.

    >>> from transformers import GPT2Config, GPT2LMHeadModel
    >>> whole = GPT2LMHeadModel(GPT2Config(n_layer=1, n_embd=4, n_head=1, vocab_size=8))
    >>> position_operations(whole)
    448.0
    """
    total = 0.0
    for part in [*stacks(network), *heads(network)]:
        if isinstance(part, PreTrainedModel):
            total += multiplications(part).position
        else:
            total += sum(
                weight_shape(layer.get_parameter("weight")).numel()
                for layer in part.modules()
                if isinstance(layer, LINEAR)
            )
    return OPERATIONS * total


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
        parts = [(stack, True) for stack in stacks(network)]
        for part, reads in [*parts, *((head, False) for head in heads(network))]:
            if part not in _meters:
                _meters[part] = Meter(part, reads=reads)
            found.append(_meters[part])
            found[-1].users += 1
            undo.callback(_leave, part)
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
