"""Hooks of a search for subclasses: start, proposals and scores."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic

from fuse_lightning.data import Target
from fuse_lightning.engine.meter import Work
from fuse_lightning.search.frontier import Scored, StateT
from fuse_lightning.search.target_search import Best, TargetSearch
from fuse_lightning.utilities.identity import Identity


class SearchHooks(ABC, Generic[StateT]):
    """Hooks that a :class:`~fuse_lightning.search.SearchModule` leaves to subclasses.

    A search must say what it starts from, what it proposes, and how it scores; all else has a
    default. A *place* is the index of a target in the batch.
    """

    persists = False
    """Whether a search continues after a step without any candidate."""
    nothing_fits = "nothing that was proposed can be a prompt"
    """Message of a search without a result, with the remedy."""

    @abstractmethod
    def start_states(self, places: Sequence[int]) -> list[list[StateT]]:
        """Start states of the searches at some places of the batch."""

    @abstractmethod
    def propose(self, states: list[list[StateT]]) -> list[list[StateT]]:
        """Candidates for each target.

        Args:
            states: States to propose from, for each target; empty for finished targets.

        Returns:
            Distinct candidates for each target, possibly none.
        """

    @abstractmethod
    def score(self, proposed: list[list[StateT]]) -> list[list[Scored[StateT]]]:
        """Losses of candidates, lower is better; the best are remembered as results.

        Args:
            proposed: Candidates of each target.

        Returns:
            For each target, what its frontier may go on from. What is left out is dropped.
        """

    def refine(self, scored: list[list[Scored[StateT]]]) -> list[list[StateT]]:
        """More candidates for each target, made from the scored ones of this step."""
        return [[] for _ in scored]

    def rescored(self, frontiers: list[list[Scored[StateT]]]) -> list[list[Scored[StateT]]]:
        """Frontiers with losses that those of this step's candidates can be compared with.

        They change where a step scores by examples of its own.
        """
        return frontiers

    def shares_targets(self, targets: Sequence[Target]) -> bool:
        """Whether several devices share out the work on each target, in place of the targets.

        Args:
            targets: All targets of the run.
        """
        return False

    def set_targets(self, targets: Sequence[Target]) -> None:
        """Prepares a batch of targets, some of which may be known already."""

    def begin_step(self, steps: Sequence[int]) -> None:
        """Called before a step, with the number of each target's step, from 0."""

    def spent(self) -> Work:
        """Work of all models so far; the search takes what a step adds.

        Evaluations are counted by the search's scores, in ``searches[place].evaluated``.
        """
        return Work()

    def shared(self) -> Sequence[object]:
        """What a copy of the search uses too and does not change, such as frozen models."""
        return ()

    def scores_start(self) -> bool:
        """Whether start states are candidates too."""
        return True

    def ids_of(self, state: StateT) -> list[int]:
        """Token ids of a state, for results; empty if states have none."""
        return []

    def figures(self) -> dict[str, float]:
        """Further numbers that are logged after each step, by name."""
        return {}

    def loss_names(self) -> list[str]:
        """Names of the losses of each prompt beside the minimized one."""
        return []

    def check_state(self, state: Any) -> None:
        """Checks a state from a checkpoint.

        Raises:
            TypeError, ValueError: If it is no state of this search.
        """

    def take_back(self, search: TargetSearch[StateT]) -> None:
        """Checks a search's ``own`` state from a checkpoint, and moves it to its device.

        Raises:
            LookupError, TypeError, ValueError: If it is not what this optimizer keeps.
        """

    def kept_counts(self) -> dict[str, int]:
        """Counts of this device beside those of the targets, which checkpoints keep."""
        return {}

    def take_counts(self, counts: Mapping[str, int]) -> None:
        """Takes the :meth:`kept_counts` of a checkpoint.

        Those of several devices are shared out: no count is lost, and none counts twice.
        """

    def reported(self, search: TargetSearch[StateT]) -> list[Best[StateT]]:
        """Best prompts of a target as its results show them, best first.

        By default as they were scored. A search with random scores may measure them once more.
        All devices that share a target call it at the same point.
        """
        return search.kept

    def captions(self) -> Callable[[Target], str] | None:
        """What a captioner of the search says of a target; ``None`` where it has none."""
        return None

    def own_identity(self, *, content: bool) -> Identity:
        """Identity of the search beside class and seed; it must be equal to resume.

        Args:
            content: Whether models are loaded, so that their weights can be compared.
        """
        return {}

    def settings(self) -> dict[str, Any]:
        """Settings beside the constructor's options, such as models, for tables of runs."""
        return {}
