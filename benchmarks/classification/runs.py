"""One search with its verdict, and the files that keep what was found."""

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning as L

from benchmarks.classification.tasks import Rows, Task
from fuse_lightning.callbacks import FinalVerdict, Headroom, PortablePrompts, PromptTable
from fuse_lightning.evaluation.answers import Labeller
from fuse_lightning.evaluation.final import final_verdict
from fuse_lightning.objectives import Classification, Fluency
from fuse_lightning.optimizers import PromptOptimizer
from fuse_lightning.search import Frontier, GreedySearch
from fuse_lightning.utilities.files import replace_file


@dataclass(frozen=True)
class Row:
    """An optimizer of the benchmark.

    Attributes:
        kind: Its class.
        options: Its options, beside those that all share.
        frontier: Makes its frontier.
        fluency: Weight of a fluency term beside the classification.
        gradient: Whether it reads gradients.
    """

    kind: Callable[..., PromptOptimizer]
    options: dict[str, Any] = field(default_factory=dict)
    frontier: Callable[[], Frontier[Any]] = GreedySearch
    fluency: float = 0.0
    gradient: bool = True


@dataclass(frozen=True)
class Draw:
    """Examples of a search, and its seed.

    Attributes:
        task: The task.
        sizes: Train examples of each class (``None`` for all that are left), select examples, and
            test examples.
        seed: Seed of their division and of the search.
        texts: Texts in place of the task's own.
    """

    task: Task
    sizes: tuple[int | None, int, int]
    seed: int
    texts: Rows | None = None


def fit(row: Row, draw: Draw, folder: Path, shared: dict[str, Any]) -> PromptOptimizer:
    """A search that has come to its end, with its results.

    Args:
        row: The optimizer.
        draw: Its examples.
        folder: Where files may be written.
        shared: Options that all optimizers share, such as budgets.
    """
    terms = [draw.task.term()]
    if row.fluency:
        terms.append(Fluency(draw.task.model, weight=row.fluency))
    module = row.kind(terms, seed=draw.seed, **{**shared, **row.options})
    trainer = L.Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        callbacks=[
            row.frontier(),
            *(kind(enabled=False) for kind in (PromptTable, FinalVerdict, Headroom)),
            PortablePrompts(enabled=False),
        ],
        default_root_dir=folder,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, draw.task.data(folder, draw.sizes, draw.seed, draw.texts))
    return module


def judged(row: Row, draw: Draw, shared: dict[str, Any]) -> dict[str, Any]:
    """A search's verdict and what it used, as plain data."""
    with tempfile.TemporaryDirectory() as name:
        module = fit(row, draw, Path(name), shared)
        result, *_ = module.results
        target, *_ = module.trainer.datamodule.targets
        found = final_verdict(labeller(module), target, [result.prompt], draw.task.floors(), 0)
    return {
        "verdict": found.verdict.to_dict(),
        "used": {
            name: getattr(result, name) for name in ("evaluations", "tokens", "flops", "seconds")
        },
    }


def labeller(module: PromptOptimizer) -> Labeller:
    """Labeller by the classification of a search."""
    term = module.objective.terms[0]
    assert isinstance(term, Classification)
    return Labeller(module.objective, term)


def kept(path: Path | None, settings: Any, make: Callable[[], Any]) -> Any:
    """What was found with some settings: read from a file, or computed and written there.

    Args:
        path: The file; ``None`` to keep nothing.
        settings: What it must have been found with.
        make: Computes it, as plain data.
    """
    settings = json.loads(json.dumps(settings))
    if path and path.exists():
        held = json.loads(path.read_text(encoding="utf-8"))
        if held["settings"] != settings:
            raise SystemExit(
                f"{path} was found with {held['settings']}, not with {settings}; give --keep "
                "another folder"
            )
        return held["found"]
    found = make()
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, json.dumps({"settings": settings, "found": found}))
    return found
