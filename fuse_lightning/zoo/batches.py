"""Training batches of the zoo, drawn without end from the scene language."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import IterableDataset
from transformers import PreTrainedTokenizerBase

from fuse_lightning.zoo.render import IMAGE_SIZE, draw, layout, render
from fuse_lightning.zoo.scenes import (
    SENTIMENTS,
    NounPhrase,
    Wording,
    corruptions,
    edits,
    exchanges,
    sample_scene,
    sample_sentence,
    sample_wording,
)
from fuse_lightning.zoo.words import (
    BACKGROUNDS,
    COLORS,
    MOODS,
    OPENERS,
    RELATIONS,
    SHAPES,
    SIZES,
)

ATTRIBUTES = (5, 8, 2, 3, 6, 8, 2, 3, 3, 6)
"""Classes of: shape, colour, size, count of the first kind (left or upper), the same of the second
(shape 5: there is none), relation (0 left, 1 above, 2 none), background."""
UNTOLD = IGNORE = -100
EDITS = 4
HARDNESS = {"shape": 3, "relation": 2}
"""How often an attribute is edited against the others: what is hardest to see comes most."""


class Endless(IterableDataset[Any]):
    """An endless stream of batches that depends on ``seed`` alone."""

    def __init__(self, make: Callable[[random.Random], Any], seed: str) -> None:
        self.make = make
        self.seed = seed

    def __iter__(self) -> Iterator[Any]:
        rng = random.Random(self.seed)
        while True:
            yield self.make(rng)


@dataclass
class TokenBatch:
    """Token ids and mask, both (N, T)."""

    ids: Tensor
    mask: Tensor


def tokenize(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> TokenBatch:
    """Padded ids with the tokenizer's own special tokens."""
    encoded = tokenizer(texts, padding=True, return_tensors="pt")
    return TokenBatch(encoded["input_ids"], encoded["attention_mask"])


def pixels(images: list[Any]) -> Tensor:
    """Images as (N, 3, H, W) in [-1, 1]."""
    stack = np.stack([np.asarray(image) for image in images])
    return torch.from_numpy(stack).permute(0, 3, 1, 2).float() / 127.5 - 1


def attributes(wording: Wording) -> list[int]:
    """What a caption tells, as classes of :data:`ATTRIBUTES`; ``UNTOLD`` where it is silent."""
    phrases: list[NounPhrase | None] = [*wording.phrases, None][:2]
    relation = 2
    if wording.relation_word:
        name = next(key for key, words in RELATIONS.items() if wording.relation_word in words)
        if wording.with_form:
            phrases.reverse()
        if name in ("right of", "below"):
            phrases.reverse()
        relation = int(name in ("above", "below"))
    labels = []
    for phrase in phrases:
        if phrase is None:
            labels += [len(SHAPES), UNTOLD, UNTOLD, UNTOLD]
            continue
        labels += [
            _index(SHAPES, phrase.noun),
            _index(COLORS, phrase.color_word),
            _index(SIZES, phrase.size_word) if phrase.size_word else UNTOLD,
            phrase.count - 1,
        ]
    background = UNTOLD
    if wording.background_word:
        places = {name: words[wording.head == "scene"] for name, words in BACKGROUNDS.items()}
        background = _index(places, wording.background_word)
    return [*labels, relation, background]


def _index(values: dict[str, tuple[Any, ...]], word: object) -> int:
    return next(i for i, words in enumerate(values.values()) if word in words)


@dataclass
class PairBatch:
    """Images, and for each a true caption followed by false ones.

    ``texts`` holds B x T captions, ``labels`` (B, T, 10) what they tell, ``image_labels`` (B, 10)
    what the image shows, ``valid`` (B, T) is false for a false caption equal to the true one,
    ``whole`` (B,) is false where all captions of the row are cut short.
    """

    pixels: Tensor
    texts: TokenBatch
    labels: Tensor
    image_labels: Tensor
    valid: Tensor
    whole: Tensor


@dataclass
class ImageBatch:
    """Pictures (B, 3, H, W), their attributes (B, 10) and what lies in each grid cell (B, G)."""

    pixels: Tensor
    labels: Tensor
    cells: Tensor


def image_batch(size: int, grid: int, rng: random.Random) -> ImageBatch:
    """``size`` pictures; a cell's class is its object's shape and colour, ``EMPTY`` without one."""
    images, labels = [], []
    cells = torch.full((size, grid, grid), EMPTY)
    side = IMAGE_SIZE / grid
    for row in range(size):
        scene = sample_scene(rng)
        objects = layout(scene, rng)
        images.append(draw(scene, objects, rng))
        labels.append(attributes(sample_wording(scene, rng, full=True)[0]))
        for placed in objects:
            shape, color = _shapes.index(placed.kind.shape), _colors.index(placed.kind.color)
            reach = max(placed.radius - 1, side / 2 + 0.5)
            for y, x in product(range(grid), repeat=2):
                distance = max(abs((x + 0.5) * side - placed.x), abs((y + 0.5) * side - placed.y))
                if distance < reach:
                    cells[row, y, x] = shape * len(COLORS) + color
    return ImageBatch(pixels(images), torch.tensor(labels), cells.flatten(1))


_shapes, _colors = list(SHAPES), list(COLORS)
EMPTY = len(SHAPES) * len(COLORS)


def pair_batch(
    tokenizer: PreTrainedTokenizerBase,
    size: int,
    rng: random.Random,
    cut_share: float = 0.25,
    mix_up: float = 0.0,
) -> PairBatch:
    """``size`` random scenes with captions, one-attribute edits and ungrammatical versions.

    Args:
        tokenizer: Reads the captions.
        size: Scenes.
        rng: Source of randomness.
        cut_share: Share of rows whose captions are all cut at one word. Search sees half-grown
            captions: among those too the true one must lead.
        mix_up: Share of false captions that give one kind the colour or shape of the other, or
            exchange them.
    """
    images, texts, labels, image_labels, valid, whole = [], [], [], [], [], []
    for _ in range(size):
        scene = sample_scene(rng)
        images.append(render(scene, rng))
        wording, _ = sample_wording(scene, rng, rng.choice(SENTIMENTS))
        full, _ = sample_wording(scene, rng, full=True)
        image_labels.append(attributes(full))
        by_attribute: dict[str, list[Wording]] = {}
        # Both edits of an exchange at once are rarer among edits than in what a search finds.
        mixed = 4 * exchanges(wording)
        values = {value for kind in scene.kinds for value in (kind.color, kind.shape)}
        for attribute, value, edit in edits(scene, wording):
            by_attribute.setdefault(attribute, []).append(edit)
            if value in values:
                mixed.append(edit)
        kinds = rng.choices([*by_attribute], [HARDNESS.get(a, 1) for a in by_attribute], k=EDITS)
        false = [
            rng.choice(mixed if mixed and rng.random() < mix_up else by_attribute[attribute])
            for attribute in kinds
        ]
        opener = rng.choice(OPENERS) + " " if rng.random() < 0.5 else ""
        if rng.random() < cut_share:
            row = [edit.text().split() for edit in (wording, *false)]
            keep = rng.randrange(2, len(row[0]) + 1)
            cut = [" ".join(words[:keep]) for words in row]
            texts += [opener + text for text in (*cut, cut[0])]
            valid.append([True] + [text != cut[0] for text in cut[1:]] + [False])
            labels.append([[UNTOLD] * 10] * (EDITS + 2))
            whole.append(False)
            continue
        true = wording.text()
        versions = corruptions(true, rng)
        # Neighbours that changed places are the hardest to notice.
        name = "swapped" if "swapped" in versions and rng.random() < mix_up else None
        ungrammatical = versions[name or rng.choice([*versions])]
        texts += [opener + text for text in (true, *(edit.text() for edit in false))]
        texts.append(opener + ungrammatical)
        valid.append([True] * (EDITS + 2))
        labels.append([*(attributes(edit) for edit in (wording, *false)), [UNTOLD] * 10])
        whole.append(True)
    return PairBatch(
        pixels(images),
        tokenize(tokenizer, texts),
        torch.tensor(labels),
        torch.tensor(image_labels),
        torch.tensor(valid),
        torch.tensor(whole),
    )


def sentence_batch(
    tokenizer: PreTrainedTokenizerBase, size: int, rng: random.Random
) -> tuple[TokenBatch, Tensor]:
    """Sentences between begin and end token, and labels with padding ignored."""
    end = tokenizer.eos_token
    texts = [f"{end}{sample_sentence(rng)[0]}{end}" for _ in range(size)]
    rows = [torch.tensor(ids) for ids in tokenizer(texts)["input_ids"]]
    labels = pad_sequence(rows, batch_first=True, padding_value=IGNORE)
    mask = (labels != IGNORE).long()
    return TokenBatch(labels * mask, mask), labels


LABELS = ("negative", "neutral", "positive")


def sentiment_batch(
    tokenizer: PreTrainedTokenizerBase, size: int, rng: random.Random
) -> tuple[TokenBatch, Tensor]:
    """Captions, whole or not, and the index of their sentiment in :data:`LABELS`."""
    texts, labels = zip(*(sentiment_example(rng) for _ in range(size)), strict=True)
    return tokenize(tokenizer, list(texts)), torch.tensor(labels)


def sentiment_example(rng: random.Random) -> tuple[str, int]:
    """A caption and its label; some are cut short, shuffled, or hold half a mood word."""
    sentiment = rng.choice(SENTIMENTS)
    wording, _ = sample_wording(sample_scene(rng), rng, sentiment)
    kind = rng.random()
    if wording.mood and kind < 0.15:
        # A piece of a mood word is no mood: a search would find such pieces otherwise.
        piece = wording.mood[: rng.randrange(1, len(wording.mood) - 1)]
        wording = replace(wording, mood=piece)
    words = wording.text().split()
    if rng.random() < 0.3:
        words = rng.sample(words, len(words))
    if rng.random() < 0.3:
        words = words[: rng.randrange(1, len(words) + 1)]
    text = (rng.choice(OPENERS) + " " if rng.random() < 0.5 else "") + " ".join(words)
    told = {word.strip(",") for word in words}
    positive, negative = (bool(told & set(MOODS[name])) for name in ("positive", "negative"))
    return text, 1 + positive - negative
