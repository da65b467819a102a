"""Files with the best prompt of each picture beside it, as trainers of picture models read."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback

from fuse_lightning.data import Target
from fuse_lightning.data.names import some
from fuse_lightning.data.sources import ZOO_SCENES
from fuse_lightning.errors import FuseError
from fuse_lightning.search import search_of
from fuse_lightning.utilities.files import replace_file
from fuse_lightning.utilities.option_names import option
from fuse_lightning.utilities.terminal import quoted

logger = logging.getLogger(__name__)
ENDING = ".txt"


class Sidecars(Callback):
    """Callback that writes the best prompt of each target beside each of its pictures.

    The prompt of ``photo.png`` is in ``photo.txt``. A file that is there already stays, also one of
    an earlier run, unless ``force`` is set; one warning names such files. Of two pictures that
    differ in their endings alone, the first has the file. At the end a log message says how many
    files were written, and where.

    Args:
        targets: The targets.
        force: Whether to replace files.

    Raises:
        FuseError: If no target has a picture in a file of the user's own.
    """

    def __init__(self, targets: Sequence[Target], force: bool = False) -> None:
        self.places: dict[str, list[Path]] = {}
        self.written: list[Path] = []
        self.told = 0
        kept: list[str] = []
        taken: set[Path] = set()
        found = False
        for target in targets:
            for picture in target.pictures:
                if not isinstance(picture, Path) or ZOO_SCENES in picture.parents:
                    continue
                found = True
                place = picture.with_suffix(ENDING)
                # A picture may be called .txt itself.
                there = os.path.lexists(place) and not (force and place != picture)
                if there or place in taken:
                    kept.append(str(place))
                    continue
                taken.add(place)
                self.places.setdefault(target.id, []).append(place)
        if not found:
            raise FuseError(
                "a sidecar is a text beside a picture, and no target has a picture in a file of "
                f"yours; give paths of pictures, or leave {option('sidecar')} out"
            )
        if kept:
            what = "1 text beside a picture is there already and stays"
            if len(kept) > 1:
                what = f"{len(kept)} texts beside pictures are there already and stay"
            logger.warning("%s: %s; %s replaces what is there", what, some(kept), option("force"))

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, *args: Any
    ) -> None:
        """Writes the prompts of the targets that have ended since the last step.

        Raises:
            FuseError: If a file cannot be written.
        """
        results = search_of(pl_module).results
        for result in results[self.told :]:
            if result.rank != 1:
                continue
            for place in self.places.get(result.target, ()):
                try:
                    replace_file(place, f"{result.prompt}\n")
                except OSError as error:
                    raise FuseError(
                        f"{quoted(place)} cannot be written ({error.strerror or error}); make room "
                        f"or allow writing there, or leave {option('sidecar')} out"
                    ) from error
                self.written.append(place)
        self.told = len(results)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Logs how many files were written, and in which folders."""
        self._tell()

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        """Logs how many files were written before an interrupt or an error."""
        self._tell()

    def _tell(self) -> None:
        if self.written:
            count = len(self.written)
            folders = dict.fromkeys(str(place.parent) for place in self.written)
            texts = "1 prompt as a text" if count == 1 else f"{count} prompts as texts"
            logger.info("wrote %s beside the pictures in %s", texts, some(folders))
