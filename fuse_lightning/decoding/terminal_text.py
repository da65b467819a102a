"""Scored texts on a terminal, with a background for each token."""

import io
import math
from collections.abc import Sequence

from rich.console import Console
from rich.style import Style
from rich.text import Text

from fuse_lightning.decoding.colours import (
    DARK,
    LABELS,
    Theme,
    check_measure,
    scale_top,
    sides,
    strength,
)
from fuse_lightning.decoding.scored_text import ScoredText
from fuse_lightning.utilities.terminal import encoding, say, visible

FAINT = 0.08
"""Strength of a colour below which a token keeps the terminal's own background."""
ENDS = {
    "stop": "ended by itself or a stop text",
    "length": "cut at max_new_tokens",
    "full": "cut at the longest input of a model",
    "given": "a given text",
}
"""Reasons why texts ended, for readers."""


def coloured(
    text: ScoredText, measure: str = "kl", top: float | None = None, theme: Theme = DARK
) -> Text:
    """Text whose tokens have backgrounds by their divergences.

    Tokens that stream A finds likelier are blue and underlined, those that B does are orange.

    Args:
        text: The text.
        measure: Divergence that sets how strong a colour is.
        top: Divergence from which on colours are strongest; by default that of this text alone.
        theme: Colours for a dark terminal, or :data:`~fuse_lightning.decoding.colours.LIGHT`.

    Raises:
        FuseError: If the measure is not known, or the text has others only.

    >>> from fuse_lightning.decoding.scored_text import Tokens
    >>> tokens = Tokens((" a", "!"), (5, 0), {"kl": (2.0, 0.0)}, {"A": (-1, -1), "B": (-3, -1)})
    >>> coloured(ScoredText("", " a!", tokens, ("A", "B"))).markup
    '[underline #e4e8f0 on #1c69b5] a[/underline #e4e8f0 on #1c69b5]!'
    """
    check_measure(measure, [text])
    most = scale_top([text], measure) if top is None else top
    told = Text()
    values = text.tokens.divergences.get(measure, (math.nan,) * len(text.tokens))
    for piece, value, side in zip(text.tokens.pieces, values, sides(text), strict=True):
        told.append(_shown(piece), _style(side, strength(value, most), theme))
    return told


def _style(side: str, share: float, theme: Theme) -> Style:
    if share < FAINT:
        return Style.null()
    return Style(
        color=theme.text, bgcolor=theme.background(side, share), underline=side == "a" or None
    )


def _shown(piece: str) -> str:
    """The piece with its line ends marked, and escapes for characters that a terminal obeys."""
    return "\n".join(visible(line) for line in piece.replace("\n", "↵\n").split("\n"))


def print_texts(
    texts: Sequence[ScoredText], measure: str = "kl", theme: Theme = DARK, sort: bool = False
) -> None:
    """Prints texts below a legend, each below its prompt and its means, on one scale of colours.

    Where standard output is no terminal, or the variable NO_COLOR is set, it is plain text
    without a legend.

    Args:
        texts: The texts.
        measure: Divergence that sets how strong a colour is.
        theme: Colours for a dark terminal, or :data:`~fuse_lightning.decoding.colours.LIGHT`.
        sort: Whether texts with a larger mean divergence come first; otherwise as they are given.

    Raises:
        FuseError: If the measure is not known, or the texts have others only.
    """
    check_measure(measure, texts)
    top = scale_top(texts, measure)
    console = Console()
    plain = console.no_color or not console.is_terminal
    parts = [] if plain else [legend(texts, measure, top, theme)]
    for text in by_divergence(texts, measure) if sort else texts:
        parts += [Text()] if parts else []
        parts += [header(text, measure), coloured(text, measure, top, theme)]
    stream = io.StringIO()
    # Lines are as long as they are: a terminal breaks them, and a file should not have them broken.
    printer = Console(file=stream, force_terminal=not plain)
    for part in parts:
        printer.print(part.plain if plain else part, markup=False, highlight=False, soft_wrap=True)
    told = stream.getvalue().removesuffix("\n")
    say(told.encode(encoding(), "backslashreplace").decode(encoding()))


def by_divergence(texts: Sequence[ScoredText], measure: str) -> list[ScoredText]:
    """The texts, those with a larger mean divergence first and those without one last."""

    def key(text: ScoredText) -> float:
        mean = text.divergence(measure)
        return math.inf if math.isnan(mean) else -mean

    return sorted(texts, key=key)


def header(text: ScoredText, measure: str = "kl") -> Text:
    """Number, prompt and means of a text, in two lines.

    >>> from fuse_lightning.decoding.scored_text import Tokens
    >>> tokens = Tokens((" a",), (5,), {"kl": (0.25,)}, {"A": (-1.0,), "B": (-2.0,)})
    >>> print(header(ScoredText("Once", " a", tokens, ("A", "B"), weights={"A": 1, "B": -0.5})))
    prompt 0, sample 0: Once
    mean KL(A‖B) 0.25 nats; perplexity A 2.718, B 7.389; weights A 1, B -0.5; a given text
    """
    label, unit = LABELS[measure]
    perplexities = [f"{name} {number(text.perplexity(name))}" for name in text.tokens.log_probs]
    weights = [f"{name} {number(weight)}" for name, weight in text.weights.items()]
    parts = [
        f"mean {label} {number(text.divergence(measure))} {unit}".rstrip(),
        f"perplexity {', '.join(perplexities)}" if perplexities else "",
        f"weights {', '.join(weights)}" if weights else "",
        ENDS[text.ended],
    ]
    prompt = visible(text.prompt) or "(the empty prompt)"
    name = f"prompt {text.prompt_number}, sample {text.sample}: {prompt}"
    return Text(f"{name}\n{visible('; '.join(filter(None, parts)))}", "dim")


def legend(texts: Sequence[ScoredText], measure: str, top: float, theme: Theme = DARK) -> Text:
    """Line that says what the colours mean.

    >>> print(legend([], "kl", 2.0))
    underlined: A likelier   B likelier   KL(A‖B) from 0 to 2 nats and more
    """
    label, unit = LABELS[measure]
    first, second = names(texts)
    return Text.assemble(
        (visible(f"underlined: {first} likelier"), _style("a", 1.0, theme)),
        "   ",
        (visible(f"{second} likelier"), _style("b", 1.0, theme)),
        f"   {label} from 0 to {number(top)} {unit}".rstrip() + " and more",
    )


def names(texts: Sequence[ScoredText]) -> tuple[str, str]:
    """Names of streams A and B for a legend, with the streams' own where all texts share them."""
    pairs = {text.pair for text in texts}
    if len(pairs) != 1:
        return "A", "B"
    first, second = pairs.pop()
    return (f"A ({first})" if first != "A" else "A"), (f"B ({second})" if second != "B" else "B")


def number(value: float) -> str:
    """Number with 4 significant digits, or its sign if it is infinite.

    >>> number(1.23456), number(float("-inf"))
    ('1.235', '-∞')
    """
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    return "NaN" if math.isnan(value) else f"{value:.4g}"
