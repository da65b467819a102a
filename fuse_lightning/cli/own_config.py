"""The ``config.yaml`` in a run's folder, from which the run can be repeated in any folder."""

import glob
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from fuse_lightning.cli.config_files import config_text
from fuse_lightning.utilities.files import home_path

FOLDERS = ("cache_dir", "default_root_dir", "dirpath", "save_dir")
"""Options that are always paths."""
SOURCES = (
    "captioner",
    "classifier",
    "encoder",
    "images",
    "model",
    "model_id",
    "pool",
    "prompts",
    "skip_finished",
    "texts",
    "towards",
    "transfer",
    "words",
)
"""Options that are paths if there is such a file, folder or pattern, and otherwise ids or texts."""


def own_config(text: str, earlier: Path | None) -> str:
    """Text of the ``config.yaml`` that is written into a run's folder.

    Relative paths become absolute. What only says where this process goes on, the checkpoint and
    the run's folder, is no setting and is left out.

    Args:
        text: The resolved configuration as YAML.
        earlier: The configuration of a run that goes on; ``None`` for a new run.
    """
    config: dict[str, Any] = yaml.safe_load(text)
    config["ckpt_path"] = None
    if earlier is not None:
        before = yaml.safe_load(config_text(earlier))["trainer"]
        names = ("logger", "default_root_dir")
        config["trainer"] |= {name: before[name] for name in names if name in before}
    data = config.get("data", {}).get("init_args", {})
    if "root" in data:
        # Ids of targets are relative to it, whatever folder the run goes on from.
        data["root"] = str(Path.cwd() / home_path(data["root"] or "", "data.root"))
    root = data.get("root", "")
    head = "".join(line for line in text.splitlines(keepends=True)[:1] if line.startswith("#"))
    rest: str = yaml.safe_dump(_absolute(config, Path(root)), sort_keys=False, allow_unicode=True)
    return head + rest


def _absolute(config: Any, root: Path) -> Any:
    """A configuration with absolute paths; sources of data are relative to ``root``."""
    if isinstance(config, list):
        return [_absolute(each, root) for each in config]
    if not isinstance(config, dict):
        return config
    absolute = {}
    for name, value in config.items():
        if name in FOLDERS:
            absolute[name] = _each(value, _folder)
        elif name in SOURCES and not isinstance(value, dict):
            place = root if name in ("images", "prompts", "texts") else Path()
            absolute[name] = _each(value, partial(_text if name == "texts" else _source, place))
        else:
            absolute[name] = _absolute(value, root)
    return absolute


def _each(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, list):
        return [change(each) if isinstance(each, str) else each for each in value]
    return change(value) if isinstance(value, str) and value else value


def _folder(text: str) -> str:
    return str(_under(Path(), text))


def _under(folder: Path, text: str) -> Path:
    known = "://" in text or text.startswith("~") or os.path.isabs(text)
    return Path(text) if known else Path.cwd() / folder / text


def _text(folder: Path, text: str) -> str:
    return _source(folder, text) if text.endswith(".txt") and "\n" not in text else text


def _source(folder: Path, text: str) -> str:
    if text.startswith(("zoo/", "hub:")) or text == "vocabulary":
        return text
    try:
        if text and _under(folder, text).exists():
            return str(_under(folder, text))
        if glob.has_magic(text) and glob.glob(str(folder / text), recursive=True):
            return str(Path(glob.escape(str(Path.cwd() / folder))) / text)
    # A text may be no name that a file can have.
    except (OSError, ValueError):
        pass
    return text
