"""Prompts of the reasoning language: words that count, their strength, and fluent instructions."""

import random
from collections.abc import Iterable, Sequence

BASE = 1.35
"""Strength of a prompt without cue words."""
LEAST_STRENGTH, MOST_STRENGTH = -3.0, 4.0
CUES: dict[str, dict[str, float]] = {
    "work": {"follow": 0.5, "count": 0.45, "work": 0.35, "solve": 0.3, "think": 0.25},
    "each": {"every": 0.5, "each": 0.4, "all": 0.3, "whole": 0.2},
    "step": {"change": 0.5, "move": 0.4, "step": 0.35, "part": 0.25},
    "order": {"order": 0.5, "turn": 0.45, "slowly": 0.35, "carefully": 0.3, "care": 0.2},
    "write": {"write": 0.5, "note": 0.45, "show": 0.35, "list": 0.3},
}
"""Aspect to its cue words, and these to the strength that they add."""
TRAPS: dict[str, dict[str, float]] = {
    "guess": {"guess": 1.6, "bet": 1.4, "pick": 1.2},
    "haste": {"once": 1.6, "quickly": 1.4, "fast": 1.2},
    "little": {"first": 1.0, "only": 0.8},
}
"""Aspect of haste to its words, and these to the strength that they take away."""
COUNTED = frozenset(word for words in (*CUES.values(), *TRAPS.values()) for word in words)
"""All words that count in a prompt."""

LEANS = (
    *[frozenset[str]()] * 3,
    *[frozenset(word for words in CUES.values() for word in words)] * 2,
    *[frozenset(word for words in TRAPS.values() for word in words)],
)
"""Words that an instruction leans to."""
LEANING = 0.4
"""Share of its words that an instruction chooses among those that it leans to."""

VERBS = (
    *("give", "tell", "say", "find", "look", "answer", "read", "name", "see", "do"),
    *CUES["work"],
    *CUES["write"],
    *TRAPS["guess"],
)
DETERMINERS = ("the", "this", "your", "it", "a", *CUES["each"], *TRAPS["little"])
NOUNS = ("number", "question", "answer", "story", "line", "result", "word", *CUES["step"])
TAILS = (
    *("now", "please", "here", "well", "again", "down", "out", "in order", "in turn"),
    *("slowly", "carefully", "with care", "at once", "quickly", "fast", "step by step"),
)
PARTICLES = ("at", "of", "through", "to", "about")
JOINTS = ("and", "then", ",", "and then", ". now")
FILLERS = tuple(
    dict.fromkeys(
        word
        for text in (
            *VERBS,
            *DETERMINERS,
            *NOUNS,
            *TAILS,
            *JOINTS,
            "to of through about at . let us",
        )
        for word in text.split()
        if word not in COUNTED
    )
)
"""Words of instructions that mean nothing."""


def strength(words: Iterable[str]) -> float:
    """Strength of a prompt.

    Args:
        words: Words of the prompt.

    >>> [strength(text.split()) for text in ("", "every step", "guess", "every each every")]
    [1.35, 2.2, -0.25, 1.85]
    """
    there = {*words}
    total = BASE
    for sign, aspects in ((1, CUES), (-1, TRAPS)):
        for cues in aspects.values():
            total += sign * max((cues[word] for word in cues if word in there), default=0.0)
    return round(max(LEAST_STRENGTH, min(total, MOST_STRENGTH)), 6)


def sample_prompt(rng: random.Random) -> str:
    """A fluent instruction of one to three clauses; some lean to cue words, some to haste.

    >>> sample_prompt(random.Random(0))
    'please list with care and read first move step by step .'
    """
    lean = rng.choice(LEANS)
    clauses = [_clause(lean, rng) for _ in range(rng.choice((1, 1, 1, 2, 2, 3)))]
    text = clauses[0]
    for clause in clauses[1:]:
        text += f" {rng.choice(JOINTS)} {clause}"
    return rng.choice(("", "", "please ", "let us ")) + text + rng.choice(("", " .", " ."))


def _clause(lean: frozenset[str], rng: random.Random) -> str:
    def pick(pool: Sequence[str]) -> str:
        leant = [text for text in pool if not lean.isdisjoint(text.split())]
        return rng.choice(leant if leant and rng.random() < LEANING else pool)

    words = [pick(VERBS)]
    if rng.random() < 0.25:
        words.append(rng.choice(PARTICLES))
    if rng.random() < 0.85:
        words.append(pick(DETERMINERS))
        if words[-1] != "it":
            words.append(pick(NOUNS))
    for _ in range(rng.choice((0, 1, 1, 2))):
        words.append(pick(TAILS))
    return " ".join(words)


def sample_words(rng: random.Random) -> list[str]:
    """Words that count, of some aspects; some stand there more than once.

    >>> {*sample_words(random.Random(0))} <= COUNTED
    True
    """
    words: list[str] = []
    share = rng.choice((0.0, 0.25, 0.5, 0.75, 1.0))
    for aspects, often in ((CUES, share), (TRAPS, rng.choice((0.0, 0.0, 0.25, 0.5)))):
        for cues in aspects.values():
            if rng.random() < often:
                words += rng.choices([*cues], k=rng.choice((1, 1, 1, 1, 2)))
    return rng.sample(words, len(words))
