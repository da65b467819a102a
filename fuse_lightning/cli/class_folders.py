"""Cache of the folders of the user's own classes, for later commands on the same run.

A run's configuration names its classes, and a run that goes on from another folder must find them
again. The folders are kept in the user's cache and not in the run's folder: who hands a run on
to others could otherwise have them import any file.
"""

import hashlib
import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path

from fuse_lightning.utilities.files import cache_folder, replace_file
from fuse_lightning.utilities.regular import read_text
from fuse_lightning.utilities.terminal import quoted

LARGEST = 2**16
"""Most bytes of a file that names folders."""

logger = logging.getLogger(__name__)


def remember(run: Path, folders: Sequence[str]) -> None:
    """Stores the folders whose classes a run uses; a warning says if that fails.

    Args:
        run: The run's folder.
        folders: Absolute folders; none for a run with classes of the package alone.
    """
    try:
        file = _file(run)
        if not (folders or file.exists()):
            return
        file.parent.mkdir(parents=True, exist_ok=True)
        replace_file(file, json.dumps({"run": str(run.resolve()), "folders": [*folders]}))
    except (OSError, RuntimeError) as error:
        logger.warning(
            "where the run's own classes lie cannot be kept (%s); to go on with the run, start "
            "from %s",
            error,
            " or ".join(map(quoted, folders)),
        )


def remembered(run: Path) -> list[Path]:
    """The stored folders whose classes a run uses."""
    try:
        known = json.loads(read_text(_file(run), LARGEST))
        folders = known["folders"] if known["run"] == str(run.resolve()) else []
        return [Path(folder) for folder in folders if os.path.isabs(folder)]
    # Without such a file the user's own folders are looked through.
    except (KeyError, OSError, RuntimeError, TypeError, ValueError):
        return []


def _file(run: Path) -> Path:
    name = hashlib.sha256(os.fsencode(run.resolve())).hexdigest()[:32]
    return cache_folder() / "class_folders" / f"{name}.json"
