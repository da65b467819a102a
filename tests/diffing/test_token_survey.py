import math
from statistics import fmean

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t as student

from fuse_lightning.diffing.token_survey import TokenSurvey
from tests.decoding.distributions import rows
from tests.diffing import mining_oracle as oracle

TOP = 2


@st.composite
def texts(draw):
    """Some texts, each a list of positions, with the places where each is cut into parts."""
    lengths = draw(st.lists(st.integers(0, 3), min_size=2, max_size=4).filter(any))
    drawn = iter(draw(rows(2, sum(lengths))))
    cuts = [draw(st.integers(1, 3)) for _ in lengths]
    return [[next(drawn) for _ in range(length)] for length in lengths], cuts


def surveyed(drawn, cuts, alpha, watched, order):
    vocabulary = len(next(text for text in drawn if text)[0][0])
    survey = TokenSurvey(len(drawn), vocabulary, alpha, TOP, watched)
    for number in order:
        text = torch.tensor(drawn[number], dtype=torch.double)
        parts = text.transpose(0, 1).split(cuts[number], 1) if len(text) else ()
        survey.add(number, (part.clone() for part in parts))
    return survey, vocabulary


@given(texts(), st.floats(0.01, 1), st.randoms(use_true_random=False))
def test_a_survey_holds_the_sums_of_the_definition(drawn, alpha, random):
    given_texts, cuts = drawn
    order = random.sample(range(len(cuts)), len(cuts))
    survey, vocabulary = surveyed(given_texts, cuts, alpha, [0], order)
    full = [text for text in given_texts if text]
    every = [row for text in full for row in text]
    for token in range(vocabulary):
        there = [row for row in every if token in oracle.plausible(*row, alpha)]
        ratios = [oracle.ratio(*row, token) for row in there]
        means = [oracle.mean_shift(text, token) for text in full]
        assert survey.plausible[token] == len(there)
        assert survey.positive[token] == sum(ratio > 0 for ratio in ratios)
        assert survey.log_ratio[token] == pytest.approx(sum(ratios), rel=1e-9, abs=1e-9)
        assert survey.shift[token] == pytest.approx(sum(means), abs=1e-12)
        assert survey.squares[token] == pytest.approx(sum(x * x for x in means), abs=1e-12)
        for counts, by_text, sign in (
            (survey.up, survey.up_by_text, 1),
            (survey.down, survey.down_by_text, -1),
        ):
            times = [
                sum(token in oracle.leaders(*row, alpha, TOP, sign) for row in text)
                for text in given_texts
            ]
            assert by_text.toarray()[:, token].tolist() == times
            assert counts[token] == sum(times)
    for number, text in enumerate(given_texts):
        shifts = [oracle.shift(*row, 0) for row in text]
        assert survey.positions[number] == len(text)
        if text:
            assert survey.watched_shift[number, 0] == pytest.approx(fmean(shifts), abs=1e-12)
            assert survey.largest[number, 0] == pytest.approx(max(shifts), abs=1e-12)
            assert survey.smallest[number, 0] == pytest.approx(min(shifts), abs=1e-12)
            assert shifts[survey.largest_at[number, 0]] == pytest.approx(max(shifts), abs=1e-12)
            assert shifts[survey.smallest_at[number, 0]] == pytest.approx(min(shifts), abs=1e-12)


def test_the_sure_shift_is_the_nearer_end_of_the_interval():
    draw = torch.Generator().manual_seed(0)
    drawn = torch.randn(5, 3, 2, 6, generator=draw, dtype=torch.double).log_softmax(-1).tolist()
    survey, _ = surveyed(drawn, [3] * 5, 0.1, [], range(5))
    for token in range(6):
        means = torch.tensor([oracle.mean_shift(text, token) for text in drawn])
        wide = student.ppf(0.975, 4) * means.std().item() / math.sqrt(5)
        expected = abs(means.mean().item()) - wide
        assert survey.sure_shift()[token] == pytest.approx(expected, rel=1e-5)
