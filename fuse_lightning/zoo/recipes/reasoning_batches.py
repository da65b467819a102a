"""Training batches of questions, instructions, chains and answers."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from fuse_lightning.zoo.reasoning import (
    EXTRACTOR,
    LARGEST,
    held_out,
    sample_chain,
    sample_story,
)
from fuse_lightning.zoo.reasoning_prompts import (
    COUNTED,
    FILLERS,
    LEAST_STRENGTH,
    MOST_STRENGTH,
    sample_prompt,
    sample_words,
    strength,
)
from fuse_lightning.zoo.recipes.text_batches import IGNORE, TokenBatch

NO_PROMPT = 0.1
"""Share of lines without a prompt."""
MIXED = 0.45
"""Share of lines whose prompt is words that count among others, as in a search."""
ANY_TOKEN = 0.5
"""Share of these whose other words are any tokens, not the words of instructions."""
OTHER_CHAIN = 0.35
"""Share of lines with a chain that a prompt of another strength would have had."""
CUT = 0.1
"""Share of those chains that are cut short."""
MULTIPLE = 8
"""Divisor of the padded length of lines."""
LONGEST = 20
"""Most tokens of a mixed prompt."""


@dataclass
class ReasoningBatch:
    """Lines of tokens, and what is learnt of them.

    Attributes:
        texts: Lines from begin token to extractor, (N, T).
        told: Ids of questions and fluent prompts to be learnt; all others are ignored, (N, T).
        chains: Ids of chains to be learnt, each with its end token, (N, T).
        places: Last token of each line, (N,).
        odds: Probability of each answer, (N, 13).
        answers: Ids of the answers, (13,).
    """

    texts: TokenBatch
    told: Tensor
    chains: Tensor
    places: Tensor
    odds: Tensor
    answers: Tensor


class Prompt(NamedTuple):
    """Prompt of a line, and how strong it is.

    Attributes:
        ids: Its ids, those of the space before it included.
        told: Whether it is learnt.
        strong: Its strength.
    """

    ids: list[int]
    told: bool
    strong: float


def reasoning_batch(
    tokenizer: PreTrainedTokenizerBase, size: int, rng: random.Random
) -> ReasoningBatch:
    """Lines of the reasoning language.

    Answers come as probabilities: drawn ones would tell the same with more noise.

    Args:
        tokenizer: Tokenizer to which every word and every answer is one token.
        size: Lines.
        rng: Source of randomness.
    """
    encode = cache(lambda text: tuple(tokenizer(text)["input_ids"]))
    end = int(tokenizer.eos_token_id)
    rows, told, chains, odds = [], [], [], []
    for _ in range(size):
        while (story := sample_story(rng)) in held_out():
            pass
        question = list(encode(story.name))
        for word in story.question().split()[1:]:
            question += encode(f" {word}")
        prompt = _prompt(encode, len(tokenizer), end, rng)
        other = rng.random() < OTHER_CHAIN
        felt = rng.uniform(LEAST_STRENGTH, MOST_STRENGTH) if other else prompt.strong
        text, last = sample_chain(story, felt, rng)
        words = text.split()
        if other and last is not None and rng.random() < CUT:
            words = words[: rng.randint(1, len(words))]
            last = next(int(word) for word in reversed(words) if word.isdigit())
        chain = [id_ for word in words for id_ in encode(f" {word}")]
        before = [end, *question, *prompt.ids, *encode("\n")]
        extractor = [id_ for word in EXTRACTOR.split() for id_ in encode(f" {word}")]
        rows.append([*before, *chain, *extractor])
        asked = prompt.ids if prompt.told else [IGNORE] * len(prompt.ids)
        line = encode("\n") if prompt.told else (IGNORE,)
        learnt = [IGNORE, *question, *asked, *line]
        told.append(learnt + [IGNORE] * (len(rows[-1]) - len(learnt)))
        # The end of the chain is learnt where the extractor begins.
        learnt = [IGNORE] * (len(chain) + 1) if other else [*chain, end]
        after = [IGNORE] * (len(extractor) - 1)
        chains.append([*[IGNORE] * len(before), *learnt, *after])
        odds.append(story.odds(prompt.strong, last))
    mask = _padded([[1] * len(row) for row in rows], 0)
    return ReasoningBatch(
        TokenBatch(_padded(rows, 0), mask),
        _padded(told, IGNORE),
        _padded(chains, IGNORE),
        mask.sum(1) - 1,
        torch.tensor(odds),
        torch.tensor([encode(f" {number}")[0] for number in range(LARGEST + 1)]),
    )


def _padded(rows: list[list[int]], value: int) -> Tensor:
    # Each new shape would need kernels of its own.
    width = -(-max(map(len, rows)) // MULTIPLE) * MULTIPLE
    rows = [row + [value] * (width - len(row)) for row in rows]
    return torch.tensor(rows)


def _prompt(
    encode: Callable[[str], tuple[int, ...]], tokens: int, end: int, rng: random.Random
) -> Prompt:
    kind = rng.random()
    if kind < NO_PROMPT:
        # A prompt of no words leaves the space before it, or not.
        return Prompt([*rng.choice((encode(" "), ()))], False, strength(()))
    if kind < NO_PROMPT + MIXED:
        words = sample_words(rng)
        parts = [encode(f" {word}") for word in words]
        never = {end, *encode("\n"), *(id_ for word in COUNTED for id_ in encode(f" {word}"))}
        any_token = rng.random() < ANY_TOKEN
        for _ in range(rng.randint(not parts, LONGEST - len(parts))):
            if any_token:
                while (id_ := rng.randrange(tokens)) in never:
                    pass
                parts.append((id_,))
            else:
                parts.append(encode(f" {rng.choice(FILLERS)}"))
        ids = [id_ for part in rng.sample(parts, len(parts)) for id_ in part]
        # The ids of a search may stand behind a space of their own.
        return Prompt([*(encode(" ") if rng.random() < 0.2 else ()), *ids], False, strength(words))
    text = sample_prompt(rng)
    ids = [id_ for word in text.split() for id_ in encode(f" {word}")]
    return Prompt(ids, True, strength(text.split()))
