"""Choice of prompts by examples that no step reads: entrants, race, short list."""

from collections.abc import Sequence

import torch
from torch import Tensor

from fuse_lightning.data import Target
from fuse_lightning.objectives import Objective, Prompts, State
from fuse_lightning.optimizers.minibatches import choosing
from fuse_lightning.optimizers.racing import Racing, race
from fuse_lightning.search import Best, TargetSearch


class Choice:
    """Chooser of the short list of each target by its ``select`` examples.

    The best candidates of a step race with the short list. What stands on it has met every one
    of these examples, so that its losses can be compared.

    Args:
        objective: The objective.
        racing: Settings of the races.
        top: Places of a short list.
        seed: Seed of the order of examples.
    """

    def __init__(self, objective: Objective, racing: Racing, top: int, seed: int) -> None:
        self.objective = objective
        self.racing = racing
        self.top = top
        self.seed = seed

    def train(self, target: Target) -> Sequence[int]:
        """Numbers of the train examples that steps may read.

        They also choose prompts where a target has no ``select`` examples.
        """
        return range(len(target.examples))

    def order(self, target: Target) -> list[int]:
        """Numbers of the examples that choose, in the order of a race."""
        return choosing(target, self.seed, self.train(target))

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
            rows: Numbers of those that may be results.
            totals: Their losses by the examples of the step, for all candidates.
        """
        entered = self._entered(searches, prompts, rows, totals)
        known = [
            (owner, best.state)
            for owner in dict.fromkeys(prompts.owners[row] for row in entered)
            for best in searches[owner].kept
        ]
        states = [*(state for _, state in known), *(prompts.states[row] for row in entered)]
        owners = [*(owner for owner, _ in known), *(prompts.owners[row] for row in entered)]
        if not entered:
            return
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
            Shape (targets,); no number for a target without a prompt, or terms without answers.
        """
        found = torch.full((len(targets),), torch.nan)
        best = [(n, each.best) for n, each in enumerate(searches)]
        some = [(n, each) for n, each in best if each is not None]
        prompts = self.objective.prompts([each.state for _, each in some], [n for n, _ in some])
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
