"""Fitted maps on disk: safetensors, written atomically under a lock, refitted if unreadable."""

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

logger = logging.getLogger(__name__)


def default_cache_dir() -> Path:
    """``$FUSE_LIGHTNING_CACHE``, else ``fuse_lightning`` in the user's cache folder."""
    if own := os.environ.get("FUSE_LIGHTNING_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "fuse_lightning"


def cache_key(parts: dict[str, object]) -> str:
    """A name that changes with anything in ``parts``."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def cached_tensors(
    folder: Path | None, key: str, make: Callable[[], dict[str, Tensor]]
) -> dict[str, Tensor]:
    """Reads the tensors named ``key``, or makes and keeps them.

    A file that cannot be read is made again with a warning; a folder that cannot be written
    costs a warning and nothing else.

    Args:
        folder: The cache, or ``None`` for no cache.
        key: Name of the file without its ending.
        make: Computes the tensors.
    """
    if folder is None:
        return make()
    path = folder / f"{key}.safetensors"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock"):
            if (found := _read(path)) is not None:
                return found
            tensors = make()
            _write(path, tensors)
            return tensors
    except (OSError, SafetensorError) as error:
        logger.warning("adapter cache %s cannot be used (%s); fitting without it", folder, error)
        return make()


def _read(path: Path) -> dict[str, Tensor] | None:
    if not path.exists():
        return None
    try:
        tensors: dict[str, Tensor] = load_file(path)
    except (SafetensorError, OSError) as error:
        logger.warning("adapter cache %s is corrupt (%s); fitting again", path, error)
        return None
    return tensors


def _write(path: Path, tensors: dict[str, Tensor]) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.stem, suffix=".tmp")
    os.close(handle)
    try:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, name)
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)
