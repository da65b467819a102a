"""Resumable searches: the checkpointed state, and the check that a search may use it."""

from pathlib import Path
from typing import Any

import lightning as L
import torch

from fuse_lightning.errors import FuseError
from fuse_lightning.results.result import Result
from fuse_lightning.results.run_folder import RunFolder, folder_of
from fuse_lightning.search.beam import GreedySearch
from fuse_lightning.search.checks import check_plain, shortened
from fuse_lightning.search.discrete_step import DiscreteStep
from fuse_lightning.search.frontier import Frontier, StateT
from fuse_lightning.search.hooks import SearchHooks
from fuse_lightning.search.lightning_glue import data_of, frontiers_of
from fuse_lightning.search.rank_checkpoints import (
    EXTRA,
    MALFORMED,
    complete,
    reduce_to_search,
    results_of,
    summed,
    unreadable,
)
from fuse_lightning.search.target_search import TargetSearch
from fuse_lightning.utilities.identity import CONTENT, Identity, difference
from fuse_lightning.utilities.processes import Team

COMMON = {"optimizer", "frontier", "seed", "precision"}
"""Parts of the identity of every search."""


class ResumableSearch(L.LightningModule, SearchHooks[StateT]):
    """Lightning module whose searches, one per target, resume from a checkpoint.

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
        team: Processes that search the same targets together; the first reports results.
    """

    seed: int

    def __init__(self) -> None:
        super().__init__()
        self.counter = torch.zeros(1)
        self.folder: RunFolder | None = None
        self.goes_on = self.overwrite = False
        self.forget_searches()

    def forget_searches(self) -> None:
        """Drops all searches and results, before a new fit."""
        self.results: list[Result] = []
        self.searches: list[TargetSearch[StateT]] = []
        self.waiting: dict[str, dict[str, Any]] = {}
        self.finished: set[str] = set()
        self.durable = 0
        self.origin: Path | None = None
        self.team = Team()

    @property
    def frontier(self) -> Frontier[StateT]:
        """Frontier of the trainer, which keeps the states between steps."""
        return frontiers_of(self.trainer)[0]

    # Which search may go on

    def identity(self, *, content: bool = True, trainer: L.Trainer | None = None) -> Identity:
        """Identity of a search, which must be equal for it to resume.

        The objective, what a prompt may hold, and the seed; not how much effort is spent: steps,
        candidates, widths, batch sizes, devices and limits may change.

        Args:
            content: Whether to look at the loaded models' weights too.
            trainer: The trainer that is about to begin, where it has not begun.
        """
        trainer = trainer or self.trainer
        kinds = [type(each) for each in frontiers_of(trainer)] or [GreedySearch]
        return {
            "optimizer": type(self).__name__,
            "frontier": kinds[0].__name__,
            "seed": str(self.seed),
            "precision": str(trainer.precision),
            **self.own_identity(content=content),
        }

    def check_identity(
        self,
        known: Identity,
        what: str,
        *,
        content: bool = True,
        trainer: L.Trainer | None = None,
    ) -> None:
        """Checks that the search is the same as an earlier one.

        Args:
            known: The :meth:`identity` of that one.
            what: Name of the earlier search in the error.
            content: Whether the models are loaded.
            trainer: The trainer that is about to begin, where it has not begun.

        Raises:
            FuseError: If it is another one; names the first difference.
        """
        now = self.identity(content=content, trainer=trainer)
        if not known.keys() >= COMMON:
            raise FuseError(
                f"{what} is of another version of this package; start a new run, with "
                "data.skip_finished for what that one has finished"
            )
        if not content:
            known = {name: text for name, text in known.items() if not name.startswith(CONTENT)}
        if other := difference(known, now):
            raise FuseError(
                f"{what} is of another search: {other}; go on with the same, or start a new run"
            )

    # Checkpoints

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds the other devices' state, and the run's folder."""
        complete(checkpoint, folder_of(self.trainer))

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restores the searches of a checkpoint, or only all results if nothing is resumed.

        Raises:
            FuseError: If it is of another search, or of targets with other content.
        """
        state = checkpoint["state_dict"][EXTRA]
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
        if (data := data_of(self.trainer)) is not None:
            data.check_digests(begun, "the checkpoint")

    def _begun(self, searches: dict[str, Any]) -> dict[str, str]:
        """Checked content digests of the targets whose searches a checkpoint holds."""
        try:
            found = {
                name: self._read_search(name, each["search"]) for name, each in searches.items()
            }
        except MALFORMED as error:
            raise unreadable() from error
        return {name: search.digest for name, search in found.items()}

    def _read_search(self, name: str, saved: dict[str, Any]) -> TargetSearch[StateT]:
        """Checked search of a target from a checkpoint."""
        search = TargetSearch[StateT].from_state(saved)
        search.check(name, len(self.loss_names()), self.check_state)
        self.take_back(search)
        return search

    def target_state(self, place: int) -> dict[str, Any]:
        """State of one target's search, as plain containers and tensors.

        Raises:
            FuseError: If a part of it is such that no search could go on with it.
        """
        search, frontier = self.searches[place], self.frontier
        kept, name = frontier.target_state(place), type(frontier).__name__
        if not isinstance(search.own, dict):
            raise FuseError(
                f"{type(self).__name__} keeps {shortened(search.own)} in the own state of "
                f"{search.name!r}; keep a dict"
            )
        check_plain(search.own, f"{type(self).__name__} keeps {shortened(search.own)}")
        check_plain(kept, f"{name} keeps {shortened(kept['own'] or kept['frontier'])}")
        for _, state in kept["frontier"]:
            try:
                self.check_state(state)
            except MALFORMED as error:
                raise FuseError(
                    f"{name} keeps {shortened(state)}, which is no state of "
                    f"{type(self).__name__} ({error}); keep states as they were given"
                ) from error
        return {"search": search.state_dict(), "frontier": kept}

    def restore_target(self, place: int, state: dict[str, Any]) -> None:
        """Restores the :meth:`target_state` of a target that has just entered the batch.

        Raises:
            FuseError: If it is no such state.
        """
        try:
            self.searches[place] = self._read_search(self.searches[place].name, state["search"])
            self.frontier.restore(place, state["frontier"])
            for _, each in self.frontier.frontiers[place]:
                self.check_state(each)
        except FuseError:
            raise
        except MALFORMED as error:
            raise unreadable() from error

    def get_extra_state(self) -> dict[str, Any]:
        """Searches in progress and unwritten results, as plain containers and tensors."""
        running = [place for place, search in enumerate(self.searches) if not search.done]
        own = {self.searches[place].name: self.target_state(place) for place in running}
        return {
            "identity": {} if self._trainer is None else self.identity(),
            "results": [result.to_dict() for result in self.results[self.durable :]],
            "searches": own | self.waiting,
            "counts": [self.kept_counts()],
        }

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restores :meth:`get_extra_state`."""
        self.results = [Result.from_dict(result) for result in state["results"]]
        self.searches, self.waiting = [], dict(state["searches"])
        trainer = self._trainer
        rank, size = (0, 1) if trainer is None else (trainer.global_rank, trainer.world_size)
        # Checkpoints of earlier versions hold none.
        self.take_counts(summed(state.get("counts", [])[rank::size]))
