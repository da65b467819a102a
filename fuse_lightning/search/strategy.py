"""What every search strategy keeps and does."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from lightning.pytorch.callbacks import Callback

from fuse_lightning.errors import FuseError

State = tuple[int, ...]
Scored = tuple[float, State]
"""The exact loss of a prompt, and its ids."""


class SearchStrategy(Callback):
    """Frontier bookkeeping: which prompts go on, separately for each target of the batch.

    A step asks :meth:`expand` which states to propose from, and gives the scored proposals to
    :meth:`update`. The frontier is saved in checkpoints. Ties are broken by the ids, so that
    results do not depend on the order of candidates.
    """

    def __init__(self) -> None:
        self.frontiers: list[list[Scored]] = []

    def start(self, initial: Sequence[Sequence[State]]) -> None:
        """Begins anew.

        Args:
            initial: Starting states of each target; their losses are not known yet.
        """
        self.regroup([], initial)

    def regroup(self, staying: Sequence[int], initial: Sequence[Sequence[State]]) -> None:
        """Changes the batch: some targets stay, in this order, and new ones stand behind them.

        Args:
            staying: Places of the targets that stay.
            initial: Starting states of each new target; their losses are not known yet.
        """
        self.frontiers = [self.frontiers[place] for place in staying]
        self.frontiers += [
            [(float("inf"), state) for state in dict.fromkeys(states)] for states in initial
        ]

    @abstractmethod
    def expand(self) -> list[list[State]]:
        """States to propose from in this step, for each target; empty for a finished target."""

    @abstractmethod
    def update(self, candidates: Sequence[Sequence[Scored]]) -> None:
        """Takes the scored candidates of each target, at most once a step."""

    def close(self, target: int) -> None:
        """Ends the search of one target."""
        self.frontiers[target] = []

    @property
    def state_key(self) -> str:
        """One key for every strategy: a trainer takes one of them, and a resumed run finds it."""
        return "SearchStrategy"

    def state_dict(self) -> dict[str, Any]:
        """The frontier as numbers and lists, with the strategy's name."""
        return {"strategy": type(self).__name__, "frontiers": _plain(self.frontiers)}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Restores the frontier.

        Raises:
            FuseError: If another strategy wrote it.
        """
        if state_dict["strategy"] != type(self).__name__:
            raise FuseError(
                f"the checkpoint was written with {state_dict['strategy']}, not with "
                f"{type(self).__name__}; resume with the same search strategy"
            )
        self.frontiers = _scored(state_dict["frontiers"])


def distinct(candidates: Sequence[Scored]) -> list[Scored]:
    """Candidates with a finite loss, best first, every state once."""
    best: dict[State, float] = {}
    for loss, state in candidates:
        if loss < best.get(state, float("inf")):
            best[state] = loss
    return sorted((loss, state) for state, loss in best.items())


def _plain(frontiers: Sequence[Sequence[Scored]]) -> list[list[tuple[float, list[int]]]]:
    return [[(loss, list(state)) for loss, state in frontier] for frontier in frontiers]


def _scored(plain: Sequence[Sequence[Any]]) -> list[list[Scored]]:
    return [[(loss, tuple(state)) for loss, state in frontier] for frontier in plain]
