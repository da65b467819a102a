"""What a search found for one target."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Result:
    """The best prompt of one target.

    Attributes:
        target: The target's id.
        prompt: The prompt.
        ids: Its ids in the primary tokenizer.
        loss: The objective; lower is better.
        losses: Loss of each term, unweighted.
        step: Step of the target's search in which it was found, from 1.
        seed: Seed of the run.
        seconds: Wall time of the batch that the target was in, so far.
    """

    target: str
    prompt: str
    ids: list[int]
    loss: float
    losses: dict[str, float]
    step: int
    seed: int
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Plain containers, for JSON and checkpoints."""
        return asdict(self)
