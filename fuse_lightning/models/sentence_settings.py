"""Settings of a sentence-transformers model, from its files or its object in memory."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers.utils import cached_file

from fuse_lightning.models.loading import resolve, unreadable
from fuse_lightning.utilities.regular import read_regular

PARTS = "modules.json"
POOLING = "1_Pooling/config.json"
PROMPTS = "config_sentence_transformers.json"
READER = "sentence_bert_config.json"

Settings = Callable[[str], Any]
"""Content of each settings file, by its name; {} for a missing file."""


def is_sentence_transformer(model: object) -> bool:
    """Whether this is a ``SentenceTransformer`` in memory whose first module reads text.

    Asked of what it has, as the package need not be installed.
    """
    named = isinstance(model, str | Path) or not hasattr(model, "prompts")
    return not named and hasattr(next(iter(_parts(model)), None), "auto_model")


def _parts(model: Any) -> list[Any]:
    return [*model] if hasattr(model, "__iter__") else []


def settings_of_object(model: Any) -> Settings:
    """Settings of a ``SentenceTransformer`` in memory, under the names of its files."""
    reader, *others = _parts(model)
    pooling = [part.get_config_dict() for part in others if type(part).__name__ == "Pooling"]
    known = {
        PARTS: [{"type": type(part).__name__} for part in (reader, *others)],
        POOLING: pooling[0] if pooling else {},
        PROMPTS: {
            "prompts": model.prompts,
            "default_prompt_name": getattr(model, "default_prompt_name", None),
        },
        READER: {
            "do_lower_case": getattr(reader, "do_lower_case", False),
            "max_seq_length": getattr(model, "max_seq_length", None),
        },
    }
    return lambda name: known.get(name, {})


def settings_of_files(home: str, revision: str | None) -> Settings:
    """Settings in the files of a folder or hub repository.

    Args:
        home: Folder or hub id; "" for no files.
        revision: Branch, tag or commit on the hub.
    """

    def read(name: str) -> Any:
        if not home:
            return {}
        try:
            path = cached_file(
                resolve(home),
                name,
                revision=revision,
                _raise_exceptions_for_missing_entries=False,
                _raise_exceptions_for_connection_errors=False,
            )
        # Where a network in memory was read from may be gone.
        except OSError:
            return {}
        try:
            return {} if path is None else json.loads(read_regular(path))
        except (OSError, ValueError) as error:
            raise unreadable(home, error) from error

    return read
