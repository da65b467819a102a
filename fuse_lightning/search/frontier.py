"""What every search strategy keeps and does."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from lightning.pytorch.callbacks import Callback

State = tuple[int, ...]
Scored = tuple[float, State]
"""The exact loss of a prompt, and its ids."""


class Frontier(Callback):
    """Frontier bookkeeping: which prompts go on, separately for each target of the batch.

    A step asks :meth:`expand` which states to propose from, and gives the scored proposals to
    :meth:`update`. The optimizer saves each target's frontier in checkpoints. Ties are broken by
    the ids, so that results do not depend on the order of candidates.
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

    def target_state(self, target: int) -> dict[str, Any]:
        """What is kept of one target, as numbers and lists."""
        return {"frontier": [(loss, list(state)) for loss, state in self.frontiers[target]]}

    def restore(self, target: int, state: Mapping[str, Any]) -> None:
        """Takes back the :meth:`target_state` of a target that has just entered the batch.

        Raises:
            KeyError, TypeError, ValueError: If the state is no such state.
        """
        self.frontiers[target] = [(float(loss), ids_of(row)) for loss, row in state["frontier"]]


def ids_of(row: Any) -> State:
    """Ids that were saved as a list.

    Raises:
        TypeError: If they are no list of whole numbers.
    """
    if not isinstance(row, list | tuple) or not all(type(token) is int for token in row):
        raise TypeError(f"{row!r} is no list of ids")
    return tuple(row)


def distinct(candidates: Sequence[Scored]) -> list[Scored]:
    """Candidates with a finite loss, best first, every state once."""
    best: dict[State, float] = {}
    for loss, state in candidates:
        if loss < best.get(state, float("inf")):
            best[state] = loss
    return sorted((loss, state) for state, loss in best.items())
