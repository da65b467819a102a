"""Verdict on a terminal."""

from collections.abc import Iterable

from rich.table import Table
from rich.text import Text

from fuse_lightning.evaluation.readings import reading_lines
from fuse_lightning.evaluation.sentence import WAYS, chance, percent, points, spaced
from fuse_lightning.evaluation.verdict import Comparison, PromptScore, ReadingScore, Verdict
from fuse_lightning.utilities.tables import print_table
from fuse_lightning.utilities.terminal import printable, say

PROMPTS = "prompt", "text", "tier", "accuracy", "95 % interval", "select", "loss"
CLASSES = ("calibration",)
"""Column where answers are classes."""
CHAINS = "readable", "cut"
"""Columns of chains, behind the accuracy by the other ways to read them."""
PAIRS = "prompt", "floor", "wins", "losses", "points", "95 % interval", "p", "verdict", "needed"
LONGEST = 60
"""Most characters of a prompt in the table."""
LEFT = {"prompt", "text", "floor", "verdict"}
"""Columns of words."""


def print_verdict(verdict: Verdict) -> None:
    """Prints the sentence, the prompts, the comparisons of the chosen one, and what to expect."""
    say(printable(verdict.sentence))
    scores = [*verdict.candidates, *verdict.floors]
    ways = [f"by {each.by}" for each in other_ways(verdict, verdict.chosen)]
    more = (*ways, *CHAINS) if verdict.chains else CLASSES
    rows = [(*_prompt(score), *_more(verdict, score)) for score in scores]
    print_table(_table((*PROMPTS, *more), rows))
    own = [each for each in verdict.comparisons if each.candidate == verdict.chosen.name]
    print_table(_table(PAIRS, [_comparison(each) for each in own]))
    say(*(printable(line) for line in expectations(verdict)))


def expectations(verdict: Verdict) -> list[str]:
    """Lines about what accuracy to expect, without the luck of having been chosen."""
    chosen, strongest = verdict.chosen, verdict.strongest
    lines = [
        f"{chosen.name} is right on {percent(chosen.select)} of the examples that chose it, and on "
        f"{percent(chosen.accuracy)} of the test examples"
    ]
    if chosen.select < strongest.select:
        option = "select_by of Reasoning: error"
        if not verdict.chains:
            option = "error_weight of Classification above 0"
        lines.append(
            f"also on the examples that choose it is behind {strongest.name} "
            f"({percent(strongest.select)}): search longer, or select by accuracy ({option})"
        )
    if len(verdict.candidates) > 1 and verdict.cross_fitted is not None:
        lines.append(
            f"the best of the short list on the test examples reaches {percent(verdict.best)} of "
            "them, which flatters it; a prompt chosen in this way would reach about "
            f"{percent(verdict.cross_fitted)} of new examples"
        )
    return [*lines, *chain_lines(verdict), *reading_lines(verdict)]


def chain_lines(verdict: Verdict) -> list[str]:
    """Lines about how chains were written and read; none where there are no chains."""
    settings, score = verdict.chains, verdict.chosen.chains
    if settings is None or score is None:
        return []
    how = "the likeliest token each time"
    if settings.temperature:
        how = f"drawn at temperature {settings.temperature:g} with seed {settings.seed}"
    each = "one chain" if settings.chains == 1 else f"{spaced(settings.chains)} chains"
    lines = [
        f"the model writes {each} for each prompt and example, {how}; right and wrong are "
        f"told {WAYS[settings.measure]}"
    ]
    floor = verdict.strongest.chains
    if settings.chains > 1 and floor is not None:
        lines.append(
            "the first chain of each example counts; over all chains "
            f"{verdict.chosen.name} is right on {percent(score.right)}, {verdict.against} on "
            f"{percent(floor.right)}"
        )
    lines.append(
        f"{percent(score.readable)} of the chains of {verdict.chosen.name} hold an answer, and "
        f"{percent(score.written)} an answer behind the extractor; {percent(score.cut)} are cut "
        f"short (max_chain_tokens {settings.max_chain_tokens})"
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
    )


def other_ways(verdict: Verdict, score: PromptScore) -> list[ReadingScore]:
    """Accuracies of a prompt by the ways to read chains that the verdict does not go by."""
    way = verdict.chains and verdict.chains.measure
    return [each for each in score.readings if each.by != way]


def _more(verdict: Verdict, score: PromptScore) -> tuple[str, ...]:
    """Cells of chains, or of classes."""
    if score.chains is None:
        error = score.calibration_error
        return ("" if error is None else f"{error:.3f}",)
    shares = [each.accuracy for each in other_ways(verdict, score)]
    return tuple(percent(share) for share in (*shares, score.chains.readable, score.chains.cut))


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
