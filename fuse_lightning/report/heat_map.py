"""Heat map of scored texts: one HTML page, a background for each token."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any

from markupsafe import Markup

from fuse_lightning.decoding.colours import (
    DARK,
    LABELS,
    LIGHT,
    SAME,
    Theme,
    check_measure,
    present,
    scale_top,
)
from fuse_lightning.decoding.scored_text import ScoredText
from fuse_lightning.decoding.sweep import Sweep
from fuse_lightning.decoding.terminal_text import ENDS
from fuse_lightning.errors import FuseError
from fuse_lightning.report.rate_curve import rate_curve
from fuse_lightning.report.templates import environment_of_pages, own_file, write_page
from fuse_lightning.utilities.terminal import quoted

SPECIAL = {float("inf"): "Infinity", float("-inf"): "-Infinity"}
"""Names of infinite numbers, as JavaScript reads them in a text."""


def heat_map(
    texts: Sequence[ScoredText],
    path: Path,
    *,
    title: str = "Two streams, token by token",
    about: str = "",
    measure: str = "kl",
    sort: bool = True,
    sweep: Sweep | None = None,
) -> Path:
    """Writes a page that shows what two streams say of each token of some texts.

    Tokens that stream A finds likelier are blue and underlined, those that B does are orange, with
    a line above. The stronger the colour, the larger the divergence; all texts share one scale. A
    token that is pointed at, focused or tapped tells its numbers, and the likeliest tokens of all
    streams. The page needs no network and no other file. All text in it is escaped, and its browser
    is told to run no other script than the page's own.

    Args:
        texts: The texts.
        path: The file; folders above it are made, and an older file is replaced.
        title: Heading of the page.
        about: Line below the heading, such as the models behind the names of the streams.
        measure: Divergence that is shown first; the page has a list of all.
        sort: Whether texts with a larger mean divergence come first; otherwise as they are given.
            The page has a list for this, too.
        sweep: Rates of a property along a path of weights, which are drawn above the texts.

    Returns:
        The path.

    Raises:
        FuseError: If there are no texts, they lack the measure, or the file cannot be written.
    """
    if not texts:
        raise FuseError(f"there are no texts for the page {quoted(path)}; give at least one")
    check_measure(measure, texts)
    content = page(texts, title, measure, sort, sweep, about)
    return write_page(path, content)


def page(
    texts: Sequence[ScoredText],
    title: str,
    measure: str,
    sort: bool,
    sweep: Sweep | None = None,
    about: str = "",
) -> str:
    """HTML page of texts; the arguments are those of :func:`heat_map`."""
    style = Markup("").join([own_file("report.css"), palette(), own_file("heat_map.css")])
    return (
        environment_of_pages()
        .get_template("heat_map.html.jinja")
        .render(
            title=title,
            about=about,
            count=len(texts),
            tokens=sum(len(text.tokens) for text in texts),
            measures={name: LABELS[name][0] for name in present(texts)},
            measure=measure,
            sort=sort,
            curve=sweep and rate_curve(sweep),
            lines=sweep.lines if sweep else (),
            data=packed(texts),
            style=style,
            script=own_file("heat_map.js"),
        )
    )


def palette() -> Markup:
    """Style sheet with the colours of tokens, for light and dark pages."""

    def rule(theme: Theme) -> str:
        named = "".join(f" --token-{name}: {value};" for name, value in asdict(theme).items())
        return f":root {{{named} }}"

    return Markup(
        f"{rule(LIGHT)}\n@media screen and (prefers-color-scheme: dark) {{ {rule(DARK)} }}\n"
    )


def packed(texts: Sequence[ScoredText]) -> dict[str, Any]:
    """What the page's script knows of texts, for JSON.

    A page may hold millions of top tokens. Each distinct token is written once, and rows of numbers
    are texts, which a browser reads at once and takes apart where they are looked at.

    >>> from fuse_lightning.decoding.scored_text import Tokens
    >>> tokens = Tokens((" a",), (5,), {"kl": (2.0,)}, {"A": (-1.5,)}, {"A": (((" a", 0.25),),)})
    >>> found = packed([ScoredText("Once", " a", tokens, ("A", "B"))])
    >>> found["words"], found["texts"][0]["tops"]
    ([' a'], {'A': '0,25'})
    """
    words = _words(texts)
    number = {word: place for place, word in enumerate(words)}
    found = present(texts)
    return {
        "words": words,
        "measures": {name: [*LABELS[name], scale_top(texts, name)] for name in found},
        "same": SAME,
        "texts": [_packed(text, number) for text in texts],
    }


def _words(texts: Iterable[ScoredText]) -> list[str]:
    """Distinct tokens, the most frequent ones first: these have the shortest numbers."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text.tokens.pieces)
        places = chain.from_iterable(text.tokens.tops.values())
        counts.update(word for place in places for word, _ in place)
    return [word for word, _ in counts.most_common()]


def _packed(text: ScoredText, number: dict[str, int]) -> dict[str, Any]:
    tokens = text.tokens
    return {
        "prompt": text.prompt,
        "number": text.prompt_number,
        "sample": text.sample,
        "pair": text.pair,
        "weights": {name: _short(weight, 6) for name, weight in text.weights.items()},
        "ended": ENDS[text.ended],
        "pieces": _row(number[piece] for piece in tokens.pieces),
        "ids": _row(tokens.ids),
        "means": {name: _short(text.divergence(name), 9) for name in tokens.divergences},
        "perplexities": {name: _short(text.perplexity(name), 6) for name in tokens.log_probs},
        "divergences": {name: _numbers(row) for name, row in tokens.divergences.items()},
        "logProbs": {name: _numbers(row) for name, row in tokens.log_probs.items()},
        "tops": {name: _tops(places, number) for name, places in tokens.tops.items()},
    }


def _tops(places: Iterable[Iterable[tuple[str, float]]], number: dict[str, int]) -> str:
    """Numbers and per cents of top tokens; a semicolon between places."""
    return ";".join(
        ",".join(f"{number[word]},{_short(100 * p, 3)}" for word, p in place) for place in places
    )


def _numbers(values: Iterable[float]) -> str:
    return _row(_short(value, 4) for value in values)


def _row(values: Iterable[object]) -> str:
    return ",".join(map(str, values))


def _short(value: float, digits: int) -> str:
    """A number with some significant digits, as JavaScript reads it in a text.

    >>> _short(0.123456, 3), _short(float("-inf"), 3), _short(float("nan"), 3)
    ('0.123', '-Infinity', 'nan')
    """
    return SPECIAL.get(value) or f"{value:.{digits}g}"
