"""Loading of configuration, tokenizer, processor and weights of a model by its id.

Every error says what to do.
"""

from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)
from transformers.utils import cached_file

from fuse_lightning.errors import FuseError
from fuse_lightning.models.gguf_files import check_gguf, split_gguf, unreadable_gguf
from fuse_lightning.utilities.nearest import did_you_mean
from fuse_lightning.utilities.network import network

ZOO = Path(__file__).parents[1] / "zoo" / "weights"
ZOO_FILES = ("config.json", "adapter_config.json")
"""Files that the folder of a model, or of an adapter, is known by."""
SIMILAR = 0.75
"""Least similarity of a mistyped ``zoo/`` id: its beginning alone makes all of them alike."""
SPACE = "▁"
"""Mark of a space in the vocabularies of SentencePiece."""


def resolve(model_id: str) -> str:
    """Folder of a ``zoo/NAME`` id; any other id unchanged.

    Raises:
        FuseError: If the zoo has no such model.
    """
    if not model_id.startswith("zoo/"):
        return model_id
    name = model_id.removeprefix("zoo/")
    if name not in zoo_names():
        there = [f"zoo/{each}" for each in zoo_names()]
        raise FuseError(
            f"unknown zoo model {model_id!r}; {did_you_mean(model_id, there, SIMILAR)}there are: "
            f"{', '.join(there)}"
        )
    return str(ZOO / name)


def zoo_names() -> list[str]:
    """Names of the models and PEFT adapters that come with the package, sorted.

    Example:
        >>> zoo_names()[:3]
        ['clip', 'clip-judge', 'gpt2']
    """
    return sorted({path.parent.name for file in ZOO_FILES for path in ZOO.glob(f"*/{file}")})


def where(model_id: str) -> tuple[str, dict[str, str]]:
    """Place of a model for transformers' ``from_pretrained``, and a file in it if one is named.

    Example:
        >>> where("openai-community/gpt2")
        ('openai-community/gpt2', {})
        >>> where("models/tiny.gguf")
        ('models', {'gguf_file': 'tiny.gguf'})
    """
    if found := split_gguf(model_id):
        folder, name = found
        return folder, {"gguf_file": name}
    return resolve(model_id), {}


def first_line(error: BaseException) -> str:
    r"""First line of an error's message, without its final full stop.

    Example:
        >>> first_line(ValueError("the file is cut off. \nMore about it."))
        'the file is cut off'
    """
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(". ") if lines else type(error).__name__


def find_file(
    model_id: str,
    name: str,
    revision: str | None = None,
    subfolder: str = "",
    on_disk: bool = False,
) -> str | None:
    """Path of a file of a folder or repository; ``None`` if there is none.

    Args:
        model_id: Hub id, local folder or ``zoo/`` id.
        name: Name of the file.
        revision: Branch, tag or commit on the hub.
        subfolder: Folder of the file inside the model's.
        on_disk: Whether the hub is not asked.
    """
    try:
        path: str | None = cached_file(
            resolve(model_id),
            name,
            revision=revision,
            subfolder=subfolder,
            local_files_only=on_disk,
            _raise_exceptions_for_missing_entries=False,
            _raise_exceptions_for_connection_errors=False,
        )
    # What is wrong with the id itself is told where the model is read.
    except (OSError, ValueError):
        return None
    return path


def unreadable(model_id: str, error: Exception) -> FuseError:
    """One-line error about a model that cannot be read."""
    if split_gguf(model_id):
        return unreadable_gguf(model_id, error)
    if "trust_remote_code" in str(error):
        return FuseError(
            f"{model_id!r} comes with code of its own; read it, and if you trust it set "
            "trust_remote_code"
        )
    path = Path(resolve(model_id))
    if path.is_dir():
        return FuseError(
            f"cannot load a model from folder {model_id!r}: {first_line(error)}; "
            "give a folder written by save_pretrained"
        )
    return FuseError(
        f"cannot load model {model_id!r}: no such folder, and the hub gave none "
        f"({first_line(error)}); check the id and {network()}, or give a local folder or a zoo/ id"
    )


def load_config(
    model_id: str, revision: str | None, trust_remote_code: bool, subfolder: str = ""
) -> PretrainedConfig:
    """The configuration of a model.

    Raises:
        FuseError: If there is none, or it cannot be read.
    """
    check_gguf(model_id, revision)
    source, file = where(model_id)
    try:
        return AutoConfig.from_pretrained(
            source,
            **file,
            revision=revision,
            trust_remote_code=trust_remote_code,
            subfolder=subfolder,
        )
    except _reading_fails(model_id) as error:
        raise unreadable(model_id, error) from error


def _reading_fails(model_id: str, *more: type[Exception]) -> tuple[type[Exception], ...]:
    """Error classes that transformers raises for missing or broken files.

    Foreign bytes make the reader of a GGUF file raise anything.
    """
    return (Exception,) if split_gguf(model_id) else (OSError, ValueError, KeyError, *more)


def load_tokenizer(
    model_id: str, revision: str | None, trust_remote_code: bool, subfolder: str = ""
) -> PreTrainedTokenizerBase:
    """Tokenizer of a model, which must be a fast one, as alignment needs character offsets.

    Raises:
        FuseError: If it is missing or slow.
    """
    check_gguf(model_id, revision)
    source, file = where(model_id)
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            source,
            **file,
            revision=revision,
            trust_remote_code=trust_remote_code,
            subfolder=subfolder,
        )
        if not tokenizer.is_fast:
            tokenizer = _written_out(source, revision, subfolder) or tokenizer
    except ImportError as error:
        # Its class needs a library that its tokenizer.json does not.
        tokenizer = None if file else _written_out(source, revision, subfolder)
        if tokenizer is None:
            raise unreadable(model_id, error) from error
    except _reading_fails(model_id, TypeError) as error:
        own_code = "trust_remote_code" in str(error)
        if file or own_code or not _lacks_tokenizer(source, revision, subfolder):
            raise unreadable(model_id, error) from error
        raise _without_tokenizer(model_id) from error
    words = {*tokenizer.get_vocab()} - {*map(str, tokenizer.added_tokens_decoder.values())}
    # Without files some classes give a tokenizer of special tokens and the mark of a space alone.
    if words <= {SPACE}:
        raise _without_tokenizer(model_id)
    return check_tokenizer(tokenizer, model_id)


def _without_tokenizer(model_id: str) -> FuseError:
    return FuseError(
        f"{model_id!r} has no tokenizer files that can be read; add those that the tokenizer's "
        "save_pretrained writes, such as tokenizer.json"
    )


def _lacks_tokenizer(source: str, revision: str | None, subfolder: str) -> bool:
    """Whether a model is there, whole or in part, without a tokenizer beside it."""
    model = find_file(source, "config.json", revision) or find_file(source, "model_index.json")
    return bool(model) and find_file(source, "tokenizer.json", revision, subfolder) is None


def check_tokenizer(tokenizer: PreTrainedTokenizerBase, name: str) -> PreTrainedTokenizerBase:
    """Checks that a tokenizer is a fast one, as alignment needs character offsets.

    Raises:
        FuseError: If it is not.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise FuseError(
            f"the tokenizer of {name!r} has no fast version, which gives character offsets; "
            "add a tokenizer.json to the model, or give a fast tokenizer of transformers"
        )
    return tokenizer


def load_processor(
    auto: Any, model_id: str, revision: str | None, trust_remote_code: bool, what: str
) -> Any:
    """Processor that turns pictures, and texts beside them, into a network's inputs.

    Args:
        auto: The transformers auto class of it.
        model_id: Hub id, local folder or ``zoo/`` id.
        revision: Branch, tag or commit on the hub.
        trust_remote_code: Whether to run code that comes with the model.
        what: Name of the thing in messages.

    Raises:
        FuseError: If the model has none.
    """
    try:
        return auto.from_pretrained(
            resolve(model_id),
            revision=revision,
            trust_remote_code=trust_remote_code,
            backend="pil",
        )
    except (ImportError, OSError, ValueError) as error:
        raise FuseError(
            f"{model_id!r} has no usable {what} ({first_line(error)}); add the files that its "
            "save_pretrained writes, such as preprocessor_config.json"
        ) from error


def _written_out(
    source: str, revision: str | None, subfolder: str
) -> PreTrainedTokenizerBase | None:
    """The tokenizer of a model's tokenizer.json, if there is one."""
    if find_file(source, "tokenizer.json", revision, subfolder) is None:
        return None
    return PreTrainedTokenizerFast.from_pretrained(source, revision=revision, subfolder=subfolder)


def load_module(
    auto: Callable[..., Any],
    model_id: str,
    revision: str | None,
    dtype: torch.dtype,
    trust_remote_code: bool,
    unused: tuple[str, ...] = (),
    subfolder: str = "",
    placed: dict[str, Any] | None = None,
) -> torch.nn.Module:
    """Loads the network, frozen and in eval mode.

    Args:
        auto: The ``from_pretrained`` of a transformers auto class.
        model_id: Hub id, local folder or ``zoo/`` id.
        revision: Branch, tag or commit on the hub.
        dtype: Type of the weights in memory, whatever that of the file.
        trust_remote_code: Whether to run code that comes with the model.
        unused: Beginnings of the names of weights that may be missing.
        subfolder: Folder of the files inside the model's.
        placed: Options of ``auto`` that say where the network goes; by default to the CPU.

    Raises:
        FuseError: If the weights cannot be read or do not fill the whole network.
    """
    source, file = where(model_id)
    try:
        module, info = auto(
            source,
            **file,
            revision=revision,
            dtype=dtype,
            trust_remote_code=trust_remote_code,
            subfolder=subfolder,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            **(placed or {}),
        )
    except UnpicklingError as error:
        raise FuseError(
            f"the .bin weights of {model_id!r} hold more than tensors, which could run code; "
            "give a model with safetensors weights"
        ) from error
    except _reading_fails(model_id, ImportError, RuntimeError, SafetensorError) as error:
        if placed and isinstance(error, ValueError | RuntimeError):
            raise FuseError(
                f"{model_id!r} cannot lie as its device, device_map and quantization say: "
                f"{first_line(error)}; change them"
            ) from error
        raise unreadable(model_id, error) from error
    if info["mismatched_keys"]:
        name, found, wanted = min(info["mismatched_keys"])
        raise FuseError(
            f"weights of {model_id!r} do not fit its config.json: {name} is {tuple(found)} "
            f"instead of {tuple(wanted)}; give both from the same model"
        )
    missing = sorted(name for name in info["missing_keys"] if not name.startswith(unused))
    if missing:
        raise FuseError(
            f"{model_id!r} lacks {len(missing)} weights of a {type(module).__name__} "
            f"(such as {missing[0]}), which would be random; give a model trained for this use"
        )
    frozen: torch.nn.Module = module.eval().requires_grad_(False)
    return frozen
