"""Descent on the simplex: weights of tokens that narrow down to one (arXiv 2405.09113)."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from fuse_lightning.engine.devices import to_device
from fuse_lightning.errors import FuseError
from fuse_lightning.objectives import (
    State,
    Term,
    gradient_heads,
    label_changes,
    predicted_change,
)
from fuse_lightning.optimizers.descent import DescentOptimizer, Move
from fuse_lightning.optimizers.descent_state import Descent, descent_of
from fuse_lightning.search.target_search import TargetSearch
from fuse_lightning.utilities.numbers import check_number

LEAST = 1e-6
"""Weight of a token that is kept, before weights are made to add up to 1."""


class SimplexDescent(DescentOptimizer):
    """Simplex optimizer: descent on a distribution over the allowed tokens at each position.

    A step takes the token with the largest weight at each position, scores the text of these
    tokens as it is read back, and takes the gradient at these tokens, for all allowed tokens at
    once. The gradient moves the weights; then only the largest are kept, and fewer from step to
    step: a cycle begins with all tokens and ends with one. The next cycle begins at the best
    prompt so far, with some positions drawn anew.

    The plan is that of ADC (arXiv 2405.09113): momentum, and weights from dense to sparse. Two
    things are others, so that every objective can be searched, one over several tokenizers too:
    the gradient is taken at tokens and not at a mixture, of which there is no text; and the
    number of weights follows a schedule, where ADC counts the wrong tokens of a wanted text.

    Args:
        terms: The objective; the model of the first term is the primary, its ids are the state.
        restarts: Prompts optimized for each target at once; the first starts as told, the others
            from random tokens. All begin a new cycle at the best prompt.
        learning_rate: Step size for a gradient whose root mean square over positions and tokens
            is 1, so that neither weights of terms nor models change its meaning.
        momentum: Share of the last move in the next, from 0 to below 1.
        cycle: Moves until one weight is left at each position.
        anchor: Share of the positions that begin a new cycle at the best prompt's token.
        polish_steps: How many steps at the end replace single tokens of the best prompt instead,
            as GCG does; the end of a descent that ``patience`` stops too.
        **options: Options of every :class:`DescentOptimizer`.
    """

    def __init__(
        self,
        terms: list[Term],
        restarts: int = 1,
        learning_rate: float = 1.0,
        momentum: float = 0.9,
        cycle: int = 24,
        anchor: float = 0.8,
        polish_steps: int = 0,
        **options: Any,
    ) -> None:
        super().__init__(terms, restarts, learning_rate, polish_steps, **options)
        check_number("momentum", momentum)
        check_number("anchor", anchor)
        if not 0 <= momentum < 1:
            raise FuseError(f"momentum is {momentum}; it must be at least 0 and below 1")
        if not 0 <= anchor <= 1:
            raise FuseError(f"anchor is {anchor}; it must be in [0, 1]")
        if cycle < 1:
            raise FuseError(f"cycle is {cycle}; it must be at least 1")
        self.momentum = momentum
        self.cycle = cycle
        self.anchor = anchor

    def start_points(self, place: int, first: State) -> Tensor:
        """Weights of a new search, shape (R, L, A)."""
        weights = self._random(place, len(first))
        self._set(weights, first, torch.arange(self.restarts) == 0)
        return to_device(weights, self._table.device)

    def _random(self, place: int, length: int) -> Tensor:
        """Random weights, shape (R, L, A), on the CPU."""
        shape = self.restarts, length, len(self.allowed_ids)
        return torch.randn(shape, generator=self.searches[place].generator).softmax(-1)

    def _set(self, weights: Tensor, state: State, where: Tensor) -> None:
        """Gives tokens of a prompt all the weight, where they are allowed.

        Args:
            weights: Shape (R, L, A); written into.
            state: The prompt, of any length.
            where: Which restarts or positions, broadcast from the left to shape (R, L).
        """
        size = min(len(state), weights.shape[1])
        ids = torch.tensor(state[:size], dtype=torch.long)
        at = torch.searchsorted(self.allowed_ids, ids).clamp(max=weights.shape[-1] - 1)
        there = where if where.dim() == 2 else where[:, None].expand(weights.shape[:2])
        there = there[:, :size] & (self.allowed_ids[at] == ids)
        one = F.one_hot(at, weights.shape[-1]).to(weights)
        weights[:, :size] = torch.where(there[..., None], one, weights[:, :size])

    def _moves_done(self, search: TargetSearch[State]) -> int:
        """Moves of this cycle before this step; all of them where it only scores the result."""
        return (search.step - 1) % (self.cycle + 1)

    def _begin_cycle(self, target: int) -> None:
        """New weights around the best prompt of a target."""
        search, best = self.searches[target], self.best[target]
        weights = self._random(target, descent_of(search)["iterate"].shape[1])
        kept = torch.rand(weights.shape[:2], generator=search.generator) < self.anchor
        if best is not None:
            self._set(weights, best.state, kept)
        descent_of(search)["iterate"] = to_device(weights, self._table.device)
        descent_of(search)["moments"] = {}

    def _projected(self, targets: Sequence[int]) -> list[Tensor]:
        """Tokens with the largest weights, each of shape (R, L), on the CPU."""
        for target in targets:
            if self.searches[target].step > 1 and not self._moves_done(self.searches[target]):
                self._begin_cycle(target)
        largest = [descent_of(self.searches[target])["iterate"].argmax(-1) for target in targets]
        # All at once: the device is asked but one time.
        flat = self.allowed_ids[torch.cat([each.flatten() for each in largest]).cpu()]
        parts = torch.split(flat, [each.numel() for each in largest])
        return [part.view(each.shape) for part, each in zip(parts, largest, strict=True)]

    def _gradient(
        self, raw: list[State], owners: list[int], found: Mapping[int, Iterable[State]]
    ) -> Tensor:
        """Gradient at the projections for every allowed token, shape (N, L, A).

        It has the mean 0 over tokens, as a constant changes no distribution; it is zero where
        nothing moves.
        """
        shape = len(raw), max(map(len, raw)), len(self.allowed_ids)
        gradient = torch.zeros(shape, device=self._table.device)
        done = [self._moves_done(self.searches[owner]) for owner in owners]
        rows = [row for row, moves in enumerate(done) if moves < self.cycle]
        if not rows:
            return gradient
        prompts = self.objective.prompts([raw[n] for n in rows], [owners[n] for n in rows])
        heads, losses = gradient_heads(self.objective, prompts)
        self.remember(prompts, losses)
        sizes = [len(state) for state in prompts.states]
        places = [(row, slot) for row, size in enumerate(sizes) for slot in range(size)]
        change = predicted_change(heads, places, self.allowed)
        labels = label_changes(self.objective, prompts)
        if not isinstance(labels, float):
            row, slot = to_device(torch.tensor(places), labels.device).T
            change += to_device(labels[row, slot], change.device)
        change = change[:, to_device(self.allowed_ids, change.device)]
        centred = change - change.mean(-1, keepdim=True)
        for n, part in zip(rows, torch.split(centred, sizes), strict=True):
            gradient[n, : len(part)] = part
        return gradient

    def move(self, moves: Sequence[Move]) -> None:
        """Moves the weights of some targets, and keeps the largest."""
        for each in moves:
            done = self._moves_done(each.search)
            if done == self.cycle:
                continue
            descent = descent_of(each.search)
            weights, moments = descent["iterate"], descent["moments"]
            velocity = of_size_one(each.gradient.to(weights))
            if moments:
                velocity += self.momentum * moments["velocity"]
            moments["velocity"] = velocity
            count = kept_count(weights.shape[-1], done + 1, self.cycle)
            descent["iterate"] = keep_largest(weights - self.learning_rate * velocity, count)

    def take_back(self, search: TargetSearch[State]) -> None:
        """Restores weights and velocity of a checkpoint on the model's device.

        Raises:
            LookupError, TypeError, ValueError: If they are of other tokens or restarts.
        """
        iterate, moments, polish_after = (search.own[key] for key in Descent.__annotations__)
        for part in (iterate, *moments.values()):
            if part.shape != iterate.shape or part.shape[::2] != (
                self.restarts,
                len(self.allowed_ids),
            ):
                raise ValueError("weights are of other tokens or restarts")
        if {*moments} - {"velocity"} or type(polish_after) not in (int, type(None)):
            raise TypeError("this is the state of another descent")
        placed = {key: part.to(self._table) for key, part in moments.items()}
        back = Descent(iterate=iterate.to(self._table), moments=placed, polish_after=polish_after)
        search.own = {**back}


def of_size_one(gradient: Tensor) -> Tensor:
    """Gradients at a root mean square of 1 over the last two axes; zero stays zero.

    >>> of_size_one(torch.tensor([[3.0, -4.0], [0.0, 0.0]])).tolist()
    [[1.2000000476837158, -1.600000023841858], [0.0, 0.0]]
    """
    size = gradient.square().mean((-2, -1), keepdim=True).sqrt()
    return torch.where(size > 0, gradient / size, 0.0)


def kept_count(tokens: int, move: int, moves: int) -> int:
    """Number of weights kept after one of several moves, on a geometric line down to 1.

    >>> [kept_count(1000, move, 3) for move in range(4)]
    [1000, 100, 10, 1]

    Args:
        tokens: Number of all weights.
        move: Number of the move, from 1.
        moves: Number of all moves.
    """
    # Rounding must not make 101 of 100.
    return math.ceil(math.pow(tokens, 1 - move / moves) - 1e-9 * tokens)


def keep_largest(weights: Tensor, count: int) -> Tensor:
    """Distributions with only the largest weights; negative ones count as hardly any.

    >>> keep_largest(torch.tensor([[3.0, -1.0, 1.0, 0.5]]), 2)
    tensor([[0.7500, 0.0000, 0.2500, 0.0000]])

    Args:
        weights: Shape (..., A).
        count: How many to keep.

    Returns:
        The same shape; those of a position add up to 1.
    """
    largest = weights.topk(count, dim=-1)
    kept = largest.values.clamp(min=0) + LEAST
    kept = kept / kept.sum(-1, keepdim=True)
    return torch.zeros_like(weights).scatter(-1, largest.indices, kept)
