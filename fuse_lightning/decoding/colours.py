"""Colours of tokens: blue where stream A finds them likelier, orange where B does.

People who see no red and green tell these two apart. The divergence sets how strong a colour is.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from fuse_lightning.decoding.scored_text import MEASURES, ScoredText
from fuse_lightning.errors import FuseError

LABELS = {
    "kl": ("KL(A‖B)", "nats"),
    "reverse_kl": ("KL(B‖A)", "nats"),
    "js": ("Jensen-Shannon", "nats"),
    "tv": ("total variation", ""),
    "centred_l1": ("centred L1", "logits"),
}
"""Name and unit of each measure for readers; total variation goes from 0 to 1."""
SAME = 0.01
"""Log-probabilities of a token, in nats, that differ by less than this give neither stream."""
MOST = 0.99
"""Share of the tokens whose divergences the scale of colours tells apart."""


@dataclass(frozen=True)
class Theme:
    """Colours of a light or dark page.

    Attributes:
        page: Background.
        text: Text.
        a: Background of a token that A finds likelier, where the divergence is largest.
        b: Background of a token that B finds likelier, where the divergence is largest.
        even: Background of a token that both find as likely, where the divergence is largest.
    """

    page: str
    text: str
    a: str
    b: str
    even: str

    def background(self, side: str, strength: float) -> str:
        """Background of a token.

        Args:
            side: "a", "b" or "even", as :func:`side` gives it.
            strength: From 0 for the page's colour to 1 for the whole colour.

        >>> DARK.background("a", 0.5)
        '#184069'
        """
        whole = {"a": self.a, "b": self.b, "even": self.even}[side]
        return mixed(self.page, whole, strength)


LIGHT = Theme("#ffffff", "#1c2330", "#79aef7", "#f7a14e", "#b4bbc7")
DARK = Theme("#14171d", "#e4e8f0", "#1c69b5", "#a04c00", "#4d5666")


def mixed(first: str, second: str, share: float) -> str:
    """Colour between two colours, by the share of the second.

    >>> mixed("#000000", "#ff8000", 0.5)
    '#804000'
    """
    pairs = zip(_channels(first), _channels(second), strict=True)
    # As browsers round, halves go up.
    values = (math.floor(a + (b - a) * share + 0.5) for a, b in pairs)
    return "#" + "".join(f"{value:02x}" for value in values)


def _channels(colour: str) -> list[int]:
    return [int(colour[place : place + 2], 16) for place in (1, 3, 5)]


def contrast(first: str, second: str) -> float:
    """Contrast of two colours as WCAG 2.2 defines it, from 1 to 21; text needs 4.5.

    >>> round(contrast("#000000", "#ffffff"), 6)
    21.0
    """
    low, high = sorted(_luminance(colour) for colour in (first, second))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    linear = [
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        for value in (channel / 255 for channel in _channels(colour))
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def side(first: float, second: float) -> str:
    """Stream that finds a token likelier: "a", "b" or, within :data:`SAME`, "even".

    Args:
        first: Log-probability of the token under A, in nats.
        second: Log-probability under B.

    >>> side(-1.0, -2.0), side(float("-inf"), -2.0), side(-1.0, -1.001)
    ('a', 'b', 'even')
    """
    difference = first - second
    if math.isnan(difference) or abs(difference) < SAME:
        return "even"
    return "a" if difference > 0 else "b"


def sides(text: ScoredText) -> list[str]:
    """For each token the stream that finds it likelier; "even" where that is not known."""
    rows = [text.tokens.log_probs.get(name) for name in text.pair]
    if rows[0] is None or rows[1] is None:
        return ["even"] * len(text.tokens)
    return [side(a, b) for a, b in zip(rows[0], rows[1], strict=True)]


def scale_top(texts: Iterable[ScoredText], measure: str) -> float:
    """Divergence from which on colours are strongest, common to all texts.

    It is the value that 99 % of the tokens do not exceed: one odd token leaves the others theirs.
    Infinite ones are left out. Without any it is 1.

    >>> from fuse_lightning.decoding.scored_text import Tokens
    >>> tokens = Tokens(("a", "b"), (0, 1), {"kl": (0.5, 2.0)})
    >>> scale_top([ScoredText("", "ab", tokens, ("A", "B"))], "kl")
    2.0
    """
    rows = [np.asarray(text.tokens.divergences.get(measure, ()), float) for text in texts]
    values = np.concatenate([*rows, np.empty(0)])
    values = values[np.isfinite(values)]
    top = float(np.quantile(values, MOST, method="higher")) if values.size else 0.0
    return top if top > 0 else 1.0


def strength(divergence: float, top: float) -> float:
    """Strength of a colour, from 0 to 1: the root of the divergence's share of the scale.

    The root tells small divergences apart, which most tokens have. NaN has none.

    >>> strength(0.5, 2.0), strength(float("inf"), 2.0), strength(float("nan"), 2.0)
    (0.5, 1.0, 0.0)
    """
    if math.isnan(divergence) or divergence <= 0:
        return 0.0
    return math.sqrt(min(1.0, divergence / top))


def present(texts: Iterable[ScoredText]) -> list[str]:
    """Measures that at least one of the texts has."""
    found = {name for text in texts for name in text.tokens.divergences}
    return [name for name in MEASURES if name in found]


def check_measure(measure: str, texts: Iterable[ScoredText]) -> None:
    """Checks that texts have a measure.

    Raises:
        FuseError: If none of them has it.

    >>> check_measure("l2", [])
    Traceback (most recent call last):
    fuse_lightning.errors.FuseError: measure 'l2' is not known; use one of kl, reverse_kl, js, tv, \
centred_l1
    """
    if measure not in MEASURES:
        raise FuseError(f"measure {measure!r} is not known; use one of {', '.join(MEASURES)}")
    found = present(texts)
    if found and measure not in found:
        raise FuseError(f"no text has the measure {measure!r}; the texts have {', '.join(found)}")
