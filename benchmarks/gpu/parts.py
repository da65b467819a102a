"""What is timed: proposing, scoring, classification and decoding."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks import classification_rows, generate
from benchmarks.engine import Case, Figures, NanoGCG, Setting, step
from benchmarks.gpu.card import Card
from benchmarks.gpu.timing import Timed, counted, timed
from benchmarks.machine import table
from fuse_lightning.models.options import DType
from fuse_lightning.objectives import State
from fuse_lightning.optimizers import PromptOptimizer


@dataclass(frozen=True)
class Sizes:
    """How much is measured.

    Attributes:
        layers: Of the models, of width 768 (GPT-2) and 512 (CLIP).
        words: Made-up words that the tokenizers learn from.
        cases: Numbers of the engine's cases.
        candidates: Prompts that classification scores.
        texts: Prompts that are written on from.
        rounds: Timed rounds.
    """

    layers: int = 12
    words: int = 40_000
    cases: tuple[int, ...] = (1, 2, 3)
    candidates: int = classification_rows.CANDIDATES
    texts: int = 64
    rounds: int = 5


QUICK = Sizes(layers=1, words=2000, cases=(0, 2), candidates=2, texts=2, rounds=1)


@dataclass(frozen=True)
class Way:
    """How the models compute.

    Attributes:
        dtype: Type of weights and activations.
        compiled: Whether ``torch.compile`` has made the layers faster.
        rate: Operations a second of a large product of that type.
    """

    dtype: DType
    compiled: bool
    rate: float

    @property
    def name(self) -> str:
        """Name in a table."""
        return f"{self.dtype}, compiled" if self.compiled else self.dtype


class Machine:
    """Models on a device, computing in one way.

    Args:
        folder: Folder of the models.
        card: The device.
        way: How they compute.
        sizes: How much is measured.
    """

    def __init__(self, folder: Path, card: Card, way: Way, sizes: Sizes) -> None:
        self.card, self.way, self.sizes = card, way, sizes
        self.setting = Setting(folder, str(card.device), dtype=way.dtype, compiled=way.compiled)

    def steps(self, case: Case) -> tuple[list[str], dict[State, float]]:
        """Line of one step of a case, and the losses of the prompts that it begins with."""
        module = self.setting.begin(case, "engine")
        parents = self.setting.parents(module, case)
        models = [term.model for term in module.objective.terms]
        with counted(models) as flops:
            found, spent = Figures(), Spent(module, flops)
            step(self.setting, module, parents, Figures())
            self.card.forget_peak()
            for _ in range(self.sizes.rounds):
                count = len(step(self.setting, module, parents, found))
        proposing = Timed(median(found.propose), spent.propose, "")
        scoring = Timed(median(found.score), spent.score, self.card.peak())
        losses = module.score([parents])[0]
        line = [
            case.name,
            self.way.name,
            f"{found.seconds:.3f}",
            f"{proposing.seconds:.3f}",
            proposing.share(self.way.rate),
            f"{scoring.seconds:.3f}",
            f"{count / scoring.seconds:.0f}",
            scoring.share(self.way.rate),
            scoring.peak,
        ]
        return line, {state: loss for loss, state in losses}

    def nanogcg(self, python: str, case: Case) -> list[str]:
        """Line of steps of nanoGCG on the same model and device."""
        module = self.setting.begin(case, "engine")
        slot = module.objective.prompts(self.setting.parents(module, case), [0]).texts[0]
        worker = NanoGCG(python, self.setting, slot)
        worker.steps()
        seconds = [second for _ in range(self.sizes.rounds) for second in worker.steps()]
        worker.process.kill()
        worker.process.wait()
        name = f"nanoGCG, {self.way.dtype}"
        return [case.name, name, f"{median(seconds):.3f}", "", "", "", "", "", ""]

    def classification(self) -> list[str]:
        """Line of scoring and of the gradient of classification prompts."""
        lm, device = self.setting.lm, str(self.card.device)
        work = classification_rows.Step(
            lm, classification_rows.CASES[0], self.sizes.candidates, device
        )

        def score() -> None:
            work.objective.scores.forget()
            work.objective.losses(work.prompts)

        with torch.no_grad():
            scoring = timed(self.card, [lm], score, self.sizes.rounds)
        gradient = timed(self.card, [lm], work.gradient, self.sizes.rounds)
        return [
            self.way.name,
            f"{scoring.seconds:.3f}",
            f"{self.sizes.candidates / scoring.seconds:.0f}",
            scoring.share(self.way.rate),
            scoring.peak,
            f"{gradient.seconds:.3f}",
        ]

    def decoding(self) -> list[str]:
        """Line of writing, beside transformers."""
        lm = self.setting.lm
        lm.load(self.card.device)
        rows = generate.prompts(lm, self.sizes.texts, 0, 12)
        ours = timed(self.card, [lm], lambda: generate.own_rows(lm, rows), self.sizes.rounds)
        theirs = timed(
            self.card, [lm], lambda: generate.transformers_rows(lm, rows), self.sizes.rounds
        )
        count = len(rows) * generate.NEW
        return [
            self.way.name,
            f"{ours.seconds:.3f}",
            f"{count / ours.seconds:.0f}",
            ours.share(self.way.rate),
            ours.peak,
            f"{theirs.seconds:.3f}",
        ]


class Spent:
    """Operations of a module's last proposing and last scoring.

    Args:
        module: The module, whose methods are wrapped.
        flops: Tells the operations so far.
    """

    def __init__(self, module: PromptOptimizer, flops: Callable[[], float]) -> None:
        self.propose = self.score = 0.0
        for name in ("propose", "score"):
            setattr(module, name, self._counting(name, getattr(module, name), flops))

    def _counting(
        self, name: str, method: Callable[..., Any], flops: Callable[[], float]
    ) -> Callable[..., Any]:
        def call(states: Any) -> Any:
            begun = flops()
            result = method(states)
            setattr(self, name, flops() - begun)
            return result

        return call


def agreement(
    found: dict[str, dict[str, dict[State, float]]],
) -> str:
    """Table of the largest difference of losses from those in float32, by case and type."""
    rows = []
    for case, ways in found.items():
        exact = ways["float32"]
        for name, losses in ways.items():
            if name != "float32":
                gaps = [abs(losses[state] / loss - 1) for state, loss in exact.items()]
                rows.append([case, name, f"{max(gaps):.1e}"])
    return table(["step", "type", "largest difference of a loss, relative"], rows)
