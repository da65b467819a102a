"""GGUF files: one file with the weights, the configuration and the tokenizer of a model."""

from pathlib import Path

from transformers.utils import is_accelerate_available, is_gguf_available

from fuse_lightning.errors import FuseError
from fuse_lightning.utilities.regular import open_regular

ENDING = ".gguf"
MAGIC = b"GGUF"
LARGEST = 2**44
"""Bytes of the largest file that is read."""


def split_gguf(model_id: str) -> tuple[str, str] | None:
    """Where a GGUF file lies, and its name there; ``None`` if the id names none.

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
    """Whether an id is a path of this machine: nothing else, or its folder is there."""
    path, parts = Path(model_id), model_id.split("/")
    return len(parts) < 3 or parts[0] in ("", ".", "..") or path.parent.is_dir()


def check_gguf(model_id: str) -> None:
    """Looks for the packages that read GGUF files, and for a local file.

    Raises:
        FuseError: If a package is missing, or the file is missing or no GGUF file.
    """
    if split_gguf(model_id) is None:
        return
    if not (is_gguf_available() and is_accelerate_available()):
        raise FuseError(
            f"{model_id!r} is read with gguf and accelerate, missing here or too old; "
            "run pip install 'fuse-lightning[gguf]'"
        )
    if not _is_local(model_id):
        return
    try:
        with open_regular(model_id, LARGEST) as file:
            magic = file.read(len(MAGIC))
    except OSError as error:
        raise FuseError(f"cannot read GGUF file {model_id!r}: {error}; check the path") from error
    if magic != MAGIC:
        raise FuseError(
            f"{model_id!r} is no GGUF file: it does not begin with {MAGIC.decode()}; give one, or "
            "a folder written by save_pretrained"
        )


def unreadable_gguf(model_id: str, error: Exception) -> FuseError:
    """One line about a GGUF file that transformers cannot read."""
    reason = str(error).strip().partition("\n")[0].rstrip(". ")
    if "architecture" in reason or "Unknown gguf model_type" in reason:
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
