"""Losses and answers of one term for single examples, remembered."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from functools import partial

import torch
from torch import Tensor

from fuse_lightning.objectives.memory import LossMemory
from fuse_lightning.objectives.prompts import Prompts
from fuse_lightning.objectives.row_values import item_losses, row_values
from fuse_lightning.objectives.term import Term
from fuse_lightning.utilities.processes import Team

MOST = 2**19
"""Most answers that are remembered."""
LOSS, CORRECT, EXACT = 0, 1, 2
Cell = tuple[int, int]
"""Numbers of a prompt and of an example."""
Answer = tuple[float, float]
"""Loss, and 1 for a right answer, 0 for a wrong one, or no number."""


class ExampleScores:
    """Losses and answers of one term for pairs of a prompt and an example, each computed once.

    Args:
        term: The term, whose targets have examples.
    """

    def __init__(self, term: Term) -> None:
        self.term = term
        self.memory = LossMemory(MOST)
        self.team = Team()
        """Processes that compute what is asked for together."""

    @torch.no_grad()
    def losses(
        self,
        keys: Sequence[tuple[Hashable, ...]],
        prompts: Prompts,
        examples: Sequence[Sequence[int]],
        *,
        again: bool = False,
    ) -> Tensor:
        """Losses of prompts for examples, by which prompts are selected; lower is better.

        Args:
            keys: Names of N prompts under which losses are remembered.
            prompts: The prompts.
            examples: Numbers of the examples of each of them.
            again: Compute all of them, also known ones.

        Returns:
            One behind the other, prompt by prompt, shape (sum of counts,), float32 on the CPU.
        """
        return self._told(keys, prompts, examples, again)[:, LOSS]

    @torch.no_grad()
    def correct(
        self,
        keys: Sequence[tuple[Hashable, ...]],
        prompts: Prompts,
        examples: Sequence[Sequence[int]],
    ) -> Tensor:
        """Whether the answers to examples are right; see :meth:`losses`.

        Returns:
            1 for a right answer and 0 for a wrong one; no number for a term without answers.
        """
        told = self._told(keys, prompts, examples, again=False)[:, CORRECT]
        if told.isnan().any() and type(self.term).correct is not Term.correct:
            # Gradients tell losses alone.
            told = self._told(keys, prompts, examples, again=True)[:, CORRECT]
        return told

    def keep(
        self, cells: Sequence[Hashable], losses: Tensor, correct: Tensor | None = None
    ) -> None:
        """Stores losses and answers that were computed elsewhere.

        Args:
            cells: Keys of M prompts, each with the number of an example behind.
            losses: Shape (M,), on the CPU.
            correct: 1 for a right answer and 0 for a wrong one, shape (M,); ``None`` if unknown.
        """
        right = torch.full_like(losses, math.nan) if correct is None else correct.cpu()
        exact = torch.full_like(losses, self._exact)
        self.memory.keep(cells, torch.stack([losses, right, exact], dim=1))

    @property
    def _exact(self) -> float:
        """1 where losses are computed in full precision, 0 where autocast reduces it."""
        return float(not torch.is_autocast_enabled(self.term.model.device.type))

    def _told(
        self,
        keys: Sequence[tuple[Hashable, ...]],
        prompts: Prompts,
        examples: Sequence[Sequence[int]],
        again: bool,
    ) -> Tensor:
        """Losses and correctness of pairs of a prompt and an example, shape (cells, 2)."""
        places = [(row, n) for row, some in enumerate(examples) for n in some]
        cells = [(*keys[row], n) for row, n in places]
        known, values = self.memory.recall([] if again else cells)
        if known and self._exact:
            # What was computed in reduced precision serves only those who ask for no better.
            good = values[:, EXACT] == 1
            known, values = torch.tensor(known)[good].tolist(), values[good]
        found = torch.empty(len(cells), 2)
        if known:
            found[known] = values[:, :EXACT]
        if missing := sorted({*range(len(cells))}.difference(known)):
            # One that is asked for twice is read once, and counts twice.
            first: dict[Hashable, Cell] = {}
            for place in missing:
                first.setdefault(cells[place], places[place])
            read = self.team.split(partial(self._read_all, prompts), [*first.values()])
            for learnt in self.team.gather(self.term.learnt()):
                self.term.learn(learnt)
            told = dict(zip(first, read, strict=True))
            found[missing] = torch.tensor([told[cells[place]] for place in missing])
            self.keep([cells[place] for place in missing], *found[missing].T)
        return found

    def _read_all(self, prompts: Prompts, wanted: Sequence[Cell]) -> list[Answer]:
        """Loss and correctness of pairs, as many at a time as the term says.

        Prompts with one example are read together, as what stands before them is the same.
        """
        size = self.term.together
        if not size:
            return self._read(prompts, wanted)
        pairs = sorted(wanted, key=lambda pair: (prompts.owners[pair[0]], pair[1]))
        told: dict[Cell, Answer] = {}
        for begin in range(0, len(pairs), size):
            some = pairs[begin : begin + size]
            told |= zip(some, self._read(prompts, some), strict=True)
        return [told[pair] for pair in wanted]

    def _read(self, prompts: Prompts, wanted: Sequence[Cell]) -> list[Answer]:
        """Loss and correctness of pairs of a prompt and an example, in their order."""
        by_row: dict[int, list[int]] = {}
        for row, number in wanted:
            by_row.setdefault(row, []).append(number)
        rows = [*by_row]
        reading = self.term.read(prompts.select(rows), [*by_row.values()])
        values = row_values(self.term, reading, self.term.score)
        items = item_losses(self.term, reading, values).tolist()
        correct = self.term.correct(values, reading)
        right = [math.nan] * len(items) if correct is None else correct.tolist()
        of, number = reading.pairs.T.tolist()
        pairs = ((rows[row], n) for row, n in zip(of, number, strict=True))
        told = dict(zip(pairs, zip(items, right, strict=True), strict=True))
        return [told[pair] for pair in wanted]
