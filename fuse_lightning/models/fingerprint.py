"""Digest of a frozen model's content: weights, configuration and tokens."""

import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from xxhash import xxh3_128

from fuse_lightning.models.vocabulary import Vocabulary

# What says where a model came from and how it is run, not what it computes.
INCIDENTAL = ("transformers_version", "dtype", "torch_dtype", "name_or_path", "architectures")


def fingerprint(networks: Mapping[str, nn.Module], reader: Any, vocabulary: Vocabulary) -> str:
    """Digest of a model's content: equal for copies in other folders, different after training.

    Reads all weights once, about as fast as memory is read. Of weights that are kept on disk only
    names, shapes and types count.

    Args:
        networks: The model's networks, by name.
        reader: The one that reads text, whose configuration and adapters count.
        vocabulary: The tokens.

    Returns:
        32 hex digits.
    """
    digest = xxh3_128()
    for part, network in sorted(networks.items()):
        seen: set[int] = set()
        for name, tensor in sorted(network.state_dict().items()):
            if isinstance(tensor, Tensor):
                about = f"{part} {name} {tuple(tensor.shape)} {tensor.dtype}"
                digest.update(about.encode())
                # Tied weights are one tensor under several names.
                if tensor.device.type != "meta" and tensor.data_ptr() not in seen:
                    seen.add(tensor.data_ptr())
                    digest.update(_bytes(tensor))
    told = {
        name: value
        for name, value in reader.config.to_diff_dict().items()
        if name not in INCIDENTAL and not name.startswith("_")
    }
    # What stands around a text is part of the model, though not of its vocabulary.
    around = vocabulary.tokenizer("a")["input_ids"]
    reads = [told, vocabulary.digest, around, *_adapters(reader)]
    digest.update(json.dumps(reads, sort_keys=True, default=str).encode())
    return digest.hexdigest()


def _adapters(reader: Any) -> list[object]:
    """Adapters of a network and their strengths, which its weights do not show."""
    adapters = getattr(reader, "peft_config", None) or {}
    layers = (getattr(part, "scaling", None) for part in reader.modules())
    active = [getattr(part, "active_adapters", None) for part in reader.modules()]
    if not adapters:
        return []
    kinds = {name: str(adapter.peft_type) for name, adapter in adapters.items()}
    scales = [sorted(scale.items()) for scale in layers if isinstance(scale, dict)]
    return [kinds, scales, [names for names in active if isinstance(names, list)]]


def _bytes(tensor: Tensor) -> Any:
    """Bytes of a tensor without a copy."""
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8).cpu().numpy()
