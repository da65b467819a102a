"""Training batches of pictures and captions, drawn from the scene language."""

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import product, takewhile
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset
from transformers import PreTrainedTokenizerBase

from fuse_lightning.zoo.false_captions import corruptions, edits, exchanges
from fuse_lightning.zoo.recipes.text_batches import IGNORE, TokenBatch
from fuse_lightning.zoo.recipes.trees import Trees, grow
from fuse_lightning.zoo.render import IMAGE_SIZE, draw, layout, render
from fuse_lightning.zoo.scenes import (
    SENTIMENTS,
    NounPhrase,
    Wording,
    named_objects,
    sample_scene,
    sample_wording,
)
from fuse_lightning.zoo.vocabulary import (
    BACKGROUNDS,
    COLORS,
    COUNTS,
    OPENERS,
    RELATIONS,
    SHAPES,
    SIZES,
)

ATTRIBUTES = (5, 8, 2, 3, 6, 8, 2, 3, 3, 6)
"""Classes of: shape, colour, size, count of the first kind (left or upper), the same of the second
(shape 5: there is none), relation (0 left, 1 above, 2 none), background."""
UNNAMED = IGNORE
CAPTIONS = 6
"""Captions for each picture: a true one and five false or flawed ones."""
HARDNESS = {
    **{"shape": 3, "relation": 6, "count": 2, "size": 2},
    **{"swapped": 4, "repeated": 3, "broken": 3},
}
"""Weight of each edit or flaw in drawing: the hardest to notice come most often."""


class Batches(IterableDataset[Any]):
    """Data set of ``count`` random batches that depend on ``seed`` alone.

    A process that draws them has nothing left to send once all were taken: where it must end while
    it sends, Python may abort it, and with it the training.
    """

    def __init__(self, make: Callable[[random.Random], Any], seed: str, count: int) -> None:
        self.make = make
        self.seed = seed
        self.count = count

    def __iter__(self) -> Iterator[Any]:
        rng = random.Random(self.seed)
        for _ in range(self.count):
            yield self.make(rng)


def pixels(images: list[Any]) -> Tensor:
    """Images as (N, 3, H, W) in [-1, 1]."""
    stack = np.stack([np.asarray(image) for image in images])
    return torch.from_numpy(stack).permute(0, 3, 1, 2).float() / 127.5 - 1


def attributes(wording: Wording) -> list[int]:
    """Classes of the attributes that a caption names, from :data:`ATTRIBUTES`, or ``UNNAMED``."""
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
            labels += [len(SHAPES), UNNAMED, UNNAMED, UNNAMED]
            continue
        labels += [
            _index(SHAPES, phrase.noun),
            _index(COLORS, phrase.color_word),
            _index(SIZES, phrase.size_word) if phrase.size_word else UNNAMED,
            phrase.number - 1,
        ]
    background = UNNAMED
    if wording.background_word:
        places = {name: words[wording.head == "scene"] for name, words in BACKGROUNDS.items()}
        background = _index(places, wording.background_word)
    return [*labels, relation, background]


def _index(values: dict[str, tuple[Any, ...]], word: object) -> int:
    return next(i for i, words in enumerate(values.values()) if word in words)


@dataclass
class PairBatch:
    """Images, each with one true caption and then false ones.

    ``trees`` holds the captions, B x T of L tokens, ``flaws`` (B, T, L) tells for each token
    whether the text up to it is ungrammatical (1) or not (0), ``labels`` (B, T, 10) what a caption
    tells, ``objects`` (B, T, 240) which :data:`OBJECTS` it names, none where it is ungrammatical,
    ``image_labels`` (B, 10) and ``image_objects`` (B, 240) what the image shows, ``valid`` (B, T)
    is false for a false caption equal to the true one, ``whole`` (B,) is false where all captions
    of the row are cut short.
    """

    pixels: Tensor
    trees: Trees
    flaws: Tensor
    labels: Tensor
    objects: Tensor
    image_labels: Tensor
    image_objects: Tensor
    valid: Tensor
    whole: Tensor


@dataclass
class ImageBatch:
    """Pictures (B, 3, H, W), their attributes (B, 10), objects (B, 240) and grid cells (B, G)."""

    pixels: Tensor
    labels: Tensor
    objects: Tensor
    cells: Tensor


def image_batch(size: int, grid: int, rng: random.Random) -> ImageBatch:
    """``size`` pictures; a cell's class is its object's shape and colour, ``EMPTY`` without one."""
    images, labels, objects = [], [], []
    cells = torch.full((size, grid, grid), EMPTY)
    side = IMAGE_SIZE / grid
    for row in range(size):
        scene = sample_scene(rng)
        placements = layout(scene, rng)
        images.append(draw(scene, placements, rng))
        wording, _ = sample_wording(scene, rng, full=True)
        labels.append(attributes(wording))
        objects.append(_named(wording, wording.text()))
        for placed in placements:
            shape, color = _shapes.index(placed.kind.shape), _colors.index(placed.kind.color)
            reach = max(placed.radius - 1, side / 2 + 0.5)
            for y, x in product(range(grid), repeat=2):
                distance = max(abs((x + 0.5) * side - placed.x), abs((y + 0.5) * side - placed.y))
                if distance < reach:
                    cells[row, y, x] = shape * len(COLORS) + color
    return ImageBatch(pixels(images), torch.tensor(labels), torch.stack(objects), cells.flatten(1))


_shapes, _colors = list(SHAPES), list(COLORS)
EMPTY = len(SHAPES) * len(COLORS)
OBJECTS = [*product(SHAPES, COLORS, SIZES, COUNTS)]
"""Kinds of objects: (shape, colour, size, count)."""


def pair_batch(
    tokenizer: PreTrainedTokenizerBase,
    size: int,
    rng: random.Random,
    flawed: int = 1,
    cut_share: float = 0.25,
    mix_up: float = 0.25,
) -> PairBatch:
    """``size`` random scenes with captions, one-attribute edits and ungrammatical versions.

    Args:
        tokenizer: Reads the captions.
        size: Scenes.
        rng: Source of randomness.
        flawed: Ungrammatical versions among the captions of a row.
        cut_share: Share of rows whose captions are all cut at one word, or within it, with false
            ones that differ before the cut. Search sees half-grown captions: among those too the
            true one must lead.
        mix_up: Share of false captions that give one kind the colour, shape or count of the
            other, or exchange them.
    """
    images, texts, labels, objects = [], [], [], []
    image_labels, image_objects, valid, whole = [], [], [], []
    sound: list[int] = []
    for _ in range(size):
        scene = sample_scene(rng)
        images.append(render(scene, rng))
        wording, _ = sample_wording(scene, rng, rng.choice(SENTIMENTS))
        full, _ = sample_wording(scene, rng, full=True)
        image_labels.append(attributes(full))
        image_objects.append(_named(full, full.text()))
        keep = letters = None
        if rng.random() < cut_share:
            keep, letters = _cut(wording, rng)
        true = _beginning(wording, keep, letters)
        by_attribute: dict[str, list[Wording]] = {}
        # Both edits of an exchange at once are rarer among edits than in what a search finds.
        mixed = 4 * [e for e in exchanges(wording) if _beginning(e, keep, letters) != true]
        values = {value for kind in scene.kinds for value in (kind.color, kind.shape)}
        for attribute, value, edit in edits(scene, wording):
            if keep is None or _beginning(edit, keep, letters) != true:
                by_attribute.setdefault(attribute, []).append(edit)
                if value in values:
                    mixed.append(edit)
        false_ones = CAPTIONS - 1 - (flawed if keep is None else 0)
        false = [
            rng.choice(mixed if mixed and rng.random() < mix_up else by_attribute[attribute])
            for attribute in _hardest(by_attribute, false_ones, rng)
        ]
        row = [true, *(_beginning(edit, keep, letters) for edit in false)]
        named = [_named(each, text) for each, text in zip((wording, *false), row, strict=True)]
        opener = rng.choice(OPENERS) + " " if rng.random() < 0.5 else ""
        if keep is None:
            sound += [SOUND] * len(row)
            for _ in range(flawed):
                versions = corruptions(true, rng)
                (name,) = _hardest(versions, 1, rng)
                row.append(versions[name])
                sound.append(len(opener) + _sound_part(true, versions[name]))
            classes = [attributes(edit) for edit in (wording, *false)]
            labels.append(classes + [[UNNAMED] * 10] * flawed)
            named += [torch.zeros(len(OBJECTS))] * flawed
        else:
            row += [true] * (CAPTIONS - len(row))
            named += named[:1] * (CAPTIONS - len(named))
            sound += [UNFINISHED] * CAPTIONS
            labels.append([[UNNAMED] * 10] * CAPTIONS)
        objects.append(torch.stack(named))
        valid.append([True] + [text != true for text in row[1:]])
        whole.append(keep is None)
        texts += [opener + text for text in row]
    tokens, flaws = _with_flaws(tokenizer, texts, sound)
    return PairBatch(
        pixels(images),
        grow(tokens, size),
        flaws.view(size, CAPTIONS, -1),
        torch.tensor(labels),
        torch.stack(objects),
        torch.tensor(image_labels),
        torch.stack(image_objects),
        torch.tensor(valid),
        torch.tensor(whole),
    )


LETTERS = 6
"""Most letters of the last word of a half-grown caption, plus one."""
PHRASE_END = 0.5
"""Share of half-grown captions that end with a noun or soon after it: there a kind has its shape
and its colour, and no later word helps to tell whose they are."""
SOON = 5
"""Most words after a noun, plus one."""
SOUND, UNFINISHED = -1, -2
"""Stand-ins for the length of a sound part: the whole text; all of it, but it stops too early."""


def _named(wording: Wording, text: str) -> Tensor:
    """1 for each of :data:`OBJECTS` that the beginning ``text`` of a caption names.

    One whose size is not named counts half for each size.
    """
    shares = torch.zeros([len(values) for values in (SHAPES, COLORS, SIZES, COUNTS)])
    named = named_objects(text)
    for phrase in wording.phrases:
        shape, color = _index(SHAPES, phrase.noun), _index(COLORS, phrase.color_word)
        if (_colors[color], _shapes[shape]) in named:
            size = _index(SIZES, phrase.size_word) if phrase.size_word else slice(None)
            share = 1 if phrase.size_word else 1 / len(SIZES)
            shares[shape, color, size, phrase.number - 1] = share
    return shares.flatten()


def _cut(wording: Wording, rng: random.Random) -> tuple[int, int | None]:
    """Numbers of words and of letters in the last word of a cut caption; by default all."""
    words = wording.text().split()
    nouns = {phrase.noun[phrase.number > 1] for phrase in wording.phrases}
    if rng.random() < PHRASE_END:
        ends = [number for number, word in enumerate(words, 1) if word.strip(",") in nouns]
        return min(len(words), rng.choice(ends) + rng.randrange(SOON)), None
    letters = rng.randrange(1, LETTERS) if rng.random() < 0.5 else None
    return rng.randrange(2, len(words) + 1), letters


def _beginning(wording: Wording, words: int | None, letters: int | None) -> str:
    """First ``words`` of a caption, the last one cut to ``letters``; by default all."""
    if words is None:
        return wording.text()
    kept = wording.text().split()[:words]
    return " ".join([*kept[:-1], kept[-1][:letters]])


def _hardest(kinds: Iterable[str], count: int, rng: random.Random) -> list[str]:
    if not (names := [*kinds]):
        return []
    return rng.choices(names, [HARDNESS.get(name, 1) for name in names], k=count)


def _sound_part(true: str, version: str) -> int:
    """Number of characters of ``version`` before it is surely ungrammatical.

    The first word that departs from ``true`` may still be a good continuation; the next is not.
    """
    pairs = zip(true.split(), version.split(), strict=False)
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    return len(" ".join(version.split()[: same + 1]))


def _with_flaws(
    tokenizer: PreTrainedTokenizerBase, texts: list[str], sound: list[int]
) -> tuple[TokenBatch, Tensor]:
    """Tokens, and whether the text up to each is flawed (N, L); padding is ``IGNORE``d.

    A text's last token, the end mark, speaks for the whole text.
    """
    backend = tokenizer.backend_tokenizer
    backend.no_padding()
    rows = backend.encode_batch(texts)
    longest = max(map(len, rows))
    ids, mask = np.zeros((2, len(rows), longest), int)
    flaws = np.full(ids.shape, IGNORE)
    for number, (row, text, part) in enumerate(zip(rows, texts, sound, strict=True)):
        ids[number, : len(row)], mask[number, : len(row)] = row.ids, 1
        length = len(text) if part < 0 else part
        flaws[number, : len(row)] = [start >= length for start, _ in row.offsets]
        flaws[number, len(row) - 1] = {SOUND: 0, UNFINISHED: IGNORE}.get(part, 1)
    return TokenBatch(torch.from_numpy(ids), torch.from_numpy(mask)), torch.from_numpy(flaws)
