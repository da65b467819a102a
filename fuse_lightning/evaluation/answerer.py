"""Interface of what answers the examples of a target with a prompt."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from fuse_lightning.data.targets import Target
from fuse_lightning.evaluation.deciding import Marked
from fuse_lightning.evaluation.verdict import ChainScore, ChainSettings
from fuse_lightning.objectives import Objective, Term


class Replies(ABC):
    """Answers of N prompts to E examples.

    Attributes:
        right: Whether each answer is right, shape (N, E), on the CPU.
        loss: Minus the log probability of each right answer, in nats, lower is better, shape
            (N, E), float64 on the CPU. Of equally right prompts the one with the lower loss is
            taken.
    """

    right: Tensor
    loss: Tensor

    @abstractmethod
    def only(self, prompt: int) -> Replies:
        """Answers of one of the prompts."""

    @abstractmethod
    def marked(self, name: str, text: str, select: float, select_loss: float) -> Marked:
        """Answers of the only prompt as a verdict takes them.

        Args:
            name: Name of the prompt.
            text: The prompt.
            select: Its accuracy on the examples that choose.
            select_loss: Its mean loss there, in nats.
        """

    @abstractmethod
    def shown(self, example: int) -> dict[str, Any]:
        """What is shown of the only prompt's answer to an example: plain data by name."""

    @property
    def chains(self) -> ChainScore | None:
        """Figures of the only prompt's chains; ``None`` where answers need none."""
        return None

    @property
    def unread(self) -> str:
        """What the only prompt made the model write in place of an answer; empty if nothing."""
        return ""


class Answerer(ABC):
    """Base of what answers the examples of a target with a prompt: a term, and its objective.

    Args:
        objective: The objective, loaded.
        term: One of its terms.
    """

    def __init__(self, objective: Objective, term: Term) -> None:
        self.objective = objective
        self.term = term

    def give(self, target: Target) -> None:
        """Gives the objective a target alone; its ``seen`` examples are then answered."""
        self.objective.set_targets([target])

    @property
    @abstractmethod
    def groups(self) -> list[list[int]]:
        """Numbers of the given target's examples, grouped by what a demonstration shows."""

    @abstractmethod
    def example_text(self, number: int) -> str:
        """Text of an example of the given target with its answer, as a demonstration."""

    @abstractmethod
    def replies(self, texts: Sequence[str], numbers: Sequence[int]) -> Replies:
        """Answers to examples of the target that was given last.

        Args:
            texts: N prompts.
            numbers: Numbers of E of its examples.
        """

    @abstractmethod
    def fits(self, text: str) -> bool:
        """Whether the model can read a prompt together with the longest examples."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes of the given target; empty where answers are no classes."""
        return ()

    @property
    def settings(self) -> ChainSettings | None:
        """How chains are written and read; ``None`` where answers need none."""
        return None
