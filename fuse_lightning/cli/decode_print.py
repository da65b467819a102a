"""Tables that ``fuse decode`` prints."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from fuse_lightning.decoding.colours import LABELS
from fuse_lightning.decoding.scored_text import ScoredText
from fuse_lightning.decoding.summary import Mean, Perplexity, PromptSummary, Summary, over_prompts
from fuse_lightning.decoding.text_files import as_line
from fuse_lightning.utilities.tables import print_table
from fuse_lightning.utilities.terminal import encoding, printable, say

MOST_PROMPTS = 20
"""Most prompts that get a row each."""
LONGEST_PROMPT = 32


def print_summary(
    prompts: Sequence[PromptSummary],
    names: Sequence[str],
    pair: tuple[str, str],
    measure: str,
    unbiased: bool,
) -> None:
    """Prints means with standard errors, over prompts and of each of a few.

    Args:
        prompts: Figures of each prompt and choice of weights.
        names: Names of the streams.
        pair: Names of the two that are compared.
        measure: Divergence of tables with a row for each prompt, or choice of weights.
        unbiased: Whether the texts are samples of stream A as it is.
    """
    groups: dict[tuple[float, ...], list[PromptSummary]] = {}
    for each in prompts:
        groups.setdefault(each.weights, []).append(each)
    if len(groups) > 1:
        _print_weights(groups, names, pair, measure)
        return
    _print_total(prompts, pair)
    if unbiased:
        say(
            _spelled(
                f"The texts are samples of A: the mean {label('kl', pair)} of a text is an "
                "unbiased estimate of the divergence of whole texts."
            )
        )
    if 1 < len(prompts) <= MOST_PROMPTS:
        _print_prompts(prompts, pair, measure)


def total(prompts: Sequence[PromptSummary]) -> Summary:
    """Figures over prompts; of one prompt alone its own, whose errors are over its texts."""
    return prompts[0].figures if len(prompts) == 1 else over_prompts(prompts)


def _print_total(prompts: Sequence[PromptSummary], pair: tuple[str, str]) -> None:
    figures = total(prompts)
    table = Table(title=Text(_counts(figures, len(prompts))))
    unit = "prompts" if len(prompts) > 1 else "texts"
    table.add_column("")
    for name in ("mean", f"standard error over {unit}", "unit"):
        table.add_column(name, justify="left" if name == "unit" else "right")
    for name, mean in figures.divergences.items():
        of = LABELS[name][1]
        _add(table, label(name, pair), mean, f"{of} a token" if of else "from 0 to 1")
    if (sums := figures.sums.get("kl")) is not None:
        _add(table, f"{label('kl', pair)} of a text", sums, "nats")
    for name, found in figures.perplexities.items():
        _add(table, f"perplexity {name}", _as_mean(found), "")
    print_table(table)


def _print_prompts(prompts: Sequence[PromptSummary], pair: tuple[str, str], measure: str) -> None:
    table = Table()
    table.add_column("prompt")
    for name in _columns(prompts[0].figures, pair, measure):
        table.add_column(_spelled(name), justify="right")
    for each in prompts:
        table.add_row(Text(_short(each.prompt)), *_cells(each.figures, measure))
    print_table(table)


def _print_weights(
    groups: dict[tuple[float, ...], list[PromptSummary]],
    names: Sequence[str],
    pair: tuple[str, str],
    measure: str,
) -> None:
    table = Table()
    table.add_column(f"weights {','.join(names)}")
    first = next(iter(groups.values()))
    for name in _columns(first[0].figures, pair, measure):
        table.add_column(_spelled(name), justify="right")
    for weights, some in groups.items():
        told = ", ".join(f"{weight:g}" for weight in weights)
        table.add_row(Text(told), *_cells(total(some), measure))
    print_table(table)


def _columns(figures: Summary, pair: tuple[str, str], measure: str) -> list[str]:
    streams = [f"perplexity {name}" for name in figures.perplexities]
    unit = LABELS[measure][1]
    return [
        "texts",
        f"{label(measure, pair)}, {unit}".removesuffix(", "),
        "standard error",
        *streams,
    ]


def _cells(figures: Summary, measure: str) -> list[Text]:
    mean = figures.divergences[measure]
    perplexities = [number(found.value) for found in figures.perplexities.values()]
    cells = [str(figures.texts), number(mean.value), number(mean.error), *perplexities]
    return [Text(_spelled(cell)) for cell in cells]


def label(measure: str, pair: tuple[str, str]) -> str:
    """Name of a divergence of two streams.

    >>> label("kl", ("A", "C")), label("js", ("A", "C"))
    ('KL(A‖C)', 'Jensen-Shannon')
    """
    directions = {"kl": "KL({}‖{})", "reverse_kl": "KL({1}‖{0})"}
    return directions.get(measure, LABELS[measure][0]).format(*pair)


def _add(table: Table, name: str, mean: Mean, unit: str) -> None:
    cells = (name, number(mean.value), number(mean.error), unit)
    table.add_row(*(Text(_spelled(cell)) for cell in cells))


def _as_mean(found: Perplexity) -> Mean:
    """A perplexity with its standard error, which that of its logarithm lets one expect."""
    return Mean(found.value, found.value * found.log_error, 0)


def _counts(figures: Summary, prompts: int) -> str:
    """What a table is about.

    >>> _counts(Summary(2, 9, {}, {}, {}), 1)
    '2 texts of 1 prompt, 9 tokens'
    """
    return (
        f"{figures.texts} text{'' if figures.texts == 1 else 's'} of {prompts} "
        f"prompt{'' if prompts == 1 else 's'}, {figures.tokens} tokens"
    )


def number(value: float) -> str:
    """Number with 4 significant digits; a dash for NaN.

    >>> number(1.23456), number(float("nan"))
    ('1.235', '-')
    """
    if math.isnan(value):
        return "-"
    return f"{value:.4g}" if math.isfinite(value) else ("∞" if value > 0 else "-∞")


def _spelled(text: str) -> str:
    """Text with letters in place of signs where standard output cannot be trusted with them.

    >>> _spelled("a token")
    'a token'
    """
    if encoding().lower().startswith("utf"):
        return text
    return text.replace("‖", "||").replace("∞", "inf")


def _short(prompt: str) -> str:
    told = printable(prompt)
    return told if len(told) <= LONGEST_PROMPT else f"{told[: LONGEST_PROMPT - 3]}..."


def json_line(text: ScoredText) -> str:
    """Line of JSON of a text, without its newline; signs that the encoding lacks are escaped."""
    line = as_line(text).removesuffix("\n")
    if encoding().lower().startswith("utf"):
        return line
    return json.dumps(json.loads(line))
