"""Lifecycle of every search: one Lightning training step is one search step."""

import time
from collections.abc import Sequence
from dataclasses import fields, replace
from itertools import zip_longest
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback

from fuse_lightning.data import Target, TargetBatch
from fuse_lightning.engine.meter import Work
from fuse_lightning.errors import FuseError
from fuse_lightning.results.distributed import gathered
from fuse_lightning.results.result import NO_PROMPT
from fuse_lightning.search.beam import GreedySearch
from fuse_lightning.search.checks import check_expanded, check_kept
from fuse_lightning.search.curves import RunMeans
from fuse_lightning.search.discrete_step import DiscreteStep
from fuse_lightning.search.frontier import StateT
from fuse_lightning.search.lightning_glue import (
    check_trainer,
    data_of,
    frontiers_of,
    settle_precision,
    settle_trainer,
)
from fuse_lightning.search.limits import Limits
from fuse_lightning.search.resumable import ResumableSearch
from fuse_lightning.search.target_search import Best, TargetSearch
from fuse_lightning.utilities.processes import Team, gather
from fuse_lightning.utilities.stops import no_stop


class SearchModule(ResumableSearch[StateT]):
    """Base of searches: steps, limits, results, checkpoints, devices and logging.

    A step asks the frontier (a callback of the trainer) for states, lets :meth:`propose` make
    candidates of them, gives these to :meth:`score`, and hands the losses back to the frontier.
    The best prompt over all steps is the result. A subclass says what a state is (token ids, a
    text, ...), what is proposed, and how it is scored, by the methods of
    :class:`~fuse_lightning.search.hooks.SearchHooks`; nothing here knows.

    Args:
        steps: Most steps for each target.
        patience: End a target after so many steps without a better prompt; ``None`` for never.
        stop_loss: End a target once its loss is at most this; ``None`` for never.
        max_evaluations: Budget of a target: prompts scored, or pairs of a prompt and an example. A
            target ends after the step that uses a budget up. ``None`` for no limit.
        max_tokens: Budget of positions that models read; targets of a batch share a step's alike.
        max_seconds: Budget of wall time, shared alike too; ``trainer.max_time`` ends the whole run.
        max_flops: Budget of the models' floating-point operations, shared alike too.
        top: Prompts reported for each target, best first.
        seed: Seed of the search; each target has a random stream of its own.

    Attributes:
        targets: The targets of the batch.
        expanded: States that the present step goes on from, for each target.

    Raises:
        FuseError: If an option is out of its range.
    """

    def __init__(
        self,
        steps: int = 16,
        patience: int | None = None,
        stop_loss: float | None = None,
        max_evaluations: int | None = None,
        max_tokens: int | None = None,
        max_seconds: float | None = None,
        max_flops: float | None = None,
        top: int = 1,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.steps = steps
        self.patience = patience
        self.stop_loss = stop_loss
        self.max_evaluations = max_evaluations
        self.max_tokens = max_tokens
        self.max_seconds = max_seconds
        self.max_flops = max_flops
        self.top = top
        self.seed = seed
        self.targets: list[Target] = []
        self.expanded: list[list[StateT]] = []
        self.means = RunMeans()
        if top < 1:
            raise FuseError(f"top is {top}; it must be at least 1")
        # Raises an error over one that is out of its range.
        _limits_of(self)

    @property
    def limits(self) -> Limits:
        """Limits that end a target's search."""
        return _limits_of(self)

    @property
    def best(self) -> list[Best[StateT] | None]:
        """Best prompt so far of each target of the batch."""
        return [search.best for search in self.searches]

    def stalled(self, search: TargetSearch[StateT], since: int) -> bool:
        """Whether too many steps after ``since`` brought no better prompt."""
        return self.limits.stalled(search, since)

    def keep(self, place: int, found: Best[StateT]) -> None:
        """Stores a prompt of a target of the batch, if it is among the best."""
        self.searches[place].keep(found, self.top)

    # Lightning's hooks

    def setup(self, stage: str) -> None:
        """Checks the trainer, and begins a new search for a fit."""
        settle_precision(self.trainer)
        if stage == "fit":
            check_trainer(self.trainer)
            settle_trainer(self.trainer)
            self.targets = []
            self.forget_searches()

    def configure_optimizers(self) -> DiscreteStep:
        """The step optimizer that makes Lightning count search steps."""
        return DiscreteStep(self.counter)

    def configure_callbacks(self) -> Sequence[Callback]:
        """Adds greedy search where the trainer was given no frontier."""
        return [] if frontiers_of(self.trainer) else [GreedySearch()]

    def on_fit_start(self) -> None:
        """Agrees with the other devices on the targets that are left, and deals them.

        The first device alone keeps the results of targets that have ended.
        """
        ended = {result.target for result in self.results if result.finished}
        self.finished = set().union(*gather(ended))
        self.waiting = {n: state for n, state in self.waiting.items() if n not in self.finished}
        if not self.trainer.is_global_zero:
            self.results, self.durable = [], 0
        if (data := data_of(self.trainer)) is not None:
            self.team = _team_of(self, data.targets)
            queue = data.deal(self.steps, self.finished, [*self.waiting], self.team.size > 1)
            # A state that another device goes on from would be old in this one's next checkpoint.
            own = {target.id for target in queue.targets}
            self.waiting = {name: each for name, each in self.waiting.items() if name in own}

    def on_train_epoch_end(self) -> None:
        """Ends the run: one epoch serves all steps of every target."""
        self.trainer.should_stop = True

    def on_train_end(self) -> None:
        """Collects the results of several devices, in the order of the targets.

        Where the run ended before its targets did, as by ``trainer.max_time``, their best
        prompts so far are among the results.
        """
        own = [search for search in self.searches if not search.done]
        waiting = [
            TargetSearch[StateT].from_state(each["search"]) for each in self.waiting.values()
        ]
        for search in [*own, *waiting]:
            self._add_results(search)
        self.results, self.durable = gathered(self.results, self.trainer), 0

    def validation_step(self, batch: TargetBatch, batch_idx: int) -> None:
        """Does nothing: callbacks measure, and may change the objective's targets."""
        self.targets = []

    test_step = validation_step

    def predict_step(self, batch: TargetBatch, batch_idx: int) -> list[dict[str, Any]]:
        """Results of a batch's targets, in the form of :meth:`Result.to_dict`."""
        names = {target.id for target in batch.targets}
        return [result.to_dict() for result in self.results if result.target in names]

    @no_stop
    def training_step(self, batch: TargetBatch, batch_idx: int) -> None:
        """One search step for every target of the batch."""
        optimizer = self.optimizers()
        optimizer.step(closure=lambda: self._search(batch))  # type: ignore[union-attr]

    # One step

    @torch.no_grad()
    def _search(self, batch: TargetBatch) -> None:
        begin, before = time.perf_counter(), self.spent()
        self._regroup(batch.targets)
        if not batch.targets:
            return
        for search in self.searches:
            search.step += 1
        self.begin_step([search.step - 1 for search in self.searches])
        states = self.frontier.expand()
        check_expanded(states, len(self.searches), type(self.frontier).__name__)
        count = self._move(states) if any(states) else 0
        seconds, work = _used(self, begin, before)
        for place, search in enumerate(self.searches):
            search.spend(seconds, work, len(self.searches))
            if search.step == 1:
                # What no checkpoint can hold shows before much has been searched.
                self.target_state(place)
            if self._over(place) or batch.queue.is_last(search.name):
                self._finish(place, batch)
        if told := self.means.told(self.results, self.searches, self.loss_names()):
            told["train/candidates_per_second"] = count / seconds
            self.log_dict(told | self.figures(), batch_size=len(self.searches))

    def _regroup(self, targets: Sequence[Target]) -> None:
        """Drops the searches of ended targets, and starts those of new ones."""
        places = {search.name: n for n, search in enumerate(self.searches) if not search.done}
        staying = [places[target.id] for target in targets if target.id in places]
        new = [target for target in targets if target.id not in places]
        if any(before is not now for before, now in zip_longest(self.targets, targets)):
            self.targets = list(targets)
            # A device may be left without targets while others still have some.
            if targets:
                self.set_targets(targets)
        saved = {target.id: self.waiting.pop(target.id, None) for target in new}
        self.searches = [self.searches[place] for place in staying]
        self.searches += [
            TargetSearch.begin(target.id, target.digest, self.seed, target.source) for target in new
        ]
        entered = [*enumerate(saved.values(), start=len(staying))]
        fresh = [place for place, state in entered if state is None]
        begun = dict(zip(fresh, self.team.first(self.start_states(fresh)), strict=True))
        self.frontier.regroup(staying, [begun.get(place, []) for place, _ in entered])
        for place, state in entered:
            if state is not None:
                self.restore_target(place, state)
        if fresh and self.scores_start():
            self._score_starts(begun)

    def _score_starts(self, begun: dict[int, list[StateT]]) -> None:
        """Scores the given start states, so that no result is worse than they are."""
        self.expanded = [begun.get(place, []) for place in range(len(self.searches))]
        given = [[state for state in states if state] for states in self.expanded]
        for place, scored in enumerate(self.team.first(self.score(given))):
            if scored:
                self.frontier.enter(place, scored)

    def _move(self, states: list[list[StateT]]) -> int:
        """Proposes, scores and selects; returns the number of candidates."""
        self.expanded = states
        # Devices may round in different ways: those that share a target go on from the same.
        first = self.team.first
        scored = first(self.score(first(self.propose(states))))
        more = first(self.refine(scored))
        if any(more):
            scored = [a + b for a, b in zip(scored, first(self.score(more)), strict=True)]
        if self.frontier.compares:
            self.frontier.frontiers = self.rescored(self.frontier.frontiers)
        before = self.frontier.frontiers
        self.frontier.update(scored)
        check_kept(self.frontier.frontiers, len(scored), type(self.frontier).__name__)
        if self.persists:
            now = self.frontier.frontiers
            self.frontier.frontiers = [new or old for new, old in zip(now, before, strict=True)]
        return sum(map(len, scored))

    def _over(self, place: int) -> bool:
        """Whether a target's search has ended."""
        search, limits = self.searches[place], self.limits
        if limits.spent(search) or not self.frontier.frontiers[place]:
            return True
        if search.best is None:
            return False
        return limits.reached(search) or self.stalled(search, search.best.step)

    def _finish(self, place: int, batch: TargetBatch) -> None:
        search = self.searches[place]
        search.done = True
        self.frontier.close(place)
        self._add_results(search)
        batch.queue.ended(search.name)
        if search.best is None:
            reason = f"{NO_PROMPT} {search.name!r}: {self.nothing_fits}"
            batch.queue.skipped(self.targets[place], reason)

    def _add_results(self, search: TargetSearch[StateT]) -> None:
        told = replace(search, kept=self.reported(search))
        if self.team.leads:
            self.results += told.results(self.loss_names(), self.seed, self.ids_of)


def _limits_of(module: SearchModule[Any]) -> Limits:
    return Limits(**{field.name: getattr(module, field.name) for field in fields(Limits)})


def _team_of(module: SearchModule[Any], targets: Sequence[Target]) -> Team:
    """Devices of a run, where they share the work on each target; else this one alone."""
    shared = module.trainer.world_size > 1 and module.shares_targets(targets)
    return Team(module.trainer.global_rank, module.trainer.world_size) if shared else Team()


def _used(module: SearchModule[Any], begin: float, before: Work) -> tuple[float, Work]:
    """Time and work of a step by all devices that share it, as they end a target together.

    Args:
        module: The search.
        begin: When the step began.
        before: Work of this device up to then.
    """
    seconds, now = time.perf_counter() - begin, module.spent()
    parts = module.team.gather((now.tokens - before.tokens, now.flops - before.flops))
    return module.team.first(seconds), Work(*map(sum, zip(*parts, strict=True)))


def search_of(module: L.LightningModule) -> SearchModule[Any]:
    """The search module of a trainer.

    Raises:
        FuseError: If it is none.
    """
    if not isinstance(module, SearchModule):
        raise FuseError(
            f"{type(module).__name__} is no search; give the trainer a SearchModule, such as GCG"
        )
    return module
