"""Base of all data modules of targets."""

import logging
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, get_args

import lightning as L
import torch
from lightning.pytorch.utilities import rank_zero_info, rank_zero_only

from fuse_lightning.data.finished import Finished
from fuse_lightning.data.loader import TargetLoader
from fuse_lightning.data.names import Root, some, turn
from fuse_lightning.data.queue import TargetBatch, TargetQueue
from fuse_lightning.data.targets import Target
from fuse_lightning.errors import FuseError
from fuse_lightning.utilities.processes import gather
from fuse_lightning.utilities.terminal import visible

logger = logging.getLogger(__name__)

OnError = Literal["raise", "skip"]
NAMED = 10


class TargetDataModule(L.LightningDataModule, ABC):
    """Data module that serves targets in batches and shares them out over devices.

    Args:
        batch_size: Targets searched together.
        limit: Only the first so many targets.
        shuffle: Whether to shuffle the targets, before they are limited.
        seed: Seed of that order, which is the same on every device.
        skip_finished: A run's folder or its ``prompts.jsonl``, or several, whose targets are
            left out: those of the same name and content.
        on_error: Whether a target that cannot be read ends the run ("raise"), or is named,
            counted and left out ("skip").
        root: Folder that relative sources are looked up in, and that ids are relative to; by
            default the current folder.

    Attributes:
        root: Absolute path of the folder for relative sources.
        targets: The targets, once they are set up.
        skipped: Why targets were left out, by id.
        begun: Ids of the targets that a run was begun with, where one goes on or is measured.
        finished: Ids of targets that are finished.
    """

    def __init__(
        self,
        batch_size: int = 1,
        limit: int | None = None,
        shuffle: bool = False,
        seed: int = 0,
        skip_finished: str | list[str] | None = None,
        on_error: OnError = "raise",
        root: str | None = None,
    ) -> None:
        super().__init__()
        for name, value in (("batch_size", batch_size), ("limit", limit)):
            if value is not None and value < 1:
                raise FuseError(f"data.{name} is {value}; it must be at least 1")
        if on_error not in get_args(OnError):
            raise FuseError(f"data.on_error is {on_error!r}; it must be raise or skip")
        self.batch_size = batch_size
        self.limit = limit
        self.shuffle = shuffle
        self.seed = seed
        runs = [skip_finished] if isinstance(skip_finished, str) else skip_finished
        self.skip_finished = list(runs or [])
        self.on_error = on_error
        self.root = str(Root(root).folder)
        self.targets: list[Target] = []
        self.skipped: dict[str, str] = {}
        self.finished: set[str] = set()
        self.begun: set[str] = set()
        self._loader: TargetLoader | None = None

    @abstractmethod
    def all_targets(self) -> list[Target]:
        """All targets, unread, in order and with distinct ids."""

    def variants(self, target: Target) -> list[Target]:
        """Targets searched in place of one target, itself by default."""
        return [target]

    def check(self, target: Target) -> None:
        """Reads a target's headers and digest before the search.

        Raises:
            FuseError: If it cannot be searched for.
        """
        target.check_images()

    def find_targets(self) -> list[Target]:
        """The targets to search for, in order, with distinct ids; all of them are readable.

        Raises:
            FuseError: If there are none, two have the same id, or one is bad and ``on_error`` is
                "raise".
        """
        self.skipped = {}
        finished = Finished(self.skip_finished)
        # What the run itself was begun with stays its own, also where others have finished it.
        for name in self.begun:
            finished.digests.pop(name, None)
        self.finished = set(finished.digests)
        found = _listed(self.all_targets(), type(self).__name__)
        if not found:
            raise FuseError("the data has no targets; give it at least one")
        chosen = self._choose(found, finished)
        self.finished -= set(finished.changed)
        variants = [each for target in found for each in self.variants(target)]
        done = sum(each.id in self.finished for each in variants)
        runs = ", ".join(map(repr, self.skip_finished))
        if not chosen and not self.skipped:
            raise FuseError(
                f"all {done} targets are finished in {runs}; nothing is left to search for"
            )
        if runs:
            rank_zero_info(f"{done} of {len(variants)} targets are finished in {runs}")
        _tell_changed([*finished.changed], runs)
        self._need(chosen)
        targets = [each for target in chosen for each in self._left(target, finished)]
        times = Counter(target.id for target in targets)
        if (most := times.most_common(1)) and most[0][1] > 1:
            raise FuseError(f"{most[0][1]} targets have the id {most[0][0]!r}; give each its own")
        return targets

    def _left(self, target: Target, finished: Finished) -> list[Target]:
        return [each for each in self.variants(target) if not finished.has(each)]

    def select(self, targets: list[Target]) -> list[Target]:
        """Readable targets, up to ``limit`` of them, shuffled if that is wanted.

        Raises:
            FuseError: If none is left, or one is bad and ``on_error`` is "raise".
        """
        chosen = self._choose(targets, Finished())
        self._need(chosen)
        return chosen

    def _need(self, chosen: list[Target]) -> None:
        if not chosen:
            name, reason = next(iter(self.skipped.items()))
            count = len(self.skipped)
            told = f"none of {count} targets can be read; the first, {name!r}: {reason}"
            raise FuseError(reason if count == 1 else told)

    def _choose(self, targets: list[Target], finished: Finished) -> list[Target]:
        """Unfinished, readable targets; no more are read than needed."""
        order = list(range(len(targets)))
        if self.shuffle:
            # By its own hash each keeps its turn, whichever others are finished.
            order.sort(key=lambda index: turn(self.seed, targets[index].id))
        limit = self.limit or len(targets)
        left = deque(order)
        chosen: list[int] = []
        known = len(self.skipped)
        while left and len(chosen) < limit:
            part: list[int] = []
            wanted = limit - len(chosen)
            while left and wanted:
                part.append(left.popleft())
                # One that may be finished is looked at beside those that are not.
                wanted -= not all(map(finished.names, self.variants(targets[part[-1]])))
            # Rows of a file are read fastest in its own order.
            good = {
                index
                for index in sorted(part)
                if self._left(targets[index], finished) and self._is_good(targets[index])
            }
            chosen += [index for index in part if index in good]
        _report([*self.skipped.items()][known:])
        return [targets[index] for index in chosen[:limit]]

    def _is_good(self, target: Target) -> bool:
        try:
            self.check(target)
        except FuseError as error:
            if self.on_error == "raise":
                raise
            self.skipped[target.id] = str(error)
            return False
        return True

    def skip(self, target: Target, reason: str) -> None:
        """Records and logs a target that is left out during the search.

        Raises:
            FuseError: If ``on_error`` is "raise".
        """
        if self.on_error == "raise":
            raise FuseError(reason)
        self.skipped[target.id] = reason
        logger.warning("target %r is left out: %s", target.id, visible(reason))

    def setup(self, stage: str) -> None:
        """Finds the targets, before a model is loaded."""
        if not self.targets:
            targets = self.find_targets()
            # What one device cannot read, such as an address, none searches: shares must fit.
            ids = set[str].intersection(*gather({target.id for target in targets}))
            self.targets = [target for target in targets if target.id in ids]

    def check_digests(self, known: Mapping[str, str], what: str) -> None:
        """Checks that the targets of a resumed search are there, with unchanged content.

        Args:
            known: Content digests by id; an empty one is not compared.
            what: Name of the file with the digests, for the error.

        Raises:
            FuseError: If a target is missing, or has other content now.
        """
        now = {target.id: target for target in self.targets}
        for name, digest in known.items():
            if name not in now:
                raise FuseError(
                    f"{what} is of a search for other targets: {name!r} is not among the data's "
                    "now; go on with the same data, or start a new run with data.skip_finished"
                )
            if digest and now[name].digest != digest:
                raise FuseError(
                    f"target {name!r} has other content now than when {what} was written; bring "
                    "the old content back, or start a new run"
                )

    def transfer_batch_to_device(
        self, batch: TargetBatch, device: torch.device, dataloader_idx: int
    ) -> TargetBatch:
        """Returns the batch unchanged: terms move what they need."""
        return batch

    def deal(
        self,
        steps: int,
        finished: Collection[str] = (),
        under_way: Sequence[str] = (),
        shared: bool = False,
    ) -> TargetQueue:
        """Deals the targets to the devices; :meth:`train_dataloader` serves this one's share.

        Args:
            steps: Most steps of each target.
            finished: Ids of targets that have ended and are left out.
            under_way: Ids of targets that a checkpoint left under way; they come first.
            shared: Whether every device serves all of them, as it does a share of each one's work.
        """
        order = {name: place for place, name in enumerate(under_way)}
        left = [target for target in self.targets if target.id not in finished]
        if not left:
            rank_zero_info(f"all {len(self.targets)} targets have results; nothing is left to do")
        left.sort(key=lambda target: order.get(target.id, len(order)))
        self._loader = self._dealt(left, steps, shared)
        return self._loader.queue

    def train_dataloader(self) -> TargetLoader:
        """Loader of this device's targets, as dealt by :meth:`deal` or else for one step."""
        return self._dealt(self.targets) if self._loader is None else self._loader

    def val_dataloader(self) -> TargetLoader:
        """Loader of this device's targets, each batch once."""
        return self._dealt(self.targets)

    test_dataloader = predict_dataloader = val_dataloader

    def _dealt(self, targets: list[Target], steps: int = 1, shared: bool = False) -> TargetLoader:
        """Loader of this device's share: every N-th of the targets for N devices, or all."""
        if self.trainer is None:
            raise FuseError("the data module has no trainer; give it to Trainer.fit")
        rank, ranks = (0, 1) if shared else (self.trainer.global_rank, self.trainer.world_size)
        queue = TargetQueue(targets[rank::ranks], self.batch_size, steps, self.skip)
        return TargetLoader(queue, len(targets[::ranks]) if ranks > 1 else None)


def _listed(found: Any, module: str) -> list[Target]:
    """What a data module's ``all_targets`` gave, which may be that of a user's own class.

    Raises:
        FuseError: If it is no list of targets.
    """
    listed = isinstance(found, Sequence) and not isinstance(found, str)
    wrong = [each for each in found if not isinstance(each, Target)] if listed else [found]
    if wrong:
        raise FuseError(f"{module}.all_targets gives {wrong[0]!r}; return a list of Target")
    return [*found]


@rank_zero_only
def _tell_changed(names: list[str], runs: str) -> None:
    if names:
        logger.warning(
            "%d targets of %s have other content now and are not finished: %s",
            len(names),
            runs,
            some(names),
        )


@rank_zero_only
def _report(skipped: list[tuple[str, str]]) -> None:
    for name, reason in skipped[:NAMED]:
        logger.warning("target %r is left out: %s", name, visible(reason))
    if len(skipped) > NAMED:
        logger.warning("%d targets are left out in all", len(skipped))
