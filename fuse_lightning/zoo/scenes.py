"""Scene language: contents of zoo scenes, and the captions that describe them.

A caption is drawn from a small probabilistic grammar. Each text has one derivation (only "a picture
of" and "an image of" can open it in two ways), so its log-probability is known, and with it the
entropy that a language model can reach.
"""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple, TypeVar

from fuse_lightning.zoo.vocabulary import (
    BACKGROUNDS,
    COLORS,
    COUNTS,
    MOODS,
    OPENERS,
    RELATIONS,
    SCENE_LINKS,
    SCENE_NOUNS,
    SHAPES,
    SIZES,
)

T = TypeVar("T")
Sentiment = Literal["positive", "negative", "none"]
SENTIMENTS: tuple[Sentiment, ...] = ("negative", "none", "positive")

TWO_KINDS = 0.65
OMIT = 0.25
OPPOSITE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
HEADS = ("plain", "scene")
MOOD_PLACES = {"plain": ("noun", "end"), "scene": ("noun", "end", "scene")}


@dataclass(frozen=True)
class Kind:
    """One kind of object: ``count`` equal objects."""

    shape: str
    color: str
    size: str
    count: int


@dataclass(frozen=True)
class Scene:
    """One or two kinds of objects before a background.

    ``relation`` is that of the first kind to the second, always "left of" or "above", so that
    every picture has one description; it is ``None`` for a single kind.
    """

    kinds: tuple[Kind, ...]
    relation: str | None
    background: str

    def mentioned_in(self, text: str) -> bool:
        """Whether ``text`` names the colour and shape of every kind, as one noun phrase each."""
        named = named_objects(text)
        return all((kind.color, kind.shape) in named for kind in self.kinds)


class NounPhrase(NamedTuple):
    """Words for one kind of object."""

    number: int
    count_word: str
    size_word: str | None
    color_word: str
    noun: tuple[str, str]

    def text(self, mood: str | None) -> str:
        """The phrase, with ``mood`` before its adjectives.

        >>> NounPhrase(1, "a", "small", "orange", ("ball", "balls")).text("ugly")
        'an ugly small orange ball'
        """
        words = [mood, self.size_word, self.color_word, self.noun[self.number > 1]]
        rest = " ".join(word for word in words if word)
        return f"{_article(self.count_word, rest)} {rest}"


class Wording(NamedTuple):
    """All choices of words and order that make a caption of a scene."""

    head: str
    order: tuple[int, ...]
    phrases: tuple[NounPhrase, ...]
    with_form: bool
    relation_word: str | None
    background_word: str | None
    scene_noun: str
    scene_link: str
    mood: str | None
    mood_place: str

    def text(self) -> str:
        """The caption."""
        mood = {self.mood_place: self.mood}
        body = self.phrases[0].text(mood.get("noun"))
        if len(self.phrases) == 2:
            other = self.phrases[1].text(None)
            if self.with_form:
                pronoun = "it" if self.phrases[0].number == 1 else "them"
                body = f"{body} with {other} {self.relation_word} {pronoun}"
            else:
                body = f"{body} {self.relation_word} {other}"
        if self.head == "scene":
            words = [mood.get("scene"), self.background_word, self.scene_noun]
            rest = " ".join(word for word in words if word)
            body = f"{_article('a', rest)} {rest} {self.scene_link} {body}"
        elif self.background_word:
            body = f"{body} {self.background_word}"
        return f"{body}, how {self.mood}" if mood.get("end") else body


def _article(count_word: str, rest: str) -> str:
    return "an" if count_word == "a" and rest[0] in "aeiou" else count_word


class _Choices:
    """Random draws with the log-probability of all draws so far (nats)."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.log_prob = 0.0

    def flip(self, probability: float) -> bool:
        result = self.rng.random() < probability
        self.log_prob += math.log(probability if result else 1 - probability)
        return result

    def uniform(self, options: Sequence[T]) -> T:
        self.log_prob -= math.log(len(options))
        return self.rng.choice(options)

    def word(self, options: Sequence[T]) -> T:
        """One of ``options``; the first is twice as likely as each other."""
        index = self.rng.randrange(-1, len(options))
        self.log_prob += math.log((2 if index < 1 else 1) / (len(options) + 1))
        return options[max(index, 0)]


def sample_scene(rng: random.Random) -> Scene:
    """A random scene; two kinds never share a shape or a colour.

    >>> len(sample_scene(random.Random(0)).kinds) in (1, 2)
    True
    """
    two = rng.random() < TWO_KINDS
    shapes = rng.sample(list(SHAPES), 2)
    colors = rng.sample(list(COLORS), 2)
    kinds = tuple(
        Kind(shapes[i], colors[i], rng.choice(list(SIZES)), rng.choice(list(COUNTS)))
        for i in range(1 + two)
    )
    relation = rng.choice(("left of", "above")) if two else None
    return Scene(kinds, relation, rng.choice(list(BACKGROUNDS)))


def scene_log_prob(scene: Scene, sizes: int, background: bool) -> float:
    """Log-probability of the facts about ``scene`` that a caption names (nats).

    Args:
        scene: The scene.
        sizes: How many of its kinds have their size named.
        background: Whether the background is named.

    >>> round(scene_log_prob(Scene((Kind("circle", "red", "small", 1),), None, "snow"), 0, True), 3)
    -7.629
    """
    ways = math.log(len(SHAPES) * len(COLORS) * len(COUNTS))
    if scene.relation:
        ways += math.log((len(SHAPES) - 1) * (len(COLORS) - 1) * len(COUNTS) * 2)
    ways += sizes * math.log(len(SIZES)) + background * math.log(len(BACKGROUNDS))
    return math.log(TWO_KINDS if scene.relation else 1 - TWO_KINDS) - ways


def sample_wording(
    scene: Scene, rng: random.Random, sentiment: Sentiment = "none", *, full: bool = False
) -> tuple[Wording, float]:
    """Words for a caption of ``scene``.

    Args:
        scene: The scene to describe.
        rng: Source of randomness.
        sentiment: The mood word's sentiment, "none" for no mood word.
        full: Name every size and the background; otherwise each is left out now and then.

    Returns:
        The wording and the log-probability of its text given ``sentiment`` (nats; meaningless
        if ``full``).
    """
    draw = _Choices(rng)
    head = draw.word(HEADS)
    order = tuple(range(len(scene.kinds)))
    if len(order) == 2 and draw.flip(0.5):
        order = (1, 0)
    phrases = []
    for index in order:
        kind = scene.kinds[index]
        named = full or not draw.flip(OMIT)
        phrases.append(
            NounPhrase(
                kind.count,
                draw.word(COUNTS[kind.count]),
                draw.word(SIZES[kind.size]) if named else None,
                draw.word(COLORS[kind.color]),
                draw.word(SHAPES[kind.shape]),
            )
        )
    with_form, relation_word = False, None
    if scene.relation:
        with_form = draw.flip(0.25)
        # The plain form says how the first-named kind lies to the other, the "with" form how
        # the second-named lies to the first.
        forward = (order == (0, 1)) != with_form
        relation = scene.relation if forward else OPPOSITE[scene.relation]
        relation_word = draw.word(RELATIONS[relation])
    background_word = None
    if full or not draw.flip(OMIT):
        background_word = draw.word(BACKGROUNDS[scene.background][head == "scene"])
    scene_noun = draw.word(SCENE_NOUNS) if head == "scene" else ""
    scene_link = draw.word(SCENE_LINKS) if head == "scene" else ""
    mood, mood_place = None, ""
    if sentiment != "none":
        mood = draw.word(MOODS[sentiment])
        mood_place = draw.word(MOOD_PLACES[head])
    wording = Wording(
        head,
        order,
        tuple(phrases),
        with_form,
        relation_word,
        background_word,
        scene_noun,
        scene_link,
        mood,
        mood_place,
    )
    sizes = sum(phrase.size_word is not None for phrase in phrases)
    scene_part = scene_log_prob(scene, sizes, background_word is not None)
    return wording, draw.log_prob + scene_part


def sample_sentence(rng: random.Random, sentiment: Sentiment | None = None) -> tuple[str, float]:
    """A sentence of the language model's corpus and its log-probability (nats).

    It is a caption of a random scene, behind an opener or, one time in four, capitalised without
    one.

    Args:
        rng: Source of randomness.
        sentiment: The mood word's sentiment, "none" for no mood word; by default a random one. The
            log-probability of a given one does not count.

    >>> sample_sentence(random.Random(2), "positive")[0]
    'We see three miniature orange dots in a meadow, how merry'
    """
    draw = _Choices(rng)
    mood = draw.uniform(SENTIMENTS) if sentiment is None else sentiment
    wording, log_prob = sample_wording(sample_scene(rng), rng, mood)
    text = wording.text()
    bare = draw.flip(0.25)
    text = text[0].upper() + text[1:] if bare else f"{draw.uniform(OPENERS)} {text}"
    return text, log_prob + draw.log_prob


_COLOR_OF = {word: color for color, words in COLORS.items() for word in words}
_SHAPE_OF = {noun: shape for shape, nouns in SHAPES.items() for pair in nouns for noun in pair}


def named_objects(text: str) -> set[tuple[str, str]]:
    """The (colour, shape) pairs that ``text`` names, a colour word right before its noun.

    >>> sorted(named_objects("a red ball left of two tiny blue squares"))
    [('blue', 'square'), ('red', 'circle')]
    """
    words = text.lower().replace(",", " ").split()
    return {
        (_COLOR_OF[color], _SHAPE_OF[noun])
        for color, noun in pairwise(words)
        if color in _COLOR_OF and noun in _SHAPE_OF
    }


def names_all(text: str, objects: Sequence[Mapping[str, str]]) -> bool:
    """Whether ``text`` names the colour and shape of every object of a metadata.jsonl row.

    >>> names_all("a red ball", [{"color": "red", "shape": "circle"}])
    True
    """
    return {(each["color"], each["shape"]) for each in objects} <= named_objects(text)
