"""Loading of stored prompts into an optimizer, for ``--run``."""

from pathlib import Path

import lightning as L
from lightning.pytorch.callbacks import Callback

from fuse_lightning.evaluation.stored import all_targets, matched
from fuse_lightning.results import run_results
from fuse_lightning.search import search_of


class StoredPrompts(Callback):
    """Callback that loads the prompts of a run's folder into the optimizer.

    Args:
        run: The run's folder, such as logs/search/version_0.
    """

    def __init__(self, run: Path) -> None:
        self.run = Path(run)

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Reads the prompts, before any model is loaded.

        Raises:
            FuseError: If there are none, or they are not those of the data's targets.
        """
        search = search_of(pl_module)
        search.results = run_results(self.run)
        matched(all_targets(trainer), search.results)
