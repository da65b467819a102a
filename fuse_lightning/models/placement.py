"""Placement of weights: on one device or spread over several, whole or in few bits."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn
from transformers import BitsAndBytesConfig
from transformers.utils import is_accelerate_available, is_bitsandbytes_available

from fuse_lightning.errors import FuseError

DeviceMap = str | dict[str, str | int]
Quantization = Literal["4bit", "8bit"]
SPREADS = ("auto", "balanced", "balanced_low_0", "sequential")
"""Strategies of accelerate for spreading a model."""


@dataclass
class Placement:
    """Device or devices, and number of bits, of a model's weights.

    Attributes:
        model_id: The model.
        device: One device; ``None`` for the trainer's, or for that of the device map.
        device_map: How accelerate spreads the model: one of :data:`SPREADS`, or a device, or
            "disk", for each part by its name. A number means that accelerator.
        quantization: "4bit" (NF4) or "8bit" (LLM.int8) for linear layers, by bitsandbytes.

    Raises:
        FuseError: If a value is unknown, or both a device and a device map are given.
    """

    model_id: str
    device: str | None = None
    device_map: DeviceMap | None = None
    quantization: Quantization | None = None

    def __post_init__(self) -> None:
        if self.device is not None and self.device_map is not None:
            raise FuseError(
                f"both device and device_map of {self.model_id!r} are given; give one of them"
            )
        if self.quantization not in (None, "4bit", "8bit"):
            raise FuseError(
                f"quantization {self.quantization!r} of {self.model_id!r} is unknown; give 4bit, "
                "8bit or null"
            )
        named = isinstance(self.device_map, str)
        if self.device_map == {} or (named and self.device_map not in SPREADS):
            raise FuseError(
                f"device_map {self.device_map!r} of {self.model_id!r} is unknown; give "
                f"{', '.join(SPREADS)}, or a device for each part (give a single one as device)"
            )
        for given in self._given:
            try:
                _device(given)
            except RuntimeError as error:
                raise FuseError(
                    f"device {given!r} of {self.model_id!r} is unknown; give cpu, cuda or cuda:N"
                ) from error

    @property
    def _given(self) -> Sequence[str | int]:
        """The named devices."""
        if isinstance(self.device_map, dict):
            return [place for place in self.device_map.values() if place != "disk"]
        return [] if self.device is None else [self.device]

    @property
    def key(self) -> tuple[object, ...]:
        """Key that is equal for two equal placements."""
        return self.device, repr(self.device_map), self.quantization

    def check(self) -> None:
        """Checks that devices and packages are there, before weights are read.

        Raises:
            FuseError: If a device or a package is not there.
        """
        there = devices()
        for given in self._given:
            device = _device(given)
            if device.type != "cpu" and f"{device.type}:{device.index or 0}" not in there:
                raise FuseError(
                    f"device {given!r} of {self.model_id!r} is not there; this machine has: "
                    f"{', '.join(there)}"
                )
        if self.device_map is not None and not is_accelerate_available():
            raise self._missing("device_map", "accelerate", "placement")
        if self.quantization and not (is_accelerate_available() and is_bitsandbytes_available()):
            raise self._missing("quantization", "accelerate and bitsandbytes", "quantization")

    def _missing(self, option: str, packages: str, extra: str) -> FuseError:
        return FuseError(
            f"{option} of {self.model_id!r} needs {packages}, missing here or too old; "
            f"run pip install 'fuse-lightning[{extra}]'"
        )

    def options(self, device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
        """Options of ``from_pretrained`` that place the network; empty if it is moved afterwards.

        Args:
            device: Device of the network if it is not spread.
            dtype: Type in which quantized layers compute.
        """
        options: dict[str, Any] = {}
        if self.device_map is not None or self.quantization:
            # Quantized weights are made on the device, and cannot all be moved later.
            options["device_map"] = self.device_map or {"": device}
        if self.quantization == "4bit":
            options["quantization_config"] = BitsAndBytesConfig(
                load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype
            )
        elif self.quantization:
            options["quantization_config"] = BitsAndBytesConfig(load_in_8bit=True)
        return options


def devices() -> list[str]:
    """Devices of this machine."""
    accelerator = torch.accelerator.current_accelerator()
    count = torch.accelerator.device_count()
    return ["cpu", *(f"{accelerator.type}:{n}" for n in range(count) if accelerator)]


def input_device(embedding_layer: nn.Module) -> torch.device:
    """Device on which a placed network reads ids."""
    weight = embedding_layer.get_parameter("weight")
    # Weights that come from memory or disk when they are needed have a hook that moves the ids.
    home = "cpu" if weight.is_meta else weight.device
    device: torch.device = embedding_layer(torch.zeros(1, dtype=torch.long, device=home)).device
    return device


def keep_gradients(network: nn.Module) -> None:
    """Makes 4-bit layers give a gradient at their inputs after a forward without one."""
    for layer in network.modules():
        if type(layer).__name__ == "Linear4bit":
            # In eval mode some CPUs pack the weights for a kernel that has no backward.
            layer.train()


def _device(given: str | int) -> torch.device:
    """Device of a name, or of an accelerator's number."""
    if isinstance(given, str):
        device = torch.device(given)
        if device.type == "meta":
            raise RuntimeError("a meta device holds no weights")
        return device
    accelerator = torch.accelerator.current_accelerator()
    return torch.device(accelerator.type if accelerator else "cuda", given)
