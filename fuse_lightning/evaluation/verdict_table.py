"""Verdict on a terminal."""

from collections.abc import Iterable

from rich.table import Table
from rich.text import Text

from fuse_lightning.evaluation.sentence import chance, percent, points, spaced
from fuse_lightning.evaluation.verdict import Comparison, PromptScore, Verdict
from fuse_lightning.utilities.tables import print_table
from fuse_lightning.utilities.terminal import printable, say

PROMPTS = "prompt", "text", "tier", "accuracy", "95 % interval", "select", "loss", "calibration"
PAIRS = "prompt", "floor", "wins", "losses", "points", "95 % interval", "p", "verdict", "needed"
LONGEST = 60
"""Most characters of a prompt in the table."""
LEFT = {"prompt", "text", "floor", "verdict"}
"""Columns of words."""


def print_verdict(verdict: Verdict) -> None:
    """Prints the sentence, the prompts, the comparisons of the chosen one, and what to expect."""
    say(printable(verdict.sentence))
    scores = [*verdict.candidates, *verdict.floors]
    print_table(_table(PROMPTS, [_prompt(score) for score in scores]))
    own = [each for each in verdict.comparisons if each.candidate == verdict.chosen.name]
    print_table(_table(PAIRS, [_comparison(each) for each in own]))
    say(*(printable(line) for line in expectations(verdict)))


def expectations(verdict: Verdict) -> list[str]:
    """Lines about what accuracy to expect, without the luck of having been chosen."""
    chosen = verdict.chosen
    lines = [
        f"{chosen.name} is right on {percent(chosen.select)} of the examples that chose it, and on "
        f"{percent(chosen.accuracy)} of the test examples"
    ]
    strongest = next(floor for floor in verdict.floors if floor.name == verdict.against)
    if chosen.select < strongest.select:
        lines.append(
            f"also on the examples that choose it is behind {strongest.name} "
            f"({percent(strongest.select)}): search longer, or select by accuracy (error_weight)"
        )
    if len(verdict.candidates) > 1 and verdict.cross_fitted is not None:
        lines.append(
            f"the best of the short list on the test examples reaches {percent(verdict.best)}; on "
            f"new examples such a choice would reach about {percent(verdict.cross_fitted)}"
        )
    return lines


def shortened(text: str) -> str:
    """Beginning of a text, for one line of a table.

    >>> shortened("a red star"), len(shortened("red " * 40))
    ('a red star', 60)
    """
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


def _table(columns: Iterable[str], rows: Iterable[tuple[str, ...]]) -> Table:
    table = Table()
    for name in columns:
        table.add_column(name, justify="left" if name in LEFT else "right")
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    return table


def _prompt(score: PromptScore) -> tuple[str, ...]:
    entropy = "inf" if score.cross_entropy is None else f"{score.cross_entropy:.3f}"
    return (
        score.name,
        shortened(score.text),
        str(score.tier),
        percent(score.accuracy),
        f"{percent(score.low)} to {percent(score.high)}",
        percent(score.select),
        entropy,
        f"{score.calibration_error:.3f}",
    )


def _comparison(comparison: Comparison) -> tuple[str, ...]:
    return (
        comparison.candidate,
        comparison.floor,
        str(comparison.wins),
        str(comparison.losses),
        points(comparison.difference),
        f"{points(comparison.low)} to {points(comparison.high)}",
        chance(comparison.adjusted).removeprefix("p ").removeprefix("= "),
        comparison.word,
        "" if comparison.needed is None else spaced(comparison.needed),
    )
