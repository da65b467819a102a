"""Sentence of a verdict."""

import math
from collections.abc import Sequence

from fuse_lightning.evaluation.verdict import Comparison, Way

BEGINNINGS = {
    "better": "better than",
    "not shown": "not shown to be better than",
    "worse": "worse than",
}
WAYS: dict[Way, str] = {
    "read": "by the answer behind the chain",
    "parse": "by the last answer in the chain",
    "labels": "by the likeliest label",
}
"""Ways to read a chain, in words."""


def sentence(
    comparison: Comparison,
    ours: float,
    theirs: float,
    examples: int,
    same_text: bool = False,
    ways: Sequence[tuple[Way, float, float]] = (),
    by: Way | None = None,
) -> str:
    """What the test examples say of a prompt against a floor, in one sentence.

    Args:
        comparison: The comparison.
        ours: Accuracy of the prompt.
        theirs: Accuracy of the floor.
        examples: Number of test examples.
        same_text: Whether prompt and floor are the same text.
        ways: Each way to read a chain, with both accuracies.
        by: The way that the comparison speaks of; ``None`` where there are no chains.

    >>> figures = dict(difference=0.04, low=-0.04, high=0.12, p=0.42, adjusted=0.42, needed=690)
    >>> one = Comparison("found", "no prompt", wins=9, losses=5, word="not shown", **figures)
    >>> print(sentence(one, 0.78, 0.74, 100))
    not shown to be better than no prompt: 78.0 % against 74.0 % of 100 test examples (+4.0 points,
    95 % interval -4.0 to +12.0, p = 0.42); to show a difference of this size takes about 690
    examples
    >>> ways = [("read", 0.78, 0.74), ("parse", 0.7, 0.72)]
    >>> print(sentence(one, 0.78, 0.74, 100, same_text=True, ways=ways, by="read"))
    not shown to be better than no prompt: 78.0 % against 74.0 % of 100 test examples by the answer
    behind the chain (+4.0 points, 95 % interval -4.0 to +12.0, p = 0.42); by the last answer in
    the chain 70.0 % against 72.0 %; both are the same text
    """
    told = f" {WAYS[by]}" if by else ""
    text = (
        f"{BEGINNINGS[comparison.word]} {comparison.floor}: {percent(ours)} against "
        f"{percent(theirs)} of {spaced(examples)} test examples{told} "
        f"({points(comparison.difference)} points, 95 % interval {points(comparison.low)} to "
        f"{points(comparison.high)}, {chance(comparison.adjusted)})"
    )
    others = [
        f"{WAYS[way]} {percent(mine)} against {percent(yours)}"
        for way, mine, yours in ways
        if way != by
    ]
    text = "; ".join([text, *([", ".join(others)] if others else [])])
    if same_text:
        return f"{text}; both are the same text"
    if comparison.word == "not shown" and comparison.needed is not None:
        needed = spaced(rounded_up(comparison.needed))
        return f"{text}; to show a difference of this size takes about {needed} examples"
    return text


def chance(p: float) -> str:
    """A P value as one reads it.

    >>> chance(0.00003), chance(0.0123), chance(0.34)
    ('p < 0.001', 'p = 0.012', 'p = 0.34')
    """
    if p < 0.001:
        return "p < 0.001"
    return f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def percent(share: float) -> str:
    """A share in percent.

    >>> percent(0.705)
    '70.5 %'
    """
    return f"{100 * share:.1f} %"


def points(difference: float) -> str:
    """A difference of two shares in points of a hundred, with its sign.

    >>> points(0.075), points(-0.01)
    ('+7.5', '-1.0')
    """
    return f"{100 * difference:+.1f}"


def rounded_up(number: int) -> int:
    """A number with two digits that count, no smaller than it.

    >>> rounded_up(1843), rounded_up(97), rounded_up(1900)
    (1900, 97, 1900)
    """
    unit: int = 10 ** max(0, len(str(number)) - 2)
    return math.ceil(number / unit) * unit


def spaced(number: int) -> str:
    """A whole number with a space before each three digits.

    >>> spaced(1900), spaced(400)
    ('1 900', '400')
    """
    return f"{number:,}".replace(",", " ")
