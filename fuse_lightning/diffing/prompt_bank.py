"""Bank of scored prompts: the frontier of a search for prompts on which two models diverge."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor

from fuse_lightning.diffing.likeness import DuplicateFilter, mean_distances
from fuse_lightning.diffing.subsample import gumbel_top_k, standardised
from fuse_lightning.errors import FuseError
from fuse_lightning.results.export import safe_cell
from fuse_lightning.results.run_folder import folder_of
from fuse_lightning.search import Frontier, Scored, search_of
from fuse_lightning.search.frontier import distinct
from fuse_lightning.utilities.files import replace_file
from fuse_lightning.utilities.regular import read_text
from fuse_lightning.utilities.terminal import quoted


@dataclass(frozen=True)
class BankEntry:
    """One scored prompt of a bank.

    Attributes:
        prompt: The prompt.
        divergence: Mean divergence per token of the texts that selected it.
        error: Standard error of the divergence.
        grade: Grade by a judge, higher is better; NaN without a judge.
        step: Step in which it was scored; 0 for a seed prompt.
        proposer: Name of the proposer.
        embedding: Row of its vector among those of the bank; -1 where it is in none.
    """

    prompt: str
    divergence: float
    error: float
    grade: float
    step: int
    proposer: str
    embedding: int = -1


COLUMNS = ("target", *(field.name for field in fields(BankEntry)), "diversity")


class PromptBank(Frontier[str]):
    """Frontier that keeps all scored prompts, and draws from them the examples of the next step.

    A step sees a subsample without replacement. A prompt's weight is the sum of its standardised
    divergence, diversity and grade, times their weights; the temperature says how random the draw
    is. Diversity is the mean distance to the nearest prompts of the bank, which keeps the search
    from one region. The bank is written to ``bank.tsv`` after each step.

    Args:
        subsample: Prompts that a step is shown.
        temperature: Temperature of the draw; 0 takes the largest weights.
        divergence_weight: Weight of the divergence.
        diversity_weight: Weight of the diversity.
        grade_weight: Weight of a judge's grade.
        nearest: How many nearest prompts the diversity is measured by.
        duplicate_cosine: Least cosine of the vectors of two prompts that count as near-duplicates;
            above 1 only prompts of equal normal form do.

    Raises:
        FuseError: If an option is out of its range.
    """

    def __init__(
        self,
        subsample: int = 8,
        temperature: float = 0.5,
        divergence_weight: float = 1.0,
        diversity_weight: float = 0.25,
        grade_weight: float = 0.0,
        nearest: int = 3,
        duplicate_cosine: float = 0.95,
    ) -> None:
        super().__init__()
        for name, value in (("subsample", subsample), ("nearest", nearest)):
            if value < 1:
                raise FuseError(f"{name} of PromptBank is {value}; give 1 or more")
        if not (math.isfinite(temperature) and temperature >= 0):
            raise FuseError(f"temperature of PromptBank is {temperature}; give 0 or more")
        weights = (divergence_weight, diversity_weight, grade_weight)
        if not all(map(math.isfinite, weights)):
            raise FuseError(f"the weights of PromptBank are {weights}; give finite numbers")
        if not duplicate_cosine > 0:
            raise FuseError(
                f"duplicate_cosine of PromptBank is {duplicate_cosine}; give a number above 0, or "
                "one above 1 to compare normal forms alone"
            )
        self.subsample = subsample
        self.temperature = temperature
        self.divergence_weight = divergence_weight
        self.diversity_weight = diversity_weight
        self.grade_weight = grade_weight
        self.nearest = nearest
        self.duplicate_cosine = duplicate_cosine
        self.rows: dict[str, list[list[Any]]] = {}
        """Rows of ``bank.tsv`` by target, those of ended ones too."""
        self._file = Path("bank.tsv")

    # The bank of one target

    def begin_own(self) -> dict[str, Any]:
        """Empty bank of a new target."""
        return {"entries": [], "vectors": None, "refused": 0}

    def entries(self, place: int) -> list[BankEntry]:
        """All prompts of a target's bank, in the order of scoring."""
        return [BankEntry(*each) for each in self.own[place]["entries"]]

    def vectors(self, place: int) -> Tensor:
        """Unit vectors of the prompts, shape (N, d)."""
        found: Tensor | None = self.own[place]["vectors"]
        return torch.zeros(0, 1) if found is None else found

    def diversity(self, place: int) -> Tensor:
        """Mean distance of each prompt to the nearest others of the bank, shape (N,)."""
        return mean_distances(self.vectors(place), self.nearest)

    def filter(self, place: int) -> DuplicateFilter:
        """Filter that knows the prompts of the bank."""
        prompts = [entry.prompt for entry in self.entries(place)]
        return DuplicateFilter(self.duplicate_cosine, prompts, self.own[place]["vectors"])

    def refuse(self, place: int, count: int) -> None:
        """Counts near-duplicates that were refused before they were scored."""
        self.own[place]["refused"] += count

    def record(self, place: int, entries: Sequence[BankEntry], vectors: Sequence[Tensor]) -> None:
        """Adds scored prompts; one that is there already is left out.

        Args:
            place: Place of the target in the batch.
            entries: The prompts; their ``embedding`` is set here.
            vectors: Their unit vectors, each of shape (d,).
        """
        own = self.own[place]
        known = {prompt for prompt, *_ in own["entries"]}
        new = [at for at, entry in enumerate(entries) if entry.prompt not in known]
        if not new:
            return
        own["entries"] += [
            (*astuple(entries[at])[:-1], len(own["entries"]) + number)
            for number, at in enumerate(new)
        ]
        before = [] if own["vectors"] is None else [own["vectors"]]
        own["vectors"] = torch.cat([*before, torch.stack([vectors[at] for at in new])])

    def drawn(self, place: int, generator: torch.Generator) -> list[BankEntry]:
        """Subsample that a step is shown, most divergent first.

        Args:
            place: Place of the target in the batch.
            generator: The target's random stream.
        """
        entries = self.entries(place)
        if not entries:
            return []
        figures = torch.tensor([(each.divergence, each.grade) for each in entries]).T
        weights = (
            self.divergence_weight * standardised(figures[0])
            + self.diversity_weight * standardised(self.diversity(place))
            + self.grade_weight * standardised(figures[1])
        )
        chosen = gumbel_top_k(weights, self.subsample, self.temperature, generator)
        return sorted((entries[at] for at in chosen), key=lambda entry: -entry.divergence)

    def figures(self) -> dict[str, float]:
        """Figures of the banks for the loggers, means over the targets that have one."""
        told: dict[str, list[float]] = {}
        for place, own in enumerate(self.own):
            if own["entries"]:
                values = torch.tensor([each.divergence for each in self.entries(place)])
                for name, value in (
                    ("best", values.max()),
                    ("mean", values.mean()),
                    ("diversity", self.diversity(place).mean()),
                    ("prompts", len(values)),
                    ("refused", own["refused"]),
                ):
                    told.setdefault(f"bank/{name}", []).append(float(value))
        return {name: sum(values) / len(values) for name, values in told.items()}

    # The frontier

    def expand(self) -> list[list[str]]:
        """All prompts of each target's bank, most divergent first."""
        return [[prompt for _, prompt in frontier] for frontier in self.frontiers]

    def update(self, candidates: Sequence[Sequence[Scored[str]]]) -> None:
        """Adds the scored candidates."""
        self.frontiers = [
            distinct([*frontier, *found])
            for frontier, found in zip(self.frontiers, candidates, strict=True)
        ]

    # The file

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Reads the banks of targets that ended before the run went on."""
        self.rows = {}
        # All devices ask for the folder together.
        folder, module = folder_of(trainer), search_of(pl_module)
        self._file = path = folder / "bank.tsv"
        if not (module.goes_on or module.origin == folder.resolve()):
            return
        if not path.is_file():
            return
        try:
            rows = [*csv.reader(io.StringIO(read_text(path), newline=""), delimiter="\t")]
        except (OSError, ValueError, csv.Error) as error:
            raise FuseError(
                f"bank {quoted(path)} cannot be read ({error}); remove it to go on without"
            ) from error
        for row in rows[1:]:
            self.rows.setdefault(row[0] if row else "", []).append(row)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, *args: Any
    ) -> None:
        """Writes the banks as they are behind a step."""
        module = search_of(pl_module)
        # All devices hold the same bank.
        if trainer.fast_dev_run or not module.team.leads:  # type: ignore[attr-defined]
            return
        for place, search in enumerate(module.searches):
            name = safe_cell(search.name)
            self.rows[name] = self._rows(place, name)
        if any(self.rows.values()):
            stream = io.StringIO()
            writer = csv.writer(stream, delimiter="\t", lineterminator="\n")
            writer.writerows([COLUMNS, *(row for rows in self.rows.values() for row in rows)])
            replace_file(self._file, stream.getvalue())

    def _rows(self, place: int, name: str) -> list[list[Any]]:
        diversity = self.diversity(place).tolist()
        pairs = zip(self.entries(place), diversity, strict=True)
        ordered = sorted(pairs, key=lambda pair: -pair[0].divergence)
        return [
            [name, safe_cell(entry.prompt), *astuple(entry)[1:], apart] for entry, apart in ordered
        ]
