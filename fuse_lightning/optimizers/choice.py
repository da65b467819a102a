"""Choice of prompts by examples that no step reads: entrants, race, short list."""

from collections.abc import Sequence

import torch
from torch import Tensor

from fuse_lightning.data import Target
from fuse_lightning.errors import FuseError
from fuse_lightning.objectives import Objective, Prompts, State
from fuse_lightning.optimizers.minibatches import choosing, minibatch
from fuse_lightning.optimizers.racing import Racing, race
from fuse_lightning.search import Best, Scored, TargetSearch


class Choice:
    """Chooser of the short list of each target by its ``select`` examples.

    The best candidates of a step race with the short list. What stands on it has met every one
    of these examples, so that its losses can be compared.

    Args:
        objective: The objective.
        racing: Settings of the races.
        top: Places of a short list.
        seed: Seed of the order of examples.
        size: Train examples of a step; ``None`` for all.
    """

    def __init__(
        self, objective: Objective, racing: Racing, top: int, seed: int, size: int | None = None
    ) -> None:
        self.objective = objective
        self.racing = racing
        self.top = top
        self.seed = seed
        self.size = size

    def applies(self, target: Target) -> bool:
        """Whether prompts of a target are chosen by other examples than those of a step."""
        read = any(term.examples is not None for term in self.objective.terms)
        return read and bool(target.examples and (target.select or self.size is not None))

    def train(self, target: Target) -> Sequence[int]:
        """Numbers of the train examples that steps may read.

        They also choose prompts where a target has no ``select`` examples.
        """
        return range(len(target.examples))

    def order(self, target: Target) -> list[int]:
        """Numbers of the examples that choose, in the order of a race."""
        return choosing(target, self.seed, self.train(target))

    def draw(self, targets: Sequence[Target], steps: Sequence[int]) -> None:
        """Draws the examples that a step of each target reads.

        Args:
            targets: The targets of the batch.
            steps: Number of each target's step, from 0.

        Raises:
            FuseError: If a term has fewer examples of a target than the target.
        """
        numbers: list[Sequence[int] | None] = [
            minibatch(target, step, self.size, self.seed, self.train(target))
            if self.applies(target)
            else None
            for target, step in zip(targets, steps, strict=True)
        ]
        if all(some is None for some in numbers):
            return
        for term in self.objective.terms:
            for target, some, count in zip(targets, numbers, term.examples or (), strict=False):
                if some is not None and count < len(target.seen):
                    raise FuseError(
                        f"target {target.id!r} has {len(target.seen)} examples to search with, but "
                        f"{term.name} says {count}; set examples to len(target.seen)"
                    )
        self.objective.draw(numbers)

    def rescored(
        self, targets: Sequence[Target], frontiers: list[list[Scored[State]]]
    ) -> list[list[Scored[State]]]:
        """Frontiers with losses by the examples of this step, where prompts are chosen by others.

        Args:
            targets: The targets of the batch.
            frontiers: Losses and states of each target.
        """
        some = [
            (owner, state)
            for owner, (target, group) in enumerate(zip(targets, frontiers, strict=True))
            for loss, state in group
            if loss < float("inf") and self.applies(target)
        ]
        prompts = self.objective.prompts([state for _, state in some], [n for n, _ in some])
        totals = self.objective.total(self.objective.losses(prompts)).tolist() if some else []
        now = dict(zip(some, totals, strict=True))
        return [
            sorted((now.get((owner, state), loss), state) for loss, state in group)
            if self.applies(targets[owner])
            else group
            for owner, group in enumerate(frontiers)
        ]

    def update(
        self,
        targets: Sequence[Target],
        searches: Sequence[TargetSearch[State]],
        prompts: Prompts,
        rows: Sequence[int],
        totals: Sequence[float],
    ) -> None:
        """Races the best candidates of a step, and writes the new short lists.

        Args:
            targets: The targets of the batch.
            searches: Their searches, whose short lists change.
            prompts: The candidates.
            rows: Numbers of those that may be results, of targets that the choice applies to.
            totals: Their losses by the examples of the step, for all candidates.
        """
        entered = self._entered(searches, prompts, rows, totals)
        if not entered:
            return
        known = [
            (owner, best.state)
            for owner in dict.fromkeys(prompts.owners[row] for row in entered)
            for best in searches[owner].kept
        ]
        states = [*(state for _, state in known), *(prompts.states[row] for row in entered)]
        owners = [*(owner for owner, _ in known), *(prompts.owners[row] for row in entered)]
        entrants = self.objective.prompts(states, owners)
        finish = race(
            self.objective,
            entrants,
            [self.order(target) for target in targets],
            self.top,
            self.racing,
        )
        places: dict[int, list[Best[State]]] = {owner: [] for owner in {*owners}}
        sums = self.objective.total(finish.losses).tolist()
        for row, losses, total in zip(finish.rows, finish.losses.tolist(), sums, strict=True):
            owner = owners[row]
            steps = [best.step for best in searches[owner].kept if best.state == states[row]]
            step = steps[0] if steps else searches[owner].step
            if total < float("inf"):
                places[owner].append(Best(total, losses, states[row], entrants.texts[row], step))
        for owner, kept in places.items():
            searches[owner].kept = kept

    def _entered(
        self,
        searches: Sequence[TargetSearch[State]],
        prompts: Prompts,
        rows: Sequence[int],
        totals: Sequence[float],
    ) -> list[int]:
        """Rows of the best candidates of each target that are not on its short list."""
        texts = [{best.prompt for best in search.kept} for search in searches]
        counts = [0] * len(searches)
        entered = []
        for row in sorted(rows, key=totals.__getitem__):
            owner, text = prompts.owners[row], prompts.texts[row]
            new = text not in texts[owner] and totals[row] < float("inf")
            if new and counts[owner] < self.racing.entrants:
                texts[owner].add(text)
                counts[owner] += 1
                entered.append(row)
        return sorted(entered, key=lambda row: prompts.owners[row])

    def accuracy(
        self, targets: Sequence[Target], searches: Sequence[TargetSearch[State]]
    ) -> Tensor:
        """Share of right answers of each target's best prompt on the examples that choose.

        Returns:
            Shape (targets,); no number for a target without examples or without a prompt, or where
            no term asks for answers.
        """
        found = torch.full((len(targets),), torch.nan)
        best = [(n, each.best) for n, each in enumerate(searches) if targets[n].examples]
        some = [(n, each.state) for n, each in best if each is not None]
        prompts = self.objective.prompts([state for _, state in some], [n for n, _ in some])
        numbers = [self.order(targets[n]) for n, _ in some]
        for column, term in enumerate(self.objective.terms):
            if term.examples is None or not some:
                continue
            scores = self.objective.scores
            told = scores.by_example[column].correct(scores.keys(prompts), prompts, numbers)
            if not told.isnan().any():
                parts = torch.split(told, [len(each) for each in numbers])
                for (n, _), part in zip(some, parts, strict=True):
                    found[n] = part.mean()
        return found
