"""Check of targets with answers at the start of a search."""

import logging
from collections.abc import Sequence
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback

from fuse_lightning.callbacks.check_lines import print_check
from fuse_lightning.callbacks.checking import checked
from fuse_lightning.data.targets import Target
from fuse_lightning.errors import FuseError
from fuse_lightning.evaluation.answering import answerer_of, has_answers
from fuse_lightning.evaluation.stored import all_targets
from fuse_lightning.objectives import Objective
from fuse_lightning.objectives.blind import is_blind
from fuse_lightning.search import SearchModule, search_of
from fuse_lightning.search.rehearsal import CopyError

logger = logging.getLogger(__name__)


class Headroom(Callback):
    """Callback that says before a search whether it is worth its cost.

    It speaks of targets whose examples have right answers: what prompts that cost nothing reach,
    what a step costs, how many steps the budgets allow. The search is left exactly as it was.
    ``fuse check`` says more, without a search. A resumed search is not checked.

    One line also says where no term reads the targets, so that all have the same objective.

    Args:
        examples: Most examples of a target that are read, of those that choose prompts.
        enabled: Whether to check at all.

    Raises:
        FuseError: If ``examples`` is below 1.
    """

    def __init__(self, examples: int = 200, enabled: bool = True) -> None:
        if examples < 1:
            raise FuseError(f"examples of {type(self).__name__} is {examples}; it must be above 0")
        self.examples = examples
        self.enabled = enabled

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Checks a new search, and prints a few lines."""
        module = search_of(pl_module)
        resumed = bool(module.waiting or module.finished or module.goes_on or trainer.global_step)
        if not self.enabled or resumed or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        objective = getattr(module, "objective", None)
        if isinstance(objective, Objective) and trainer.is_global_zero:
            _tell_blind(objective, all_targets(trainer))
        if answerer_of(objective) is None:
            return
        targets = [target for target in all_targets(trainer) if has_answers(target)]
        if targets and trainer.is_global_zero:
            self._check(trainer, module, targets)
        trainer.strategy.barrier()

    def _check(
        self, trainer: L.Trainer, module: SearchModule[Any], targets: Sequence[Target]
    ) -> None:
        try:
            print_check(checked(trainer, module, targets, self.examples), short=True)
        except CopyError as error:
            # The search itself needs no copy.
            logger.warning("the search is not checked: %s", error)


def _tell_blind(objective: Objective, targets: Sequence[Target]) -> None:
    """Warns in one line if several targets get the same search."""
    if len(targets) > 1 and is_blind(objective.terms, targets):
        names = " and ".join(term.name for term in objective.terms)
        logger.warning(
            "no term reads the targets (%s), so that all %d targets have the same objective; add a "
            "term that compares with the target, or give one target",
            names,
            len(targets),
        )
