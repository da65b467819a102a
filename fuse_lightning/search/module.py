"""The state of a search: what checkpoints keep, and when a search may go on with it."""

from pathlib import Path
from typing import Any

import lightning as L
import torch

from fuse_lightning.data import TargetDataModule
from fuse_lightning.errors import FuseError
from fuse_lightning.objectives import Objective
from fuse_lightning.optimizers.constraints import Constraints
from fuse_lightning.results.result import Result
from fuse_lightning.results.run_folder import RunFolder, folder_of
from fuse_lightning.search import Frontier, GreedySearch
from fuse_lightning.search.discrete_step import DiscreteStep
from fuse_lightning.search.rank_checkpoints import (
    MALFORMED,
    complete,
    reduce_to_search,
    results_of,
    unreadable,
)
from fuse_lightning.search.target_search import TargetSearch
from fuse_lightning.utilities.identity import CONTENT, Identity, difference
from fuse_lightning.utilities.processes import gather


class ResumableSearch(L.LightningModule):
    """A Lightning module whose searches, one for each target, go on where a checkpoint left them.

    Attributes:
        results: Results of this device; of earlier processes, on the first device alone.
        searches: The searches of the batch's targets.
        waiting: States of this device's searches that a checkpoint left under way and that have
            not gone on yet, by target.
        finished: Ids of targets whose search ended before this process began.
        durable: How many of the results are in a file, so that no checkpoint need hold them.
        folder: The run's folder, where it was taken before the trainer began.
        goes_on: Whether the run goes on in its folder.
        overwrite: Whether the run may replace what lies in its folder.
        origin: Folder of the run that wrote the checkpoint that this one goes on with.
    """

    objective: Objective
    constraints: Constraints
    seed: int

    def __init__(self) -> None:
        super().__init__()
        self.counter = torch.zeros(1)
        self.folder: RunFolder | None = None
        self.goes_on = self.overwrite = False
        self.forget_searches()

    def forget_searches(self) -> None:
        """Begins anew."""
        self.results: list[Result] = []
        self.searches: list[TargetSearch] = []
        self.waiting: dict[str, dict[str, Any]] = {}
        self.finished: set[str] = set()
        self.durable = 0
        self.origin: Path | None = None

    @property
    def strategy(self) -> Frontier:
        """The trainer's search strategy."""
        callbacks = self.trainer.callbacks  # type: ignore[attr-defined]
        return next(callback for callback in callbacks if isinstance(callback, Frontier))

    def on_fit_start(self) -> None:
        """Tells all devices which targets have ended; the first alone keeps their results."""
        ended = {result.target for result in self.results if result.finished}
        self.finished = set().union(*gather(ended))
        self.waiting = {n: state for n, state in self.waiting.items() if n not in self.finished}
        if not self.trainer.is_global_zero:
            self.results, self.durable = [], 0

    def identity(self, *, content: bool = True, trainer: L.Trainer | None = None) -> Identity:
        """What a search must be of to go on with a checkpoint or in a run's folder.

        The objective, what a prompt may hold, and the seed; not how much effort is spent: steps,
        candidates, widths, batch sizes, devices and limits may change.

        Args:
            content: Whether to look at the loaded models' weights too.
            trainer: The trainer that is about to begin, where it has not begun.
        """
        trainer = trainer or self.trainer
        callbacks = trainer.callbacks  # type: ignore[attr-defined]
        kinds = [type(each) for each in callbacks if isinstance(each, Frontier)]
        parts = {
            "optimizer": type(self).__name__,
            "search strategy": (kinds or [GreedySearch])[0].__name__,
            "seed": str(self.seed),
            "precision": str(trainer.precision),
            "terms": ", ".join(term.name for term in self.objective.terms),
            "constraints": repr(self.constraints),
        }
        for term in self.objective.terms:
            parts |= {f"{part} of {term.name}": text for part, text in term.identity().items()}
            if content:
                parts[f"{CONTENT} {term.name}"] = term.model.fingerprint
        return parts

    def check_identity(
        self,
        known: Identity,
        what: str,
        *,
        content: bool = True,
        trainer: L.Trainer | None = None,
    ) -> None:
        """Checks that the search is the same as one that was begun before.

        Args:
            known: The :meth:`identity` of that one.
            what: What is to go on, for the error.
            content: Whether the models are loaded.
            trainer: The trainer that is about to begin, where it has not begun.

        Raises:
            FuseError: If it is another one; names the first difference.
        """
        now = self.identity(content=content, trainer=trainer)
        if not content:
            known = {name: text for name, text in known.items() if not name.startswith(CONTENT)}
        if other := difference(known, now):
            raise FuseError(
                f"{what} is of another search: {other}; go on with the same, or start a new run"
            )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds what the other devices know, and whose checkpoint it is."""
        complete(checkpoint, folder_of(self.trainer))

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Takes the searches of a checkpoint, or all results where nothing is resumed.

        Raises:
            FuseError: If it is of another search, or of targets with other content.
        """
        state = checkpoint["state_dict"]["_extra_state"]
        if self._trainer is None or self.trainer.state.fn != "fit":
            state["results"] = [result.to_dict() for result in results_of(checkpoint)]
            return
        self.check_identity(state["identity"], "the checkpoint")
        self.origin = Path(checkpoint["run"])
        reduce_to_search(checkpoint, self.trainer, DiscreteStep(self.counter).state_dict())
        # Searches that were cut short go on.
        # A run that goes on in its own folder reads the files there itself.
        found = state["results"] if self.goes_on else map(Result.to_dict, results_of(checkpoint))
        state["results"] = [row for row in found if row["finished"]]
        begun = self._begun(state["searches"])
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        if isinstance(data, TargetDataModule):
            data.check_digests(begun, "the checkpoint")

    def _begun(self, searches: dict[str, Any]) -> dict[str, str]:
        """Content digests of the targets whose searches a checkpoint holds, which are checked."""
        size, terms = self.objective.primary.vocab_size, len(self.objective.terms)
        try:
            found = {
                name: TargetSearch.from_state(each["search"]) for name, each in searches.items()
            }
            for name, search in found.items():
                search.check(name, size, terms)
        except MALFORMED as error:
            raise unreadable() from error
        return {name: search.digest for name, search in found.items()}

    def target_state(self, place: int) -> dict[str, Any]:
        """All that is known of the search of one target, as plain containers and tensors."""
        return {
            "search": self.searches[place].state_dict(),
            "frontier": self.strategy.target_state(place),
        }

    def restore_target(self, place: int, state: dict[str, Any]) -> None:
        """Takes back the :meth:`target_state` of a target that has just entered the batch."""
        self.searches[place] = TargetSearch.from_state(state["search"])
        self.strategy.restore(place, state["frontier"])

    def _restore(self, place: int, state: dict[str, Any]) -> None:
        size = self.objective.primary.vocab_size
        try:
            self.restore_target(place, state)
            for _, row in self.strategy.frontiers[place]:
                if not all(0 <= token < size for token in row):
                    raise ValueError("a token is none of the primary's")
        except MALFORMED as error:
            raise unreadable() from error

    def get_extra_state(self) -> dict[str, Any]:
        """Searches under way and results that are in no file, as plain containers and tensors."""
        running = [place for place, search in enumerate(self.searches) if not search.done]
        own = {self.searches[place].name: self.target_state(place) for place in running}
        return {
            "identity": {} if self._trainer is None else self.identity(),
            "results": [result.to_dict() for result in self.results[self.durable :]],
            "searches": own | self.waiting,
        }

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restores :meth:`get_extra_state`."""
        self.results = [Result.from_dict(result) for result in state["results"]]
        self.searches, self.waiting = [], dict(state["searches"])
