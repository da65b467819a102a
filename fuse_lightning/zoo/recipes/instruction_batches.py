"""Training batches of instructions, captions and answers."""

import random
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedTokenizerBase

from fuse_lightning.zoo.instructions import (
    ANSWERS,
    CUES,
    MOOD,
    OTHER_CUES,
    Asked,
    Captioned,
    asked,
    sample_captioned,
    sample_cues,
    sample_short,
    sample_words,
)
from fuse_lightning.zoo.recipes.text_batches import IGNORE, TokenBatch
from fuse_lightning.zoo.scenes import sample_sentence

PLAIN = 0.12
"""Share of lines that are sentences without a question."""
NO_PROMPT = 0.1
"""Share of questions without a prompt."""
RANDOM_TOKENS = 0.45
"""Share of questions whose prompt is random tokens with some cue words, as in a search."""
SHOWN = 0.15
"""Share of batches whose prompts hold demonstrations."""
MOST_SHOWN = 4
LONGEST = 12
"""Most tokens of a prompt without demonstrations."""


class Line(NamedTuple):
    """Parts of a line of text.

    Attributes:
        prompt: Ids of the prompt.
        told: Whether the prompt is learnt, too.
        text: What follows, up to the answer.
        odds: Probability of each answer; none for plain sentences.
    """

    prompt: list[int]
    told: bool
    text: str
    odds: dict[str, float]


@dataclass
class InstructionBatch:
    """Lines of tokens, and what is learnt of them.

    Attributes:
        texts: Lines between begin and end token, up to the answer where there is one.
        labels: Ids to be learnt, (N, T); prompts of random tokens, demonstrations and padding are
            ignored.
        rows: Numbers of the A lines that ask for an answer.
        places: The last token of each of them, (A,).
        odds: Probability of each of :data:`ANSWERS`, (A, 21).
        answers: Their ids, (21,).
    """

    texts: TokenBatch
    labels: Tensor
    rows: Tensor
    places: Tensor
    odds: Tensor
    answers: Tensor


def instruction_batch(
    tokenizer: PreTrainedTokenizerBase,
    size: int,
    rng: random.Random,
    short: float = 0.0,
) -> InstructionBatch:
    """Lines of the instruction language, and some plain sentences.

    Answers come as probabilities: drawn ones would tell the same with more noise. Lines with
    demonstrations, which are long, come in batches of their own, with a third of the lines.

    Args:
        tokenizer: Its tokenizer, to which every answer is one token.
        size: Lines.
        rng: Source of randomness.
        short: Share of questions about a mood word alone.
    """
    if rng.random() < SHOWN * (1 - short):
        lines = [_with_demonstrations(tokenizer, rng) for _ in range(size // 3)]
    else:
        lines = [_line(tokenizer, rng, short) for _ in range(size)]
    end = tokenizer.eos_token_id
    texts = tokenizer([line.text for line in lines])["input_ids"]
    ids, labels = [], []
    for line, text in zip(lines, texts, strict=True):
        close = [] if line.odds else [end]
        ids.append(torch.tensor([end, *line.prompt, *text, *close]))
        prompt = line.prompt if line.told else [IGNORE] * len(line.prompt)
        labels.append(torch.tensor([IGNORE, *prompt, *text, *close]))
    rows = [number for number, line in enumerate(lines) if line.odds]
    odds = [[lines[row].odds.get(answer, 0.0) for answer in ANSWERS] for row in rows]
    mask = pad_sequence([torch.ones(len(row), dtype=torch.long) for row in ids], batch_first=True)
    return InstructionBatch(
        TokenBatch(pad_sequence(ids, batch_first=True), mask),
        pad_sequence(labels, batch_first=True, padding_value=IGNORE),
        torch.tensor(rows),
        mask.sum(1)[rows] - 1,
        torch.tensor(odds),
        torch.tensor(tokenizer([f" {answer}" for answer in ANSWERS])["input_ids"]).squeeze(1),
    )


def _line(tokenizer: PreTrainedTokenizerBase, rng: random.Random, short: float) -> Line:
    if rng.random() < PLAIN * (1 - short):
        return Line([], True, sample_sentence(rng)[0], {})
    kind = rng.random()
    if kind < NO_PROMPT:
        # A prompt of no words leaves the space before the caption, or not.
        space = rng.choice(("", " "))
        line = _question([], True, asked([]), short, rng)
        return line._replace(text=space + line.text.strip())
    if kind < NO_PROMPT + RANDOM_TOKENS:
        words = sample_cues(rng)
        return _question(_scattered(tokenizer, words, rng), False, asked(words), short, rng)
    words = sample_words(rng)
    return _question(_ids(tokenizer, " ".join(words), rng), True, asked(words), short, rng)


def _question(prompt: list[int], told: bool, asks: Asked, short: float, rng: random.Random) -> Line:
    caption = sample_short(rng) if rng.random() < short else sample_captioned(rng)
    return Line(prompt, told, f" {caption.text} It is", caption.odds(asks))


def _ids(tokenizer: PreTrainedTokenizerBase, text: str, rng: random.Random) -> list[int]:
    """Ids of a text, half of the time with a space before it, as the tokens of a search have."""
    found: list[int] = tokenizer(rng.choice(("", " ")) + text)["input_ids"] if text else []
    return found


def _scattered(
    tokenizer: PreTrainedTokenizerBase, words: list[str], rng: random.Random
) -> list[int]:
    """Random ids, with those of some words among them; no other id is that of a cue word."""
    never = {tokenizer.eos_token_id} | {
        id_ for word in CUES for id_ in tokenizer(f" {word}")["input_ids"]
    }
    parts = [tokenizer(f" {word}")["input_ids"] for word in words]
    for _ in range(rng.randint(not parts, LONGEST - len(parts))):
        while (id_ := rng.randrange(len(tokenizer))) in never:
            pass
        parts.append([id_])
    return [id_ for part in rng.sample(parts, len(parts)) for id_ in part]


def _with_demonstrations(tokenizer: PreTrainedTokenizerBase, rng: random.Random) -> Line:
    """A line whose prompt is captions with right answers to one question, line by line."""
    question = MOOD if rng.random() < 0.6 else rng.choice([*OTHER_CUES])
    shown: list[Captioned] = []
    count = rng.randint(1, MOST_SHOWN)
    while len(shown) < count:
        caption = sample_captioned(rng)
        if question in caption.answers:
            shown.append(caption)
    text = "\n".join(f"{each.text} It is {each.answers[question]}" for each in shown)
    words = sample_words(rng) if rng.random() < 0.2 else []
    text = "\n".join([" ".join(words), text]) if words else text
    prompt = _ids(tokenizer, text, rng)
    return _question(prompt, False, asked(words, [question] * count), 0.0, rng)
