"""Opening of streams from their options: models are loaded once, and shared where they can be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import nn

from fuse_lightning.decoding.contrast import NAMES
from fuse_lightning.decoding.early_layers import early_layers
from fuse_lightning.decoding.stream import Stream
from fuse_lightning.errors import FuseError
from fuse_lightning.models import CausalLM
from fuse_lightning.models.loading import resolve
from fuse_lightning.models.options import DType
from fuse_lightning.models.peft_adapters import PeftAdapter, find_adapter
from fuse_lightning.models.placement import DeviceMap, Quantization


@dataclass(frozen=True)
class StreamOptions:
    """Options of one stream.

    Attributes:
        model: Hub id, local folder, GGUF file, PEFT adapter, or ``zoo/NAME``.
        prefix: Text before every prompt; a space at its end is yours to give.
        chat: Prefix and prompt are a user's turn in the chat template of the model.
        system: Text of the system's turn; only with ``chat``.
        layers: Early layers that it takes in place of the last one: numbers from 0 (embeddings),
            or "low" or "high" for the published choices of arXiv 2309.03883.
        temperature: Divisor of the stream's own logits.
        towards: Another model of the same shape, whose weights are mixed in.
        amount: Share of these weights: 0 is the model, 1 the other, above 1 goes beyond it.
        revision: Branch, tag or commit on the hub.
        dtype: Type of weights and activations; by default float32.
        device: Device of the model; by default the first GPU, else the CPU.
        device_map: How to spread the model over several devices.
        quantization: "4bit" or "8bit" for the weights of linear layers.
        trust_remote_code: Run code that comes with the model.
        start: What stands before every text: "tokenizer" (what the tokenizer puts there), "none", a
            text, or "auto": as "tokenizer", but never a token that marks the turns of a chat.
    """

    model: str
    prefix: str = ""
    chat: bool = False
    system: str | None = None
    layers: str | tuple[int, ...] = ()
    temperature: float = 1.0
    towards: str | None = None
    amount: float = 0.5
    revision: str | None = None
    dtype: DType | None = None
    device: str | None = None
    device_map: DeviceMap | None = None
    quantization: Quantization | None = None
    trust_remote_code: bool = False
    start: str = "auto"

    @property
    def description(self) -> str:
        """The model, and the options that are not their defaults.

        >>> StreamOptions("zoo/gpt2", prefix="a lovely ").description
        "zoo/gpt2, prefix 'a lovely '"
        """
        parts = [self.model]
        for each in fields(self)[1:]:
            value = getattr(self, each.name)
            if value is True:
                parts.append(each.name)
            # The amount speaks of the other model.
            elif value != each.default and each.name != "amount":
                more = f" by {self.amount:g}" if each.name == "towards" else ""
                parts.append(f"{each.name} {value!r}{more}")
        return ", ".join(parts)

    def open(self, model_id: str | None = None) -> CausalLM:
        """The model, not loaded yet.

        Args:
            model_id: Another id to read with the same options.
        """
        return CausalLM(
            model_id or self.model,
            start=self.start,
            revision=self.revision if model_id is None else None,
            dtype=self.dtype,
            device=self.device,
            device_map=self.device_map,
            quantization=self.quantization,
            trust_remote_code=self.trust_remote_code,
        )


def open_streams(options: Sequence[StreamOptions]) -> list[Stream]:
    """Streams of loaded models.

    Equal models are loaded once. A PEFT adapter and the model that it was trained on share one set
    of weights, in which the adapter is off for the latter.

    Args:
        options: Options of the streams A, B and so on.

    Raises:
        FuseError: If a model cannot be read, or an option does not fit it.
    """
    adapters = [None if each.towards else _adapter(each) for each in options]
    models: dict[tuple[object, ...], CausalLM] = {}
    found = []
    for name, each in zip(NAMES, options, strict=False):
        tuned = next(
            (
                other
                for other, adapter in zip(options, adapters, strict=True)
                if adapter is not None and _is_base(each, other, adapter)
            ),
            None,
        )
        try:
            if each.towards:
                model = mixed(each)
            else:
                model = (tuned or each).open()
                model = models.setdefault(model.key, model)
                model.load(_device())
            asked = each.layers
            if isinstance(asked, str):
                asked = early_layers(model.module.config, asked)
        except FuseError as error:
            raise FuseError(f"stream {name}: {error}") from error
        found.append(
            Stream(
                model,
                each.prefix,
                each.chat,
                each.system,
                tuple(asked),
                each.temperature,
                adapted=tuned is None,
            )
        )
    return found


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def _adapter(options: StreamOptions) -> PeftAdapter | None:
    """The adapter that is no more than layers beside those of its base; ``None`` for any other."""
    adapter = find_adapter(options.model, options.revision)
    return None if adapter is None or adapter.replaces else adapter


def _is_base(options: StreamOptions, tuned: StreamOptions, adapter: PeftAdapter) -> bool:
    """Whether a stream's model is the one under the adapter of another, read in the same way."""
    same = ("dtype", "device", "device_map", "quantization", "trust_remote_code", "start")
    return (
        options.towards is None
        and resolve(options.model) == resolve(adapter.base)
        and options.revision == adapter.base_revision
        and all(getattr(options, name) == getattr(tuned, name) for name in same)
    )


@torch.no_grad()
def mixed(options: StreamOptions) -> CausalLM:
    """A model between two: the weights of one, and a share of the way to those of another.

    Of a PEFT adapter of the model its scale is that share.

    Args:
        options: Options of the stream, with ``towards``.

    Raises:
        FuseError: If the weights are of few bits, or of other shapes.
    """
    assert options.towards is not None
    if options.quantization:
        raise FuseError(
            f"towards mixes the weights of {options.model!r}, and quantization is "
            f"{options.quantization!r}; weights of few bits cannot be mixed: leave it out"
        )
    adapter = find_adapter(options.towards, None)
    if adapter and resolve(adapter.base) == resolve(options.model):
        model = options.open(options.towards)
        model.load(_device())
        for layer in model.module.modules():
            if hasattr(layer, "scale_layer"):
                layer.scale_layer(options.amount)
        return model
    model, other = options.open(), options.open(options.towards)
    for each in (model, other):
        each.load(_device())
    ours, theirs = _weights(model.module), _weights(other.module)
    wrong = sorted(
        name
        for name in {*ours, *theirs}
        if name not in ours or name not in theirs or ours[name].shape != theirs[name].shape
    )
    if wrong:
        raise FuseError(
            f"the weights of {options.model!r} and {options.towards!r} differ in shape or name, "
            f"such as {wrong[0]}; give models of one architecture and size"
        )
    for name, weight in ours.items():
        if weight.is_floating_point():
            # In float32: a small step would be lost in the rounding of fewer bits.
            mix = torch.lerp(weight.float(), theirs[name].float().to(weight.device), options.amount)
            weight.copy_(mix)
    other.unload()
    return model


def _weights(network: nn.Module) -> dict[str, Any]:
    """Parameters and buffers by name; tied ones once."""
    return {**dict(network.named_parameters()), **dict(network.named_buffers())}
