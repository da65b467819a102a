"""Sources of a frozen model: files that its id names, or a network in memory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import nn
from transformers import PreTrainedTokenizerBase

from fuse_lightning.errors import FuseError
from fuse_lightning.models.gguf_files import check_size
from fuse_lightning.models.in_memory import borrow, home_of, stays
from fuse_lightning.models.loading import (
    check_tokenizer,
    load_config,
    load_module,
    load_processor,
    load_tokenizer,
)
from fuse_lightning.models.options import ProcessorSource
from fuse_lightning.models.peft_adapters import find_adapter, has_tokenizer
from fuse_lightning.models.placement import input_device, keep_gradients

if TYPE_CHECKING:
    from fuse_lightning.models.base import FrozenModel


class Loaded(NamedTuple):
    """Network ready for use, with its tokenizer.

    Attributes:
        network: The transformers network, frozen and in eval mode.
        tokenizer: A fast tokenizer.
        device: Device of ids.
    """

    network: Any
    tokenizer: PreTrainedTokenizerBase
    device: torch.device


def read(model: FrozenModel, device: torch.device) -> Loaded:
    """Loads network and tokenizer from the files that the model's id names.

    Args:
        model: The model.
        device: Device of the network, unless it is spread.

    Raises:
        FuseError: If there is no such model, or it is of another kind.
    """
    adapter = None if model.network_folder else find_adapter(model.model_id, model.revision)
    named = (model.model_id, model.revision)
    source = (adapter.base, adapter.base_revision) if adapter else named
    config = load_config(*source, model.trust_remote_code, model.network_folder)
    remote = model.trust_remote_code and hasattr(config, "auto_map")
    if not remote and not model.accepts(config):
        names = ", ".join(config.architectures or [config.model_type])
        raise FuseError(f"{model.model_id!r} is a {names}, not a {model.kind}; give the id of one")
    check_size(*source, lambda: model.auto_class.from_config(config))
    home = named if adapter and has_tokenizer(*named) else source
    tokenizer = find_tokenizer(model, *home)
    dtype = getattr(torch, model.dtype)
    placed = model.placement.options(device, dtype)
    network: nn.Module = load_module(
        model.auto_class.from_pretrained,
        *source,
        dtype,
        model.trust_remote_code,
        (*model.unused_weights, *(adapter.replaces if adapter else ())),
        model.network_folder,
        placed,
    )
    if adapter:
        network = adapter.attach(network)
    if placed:
        keep_gradients(network)
        return Loaded(network, tokenizer, input_device(model.embedding_of(network)))
    return Loaded(network.to(device), tokenizer, device)


def take(model: FrozenModel, network: Any, device: torch.device) -> Loaded:
    """Borrows a network in memory; ``model.put_back`` gives it back.

    Args:
        model: The model.
        network: Its network.
        device: Device of the network, unless it must stay where it is.

    Raises:
        FuseError: If the network is of another kind, or has no tokenizer.
    """
    config = network.config
    mapping = getattr(model.auto_class, "_model_mapping", None)
    expected = model.auto_class if mapping is None else mapping.get(type(config), nn.Module)
    known = hasattr(config, "auto_map") or model.accepts(config)
    if not (known and isinstance(network, expected)):
        wanted = getattr(expected, "__name__", "network")
        raise FuseError(
            f"{model.model_id!r} is a {type(network).__name__}, not a {model.kind}; "
            + (f"give a {wanted}" if known else "give one")
        )
    tokenizer = find_tokenizer(model, home_of(network), None)
    fixed = stays(network)
    model.put_back.push(borrow(network, None if fixed else device, model.model_id))
    if not fixed:
        return Loaded(network, tokenizer, device)
    if model.placement.device is not None:
        raise FuseError(
            f"{model.model_id!r} is spread over devices or in few bits, so that it cannot be moved "
            f"to {model.placement.device!r}; leave device out"
        )
    keep_gradients(network)
    return Loaded(network, tokenizer, input_device(model.embedding_of(network)))


def find_processor(model: FrozenModel, given: ProcessorSource, auto: Any, what: str) -> Any:
    """Processor that the user gave, or else that of the model's own place.

    Args:
        model: The model.
        given: A processor, or the hub id or folder of one.
        auto: The transformers auto class that reads it.
        what: Name of the thing in messages.

    Raises:
        FuseError: If there is none.
    """
    if given is not None and not isinstance(given, str | Path):
        return given
    home = model.model_id if model.given is None else home_of(model.given)
    if not (given or home):
        raise FuseError(
            f"{model.model_id!r} does not say where its {what} is; give it as processor"
        )
    return load_processor(auto, str(given or home), model.revision, model.trust_remote_code, what)


def find_tokenizer(model: FrozenModel, home: str, revision: str | None) -> PreTrainedTokenizerBase:
    """Tokenizer that the user gave, or else that of the model's own place.

    Args:
        model: The model.
        home: Folder or hub id of the model; "" where there is none.
        revision: Branch, tag or commit of it.

    Raises:
        FuseError: If there is none, or it is slow.
    """
    given = model.tokenizer_source
    if isinstance(given, str | Path):
        return load_tokenizer(str(given), None, model.trust_remote_code)
    if given is not None:
        return check_tokenizer(given, model.model_id)
    if not home:
        raise FuseError(
            f"{model.model_id!r} does not say where its tokenizer is; give it as tokenizer"
        )
    return load_tokenizer(home, revision, model.trust_remote_code, model.tokenizer_folder)
