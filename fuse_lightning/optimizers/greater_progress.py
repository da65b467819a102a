"""Progress of GReaTer: questions that are taken in turn, and passes that change nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fuse_lightning.data import Target
from fuse_lightning.errors import FuseError
from fuse_lightning.objectives import Objective, State
from fuse_lightning.optimizers.base import PromptOptimizer
from fuse_lightning.optimizers.choice import Choice
from fuse_lightning.optimizers.greater_positions import Positions, Slot
from fuse_lightning.optimizers.minibatches import choosing
from fuse_lightning.optimizers.racing import Racing
from fuse_lightning.search import TargetSearch

TAKEN, TRIED = "taken", "tried"
"""Names of the number of questions that steps read, and of how often each position of the kept
prompts was tried, in a search's own data."""


class ChoiceOfTaken(Choice):
    """Choice among prompts where steps read the first questions of a target, more and more.

    Losses of different steps are of different questions, so that all of them choose.

    Args:
        objective: The objective.
        racing: Settings of the races.
        top: Places of a short list.
        seed: Seed of the order of examples.
        taken: Number of the questions that steps of a target read.
    """

    def __init__(
        self,
        objective: Objective,
        racing: Racing,
        top: int,
        seed: int,
        taken: Callable[[Target], int],
    ) -> None:
        super().__init__(objective, racing, top, seed)
        self.taken = taken

    def applies(self, target: Target) -> bool:
        """Whether the target has questions."""
        return bool(target.examples)

    def train(self, target: Target) -> Sequence[int]:
        """Numbers of the questions that are taken so far."""
        return range(min(self.taken(target), len(target.examples)))

    def order(self, target: Target) -> list[int]:
        """Numbers of the questions that choose: those of ``select``, else all."""
        return choosing(target, self.seed)


def note_tried(search: TargetSearch[State], kept: Sequence[State], slots: Sequence[Slot]) -> None:
    """Notes that a step tries positions; all are untried once other prompts are kept.

    Args:
        search: Search of a target.
        kept: The prompts that its frontier keeps, with those that the step goes on from.
        slots: The positions.
    """
    tried: dict[State, list[int]] = search.own.get(TRIED, {})
    if tried.keys() != {*kept}:
        tried = {state: [0] * (len(state) + 1) for state in kept}
    for slot in slots:
        tried[slot.state][slot.place] += 1
    search.own[TRIED] = tried


def is_settled(
    search: TargetSearch[State], kept: Sequence[State], positions: Positions, passes: int
) -> bool:
    """Whether every position of the kept prompts was tried so often, and nothing changed.

    Args:
        search: Search of a target.
        kept: The prompts that its frontier keeps now.
        positions: Order of positions, which tells whether a prompt grows.
        passes: How often.
    """
    tried: dict[State, list[int]] = search.own.get(TRIED, {})
    return tried.keys() == {*kept} and all(
        times >= passes
        for state, counts in tried.items()
        for times in counts[: len(state) + positions.grows(state)]
    )


def check_progress(search: TargetSearch[State], check_state: Callable[[State], None]) -> None:
    """Checks what a checkpoint says of the progress of a search.

    Args:
        search: The search.
        check_state: Raises an error over what is no prompt.

    Raises:
        TypeError, ValueError: If it is nothing of the kind.
    """
    taken = search.own.get(TAKEN, 1)
    if type(taken) is not int or taken < 1:
        raise TypeError("the number of questions is no count")
    for state, counts in search.own.get(TRIED, {}).items():
        check_state(state)
        if len(counts) != len(state) + 1 or any(type(n) is not int or n < 0 for n in counts):
            raise ValueError("the counts of positions are none")


class ProgressiveSearch(PromptOptimizer):
    """Base of searches that take questions in turn, and end after passes that change nothing."""

    positions: Positions

    def set_progress(self, progressive: int | None, settled: int | None) -> None:
        """Sets the options, once there is an objective.

        Args:
            progressive: Questions that the first steps read, and that are added at a time;
                ``None`` for all from the start.
            settled: How often each position is tried without a change before a search ends;
                ``None`` for no such end.

        Raises:
            FuseError: If one is out of its range, or contradicts another.
        """
        for name, value in (("progressive", progressive), ("settled", settled)):
            if value is not None and value < 1:
                raise FuseError(f"{name} is {value}; it must be at least 1")
        size = self.examples_per_step
        if progressive is not None and size is not None:
            raise FuseError(
                f"progressive is {progressive} and examples_per_step {size}, which both choose "
                "what a step reads; give one of them"
            )
        self.progressive = progressive
        self.settled = settled
        if progressive is not None:
            own = self.objective, self.racing, self.top, self.seed
            self.choice = ChoiceOfTaken(*own, self.taken)

    def kept(self, owner: int) -> list[State]:
        """Prompts that the frontier of a target keeps."""
        return [state for _, state in self.frontier.frontiers[owner]]

    def taken(self, target: Target) -> int:
        """Number of the train questions of a target that steps read."""
        own = next((search.own for search in self.searches if search.name == target.id), {})
        number: int = own.get(TAKEN, self.progressive or len(target.examples))
        return number

    def begin_step(self, steps: Sequence[int]) -> None:
        """Tells the objective which step of each target begins, and which questions it reads."""
        if self.progressive is not None:
            for owner, search in enumerate(self.searches):
                if self._ready_for_more(owner):
                    search.own[TAKEN] = self.taken(self.targets[owner]) + self.progressive
        super().begin_step(steps)

    def _ready_for_more(self, owner: int) -> bool:
        """Whether more questions are to be read: the best prompt is right on all or is settled."""
        kept, target = self.kept(owner), self.targets[owner]
        numbers = self.choice.train(target)
        if not kept or not kept[0] or len(numbers) == len(target.examples):
            return False
        scores = self.objective.scores
        prompts = self.objective.prompts(kept[:1], [owner])
        right = scores.by_example[0].correct(scores.keys(prompts), prompts, [numbers])
        return self.team.first(bool((right == 1).all())) or self._is_settled(owner)

    def _is_settled(self, owner: int) -> bool:
        size, kept = self.examples_per_step, self.kept(owner)
        if self.settled is None or (size and size < len(self.targets[owner].examples)):
            return False
        return is_settled(self.searches[owner], kept, self.positions, self.settled)

    def stalled(self, search: TargetSearch[State], since: int) -> bool:
        """Whether too many steps brought no better prompt, or all positions were tried."""
        owner = next(n for n, each in enumerate(self.searches) if each is search)
        target = self.targets[owner]
        whole = self.taken(target) >= len(target.examples)
        return super().stalled(search, since) or (whole and self._is_settled(owner))

    def figures(self) -> dict[str, float]:
        """Also the mean number of questions that steps read, where it grows."""
        found = super().figures()
        if self.progressive is not None:
            taken = [len(self.choice.train(target)) for target in self.targets]
            found["train/questions"] = sum(taken) / len(taken)
        return found
