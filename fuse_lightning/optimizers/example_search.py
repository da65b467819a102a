"""Base of searches whose steps read minibatches of examples."""

from collections.abc import Sequence

import torch

from fuse_lightning.data import Target, TargetBatch
from fuse_lightning.errors import FuseError
from fuse_lightning.objectives import Objective, Prompts, State
from fuse_lightning.objectives.scores import together
from fuse_lightning.optimizers.choice import Choice
from fuse_lightning.optimizers.racing import Racing
from fuse_lightning.optimizers.reasoning_figures import reasoning_figures
from fuse_lightning.search import Scored, SearchModule


class ExampleSearch(SearchModule[State]):
    """Base of searches for prompts of labelled examples and of other targets.

    Where targets have examples, a step reads some of them, the same for all its candidates. Which
    prompt is the result is then chosen by examples that no step reads, in a race.
    """

    objective: Objective

    def set_examples(self, examples_per_step: int | None, racing: Racing | None) -> None:
        """Sets the options about examples, once there is an objective.

        Raises:
            FuseError: If one is out of its range.
        """
        if examples_per_step is not None and examples_per_step < 1:
            raise FuseError(f"examples_per_step is {examples_per_step}; it must be at least 1")
        self.examples_per_step = examples_per_step
        self.racing = racing or Racing()
        self.choice = Choice(self.objective, self.racing, self.top, self.seed, examples_per_step)

    def shares_targets(self, targets: Sequence[Target]) -> bool:
        """Whether all targets have examples, which several devices share out."""
        return bool(targets) and all(target.examples for target in targets)

    def training_step(self, batch: TargetBatch, batch_idx: int) -> None:
        """One search step; devices that share targets compute losses and gradients together."""
        with together(self.objective.scores, self.team):
            super().training_step(batch, batch_idx)

    def set_targets(self, targets: Sequence[Target]) -> None:
        """Gives the targets to the objective."""
        # Once for all steps, so that reduced precision would save little and cost all.
        with torch.autocast(self.device.type, enabled=False):
            self.objective.set_targets(targets)
        # A start is checked, and may be scored, before the first step.
        self.choice.draw(targets, [0] * len(targets))

    def begin_step(self, steps: Sequence[int]) -> None:
        """Tells the objective which step of each target begins, and draws its examples."""
        self.objective.scores.evaluations = [search.evaluated for search in self.searches]
        self.objective.begin_step(steps)
        self.choice.draw(self.targets, steps)

    def parted(self, prompts: Prompts, rows: Sequence[int]) -> tuple[list[int], list[int]]:
        """Rows of targets whose prompts are chosen by examples of their own, and the other rows."""
        apart = [self.choice.applies(target) for target in self.targets]
        raced = [row for row in rows if apart[prompts.owners[row]]]
        return raced, [row for row in rows if not apart[prompts.owners[row]]]

    def choose(self, prompts: Prompts, rows: Sequence[int], totals: Sequence[float]) -> None:
        """Lets the best candidates of a step race for the short lists.

        Args:
            prompts: The candidates.
            rows: Numbers of those that may be results, of targets with examples that choose.
            totals: Losses of all candidates by the examples of the step.
        """
        with torch.autocast(self.device.type, enabled=False):
            self.choice.update(self.targets, self.searches, prompts, rows, totals)

    def rescored(self, frontiers: list[list[Scored[State]]]) -> list[list[Scored[State]]]:
        """Losses of the frontier by the examples of this step."""
        return self.choice.rescored(self.targets, frontiers)

    def figures(self) -> dict[str, float]:
        """Mean accuracy of the best prompts on the examples that choose, for curves.

        Where a model reasons, also the shares of right answers in chains and behind extractors,
        and the number of the prompts' tokens.
        """
        found = self.choice.accuracy(self.targets, self.searches)
        told = {} if found.isnan().all() else {"select/accuracy": float(found.nanmean())}
        return told | reasoning_figures(self.choice, self.targets, self.searches)
