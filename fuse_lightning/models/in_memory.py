"""Networks in the user's memory: checked, lent to a search, and given back unchanged."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

from fuse_lightning.errors import FuseError
from fuse_lightning.models.options import ModelSource

IN_MEMORY = "in memory"
PUT_BACK = ("training", "_compiled_call_impl")
"""Settings of a module that change while it is lent."""


def network_of(model: ModelSource) -> nn.Module | None:
    """The transformers network of a model in memory; ``None`` for a name.

    Of a PEFT model it is the network that holds the adapter's layers, so that it computes what the
    PEFT model does.

    Raises:
        FuseError: If it is neither a name nor a network of transformers, or its adapter puts tokens
            of its own before a text.
    """
    if isinstance(model, str | Path):
        return None
    network: Any = model
    if hasattr(network, "get_base_model") and hasattr(network, "peft_config"):
        adapters, network = network.peft_config, network.get_base_model()
        for adapter in adapters.values():
            check_adapter(adapter, name_of(network))
    if not isinstance(network, PreTrainedModel):
        raise FuseError(
            f"a {type(model).__name__} is no model that can be searched; give a network of "
            "transformers or PEFT, a hub id or a folder"
        )
    found: nn.Module = network
    return found


def check_adapter(config: Any, name: str) -> None:
    """Checks that a PEFT adapter changes layers, and puts nothing before a text.

    Args:
        config: The adapter's configuration.
        name: The model in messages.

    Raises:
        FuseError: If it is a prompt in embeddings, such as prompt tuning.
    """
    if getattr(config, "is_prompt_learning", False):
        kind = getattr(config.peft_type, "value", config.peft_type)
        raise FuseError(
            f"the adapter of {name!r} is of the kind {kind}, which puts vectors of its own before "
            "every text; give one that changes layers, such as LoRA, or the model without it"
        )


def same(source: object) -> object:
    """Identity of a source: equal for two equal names, and for one object."""
    return source if source is None or isinstance(source, str | Path) else id(source)


def name_of(network: nn.Module) -> str:
    """Name of a network in memory: the place it was read from, or else its class.

    Example:
        >>> from transformers import GPT2Config, GPT2LMHeadModel
        >>> name_of(GPT2LMHeadModel(GPT2Config(n_layer=1, n_embd=4, n_head=1, vocab_size=8)))
        'GPT2LMHeadModel in memory'
    """
    return home_of(network) or f"{type(network).__name__} {IN_MEMORY}"


def home_of(network: nn.Module) -> str:
    """Folder or hub id that a network in memory was read from; "" if it was made in memory."""
    config: Any = getattr(network, "config", None)
    return str(getattr(config, "_name_or_path", "") or "")


def dtype_of(network: Any, given: str | None, name: str) -> str:
    """Name of the type of a network's weights.

    Args:
        network: The network.
        given: The type that the user asks for, if any.
        name: The model in messages.

    Raises:
        FuseError: If another type is asked for.
    """
    found = str(network.dtype).removeprefix("torch.")
    if given not in (None, found):
        raise FuseError(
            f"dtype of {name!r} is {given!r}, but its weights in memory are {found}; leave dtype "
            f"out, or convert them first with .to(torch.{given})"
        )
    return found


def refuse_for_networks(name: str, options: Mapping[str, object]) -> None:
    """Refuses options about reading files for a network that is in memory already.

    Raises:
        FuseError: If one is given.
    """
    for option, value in options.items():
        if value is not None:
            raise FuseError(
                f"{option} of {name!r} is {value!r}, but the network is in memory already; leave "
                f"{option} out, or give a hub id or a folder"
            )


class _Loan:
    """A network that models have borrowed: how many of them, and what puts it back."""

    def __init__(self) -> None:
        self.models = 0
        self.undo = ExitStack()


_loans: WeakKeyDictionary[nn.Module, _Loan] = WeakKeyDictionary()


def borrow(network: nn.Module, device: torch.device | None, name: str) -> ExitStack:
    """Freezes a network, puts it into eval mode and moves it.

    Several models may hold one network, such as two that begin texts otherwise. The last of them
    puts it back.

    Args:
        network: The network.
        device: Where it shall lie; ``None`` for where it is.
        name: The model in messages.

    Returns:
        What puts it back when it is closed: modes, gradients, configuration, attention and device.

    Raises:
        FuseError: If another model holds it on another device.
    """
    loan = _loans.get(network)
    there = next(network.parameters()).device
    if loan is not None and device is not None and device != there:
        raise FuseError(
            f"{name!r} is on {there} for another model that is loaded, and shall be on {device}; "
            "give both models one device"
        )
    if loan is None:
        loan = _loans[network] = _Loan()
        _freeze(network, loan.undo)
        if device is not None and device != there:
            network.to(device)
            loan.undo.callback(network.to, there)
    loan.models += 1
    stack = ExitStack()
    stack.callback(_give_back, network)
    return stack


def _give_back(network: nn.Module) -> None:
    loan = _loans[network]
    loan.models -= 1
    if not loan.models:
        del _loans[network]
        loan.undo.close()


def _freeze(network: nn.Module, undo: ExitStack) -> None:
    for part in network.modules():
        for name in PUT_BACK:
            undo.callback(setattr, part, name, getattr(part, name))
    for weight in network.parameters():
        undo.callback(weight.requires_grad_, weight.requires_grad)
    for config in _configs(network):
        undo.callback(_put_back, vars(config), dict(vars(config)))
    network.eval().requires_grad_(False)


def _configs(network: nn.Module) -> Iterator[PretrainedConfig]:
    """All configurations of a network, each once."""
    known: dict[int, PretrainedConfig] = {}
    waiting = [getattr(part, "config", None) for part in network.modules()]
    while waiting:
        config = waiting.pop()
        if isinstance(config, PretrainedConfig) and id(config) not in known:
            known[id(config)] = config
            waiting += [getattr(config, name, None) for name in config.sub_configs]
    return iter(known.values())


def _put_back(now: dict[str, Any], before: dict[str, Any]) -> None:
    now.clear()
    now.update(before)


def is_quantized(network: nn.Module) -> bool:
    """Whether weights are quantized to few bits."""
    return bool(getattr(network, "is_quantized", False))


def stays(network: nn.Module) -> bool:
    """Whether a network cannot be moved: it is spread over devices or disk, or quantized."""
    places = {tensor.device for tensor in network.parameters()}
    return len(places) > 1 or torch.device("meta") in places or is_quantized(network)
