"""Cache of fitted adapter maps: safetensors files, written atomically, refitted if damaged."""

import hashlib
import json
import logging
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock
from safetensors.torch import load, save
from torch import Tensor

from fuse_lightning.utilities.files import cache_folder, replace_file
from fuse_lightning.utilities.regular import read_regular
from fuse_lightning.utilities.terminal import quoted

logger = logging.getLogger(__name__)

KEY, DIGEST = "key", "sha256"
"""Metadata of a file: its own name, and the digest of its tensors."""

Tensors = dict[str, Tensor]


def default_cache_dir() -> Path | None:
    """The user's cache folder; ``None``, with a warning, where the user has no home."""
    try:
        return cache_folder()
    except RuntimeError as error:
        logger.warning(
            "adapters are not kept (%s); to keep them, give FUSE_LIGHTNING_CACHE a folder", error
        )
        return None


def cache_key(parts: dict[str, object]) -> str:
    """Name of a cache file: 32 hex digits that change with anything in ``parts``.

    Example:
        >>> cache_key({"kind": "lookup", "words": 3}) == cache_key({"words": 3, "kind": "lookup"})
        True
    """
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def cached_tensors(
    folder: Path | None,
    key: str,
    make: Callable[[], Tensors],
    check: Callable[[Tensors], None] = lambda _: None,
) -> Tensors:
    """Reads the tensors of a key from the cache, or computes and stores them.

    A file that cannot be read, or is not what was written under this name, is made again with a
    warning; a folder that cannot be written costs a warning and nothing else.

    Args:
        folder: The cache, or ``None`` for no cache.
        key: Name of the file without its ending.
        make: Computes the tensors.
        check: Raises a ValueError if tensors are not of the kind that ``make`` computes.
    """
    if folder is None:
        return make()
    path = folder / f"{key}.safetensors"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(f"{path}.lock").acquire()
    # Some file systems know no locks.
    except (NotImplementedError, OSError) as error:
        logger.warning(
            "adapter cache %s cannot be used (%s); fitting without it", quoted(folder), error
        )
        return make()
    with lock:
        if (found := _read(path, key, check)) is not None:
            return found
        tensors = make()
        try:
            _write(path, key, tensors)
        except OSError as error:
            logger.warning("adapter cache %s cannot be written (%s)", quoted(folder), error)
        return tensors


def _read(path: Path, key: str, check: Callable[[Tensors], None]) -> Tensors | None:
    if not path.exists():
        return None
    try:
        # Not mapped: a mapped file that gets shorter ends the process.
        content = read_regular(path)
        tensors: Tensors = load(content)
        length = int.from_bytes(content[:8], "little")
        told = json.loads(content[8 : 8 + length])["__metadata__"]
        if told.get(KEY) != key:
            raise ValueError("it was written under another name")
        if told.get(DIGEST) != _digest(tensors):
            raise ValueError("it was changed")
        check(tensors)
    # Foreign bytes make their reader raise anything.
    except Exception as error:
        logger.warning("adapter cache %s is corrupt (%r); fitting again", quoted(path), error)
        return None
    return tensors


def _write(path: Path, key: str, tensors: Tensors) -> None:
    tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
    replace_file(path, save(tensors, metadata={KEY: key, DIGEST: _digest(tensors)}))


def _digest(tensors: Tensors) -> str:
    return hashlib.sha256(save(tensors)).hexdigest()
