"""Check of a search before its first step: headroom of its targets, and cost."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities.seed import isolate_rng

from fuse_lightning.callbacks.final_verdict import FinalVerdict, with_start
from fuse_lightning.data.targets import Target
from fuse_lightning.evaluation.answering import answerer_of, has_answers
from fuse_lightning.evaluation.before import measured_headroom
from fuse_lightning.evaluation.floor_options import FloorOptions
from fuse_lightning.evaluation.headroom import Room
from fuse_lightning.models import FrozenModel
from fuse_lightning.search import SearchModule
from fuse_lightning.search.lightning_glue import callbacks_of
from fuse_lightning.search.plan import Plan
from fuse_lightning.search.rehearsal import copy_of, rehearse


@dataclass(frozen=True)
class Check:
    """What is known of a search before its first step.

    Attributes:
        targets: Number of targets.
        plan: Cost of the search of the first target.
        headrooms: Headroom of each target with answers, by its id.
        verdict: Estimated seconds of all verdicts, floors included.
    """

    targets: int
    plan: Plan
    headrooms: dict[str, Room]
    verdict: float

    def to_dict(self) -> dict[str, Any]:
        """All figures by name, as plain data, with the reasons against each target's search."""
        return {
            "targets": self.targets,
            "plan": self.plan.to_dict(),
            "verdict_seconds": self.verdict,
            "headroom": {name: each.to_dict() for name, each in self.headrooms.items()},
            "reasons": {
                name: [*each.reasons(), *self.plan.reasons()]
                for name, each in self.headrooms.items()
            },
        }


def checked(
    trainer: L.Trainer, module: SearchModule[Any], targets: Sequence[Target], examples: int
) -> Check:
    """Check of a search, which it leaves exactly as it was.

    Args:
        trainer: The trainer of the search.
        module: The search, loaded, before its first step.
        targets: The targets of the search, at least one.
        examples: Most examples of a target that are read.
    """
    device = module.device.type
    models = [each for each in module.shared() if isinstance(each, FrozenModel)]
    headrooms, seconds = {}, 0.0
    with isolate_rng(include_cuda=device == "cuda"), _unchanged(models):
        search = copy_of(module, trainer)
        answerer = answerer_of(getattr(search, "objective", None))
        for target in targets:
            if answerer is None or not has_answers(target):
                continue
            begin = perf_counter()
            with torch.no_grad(), torch.autocast(device, enabled=False):
                found, answers = measured_headroom(
                    answerer, target, floors_of(trainer, module), module.seed, examples
                )
            headrooms[target.id] = found
            each = (perf_counter() - begin) / answers
            if judges(trainer):
                prompts = answers / found.examples
                seconds += each * _verdict_answers(target, prompts, len(found.floors), module.top)
        with trainer.precision_plugin.train_step_context():
            plan = rehearse(copy_of(module, trainer), targets[0])
    return Check(len(targets), plan, headrooms, seconds)


def judges(trainer: L.Trainer) -> bool:
    """Whether the trainer gives a verdict at the end of a search."""
    return all(each.enabled for each in callbacks_of(trainer) if isinstance(each, FinalVerdict))


def _verdict_answers(target: Target, prompts: float, floors: int, top: int) -> float:
    """Number of answers that the verdict on a target takes; none without test examples.

    Args:
        target: The target.
        prompts: Prompts that the examples which choose are asked with, to find the floors.
        floors: Floors, each of which is asked about the test examples.
        top: Length of the short list.
    """
    if not target.test:
        return 0.0
    return (prompts + top) * len(target.choosing) + (floors + top) * len(target.test)


def floors_of(trainer: L.Trainer, search: SearchModule[Any]) -> FloorOptions:
    """Options of the floors of the verdict that the trainer will give."""
    given = [each for each in callbacks_of(trainer) if isinstance(each, FinalVerdict)]
    return with_start(given[0].floors if given else FloorOptions(), search)


@contextmanager
def _unchanged(models: Sequence[FrozenModel]) -> Iterator[None]:
    """Context behind which models batch as before, and remember no forward."""
    budgets = [copy(model.budget) for model in models]
    try:
        yield
    finally:
        for model, budget in zip(models, budgets, strict=True):
            model.budget = budget
            model.forget()
