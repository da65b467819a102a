"""What a search found for one target."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fuse_lightning.errors import FuseError


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


def read_results(folder: Path) -> list[Result]:
    """The prompts in a run's folder, in the order of targets, best first; finished or not.

    Raises:
        FuseError: If the folder holds no prompts.
    """
    results = []
    for path in sorted(folder.glob("prompts*.jsonl")):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            try:
                results.append(Result(**json.loads(line)))
            except (TypeError, ValueError) as error:
                raise FuseError(
                    f"line {number} of {str(path)!r} is no result; remove the line"
                ) from error
    if not results:
        raise FuseError(
            f"{str(folder)!r} holds no prompts.jsonl with results; give the folder of a run, such "
            "as logs/search/version_0"
        )
    return results
