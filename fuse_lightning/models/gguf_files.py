"""GGUF files, each of which holds weights, configuration and tokenizer of a model."""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
from torch import nn
from transformers.utils import cached_file, is_accelerate_available, is_gguf_available

from fuse_lightning.errors import FuseError
from fuse_lightning.utilities.regular import open_regular

UNKNOWN = ("GGUF model with architecture", "Unknown gguf model_type")
"""Message of transformers about an architecture that it does not read from GGUF files."""
SCALED = ("gpt-oss", "gpt_oss")
"""Architectures whose scaled rotations transformers reads."""
CUT_AS_GPT2 = {"gpt-2", "phi-2", "mpt", "olmo", "jais", "roberta-bpe"}
"""Names in llama.cpp of tokenizers that cut texts as GPT-2's does."""
LONGEST = 200
"""Most characters of a reason in a message."""
ENDING = ".gguf"
MAGIC = b"GGUF"
LARGEST = 2**44
"""Largest file that is read, in bytes."""


def split_gguf(model_id: str) -> tuple[str, str] | None:
    """Folder or repository of a GGUF file, and its name; ``None`` if the id names none.

    Args:
        model_id: A path, or a hub id with the file's path in the repository behind it.

    Returns:
        The folder and the file, or the hub id and the path.

    Example:
        >>> split_gguf("models/tiny-Q8_0.gguf")
        ('models', 'tiny-Q8_0.gguf')
        >>> split_gguf("organization/repository/tiny-Q8_0.gguf")
        ('organization/repository', 'tiny-Q8_0.gguf')
        >>> split_gguf("organization/repository") is None
        True
    """
    if not model_id.lower().endswith(ENDING):
        return None
    if _is_local(model_id):
        path = Path(model_id)
        return str(path.parent), path.name
    owner, repository, *rest = model_id.split("/")
    return f"{owner}/{repository}", "/".join(rest)


def _is_local(model_id: str) -> bool:
    """Whether an id is a path on this machine, by its form or because its folder exists."""
    path, parts = Path(model_id), model_id.split("/")
    return len(parts) < 3 or parts[0] in ("", ".", "..") or path.parent.is_dir()


def check_gguf(model_id: str, revision: str | None) -> None:
    """Checks that the packages for GGUF are there, and the file, if the id names one.

    Raises:
        FuseError: If a package is missing, or the file is missing, broken, or does not fit itself.
    """
    found = split_gguf(model_id)
    if found is None:
        return
    try:
        from transformers.integrations.gguf import read_gguf_metadata
    except ImportError:
        read_gguf_metadata = None
    if read_gguf_metadata is None or not (is_gguf_available() and is_accelerate_available()):
        raise FuseError(
            f"{model_id!r} is read with gguf and accelerate, missing here or too old; "
            "run pip install 'fuse-lightning[gguf]'"
        )
    folder, name = found
    try:
        path = model_id if _is_local(model_id) else cached_file(folder, name, revision=revision)
        with open_regular(path, LARGEST) as file:
            magic = file.read(len(MAGIC))
    except OSError as error:
        reason = str(error).partition("\n")[0].rstrip(". ")
        raise FuseError(
            f"cannot read GGUF file {model_id!r}: {reason}; give a path, or a hub id with the "
            "file's path behind it"
        ) from error
    if magic != MAGIC:
        raise FuseError(
            f"{model_id!r} is no GGUF file: it does not begin with {MAGIC.decode()}; give one, or "
            "a folder written by save_pretrained"
        )
    try:
        settings, weights = read_gguf_metadata(path)
        _check_layers(settings, weights)
        _warn(model_id, settings, weights)
    # Foreign bytes make their reader raise anything.
    except Exception as error:
        raise unreadable_gguf(model_id, error) from error


def _check_layers(settings: dict[str, Any], weights: Sequence[str]) -> None:
    """Checks that a file has weights for each layer that its header counts."""
    architecture = settings["general.architecture"]
    layers = settings.get(f"{architecture}.block_count", 0)
    if not isinstance(layers, int) or layers > len(weights):
        raise ValueError(f"it speaks of {layers} layers, but holds {len(weights)} weights")


def _warn(model_id: str, settings: dict[str, Any], weights: Sequence[str]) -> None:
    """Warns about settings of a file that transformers ignores."""
    architecture = settings["general.architecture"]
    scaling = settings.get(f"{architecture}.rope.scaling.type", "none")
    scaled = scaling != "none" or any(name.startswith("rope_f") for name in weights)
    if scaled and architecture not in SCALED:
        warnings.warn(
            f"{model_id!r} scales its rotations, which transformers does not read from a GGUF file "
            "of this architecture: texts are read somewhat otherwise than by the original model; "
            "give it as safetensors where that matters",
            stacklevel=1,
        )
    kind, cut = (settings.get(f"tokenizer.ggml.{name}") for name in ("model", "pre"))
    if kind == "gpt2" and cut not in _cuts():
        warnings.warn(
            f"{model_id!r} cuts texts as {cut!r}, which transformers does not know and replaces by "
            "GPT-2's way: some tokens, most often of numbers, are others than those that the model "
            "was trained on; give the original model's id or folder as tokenizer",
            stacklevel=1,
        )


def _cuts() -> set[str]:
    """Pre-tokenizers of byte-level tokenizers that transformers supports."""
    from transformers.integrations.gguf import gguf_tokenizer_mapping

    return CUT_AS_GPT2 | {*getattr(gguf_tokenizer_mapping, "GGUF_PRE_TOKENIZER_SPLITS", ())}


def check_size(model_id: str, revision: str | None, network: Callable[[], nn.Module]) -> None:
    """Checks that a GGUF file is long enough for the network that it describes.

    Args:
        model_id: Id of the file.
        revision: Branch, tag or commit on the hub.
        network: Makes the network. It is not filled with numbers, so that its size costs nothing.

    Raises:
        FuseError: If the network has more weights than the file has bits, or cannot be made.
    """
    found = split_gguf(model_id)
    if found is None:
        return
    path = model_id if _is_local(model_id) else cached_file(*found, revision=revision)
    bits = 8 * Path(path).stat().st_size
    try:
        with torch.device("meta"):
            weights = {id(weight): weight.numel() for weight in network().parameters()}
        if sum(weights.values()) > bits:
            raise ValueError(f"{sum(weights.values())} weights do not fit into {bits // 8} bytes")
    # Sizes from a file may make code of any architecture fail.
    except Exception as error:
        raise unreadable_gguf(model_id, error) from error


def unreadable_gguf(model_id: str, error: Exception) -> FuseError:
    """One-line error about a GGUF file that transformers cannot read."""
    reason = shorten(str(error), LONGEST, placeholder="…").rstrip(". ")
    if any(mark in reason for mark in UNKNOWN):
        return FuseError(
            f"transformers cannot read {model_id!r} ({reason}); give the model as safetensors"
        )
    reason = reason or type(error).__name__
    if not isinstance(error, OSError | ValueError):
        reason = f"{type(error).__name__}: {reason}"
    return FuseError(
        f"GGUF file {model_id!r} cannot be read ({reason}): it is broken, cut off, or of a kind "
        "that transformers does not know; get it again, or give the model as safetensors"
    )
