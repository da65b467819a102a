"""A frontier: chooses where the next step starts. This one keeps prompts of different lengths."""

from fuse_lightning.search import Frontier, distinct


class EveryLength(Frontier):
    """The best prompt of each length, over all steps.

    Args:
        most: Lengths that go on, those of the best prompts.
    """

    def __init__(self, most: int = 4) -> None:
        super().__init__()
        self.most = most

    def expand(self):
        """States to propose from, for each target; an empty list ends a target."""
        return [[state for _, state in frontier] for frontier in self.frontiers]

    def update(self, candidates):
        """Takes pairs of a loss and a state for each target, and keeps what goes on."""
        for target, found in enumerate(candidates):
            if not self.frontiers[target]:
                continue  # a target that has ended stays so
            best = {}
            for loss, state in distinct([*self.frontiers[target], *found]):
                best.setdefault(len(state), (loss, state))
            self.frontiers[target] = [*best.values()][: self.most] or self.frontiers[target]
