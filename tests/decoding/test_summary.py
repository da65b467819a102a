"""Means and standard errors of scored texts, against plain numpy."""

import csv
import io
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuse_lightning.decoding.scored_text import ScoredText, Tokens
from fuse_lightning.decoding.summary import (
    TextFigures,
    by_prompt,
    csv_of,
    mean_of,
    over_prompts,
    perplexity_of,
)

values = st.floats(0, 20)
rows = st.lists(st.tuples(values, st.floats(-20, 0)), max_size=6)
prompts = st.lists(st.lists(rows, min_size=1, max_size=4), min_size=1, max_size=4)


def text_of(tokens, prompt=0, sample=0, weights=(1.0, -1.0)):
    kl, a = [tuple(each) for each in zip(*tokens, strict=True)] if tokens else ((), ())
    told = Tokens(("x",) * len(kl), (0,) * len(kl), {"kl": kl}, {"A": a, "B": a})
    return ScoredText(
        f"prompt {prompt}", "x" * len(kl), told, ("A", "B"), prompt, sample,
        dict(zip("AB", weights, strict=True)),
    )  # fmt: skip


def same(found, wanted):
    assert found == pytest.approx(wanted, rel=1e-9, abs=1e-12, nan_ok=True)


def standard_error(known):
    return np.std(known, ddof=1) / np.sqrt(len(known)) if len(known) > 1 else math.nan


def mean(known):
    return np.mean(known) if len(known) else math.nan


@given(prompts)
def test_a_prompt_is_the_mean_of_its_texts_and_texts_are_its_units(given):
    texts = [
        TextFigures.of(text_of(tokens, number, sample))
        for number, some in enumerate(given)
        for sample, tokens in enumerate(some)
    ]
    found = by_prompt(texts)
    assert [each.prompt_number for each in found] == [*range(len(given))]
    whole = []
    for each, some in zip(found, given, strict=True):
        of_texts = [np.mean([kl for kl, _ in tokens]) for tokens in some if tokens]
        whole.append(mean(of_texts))
        same(each.figures.divergences["kl"].value, whole[-1])
        same(each.figures.divergences["kl"].error, standard_error(of_texts))
        sums = [sum(kl for kl, _ in tokens) for tokens in some]
        same(each.figures.sums["kl"].value, np.mean(sums))
        same(each.figures.sums["kl"].error, standard_error(sums))
        log_probs = [a for tokens in some for _, a in tokens]
        same(each.figures.perplexities["A"].value, np.exp(-mean(log_probs)))
    total = over_prompts(found)
    known = [value for value in whole if not math.isnan(value)]
    same(total.divergences["kl"].value, mean(known))
    same(total.divergences["kl"].error, standard_error(known))
    everything = [a for some in given for tokens in some for _, a in tokens]
    same(total.perplexities["B"].value, np.exp(-mean(everything)))


def test_more_samples_of_one_prompt_give_it_no_more_weight():
    texts = [text_of([(1.0, -1.0)], 0, sample) for sample in range(9)] + [text_of([(3.0, -1.0)], 1)]
    total = over_prompts(by_prompt(map(TextFigures.of, texts)))
    assert total.divergences["kl"].value == 2.0
    assert total.divergences["kl"].error == pytest.approx(1.0)
    assert total.divergences["kl"].count == 2


def test_the_error_of_a_perplexity_is_that_of_repeated_draws():
    generator = np.random.default_rng(0)

    def draw():
        counts = generator.integers(5, 40, 60)
        sums = np.array([generator.normal(-2.0, 1.0, count).sum() for count in counts])
        return perplexity_of(sums.tolist(), counts.tolist())

    many = [draw() for _ in range(400)]
    spread = np.std([math.log(each.value) for each in many])
    assert np.mean([each.log_error for each in many]) == pytest.approx(spread, rel=0.15)


def test_infinite_divergences_and_impossible_tokens_stay_infinite():
    assert mean_of([math.inf, 1.0]).value == math.inf
    assert perplexity_of([-math.inf, -1.0], [3, 1]).value == math.inf
    assert math.isnan(perplexity_of([-math.inf, -1.0], [3, 1]).log_error)
    assert math.isnan(perplexity_of([0.0], [0]).value)


def test_each_choice_of_weights_is_on_its_own():
    texts = [text_of([(2.0, -1.0)], weights=(2, -1)), text_of([(1.0, -1.0)], weights=(1, 0))]
    found = by_prompt(map(TextFigures.of, texts))
    assert [(each.weights, each.figures.divergences["kl"].value) for each in found] == [
        ((2, -1), 2.0),
        ((1, 0), 1.0),
    ]


def test_a_table_has_a_row_for_each_prompt_and_cannot_be_computed():
    texts = [text_of([(2.0, -1.0)])]
    texts[0] = ScoredText("=1+1", "x", texts[0].tokens, ("A", "B"), weights={"A": 2, "B": -1})
    (row,) = csv.DictReader(io.StringIO(csv_of(by_prompt(map(TextFigures.of, texts)), "AB")))
    assert row["prompt"] == "'=1+1"
    assert (row["weight_A"], row["weight_B"]) == ("2", "-1")
    assert float(row["kl"]) == 2.0
    # One text has no standard error.
    assert row["kl_error"] == row["perplexity_A_log_error"] == ""
    assert float(row["perplexity_A"]) == pytest.approx(math.e)
