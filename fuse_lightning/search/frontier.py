"""Base of frontiers: the states of each target that a search keeps between steps."""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from copy import deepcopy
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from lightning.pytorch.callbacks import Callback

from fuse_lightning.errors import FuseError
from fuse_lightning.search.checks import shortened


class AnyState(Hashable, Protocol):
    """Protocol of a search state, which can be hashed and ordered.

    Checkpoints hold states as they are, so they are texts, numbers, or tuples of these.
    """

    def __lt__(self, other: Any, /) -> bool: ...


StateT = TypeVar("StateT", bound=AnyState)
Scored: TypeAlias = tuple[float, StateT]
"""The exact loss of a state (lower is better), and the state."""


class Frontier(Callback, ABC, Generic[StateT]):
    """Callback that keeps the frontier of each target: the states to continue from.

    A step asks :meth:`expand` which states to propose from, and gives the scored proposals to
    :meth:`update`. The search saves each target's frontier in checkpoints. Ties are broken by
    the states' own order, so that results do not depend on the order of candidates.

    Attributes:
        frontiers: For each target of the batch its states with their losses.
        own: For each target what a subclass keeps beside them: plain containers and numbers.
    """

    compares: bool = True
    """Whether candidates are compared with states of earlier steps, which must be scored alike."""

    def __init__(self) -> None:
        self.frontiers: list[list[Scored[StateT]]] = []
        self.own: list[dict[str, Any]] = []

    def begin_own(self) -> dict[str, Any]:
        """Own data of a subclass for a new target, beside its states; empty by default."""
        return {}

    def start(self, initial: Sequence[Sequence[StateT]]) -> None:
        """Starts with a batch of new targets.

        Args:
            initial: Starting states of each target; their losses are not known yet.
        """
        self.regroup([], initial)

    def regroup(self, staying: Sequence[int], initial: Sequence[Sequence[StateT]]) -> None:
        """Changes the batch: the targets that stay, in this order, then new ones.

        Args:
            staying: Places of the targets that stay.
            initial: Starting states of each new target; their losses are not known yet.
        """
        self.frontiers = [self.frontiers[place] for place in staying]
        self.frontiers += [
            [(float("inf"), state) for state in dict.fromkeys(states)] for states in initial
        ]
        self.own = [*(self.own[place] for place in staying), *(self._new_own() for _ in initial)]

    def _new_own(self) -> dict[str, Any]:
        own = self.begin_own()
        if not isinstance(own, dict):
            raise FuseError(
                f"{type(self).__name__}.begin_own returns {shortened(own)}, which is no dict; "
                "return {} for nothing"
            )
        return own

    def enter(self, target: int, scored: Sequence[Scored[StateT]]) -> None:
        """Takes the scored start states of a new target; by default all of them."""
        self.frontiers[target] = [*scored]

    @abstractmethod
    def expand(self) -> list[list[StateT]]:
        """States to continue from in this step, for each target; empty for a finished one."""

    @abstractmethod
    def update(self, candidates: Sequence[Sequence[Scored[StateT]]]) -> None:
        """Takes the scored candidates of each target, at most once a step."""

    def close(self, target: int) -> None:
        """Ends the search of one target."""
        self.frontiers[target] = []

    def target_state(self, target: int) -> dict[str, Any]:
        """State of one target's frontier, for a checkpoint.

        Raises:
            FuseError: If ``own`` is not what ``begin_own`` begins with.
        """
        self._check_own(self.own[target])
        return {"frontier": [*self.frontiers[target]], "own": deepcopy(self.own[target])}

    def restore(self, target: int, state: Mapping[str, Any]) -> None:
        """Restores the :meth:`target_state` of a target that has just entered the batch.

        Raises:
            FuseError: If ``own`` is not what the class keeps.
            KeyError, TypeError, ValueError: If the state is no such state.
        """
        found = [(float(loss), each) for loss, each in state["frontier"]]
        # States are told apart by their hash, which a list does not have.
        hash(tuple(found))
        self._check_own(state["own"])
        self.frontiers[target], self.own[target] = found, state["own"]

    def _check_own(self, own: Any) -> None:
        """Checks that what is kept of a target has the names and types that it begins with."""
        new = self._new_own()
        alike = isinstance(own, dict) and own.keys() == new.keys()
        # What begins with None may become anything.
        if not alike or any(new[n] is not None and type(own[n]) is not type(new[n]) for n in new):
            raise FuseError(
                f"{shortened(own)} is not what {type(self).__name__} keeps of a target; it begins "
                f"with {shortened(new)}: keep the same names and types in begin_own"
            )


def distinct(candidates: Sequence[Scored[StateT]]) -> list[Scored[StateT]]:
    """Candidates with a finite loss, best first, each state once with its lowest loss.

    >>> distinct([(2.0, "red"), (1.0, "sky"), (0.5, "red"), (float("inf"), "sea")])
    [(0.5, 'red'), (1.0, 'sky')]
    """
    best: dict[StateT, float] = {}
    for loss, state in candidates:
        if loss < best.get(state, float("inf")):
            best[state] = loss
    return sorted((loss, state) for state, loss in best.items())
