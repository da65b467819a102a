"""Random search: the baseline without gradients."""

from typing import Any, Literal

import torch

from fuse_lightning.errors import FuseError
from fuse_lightning.objectives import State, Term
from fuse_lightning.optimizers.swaps import SwapOptimizer

SPARE = 4
"""Candidates drawn for each wanted one, as few random ones are read back as the same ids."""


class RandomSearch(SwapOptimizer):
    """Random-search optimizer: replaces random tokens, as the baseline for all others.

    The prompt itself stays among the candidates, so that the loss never rises.

    Args:
        terms: The objective; the model of the first term is the primary, its ids are the state.
        batch_size: Candidates scored for each state.
        search_ball: "L0" draws any allowed token, "L2" one of the nearest in the primary's
            embedding space.
        radius: Tokens replaced in each candidate.
        neighbours: How many tokens count as near, for "L2".
        **options: Options of every :class:`SwapOptimizer`.
    """

    def __init__(
        self,
        terms: list[Term],
        batch_size: int = 128,
        search_ball: Literal["L0", "L2"] = "L0",
        radius: int = 1,
        neighbours: int = 32,
        **options: Any,
    ) -> None:
        super().__init__(terms, **options)
        for name, value in (
            ("batch_size", batch_size),
            ("radius", radius),
            ("neighbours", neighbours),
        ):
            if value < 1:
                raise FuseError(f"{name} is {value}; it must be at least 1")
        if search_ball not in ("L0", "L2"):
            raise FuseError(f"search_ball is {search_ball!r}; it must be L0 or L2")
        self.batch_size = batch_size
        self.search_ball = search_ball
        self.radius = radius
        self.neighbours = neighbours

    def load(self, device: torch.device | str = "cpu") -> None:
        """Loads the models, and checks ``neighbours`` against the number of allowed tokens."""
        super().load(device)
        self.check_choices("neighbours", self.neighbours if self.search_ball == "L2" else 1)

    def propose(self, states: list[list[State]]) -> list[list[State]]:
        """Random swaps, and the states themselves."""
        owners = [target for target, found in enumerate(states) for _ in found]
        parents = [state for found in states for state in found]
        drawn = [
            [
                state,
                *self.replaced(
                    state, self._choices(state), SPARE * self.batch_size, self.radius, owner
                ),
            ]
            for state, owner in zip(parents, owners, strict=True)
        ]
        found: list[dict[State, None]] = [{} for _ in states]
        for owner, group in zip(
            owners, self.admission.first(drawn, owners, self.batch_size), strict=True
        ):
            found[owner].update(dict.fromkeys(group))
        return [[*group] for group in found]

    def _choices(self, state: State) -> torch.Tensor:
        """Tokens that may replace the token at each position, shape (L, k)."""
        ids = self.allowed_ids
        if self.search_ball == "L0":
            return ids.repeat(len(state), 1)
        table = self.objective.primary.embedding_table.float()
        ids = ids.to(table.device)
        distances = torch.cdist(table[list(state)], table[ids])
        distances.masked_fill_(torch.tensor(state, device=table.device)[:, None] == ids, torch.inf)
        nearest = distances.topk(self.neighbours, largest=False).indices
        return ids[nearest].cpu()
