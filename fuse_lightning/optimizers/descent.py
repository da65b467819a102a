"""Base of optimizers that descend on embeddings with gradients at the nearest tokens."""

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from fuse_lightning.errors import FuseError
from fuse_lightning.objectives import Prompts, State, Term, embedding_gradient, label_changes
from fuse_lightning.optimizers.base import SPARE
from fuse_lightning.optimizers.descent_state import Descent, descent_of, restored
from fuse_lightning.optimizers.projection import Projection
from fuse_lightning.optimizers.swaps import SwapOptimizer
from fuse_lightning.search import GreedySearch
from fuse_lightning.search.target_search import TargetSearch
from fuse_lightning.utilities.numbers import check_number


@dataclass
class Move:
    """One step of a target's descent: its projections and their gradient.

    Attributes:
        search: The target's search.
        ids: The points' nearest allowed tokens, one row a restart, shape (R, L), on the CPU.
        gradient: Gradient of the objective at the embeddings of these tokens, shape (R, L, d).
    """

    search: TargetSearch[State]
    ids: Tensor
    gradient: Tensor


class DescentOptimizer(SwapOptimizer):
    """Base of optimizers that move points in the primary's embedding space.

    A step projects the points on allowed tokens by cosine similarity, and takes the gradient
    there. A subclass says how the gradient moves the points, in :meth:`move`. What is scored is
    the text of the projection as it is read back. All restarts and targets run in one batch; the
    frontier has nothing to choose and must be greedy.

    Of a likelihood (:class:`~fuse_lightning.objectives.Fluency`) the tokens are also labels. The
    published methods leave out how the loss changes with these; here it is part of the gradient.

    Args:
        terms: The objective; the model of the first term is the primary, its ids are the state.
        restarts: Prompts optimized for each target at once; the first starts as told, the others
            from random tokens.
        learning_rate: Learning rate of the descent.
        polish_steps: How many steps at the end replace single tokens of the best prompt instead,
            as GCG does; the end of a descent that ``patience`` stops too.
        batch_size: Candidates of a polishing step.
        top_k: Tokens with the best predicted change among which a polishing swap is drawn.
        steps: Most steps for each target.
        **options: Options of every :class:`SwapOptimizer`.
    """

    # Where no projection could be read the next ones may be.
    persists = True

    def __init__(
        self,
        terms: list[Term],
        restarts: int = 1,
        learning_rate: float = 0.1,
        polish_steps: int = 0,
        batch_size: int = 256,
        top_k: int = 64,
        steps: int = 500,
        **options: Any,
    ) -> None:
        super().__init__(terms, steps=steps, **options)
        for name, value, least in (
            ("restarts", restarts, 1),
            ("polish_steps", polish_steps, 0),
            ("batch_size", batch_size, 1),
            ("top_k", top_k, 1),
        ):
            if value < least:
                raise FuseError(f"{name} is {value}; it must be at least {least}")
        check_number("learning_rate", learning_rate)
        if learning_rate <= 0:
            raise FuseError(f"learning_rate is {learning_rate}; it must be above 0")
        if polish_steps >= steps:
            raise FuseError(
                f"polish_steps is {polish_steps}, but there are only {steps} steps; "
                "the first steps must be left to the search"
            )
        self.restarts = restarts
        self.learning_rate = learning_rate
        self.polish_steps = polish_steps
        self.batch_size = batch_size
        self.top_k = top_k

    @abstractmethod
    def move(self, moves: Sequence[Move]) -> None:
        """Moves the points of some targets by their gradients.

        Args:
            moves: One entry a target, at least one. New points are written into the ``iterate``
                of the target's :class:`Descent`.
        """

    def load(self, device: torch.device | str = "cpu") -> None:
        """Loads the models, and checks ``top_k`` against the number of allowed tokens."""
        super().load(device)
        if self.polish_steps:
            self.check_choices("top_k", self.top_k)

    def setup(self, stage: str) -> None:
        """Sets up the search, and checks the frontier."""
        if type(self.frontier) is not GreedySearch:
            raise FuseError(
                f"{type(self).__name__} moves prompts of its own and chooses none; replace "
                f"{type(self.frontier).__name__} by GreedySearch (restarts give it width)"
            )
        super().setup(stage)

    @cached_property
    def _projection(self) -> Projection:
        return Projection(self.objective.primary.embedding_table, self.allowed_ids)

    @property
    def _table(self) -> Tensor:
        return self.objective.primary.embedding_table.float()

    def project(self, embeddings: Tensor) -> Tensor:
        """Allowed tokens nearest by cosine: from (..., d) to (...)."""
        return self._projection.nearest(embeddings)

    def start_states(self, places: Sequence[int]) -> list[list[State]]:
        """Start states, with a new descent for each search."""
        begun = super().start_states(places)
        for place, (first,) in zip(places, begun, strict=True):
            iterate = self.start_points(place, first)
            self.searches[place].own |= Descent(iterate=iterate, moments={}, polish_after=None)
        return begun

    def start_points(self, place: int, first: State) -> Tensor:
        """Points of a new search, one prompt a restart, shape (R, L, d).

        Args:
            place: The search.
            first: Prompt of the first restart, of L tokens.
        """
        others = [self.draw(place, len(first)) for _ in range(self.restarts - 1)]
        return self._table[torch.tensor([list(first), *others])].detach().clone()

    def last_descent(self, search: TargetSearch[State]) -> int:
        """Last step of a target's descent, behind which it is polished."""
        stalled_in = descent_of(search)["polish_after"]
        return self.steps - self.polish_steps if stalled_in is None else stalled_in

    def stalled(self, search: TargetSearch[State], since: int) -> bool:
        """Whether the descent, and then the polish, has stalled."""
        last = self.last_descent(search)
        if search.step > last:
            done = search.step - last >= self.polish_steps
            return done or super().stalled(search, max(since, last))
        stalled = super().stalled(search, since)
        if stalled and self.polish_steps:
            descent_of(search)["polish_after"] = search.step
            return False
        return stalled

    def propose(self, states: list[list[State]]) -> list[list[State]]:
        """The projections, then one step of descent; near the end, swaps in the best prompt."""
        running = [target for target, group in enumerate(states) if group]
        polished = [
            target
            for target, search in enumerate(self.searches)
            if target in running and search.step > self.last_descent(search)
        ]
        moved = [target for target in running if target not in polished]
        found: list[list[State]] = [[] for _ in states]
        for propose, targets in ((self._descend, moved), (self._polish, polished)):
            for target, group in propose(targets).items():
                found[target] = group
        return self.or_itself(found, states)

    def _descend(self, targets: Sequence[int]) -> dict[int, list[State]]:
        if not targets:
            return {}
        nearest = self.team.first(self._projected(targets))
        raw = [tuple(row) for ids in nearest for row in ids.tolist()]
        owners = [target for target, ids in zip(targets, nearest, strict=True) for _ in ids]
        # What is told is a text, so what is scored is that text as it is read back.
        texts = self.objective.prompts(raw, owners).texts
        read = [[state] for state in self.objective.encode_prompts(texts)]
        found: dict[int, dict[State, None]] = {target: {} for target in targets}
        for owner, group in zip(owners, self.admission.first(read, owners, 1), strict=True):
            found[owner].update(dict.fromkeys(group))
        gradient = self._gradient(raw, owners, found)
        parts = torch.split(gradient, [len(ids) for ids in nearest])
        moves = [
            Move(self.searches[target], ids, part[:, : ids.shape[1]])
            for target, ids, part in zip(targets, nearest, parts, strict=True)
        ]
        # Where a descent ends has been scored, too: no step leads on from there.
        moves = [each for each in moves if each.search.step < self.last_descent(each.search)]
        if moves:
            self.move(moves)
        return {target: [*group] for target, group in found.items()}

    def _gradient(
        self, raw: list[State], owners: list[int], found: Mapping[int, Iterable[State]]
    ) -> Tensor:
        """Gradient at the projections; the same encoder forward scores the prompts ``found``."""
        projections = {*zip(owners, raw, strict=True)}
        pairs = [(target, state) for target, group in found.items() for state in group if state]
        spelt = [pair for pair in pairs if pair not in projections]
        others = self.objective.prompts([s for _, s in spelt], [owner for owner, _ in spelt])
        others = others.select(self.objective.scores.unknown(others))
        prompts = self.objective.prompts([*raw, *others.states], [*owners, *others.owners])
        gradient, losses = embedding_gradient(self.objective, prompts)
        labels = self._label_gradient(prompts.select(range(len(raw))))
        if labels is not None:
            gradient[: len(raw), : labels.shape[1]] += labels
        self.remember(prompts, losses)
        return gradient[: len(raw)]

    def remember(self, prompts: Prompts, losses: Tensor) -> None:
        """Remembers the losses of a gradient pass that are those of the prompts' texts."""
        # A projection that spells another prompt was read as no text is.
        exact = torch.tensor(prompts.canonical) & ~losses.isnan().any(1)
        rows = exact.nonzero().flatten().tolist()
        self.objective.scores.remember(prompts.select(rows), losses[rows])

    @torch.no_grad()
    def _label_gradient(self, prompts: Prompts) -> Tensor | None:
        """Gradient of likelihoods with respect to tokens as labels, (N, L, d); ``None`` if zero.

        A token is also what the model should have expected, and how the loss changes with it is
        known exactly for every token, though of no embedding between them. This is the gradient
        of the linear function of embeddings that comes nearest to these changes over the allowed
        tokens. Where the output head is the embedding table, the function is exact.
        """
        changes = label_changes(self.objective, prompts)
        if isinstance(changes, float):
            return None
        return self._projection.slope(changes)

    def _projected(self, targets: Sequence[int]) -> list[Tensor]:
        """Nearest tokens of the targets' points, each of shape (R, L), on the CPU."""
        iterates = [descent_of(self.searches[target])["iterate"] for target in targets]
        # All at once: the device is asked but one time.
        flat = self.project(torch.cat([iterate.flatten(0, 1) for iterate in iterates]))
        sizes = [iterate.shape[:2] for iterate in iterates]
        parts = torch.split(flat, [size.numel() for size in sizes])
        return [part.view(size) for part, size in zip(parts, sizes, strict=True)]

    def _polish(self, targets: Sequence[int]) -> dict[int, list[State]]:
        best = {target: self.best[target] for target in targets}
        parents = {target: found.state for target, found in best.items() if found is not None}
        if not parents:
            return {}
        favoured = self.best_tokens([*parents.values()], [*parents], self.top_k)
        drawn = [
            self.replaced(state, tokens, SPARE * self.batch_size, 1, target)
            for (target, state), tokens in zip(parents.items(), favoured, strict=True)
        ]
        groups = self.admission.first(drawn, [*parents], self.batch_size)
        return dict(zip(parents, groups, strict=True))

    def take_back(self, search: TargetSearch[State]) -> None:
        """Restores embeddings and moments of a checkpoint on the model's device."""
        search.own = {**restored(search.own, self._table)}
