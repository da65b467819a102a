"""Means of scored texts with their standard errors: for each prompt, and over prompts."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fuse_lightning.decoding.scored_text import MEASURES, ScoredText
from fuse_lightning.results.export import safe_cell


@dataclass(frozen=True)
class TextFigures:
    """Sums over the tokens of one text, which take less memory than the text.

    Attributes:
        prompt: The prompt.
        text: The text behind it.
        prompt_number: Number of the prompt.
        sample: Number of the text among those of its prompt.
        weights: Weight of each stream; empty for given texts.
        tokens: Number of tokens.
        divergences: Sum of each divergence.
        log_probs: Sum of the log-probabilities of each stream (nats).
    """

    prompt: str
    text: str
    prompt_number: int
    sample: int
    weights: tuple[float, ...]
    tokens: int
    divergences: Mapping[str, float]
    log_probs: Mapping[str, float]

    @classmethod
    def of(cls, text: ScoredText) -> TextFigures:
        """Figures of a text."""
        return cls(
            text.prompt,
            text.text,
            text.prompt_number,
            text.sample,
            tuple(text.weights.values()),
            len(text.tokens),
            {name: math.fsum(values) for name, values in text.tokens.divergences.items()},
            {name: math.fsum(values) for name, values in text.tokens.log_probs.items()},
        )

    @property
    def key(self) -> tuple[int, int, tuple[float, ...]]:
        """Numbers of prompt and sample, and the weights, which name a text in its run."""
        return self.prompt_number, self.sample, self.weights


@dataclass(frozen=True)
class Mean:
    """Mean of independent values.

    Attributes:
        value: The mean; NaN without values.
        error: Standard error of the mean; NaN for fewer than two values.
        count: Number of values.
    """

    value: float
    error: float
    count: int


def mean_of(values: Iterable[float]) -> Mean:
    """Mean of values with its standard error; NaN is no value.

    >>> mean_of([1.0, 3.0, float("nan")])
    Mean(value=2.0, error=1.0, count=2)
    """
    known = np.array([value for value in values if not math.isnan(value)], float)
    if not known.size:
        return Mean(math.nan, math.nan, 0)
    with np.errstate(invalid="ignore"):
        value = float(known.mean())
        error = float(known.std(ddof=1) / math.sqrt(known.size)) if known.size > 1 else math.nan
    return Mean(value, error, known.size)


@dataclass(frozen=True)
class Perplexity:
    """Perplexity of texts under a stream; lower is better.

    Attributes:
        value: The exponential of the mean negative log-likelihood over all tokens.
        log_error: Standard error of its logarithm; NaN for fewer than two units.
    """

    value: float
    log_error: float


def perplexity_of(log_probs: Sequence[float], tokens: Sequence[int]) -> Perplexity:
    """Perplexity over the tokens of several units, such as texts or prompts.

    The logarithm is a ratio of sums, and its standard error that of a ratio whose units are
    independent.

    Args:
        log_probs: Sum of the log-probabilities of each unit's tokens (nats).
        tokens: Number of tokens of each unit.

    >>> found = perplexity_of([-2.0, -4.0], [2, 2])
    >>> print(f"{math.log(found.value):.2f} {found.log_error:.2f}")
    1.50 0.50
    """
    sums, counts = np.array(log_probs, float), np.array(tokens, float)
    total = counts.sum()
    if not total:
        return Perplexity(math.nan, math.nan)
    rate = -float(sums.sum() / total)
    value = math.exp(rate) if rate < 700 else math.inf
    units = len(sums)
    if units < 2 or not math.isfinite(rate):
        return Perplexity(value, math.nan)
    rest = -sums - rate * counts
    error = math.sqrt(units / (units - 1) * float((rest**2).sum())) / float(total)
    return Perplexity(value, error)


@dataclass(frozen=True)
class Summary:
    """Figures of several texts.

    Attributes:
        texts: Number of texts.
        tokens: Number of their tokens.
        divergences: Mean of each divergence per token.
        sums: Mean of each divergence per text: its sum over the tokens of a text.
        perplexities: Perplexity under each stream.
    """

    texts: int
    tokens: int
    divergences: Mapping[str, Mean]
    sums: Mapping[str, Mean]
    perplexities: Mapping[str, Perplexity]


@dataclass(frozen=True)
class PromptSummary:
    """Figures of the texts of one prompt and one choice of weights.

    Attributes:
        prompt: The prompt.
        prompt_number: Its number.
        weights: Weight of each stream; empty for given texts.
        figures: The figures; the texts are their units.
        log_probs: Sum of the log-probabilities of each stream over all texts (nats).
    """

    prompt: str
    prompt_number: int
    weights: tuple[float, ...]
    figures: Summary
    log_probs: Mapping[str, float]


def by_prompt(texts: Iterable[TextFigures]) -> list[PromptSummary]:
    """Figures of each prompt for each choice of weights.

    Weights come in the order of their first text, and prompts in that of their numbers. A text's
    divergence is the mean over its tokens, a prompt's the mean over its texts.
    """
    groups: dict[tuple[tuple[float, ...], int], list[TextFigures]] = {}
    for text in texts:
        groups.setdefault((text.weights, text.prompt_number), []).append(text)
    order = [*dict.fromkeys(weights for weights, _ in groups)]
    found = []
    for weights, number in sorted(groups, key=lambda key: (order.index(key[0]), key[1])):
        some = groups[weights, number]
        streams = [*some[0].log_probs]
        measures = [name for name in MEASURES if name in some[0].divergences]
        tokens = [text.tokens for text in some]
        summary = Summary(
            len(some),
            sum(tokens),
            {
                name: mean_of(_share(text.divergences[name], text.tokens) for text in some)
                for name in measures
            },
            {name: mean_of(text.divergences[name] for text in some) for name in measures},
            {
                name: perplexity_of([text.log_probs[name] for text in some], tokens)
                for name in streams
            },
        )
        sums = {name: math.fsum(text.log_probs[name] for text in some) for name in streams}
        found.append(PromptSummary(some[0].prompt, number, weights, summary, sums))
    return found


def over_prompts(prompts: Sequence[PromptSummary]) -> Summary:
    """Figures over prompts, each of which counts alike in means; prompts are the units of errors.

    Perplexities are over all tokens.
    """
    measures = [*prompts[0].figures.divergences] if prompts else []
    streams = [*prompts[0].log_probs] if prompts else []
    tokens = [each.figures.tokens for each in prompts]
    return Summary(
        sum(each.figures.texts for each in prompts),
        sum(tokens),
        {
            name: mean_of(each.figures.divergences[name].value for each in prompts)
            for name in measures
        },
        {name: mean_of(each.figures.sums[name].value for each in prompts) for name in measures},
        {
            name: perplexity_of([each.log_probs[name] for each in prompts], tokens)
            for name in streams
        },
    )


def csv_of(prompts: Sequence[PromptSummary], names: Sequence[str]) -> str:
    """CSV text with a row for each prompt and choice of weights.

    Args:
        prompts: The figures.
        names: Names of the streams.
    """
    rows = [_row(each, names) for each in prompts]
    stream = io.StringIO()
    columns = dict.fromkeys(name for row in rows for name in row)
    # Quotes keep a text in one cell, whatever a spreadsheet takes for a separator.
    writer = csv.DictWriter(
        stream, columns, restval="", lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC
    )
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def _row(each: PromptSummary, names: Sequence[str]) -> dict[str, object]:
    figures = each.figures
    row: dict[str, object] = {
        "prompt_number": each.prompt_number,
        "prompt": safe_cell(each.prompt),
    }
    row |= {f"weight_{name}": w for name, w in zip(names, each.weights, strict=False)}
    row |= {"texts": figures.texts, "tokens": figures.tokens}
    for name, mean in figures.divergences.items():
        row |= {name: _cell(mean.value), f"{name}_error": _cell(mean.error)}
    for name, mean in figures.sums.items():
        row |= {f"{name}_sum": _cell(mean.value), f"{name}_sum_error": _cell(mean.error)}
    for name, found in figures.perplexities.items():
        row[f"perplexity_{name}"] = _cell(found.value)
        row[f"perplexity_{name}_log_error"] = _cell(found.log_error)
    return row


def _cell(value: float) -> float | str:
    """The number; nothing in place of NaN."""
    return "" if math.isnan(value) else value


def _share(total: float, count: int) -> float:
    return total / count if count else math.nan
