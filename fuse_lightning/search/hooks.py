"""Hooks of a search: what it starts from, what it proposes, and how it scores."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Generic

from fuse_lightning.data import Target
from fuse_lightning.search.frontier import Scored, StateT
from fuse_lightning.search.target_search import TargetSearch
from fuse_lightning.utilities.identity import Identity


class SearchHooks(ABC, Generic[StateT]):
    """Hooks that a :class:`~fuse_lightning.search.SearchModule` leaves to its subclasses.

    A search must say what it starts from, what it proposes, and how it scores; all else has a
    default. A *place* is the index of a target in the batch.
    """

    persists = False
    """Whether a search goes on where a step brought nothing."""
    nothing_fits = "nothing that was proposed can be a prompt"
    """Why a search has found nothing, and what to do about it."""

    @abstractmethod
    def start_states(self, places: Sequence[int]) -> list[list[StateT]]:
        """The states that the searches at some places start from."""

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
        """Losses of candidates, lower is better; remembers what may be a result.

        Args:
            proposed: Candidates of each target.

        Returns:
            For each target, what its frontier may go on from. What is left out is dropped.
        """

    def refine(self, scored: list[list[Scored[StateT]]]) -> list[list[StateT]]:
        """More candidates for each target, drawn from the scored ones of this step."""
        return [[] for _ in scored]

    def set_targets(self, targets: Sequence[Target]) -> None:
        """Prepares what is needed of a batch of targets, some of them perhaps already known."""

    def begin_step(self, steps: Sequence[int]) -> None:
        """Is called before a step, with the number of each target's step, from 0."""

    def scores_start(self) -> bool:
        """Whether the states to start from are candidates too."""
        return True

    def ids_of(self, state: StateT) -> list[int]:
        """Token ids of a state, for results; none where states have no ids."""
        return []

    def loss_names(self) -> list[str]:
        """Names of the losses that each prompt has beside the one that is minimized."""
        return []

    def check_state(self, state: Any) -> None:
        """Checks a state that a checkpoint holds.

        Raises:
            TypeError, ValueError: If it is no state of this search.
        """

    def take_back(self, search: TargetSearch[StateT]) -> None:
        """Checks the ``own`` state of a search from a checkpoint; moves it to its device.

        Raises:
            LookupError, TypeError, ValueError: If it is not what this optimizer keeps.
        """

    def captions(self) -> Callable[[Target], str] | None:
        """What a captioner of the search says of a target; ``None`` where it has none."""
        return None

    def own_identity(self, *, content: bool) -> Identity:
        """Parts of a search that must be equal for it to go on, beside its class and its seed.

        Args:
            content: Whether models are loaded, so that their weights can be compared.
        """
        return {}

    def settings(self) -> dict[str, Any]:
        """Settings beside the constructor's options, such as models, for tables of runs."""
        return {}
