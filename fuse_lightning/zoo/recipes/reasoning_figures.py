"""Accuracy of prompts under the model that reasons."""

import random
from collections.abc import Mapping, Sequence

from fuse_lightning.models import CausalLM
from fuse_lightning.zoo.reasoning import (
    BEST,
    COUNT,
    EXTRACTOR,
    LAYOUT,
    MAX_CHAIN,
    NEUTRAL,
    STOCK,
    TRAP,
    reasoning_questions,
)

TOKENS = 6
"""Tokens of a random prompt."""


def reasoning_figures(model: CausalLM, count: int, seed: int, draws: int = 20) -> dict[str, float]:
    """Accuracy of prompts on questions that the model was not trained on.

    Args:
        model: The model.
        count: Questions of "zoo/sums" to answer.
        seed: Seed of random prompts.
        draws: Random prompts.

    Returns:
        Name to share of right answers.
    """
    model.load()
    questions = reasoning_questions(min(COUNT, count))

    def shares(prompts: Sequence[str]) -> list[float]:
        return [accuracy(model, questions, prompt) for prompt in prompts]

    pieces = [piece for piece in model.pieces if piece.strip().isalpha()]
    rng = random.Random(f"evaluate-{seed}")
    drawn = ["".join(rng.choices(pieces, k=TOKENS)).strip() for _ in range(draws)]
    stock, by_chance = shares(STOCK), shares(drawn)
    return {
        "reasoner accuracy, no prompt": shares([""])[0],
        "reasoner accuracy, neutral instruction": shares([NEUTRAL])[0],
        "reasoner accuracy, hasty instruction": shares([TRAP])[0],
        "reasoner accuracy, mean of random prompts": sum(by_chance) / draws,
        "reasoner accuracy, worst of the stock instructions": min(stock),
        "reasoner accuracy, best of the stock instructions": max(stock),
        "reasoner accuracy, best instruction": shares([BEST])[0],
    }


def accuracy(model: CausalLM, questions: Sequence[Mapping[str, str]], prompt: str) -> float:
    """Share of questions whose answer behind the likeliest chain is right.

    Args:
        model: The model.
        questions: Questions with their labels.
        prompt: The prompt.
    """
    texts = [LAYOUT.format(question=row["question"], prompt=prompt) for row in questions]
    begun = _rows(model, texts)
    chains = model.generate(begun, MAX_CHAIN).ids
    (extractor,) = _rows(model, [EXTRACTOR], special=False)
    rows = [[*start, *chain, *extractor] for start, chain in zip(begun, chains, strict=True)]
    answers = model.next_log_probs(rows).argmax(1).tolist()
    found = [model.pieces[answer].strip() for answer in answers]
    model.forget()
    right: int = sum(answer == row["label"] for answer, row in zip(found, questions, strict=True))
    return right / len(questions)


def _rows(model: CausalLM, texts: Sequence[str], *, special: bool = True) -> list[list[int]]:
    batch = model.encode(texts, special=special)
    return [ids[mask].tolist() for ids, mask in zip(batch.ids, batch.mask, strict=True)]
