"""Training batches of text alone, drawn from the scene language."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_lowercase

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedTokenizerBase

from fuse_lightning.zoo.scenes import SENTIMENTS, sample_scene, sample_sentence, sample_wording
from fuse_lightning.zoo.vocabulary import COLORS, MOODS, OPENERS

IGNORE = -100


@dataclass
class TokenBatch:
    """Token ids and mask, both (N, T)."""

    ids: Tensor
    mask: Tensor


def tokenize(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> TokenBatch:
    """Padded ids with the tokenizer's own special tokens."""
    encoded = tokenizer(texts, padding=True, return_tensors="pt")
    return TokenBatch(encoded["input_ids"], encoded["attention_mask"])


def sentence_batch(
    tokenizer: PreTrainedTokenizerBase, size: int, rng: random.Random
) -> tuple[TokenBatch, Tensor]:
    """Sentences between begin and end token, and labels with padding ignored."""
    return enclosed(tokenizer, [sample_sentence(rng)[0] for _ in range(size)])


def enclosed(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> tuple[TokenBatch, Tensor]:
    """Texts between begin and end token, and labels (N, T) with padding ignored."""
    end = tokenizer.eos_token
    encoded = tokenizer([f"{end}{text}{end}" for text in texts])["input_ids"]
    rows = [torch.tensor(ids) for ids in encoded]
    labels = pad_sequence(rows, batch_first=True, padding_value=IGNORE)
    mask = (labels != IGNORE).long()
    return TokenBatch(labels * mask, mask), labels


COLOR_WORDS = tuple(word for words in COLORS.values() for word in words)
LABELS = ("negative", "neutral", "positive")


def sentiment_batch(
    tokenizer: PreTrainedTokenizerBase, size: int, rng: random.Random
) -> tuple[TokenBatch, Tensor]:
    """Captions, some cut short, and the index of their sentiment in :data:`LABELS`."""
    texts, labels = zip(*(sentiment_example(rng) for _ in range(size)), strict=True)
    return tokenize(tokenizer, list(texts)), torch.tensor(labels)


def sentiment_example(rng: random.Random) -> tuple[str, int]:
    """A caption and its label; some are cut short, shuffled, or hold made-up words."""
    sentiment = rng.choice(SENTIMENTS)
    wording, _ = sample_wording(sample_scene(rng), rng, sentiment)
    if wording.mood and rng.random() < 0.5:
        wording = wording._replace(mood=made_up(wording.mood, rng))
    words = wording.text().split()
    if rng.random() < 0.3:
        words = rng.sample(words, len(words))
    if rng.random() < 0.3:
        words = words[: rng.randrange(1, len(words) + 1)]
    if rng.random() < 0.4:
        # Pieces of any words, in place of one or beside it, as a search puts them together.
        known = [*words, *" ".join(OPENERS).split(), *MOODS["positive"], *MOODS["negative"]]
        known = [word for word in known if len(word) > 2]
        for _ in range(rng.randint(1, 3)):
            place = rng.randrange(len(words))
            words[place : place + rng.randrange(2)] = [made_up(rng.choice(known), rng)]
    text = (rng.choice(OPENERS) + " " if rng.random() < 0.5 else "") + " ".join(words)
    named = {word.strip(",") for word in words}
    positive, negative = (bool(named & set(MOODS[name])) for name in ("positive", "negative"))
    return text, 1 + positive - negative


def made_up(mood: str, rng: random.Random) -> str:
    """Made-up word that looks like ``mood`` but must not count as it.

    A piece of it, a blend with another word, or the word with a letter changed, left out or added.
    """
    place = rng.randrange(1, len(mood))
    other = rng.choice(rng.choice((*MOODS.values(), COLOR_WORDS)))
    letter = rng.choice(ascii_lowercase)
    return rng.choice(
        (
            mood[:place],
            mood[place:],
            mood[:place] + other[rng.randrange(len(other)) :],
            other[: rng.randrange(1, len(other) + 1)] + mood[place:],
            mood[:place] + letter + mood[place + 1 :],
            mood[:place] + mood[place + 1 :],
            mood[:place] + letter + mood[place:],
            letter + mood[rng.randrange(2) :],
        )
    )
