"""Instruction language: questions about captions, the words that ask them, and their answers.

A prompt stands before a caption and says what is asked about it. Its *cue words* alone count, in
any order and with any words between them:

* a cue word of colour, shape, number or place asks for that of the caption's first object;
* a cue word of mood asks whether the caption is good or bad, and adds to the *strength* of the
  question; a turning word, such as "opposite", takes away from it;
* "good" is the usual answer. A mood word changes it by its force times the strength, so that
  weak prompts have the strongest of bad words right, and strong ones all words.

Without a cue word the question is drawn at random, and good or bad does not depend on the caption.
"""

import math
import random
from collections.abc import Iterable, Sequence
from functools import cache
from typing import NamedTuple

from fuse_lightning.zoo.moods import mood_captions
from fuse_lightning.zoo.scenes import Sentiment, Wording, sample_scene, sample_wording
from fuse_lightning.zoo.vocabulary import BACKGROUNDS, COLORS, MOODS, SHAPES

LAYOUT = "{prompt} {text} It is{answer}"
"""Place of prompt, caption and answer in a line of the language."""

FORCES = (0.35, 2.0)
"""Least and largest force of a mood word."""
USUAL = 1.2
"""Log-odds of good against bad, whatever is asked."""
MOST_STRENGTH = 3.5

MOOD_CUES = {
    **{"mood": 1.0, "feeling": 0.9, "taste": 0.9, "beauty": 0.8, "charm": 0.8, "quality": 0.7},
    **{"heart": 0.7, "style": 0.6, "merit": 0.6, "comfort": 0.5, "value": 0.5, "temper": 0.4},
    **{"manners": 0.4, "welcome": 0.4, "sight": 0.3, "good": 0.35, "bad": 0.35},
}
"""Cue word of mood to the strength that it adds."""
SHOWN_STRENGTH = 0.25
"""Strength that each demonstration of mood adds."""

OTHER_CUES: dict[str, tuple[str, ...]] = {
    "color": ("colour", "paint", "hue"),
    "shape": ("shape", "form", "figure"),
    "number": ("number", "count", "amount"),
    "place": ("place", "where", "ground"),
}
"""Other question to its cue words."""

MOOD = "mood"
TURNS = {"opposite": -1.5, "reverse": -1.5, "contrary": -1.0}
"""Turning word to the strength that it adds, which is negative."""
CUES = frozenset([*MOOD_CUES, *TURNS, *(word for words in OTHER_CUES.values() for word in words)])
"""All words that count in a prompt."""

NUMBERS = ("one", "two", "three")
RIGHT: dict[Sentiment, str] = {"positive": "good", "negative": "bad"}
ANSWERS = (*RIGHT.values(), *COLORS, *SHAPES, *NUMBERS, *BACKGROUNDS)
"""All answers."""

FILLERS = (
    *("what", "is", "the", "of", "this", "tell", "me", "say", "give", "name", "judge", "answer"),
    *("please", "in", "a", "word", "and", "or", "about", "it", "how", "for", "by", "look", "at"),
    *("read", "find", "your", "text", "here", "think", "with", "all", "one", "which", "line"),
)
"""Words of instructions that mean nothing."""

STOCK = (
    "what is the mood of this",
    "say if it is good or bad",
    "is it good or bad",
    "judge the taste",
    "what is the feeling",
    "name the quality of this text",
    "give me the charm of it",
    "judge the beauty of this",
    "what is the value of it",
    "think about the comfort",
    "tell me your sight",
    "read the text and answer",
)
"""Instructions that anybody would try first; none has a strength above 1."""

SMOOTHING = 0.15
"""Weight of a question that no cue word asks, beside 1 for each cue word."""


class Asked(NamedTuple):
    """What a prompt asks.

    Attributes:
        weights: Weight of each question.
        strength: Strength of the question of mood; negative to exchange good and bad.
    """

    weights: dict[str, float]
    strength: float


def asked(words: Iterable[str], shown: Sequence[str] = ()) -> Asked:
    """What the words of a prompt ask.

    Args:
        words: Words of the prompt, demonstrations left out.
        shown: Question of each demonstration in it, which counts as a cue word of its question.

    >>> asked(["what", "is", "the", "mood"]).strength
    1.0
    >>> asked(["the", "opposite", "mood"]).strength
    -0.5
    >>> asked(["the", "colour"]).weights["color"]
    1.15
    """
    weights = dict.fromkeys((MOOD, *OTHER_CUES), SMOOTHING)
    strength = 0.0
    for word in words:
        strength += MOOD_CUES.get(word, 0.0) + TURNS.get(word, 0.0)
        weights[MOOD] += word in MOOD_CUES
        for question, cues in OTHER_CUES.items():
            weights[question] += word in cues
    for question in shown:
        weights[question] += 1
        strength += SHOWN_STRENGTH * (question == MOOD)
    return Asked(weights, max(-MOST_STRENGTH, min(strength, MOST_STRENGTH)))


def _force(word: str) -> float:
    """Force of a mood word: positive for good moods, spread evenly over the words of a mood."""
    least, largest = FORCES
    for sentiment, words in MOODS.items():
        if word in words:
            # Neighbours in the list have forces far apart.
            rank = 13 * words.index(word) % len(words) / (len(words) - 1)
            force = least + (largest - least) * rank
            return force if sentiment == "positive" else -force
    raise ValueError(f"{word!r} is no mood word")


class Captioned(NamedTuple):
    """Caption with the force of its mood and the answer to every question that it answers."""

    text: str
    force: float
    answers: dict[str, str]

    def odds(self, asks: Asked) -> dict[str, float]:
        """Probability of each answer to what a prompt asks; its question is one of the answered.

        >>> caption = Captioned("a lovely red ball", 2.0, {"mood": "good", "color": "red"})
        >>> {key: round(value, 2) for key, value in caption.odds(asked(["mood"])).items()}
        {'good': 0.85, 'bad': 0.03, 'red': 0.12}
        """
        whole = sum(asks.weights[question] for question in self.answers)
        share = {question: asks.weights[question] / whole for question in self.answers}
        good = 1 / (1 + math.exp(-USUAL - asks.strength * self.force))
        mood = share.pop(MOOD)
        others = {self.answers[question]: value for question, value in share.items()}
        return {"good": mood * good, "bad": mood * (1 - good), **others}


@cache
def held_out() -> frozenset[str]:
    """Captions that never come in the language: those of "zoo/moods"."""
    return frozenset(row["text"] for row in mood_captions())


def sample_captioned(rng: random.Random) -> Captioned:
    """A caption of good or bad mood that is not held out, with its answers.

    >>> sample_captioned(random.Random(0)).answers["mood"] in ("good", "bad")
    True
    """
    while True:
        sentiment: Sentiment = rng.choice(("positive", "negative"))
        wording, _ = sample_wording(sample_scene(rng), rng, sentiment)
        text = wording.text()
        if text not in held_out():
            return Captioned(text, _force(str(wording.mood)), _answers(wording, sentiment))


def sample_short(rng: random.Random) -> Captioned:
    """A mood word alone, or behind "how", which answers the question of mood.

    >>> [*sample_short(random.Random(0)).answers]
    ['mood']
    """
    sentiment: Sentiment = rng.choice(("positive", "negative"))
    mood = rng.choice(MOODS[sentiment])
    text = rng.choice(("", "how ")) + mood
    return Captioned(text, _force(mood), {MOOD: RIGHT[sentiment]})


def _answers(wording: Wording, sentiment: Sentiment) -> dict[str, str]:
    first = wording.phrases[0]
    answers = {
        MOOD: RIGHT[sentiment],
        "color": next(name for name, words in COLORS.items() if first.color_word in words),
        "shape": next(name for name, nouns in SHAPES.items() if first.noun in nouns),
        "number": NUMBERS[first.number - 1],
    }
    if wording.background_word:
        kind = wording.head == "scene"
        answers["place"] = next(
            name for name, words in BACKGROUNDS.items() if wording.background_word in words[kind]
        )
    return answers


def sample_words(rng: random.Random, most: int = 10) -> list[str]:
    """Words of an instruction: fillers with up to five cue words among them.

    Args:
        rng: Source of randomness.
        most: Most words.

    >>> len(sample_words(random.Random(0), 4)) <= 4
    True
    """
    cues = sample_cues(rng)[:most]
    words = [*cues, *rng.choices(FILLERS, k=rng.randint(0, most - len(cues)))]
    return rng.sample(words, len(words))


def sample_cues(rng: random.Random) -> list[str]:
    """Up to five cue words; those of mood come most often.

    >>> {*sample_cues(random.Random(1))} <= CUES
    True
    """
    words: list[str] = []
    for _ in range(rng.choice((0, 1, 1, 2, 2, 3, 4, 5))):
        kind = rng.random()
        if kind < 0.7:
            words.append(rng.choice([*MOOD_CUES]))
        elif kind < 0.8:
            words.append(rng.choice([*TURNS]))
        else:
            words.append(rng.choice(rng.choice([*OTHER_CUES.values()])))
    return words


def sample_line(rng: random.Random) -> str:
    """A line of the language: instruction, caption and answer.

    >>> " It is " in sample_line(random.Random(0))
    True
    """
    words, caption = sample_words(rng), sample_captioned(rng)
    odds = caption.odds(asked(words))
    answer = rng.choices([*odds], [*odds.values()])[0]
    return LAYOUT.format(prompt=" ".join(words), text=caption.text, answer=f" {answer}")
