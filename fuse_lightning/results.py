"""What a search found for one target."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Result:
    """A prompt that a search found for a target.

    Attributes:
        target: The target's id.
        prompt: The prompt.
        ids: Its ids in the primary tokenizer.
        loss: The objective; lower is better.
        losses: Loss of each term, unweighted.
        step: Step of the target's search in which it was found, from 1.
        seed: Seed of the run.
        seconds: Wall time of the batch that the target was in, so far.
        rank: 1 for the best prompt of the target, 2 for the next.
    """

    target: str
    prompt: str
    ids: list[int]
    loss: float
    losses: dict[str, float]
    step: int
    seed: int
    seconds: float
    rank: int = 1

    def to_dict(self) -> dict[str, Any]:
        """Plain containers, for JSON and checkpoints."""
        return asdict(self)
