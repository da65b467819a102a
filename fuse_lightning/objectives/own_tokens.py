"""Gradients of terms that read the primary's own tokens."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from fuse_lightning.adapters import HeadGradient
from fuse_lightning.adapters.maps import pull_back
from fuse_lightning.engine.devices import to_device
from fuse_lightning.models import FrozenModel
from fuse_lightning.objectives.objective import Objective
from fuse_lightning.objectives.openings import Openings
from fuse_lightning.objectives.prompts import Prompts
from fuse_lightning.objectives.term import Term


@dataclass
class OwnTokens:
    """Where the tokens of N prompts stand in what a term of the primary reads.

    Behind the term's own prefix the first token of a prompt may be read as others, such as one
    without a space. All later ones are themselves.

    Attributes:
        model: The primary.
        openings: What each token is read as in the first place; ``None`` for itself.
        start: How many ids come before a prompt.
        firsts: As how many tokens the first of each prompt is read.
    """

    model: FrozenModel
    openings: Openings | None
    start: int
    firsts: list[int]

    @classmethod
    def of(cls, objective: Objective, term: Term, prompts: Prompts) -> "OwnTokens":
        """The places in what ``objective.read(term, prompts, ids=True)`` gives."""
        openings = objective.openings(term)
        firsts = [
            1 if openings is None or not state else len(openings.ids[state[0]])
            for state in prompts.states
        ]
        return cls(objective.primary, openings, len(term.frame.head), firsts)

    def fixed(self, slots: Sequence[set[int]]) -> Tensor:
        """How many leading tokens come before the first of some positions of each prompt."""
        rows = zip(map(min, slots), self.firsts, strict=True)
        return torch.tensor(
            [self.start + (place + first - 1 if place else 0) for place, first in rows]
        )

    def longest(self, length: int) -> int:
        """The most tokens that a prompt of ``length`` tokens is read as."""
        return length + max(self.firsts) - 1

    def _places(self, length: int) -> Tensor:
        """Where the tokens of each prompt stand from its first one on, shape (N, L)."""
        places = torch.arange(length).repeat(len(self.firsts), 1)
        places[:, 1:] += torch.tensor(self.firsts)[:, None] - 1
        return places

    def heads(
        self, grad: Tensor, prompt: Tensor, length: int, *, embeddings: bool
    ) -> list[HeadGradient]:
        """Gradients at the positions of the prompts.

        Args:
            grad: At all embeddings that are read, shape (N, T, d).
            prompt: True for tokens of the prompt, shape (N, T), on the CPU.
            length: L.
            embeddings: Whether all must be gradients of the primary's embeddings.
        """
        table = self.model.embedding_table.float()
        places = (self.start + self._places(length)).clamp(max=prompt.shape[1] - 1)
        # Beyond the end of a short prompt stands what follows it.
        valid = prompt.gather(1, places) & (self._places(length) < prompt.sum(1, keepdim=True))
        there = partial(to_device, device=grad.device)
        rows = there(torch.arange(len(places))[:, None])
        found = HeadGradient(table, grad[rows, there(places)], there(valid))
        if self.openings is None:
            return [found]
        first = torch.zeros_like(found.grad[:, :1])
        for place in range(max(self.firsts)):
            counts = there(torch.tensor(self.firsts) > place)
            index = min(self.start + place, grad.shape[1] - 1)
            first[:, 0] += grad[:, index] * counts[:, None]
        if embeddings:
            found.grad[:, :1] = pull_back(self.openings.map, first)
            return [found]
        opening = torch.zeros_like(found.grad)
        opening[:, :1] = first
        at_first = torch.arange(length, device=grad.device) == 0
        return [
            HeadGradient(self.openings.table, opening, found.valid & at_first),
            HeadGradient(table, found.grad, found.valid & ~at_first),
        ]

    def labels(self, change: Tensor, length: int) -> Tensor:
        """Parts of labels at the positions of the prompts.

        Args:
            change: At the tokens that are read, shape (N, T, V).
            length: L.

        Returns:
            Shape (N, L, V). Where a first token would be read as several, the part is that of
            the first of these: what the others add is not known.
        """
        if self.openings is None or not length:
            return change
        there = partial(to_device, device=change.device)
        rows = there(torch.arange(len(self.firsts))[:, None])
        moved = change[rows, there(self._places(length))]
        moved[:, 0] = change[:, 0][:, self.openings.first]
        return moved
