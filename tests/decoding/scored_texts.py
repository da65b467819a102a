"""Scored texts for tests."""

import math

from fuse_lightning.decoding.scored_text import MEASURES, ScoredText, Tokens


def scored(pieces, *, kl=None, a=None, b=None, pair=("base", "tuned"), **given):
    """A text of some tokens, whose other divergences are shares of the first."""
    count = len(pieces)
    kl = kl or [float(n) for n in range(count)]
    # Differences of -1, 0 and 1 nat, in turn.
    a = a or [-2.0] * count
    b = b or [-2.0 + (n % 3 - 1) for n in range(count)]
    words = {name: ((f" {name}", 0.5), (" x", 1e-05)) for name in pair}
    tokens = Tokens(
        tuple(pieces),
        tuple(range(count)),
        {name: tuple(k / 2**n for k in kl) for n, name in enumerate(MEASURES)},
        dict(zip(pair, (tuple(a), tuple(b)), strict=True)),
        {
            name: tuple((*words[name], (piece, 0.25 / (n + 1))) for n, piece in enumerate(pieces))
            for name in pair
        },
    )
    return ScoredText(
        **{"prompt": "Once", "text": "".join(pieces), "tokens": tokens, "pair": pair} | given
    )


def infinite():
    """A text with numbers that are not finite."""
    return scored(
        ["a", " b", " c", " d"],
        kl=[math.inf, math.nan, 1.0, 0.5],
        a=[-1.0, -math.inf, -math.inf, math.nan],
        b=[-math.inf, -1.0, -math.inf, -1.0],
    )
