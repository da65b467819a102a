"""One search for a reasoning prompt with its verdict, as it is kept."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning as L
import torch

from fuse_lightning.callbacks import FinalVerdict, Headroom, PortablePrompts, PromptTable
from fuse_lightning.data import ReasoningExamples
from fuse_lightning.data.targets import Target
from fuse_lightning.evaluation.final import final_verdict
from fuse_lightning.evaluation.floor_options import FloorOptions
from fuse_lightning.evaluation.reasoner import Reasoner
from fuse_lightning.models import CausalLM
from fuse_lightning.objectives import Objective, Reasoning
from fuse_lightning.optimizers import GReaTer
from fuse_lightning.search import GreedySearch


@dataclass(frozen=True)
class Task:
    """Questions, and how a model is asked about them.

    Attributes:
        name: Name of the target.
        rows: Questions, each with its right answers under ``answer``.
        term: Options of the reasoning term.
        data: Options of the data module beside the sizes.
        stock: Instructions that cost nothing, of which the best is a floor.
    """

    name: str
    rows: Sequence[Mapping[str, Any]]
    term: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    stock: Sequence[str] = ()


@dataclass(frozen=True)
class Row:
    """A way to search.

    Attributes:
        options: Options of the optimizer.
        term: Options of the reasoning term, in place of the task's.
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    term: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """Sizes of a search.

    Attributes:
        train: Questions that its steps read.
        select: Questions that choose.
        test: Questions that report.
        steps: Most steps.
        evaluations: Most pairs of a prompt and a question; ``None`` for no limit.
        seconds: Most seconds of a search; ``None`` for no limit.
        batch: Most token positions in one forward.
    """

    train: int
    select: int
    test: int
    steps: int
    evaluations: int | None = None
    seconds: float | None = None
    batch: int = 8192


class Followed(GReaTer):
    """GReaTer that notes its best prompt whenever it changes, with the evaluations until then."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.curve: list[tuple[int, str]] = []

    def score(self, proposed: list[list[Any]]) -> Any:
        scored = super().score(proposed)
        search = self.searches[0]
        if search.best is not None and (not self.curve or self.curve[-1][1] != search.best.prompt):
            self.curve.append((search.evaluations, search.best.prompt))
        return scored


def fit(
    model: CausalLM, task: Task, row: Row, start: str, plan: Plan, seed: int, folder: Path
) -> Followed:
    """A search that has come to its end, with its results.

    Args:
        model: The language model.
        task: The task.
        row: How to search.
        start: Prompt to begin with.
        plan: The sizes.
        seed: Seed of the division of the questions and of the search.
        folder: Where files may be written.
    """
    name = f"{task.name}.jsonl"
    lines = [json.dumps(dict(each), ensure_ascii=False) for each in task.rows]
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    data = ReasoningExamples(
        name,
        train=plan.train,
        select=plan.select,
        test=plan.test,
        seed=seed,
        root=str(folder),
        **task.data,
    )
    module = Followed(
        [Reasoning(model, **{**task.term, **row.term})],
        steps=plan.steps,
        max_evaluations=plan.evaluations,
        max_seconds=plan.seconds,
        max_batch_tokens=plan.batch,
        initial_prompt=start,
        seed=seed,
        **{"starts": [], **row.options},
    )
    trainer = L.Trainer(
        max_epochs=1,
        accelerator="gpu" if model.device.type == "cuda" else "cpu",
        devices=1,
        logger=False,
        callbacks=[
            GreedySearch(),
            *(kind(enabled=False) for kind in (PromptTable, FinalVerdict, Headroom)),
            PortablePrompts(enabled=False),
        ],
        default_root_dir=folder,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, data)
    return module


def judged(
    model: CausalLM,
    task: Task,
    row: Row,
    start: str,
    plan: Plan,
    seed: int,
    known: Sequence[str] = (),
    *,
    follow: bool = True,
    draws: int = 8,
) -> dict[str, Any]:
    """A search's verdict, what it used and how it went, as plain data.

    Args:
        model: The language model.
        task: The task.
        row: How to search.
        start: Prompt to begin with, which is a floor.
        plan: The sizes.
        seed: Seed of the division of the questions and of the search.
        known: Prompts whose accuracy on the test questions is wanted, too.
        follow: Whether the best prompts on the way are measured, too.
        draws: Random draws of demonstrations, of which the best is a floor.

    Returns:
        The ``verdict``; the best ``prompt``; what was ``used``; the ``curve``, pairs of
        evaluations and accuracy on the test questions; and the accuracy of the ``known`` prompts.
    """
    with tempfile.TemporaryDirectory() as name:
        module = fit(model, task, row, start, plan, seed, Path(name))
        result, target = module.results[0], module.trainer.datamodule.targets[0]
    # What follows may not come to its end.
    print(task.name, seed, repr(result.prompt), len(module.curve), flush=True)
    # A verdict reads chains in the task's own way, whatever the search has read.
    reasoner = reasoner_of(model, task, plan.batch)
    options = FloorOptions(stock=[*task.stock] or None, draws=draws, initial=start or None)
    found = final_verdict(reasoner, target, [result.prompt], options, 0)
    curve = module.curve if follow else []
    texts = [*dict.fromkeys([*(text for _, text in curve), *known])]
    right = dict(zip(texts, accuracies(reasoner, target, texts), strict=True))
    return {
        "verdict": found.verdict.to_dict(),
        "prompt": result.prompt,
        "used": {
            key: getattr(result, key) for key in ("evaluations", "tokens", "flops", "seconds")
        },
        "curve": [[count, right[text]] for count, text in curve],
        "known": {text: right[text] for text in known},
    }


def reasoner_of(model: CausalLM, task: Task, batch: int = 8192) -> Reasoner:
    """What answers the questions of a task."""
    term = Reasoning(model, **task.term)
    objective = Objective([term], max_batch_tokens=batch)
    objective.load(model.device)
    return Reasoner(objective, term)


@torch.no_grad()
def accuracies(reasoner: Reasoner, target: Target, texts: Sequence[str]) -> list[float]:
    """Share of right answers of each prompt to the test questions of a target."""
    if not texts:
        return []
    tested = target.tested()
    reasoner.give(tested)
    found = reasoner.replies(texts, range(len(tested.examples)))
    shares: list[float] = found.right.double().mean(1).tolist()
    return shares


def reached(curve: Sequence[Sequence[float]], bar: float) -> int | None:
    """Evaluations after which the best prompt first is as good as a bar; ``None`` if it never is.

    >>> reached([[10, 0.2], [30, 0.9]], 0.8), reached([[10, 0.2]], 0.8)
    (30, None)
    """
    return next((int(count) for count, share in curve if share >= bar), None)
