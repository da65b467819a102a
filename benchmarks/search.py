"""Search with a recorded curve of the best loss against exact evaluations and seconds."""

import logging
import tempfile
import time
import warnings
from dataclasses import dataclass, field
from typing import Any

import lightning as L

from fuse_lightning.callbacks import PromptTable
from fuse_lightning.cli.quiet import quiet, quiet_transformers
from fuse_lightning.optimizers import PromptOptimizer
from fuse_lightning.search import Frontier


def hush() -> None:
    """Only the benchmark's own lines."""
    quiet()
    quiet_transformers()
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)


@dataclass
class Curve:
    """After each exact scoring of candidates of a target."""

    evaluations: list[int] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    """Of the best prompt so far."""
    prompts: list[str] = field(default_factory=list)
    """That prompt."""
    seconds: list[float] = field(default_factory=list)
    """Since its batch began, for each target of the batch."""

    def at(self, limit: float, axis: str = "evaluations") -> float:
        """The lowest loss within ``limit`` evaluations or seconds."""
        count = sum(place <= limit for place in getattr(self, axis))
        return self.losses[count - 1] if count else float("inf")

    def prompt_at(self, limit: float) -> str:
        """The best prompt within ``limit`` evaluations."""
        count = sum(place <= limit for place in self.evaluations)
        return self.prompts[count - 1] if count else ""


def run(
    module: PromptOptimizer, data: L.LightningDataModule, frontier: Frontier[Any]
) -> tuple[dict[str, Curve], float]:
    """Fits, and returns a curve for each target, and the seconds."""
    curves: dict[str, Curve] = {}
    score = module.score
    begun: dict[str, float] = {}

    def tracked(proposed: list[list[Any]]) -> Any:
        scored = score(proposed)
        now = time.perf_counter()
        for target, best, found in zip(module.targets, module.best, scored, strict=True):
            curve = curves.setdefault(target.id, Curve())
            if found:
                done = curve.evaluations[-1] if curve.evaluations else 0
                curve.evaluations.append(done + len(found))
                curve.losses.append(float("inf") if best is None else best.loss)
                curve.prompts.append("" if best is None else best.prompt)
                curve.seconds.append((now - begun[target.id]) / len(module.targets))
        return scored

    regroup = module._regroup

    def begin(targets: Any) -> None:
        now = time.perf_counter()
        begun.update({target.id: now for target in targets if target.id not in begun})
        regroup(targets)

    module.score = tracked  # type: ignore[method-assign]
    module._regroup = begin  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as folder:
        trainer = L.Trainer(
            max_epochs=1,
            accelerator="cpu",
            logger=False,
            callbacks=[frontier, PromptTable(enabled=False)],
            default_root_dir=folder,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        module.load()
        first = time.perf_counter()
        trainer.fit(module, data)
        return curves, time.perf_counter() - first
