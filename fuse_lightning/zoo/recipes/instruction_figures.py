"""Accuracy of prompts under the model that follows instructions."""

import random
from collections.abc import Sequence
from typing import Any

from fuse_lightning.data import Target
from fuse_lightning.evaluation.answers import Labeller
from fuse_lightning.evaluation.drawn_examples import drawn_demonstrations
from fuse_lightning.evaluation.floor_options import FloorOptions
from fuse_lightning.models import CausalLM
from fuse_lightning.objectives import Classification, Objective
from fuse_lightning.zoo.instructions import LAYOUT, RIGHT, STOCK
from fuse_lightning.zoo.moods import COUNT, mood_captions

STRONG = (
    "mood feeling taste beauty",
    "what is the mood and the taste and the charm of this",
    "charm quality heart mood style",
)
"""Prompts of several cue words, whose strengths add up to more than 2.5."""
TURNED = "opposite reverse of contrary"
TOKENS = 6
"""Tokens of a random prompt."""
SHOTS = 32


def instruction_figures(
    model: CausalLM, count: int, seed: int, draws: int = 20
) -> dict[str, float]:
    """Accuracy of prompts on captions that the model was not trained on.

    Args:
        model: The model.
        count: Captions of "zoo/moods" to answer, half of each mood.
        seed: Seed of random prompts and demonstrations.
        draws: Random prompts, and draws of demonstrations.

    Returns:
        Name to share of right answers, with 0.5 for chance.
    """
    rows: list[Any] = mood_captions(min(COUNT, SHOTS + count))
    labels: dict[str, list[str]] = {mood: [word] for mood, word in RIGHT.items()}
    target = Target("moods", examples=rows[:SHOTS], select=rows[SHOTS:], labels=labels)
    term = Classification(model, LAYOUT)
    objective = Objective([term])
    objective.load()
    labeller = Labeller(objective, term)
    labeller.give(target)

    def mean(texts: Sequence[str]) -> float:
        return sum(found := accuracies(texts)) / len(found)

    def accuracies(texts: Sequence[str]) -> list[float]:
        answers = labeller.probabilities(texts, target.choosing).argmax(2)
        shares: list[float] = (answers == labeller.right(target.choosing)).double().mean(1).tolist()
        return shares

    pieces = [piece for piece in model.pieces if piece.strip().isalpha()]
    rng = random.Random(f"evaluate-{seed}")
    texts = ["".join(rng.choices(pieces, k=TOKENS)).strip() for _ in range(draws)]
    shown = [*drawn_demonstrations(labeller, target, FloorOptions(draws=draws), seed)]
    return {
        "instruct accuracy, no prompt": mean([""]),
        "instruct accuracy, mean of random prompts": mean(texts),
        "instruct accuracy, mean of four demonstrations": mean(shown),
        "instruct accuracy, best of the stock instructions": max(accuracies(STOCK)),
        "instruct accuracy, worst of the strong prompts": min(accuracies(STRONG)),
        "instruct accuracy, opposite asked": mean([TURNED]),
    }
