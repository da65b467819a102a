from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import permutation_test

from fuse_lightning.diffing.deals import deal_test
from fuse_lightning.diffing.folding import folded
from fuse_lightning.diffing.sign_flips import sign_flip
from fuse_lightning.diffing.text_effects import Grouped, effects, mean_interval, rate_interval
from fuse_lightning.evaluation.paired import mcnemar


def by_enumeration(differences):
    """P value from all choices of signs, one by one."""
    observed = abs(sum(differences))
    sums = [
        abs(sum(sign * each for sign, each in zip(signs, differences, strict=True)))
        for signs in product((1, -1), repeat=len(differences))
    ]
    return sum(each >= observed - 1e-9 for each in sums) / len(sums)


@given(st.lists(st.integers(-4, 4), max_size=9))
def test_sign_flips_of_whole_numbers_are_exact(differences):
    expected = by_enumeration(differences)
    assert sign_flip(np.array(differences, dtype=float)) == pytest.approx(expected)


@given(st.lists(st.integers(-4, 4), min_size=1, max_size=9), st.sampled_from([2, 3, 1e6]))
def test_sign_flips_do_not_depend_on_the_unit_or_the_side(differences, factor):
    some = np.array(differences, dtype=float)
    assert sign_flip(some * factor) == pytest.approx(sign_flip(some))
    assert sign_flip(-some) == pytest.approx(sign_flip(some))


def test_sign_flips_of_other_numbers_are_those_of_scipy():
    differences = np.random.default_rng(0).normal(0.5, 1, 11)
    expected = permutation_test(
        (differences,), np.mean, permutation_type="samples", n_resamples=np.inf
    ).pvalue
    assert sign_flip(differences) == pytest.approx(expected, abs=0.01)


def test_sign_flips_reach_values_that_no_draw_would():
    assert sign_flip(np.ones(60)) == pytest.approx(2.0**-59)


def by_deals(a, b):
    """P value from all deals of each prompt's texts, one by one."""
    choices = []
    for mine, theirs in zip(a, b, strict=True):
        both, count = [*mine, *theirs], len(mine)
        choices.append(
            [
                sum(both[n] for n in some) / count
                - sum(both[n] for n in range(len(both)) if n not in some) / len(theirs)
                for some in combinations(range(len(both)), count)
            ]
        )
    observed = sum(sum(x) / len(x) - sum(y) / len(y) for x, y in zip(a, b, strict=True))
    chances = {0.0: 1.0}
    for some in choices:
        after = {}
        for total, chance in chances.items():
            for each in some:
                key = round(total + each, 9)
                after[key] = after.get(key, 0) + chance / len(some)
        chances = after
    return sum(chance for total, chance in chances.items() if abs(total) >= abs(observed) - 1e-7)


@given(st.integers(0, 9), st.integers(0, 9), st.integers(1, 5))
def test_deals_of_single_texts_are_mcnemars(wins, losses, ties):
    a = np.repeat([1, 0, 1], [wins, losses, ties])
    b = np.repeat([0, 1, 1], [wins, losses, ties])
    ones = np.ones_like(a)
    assert deal_test((a, b), (ones, ones)) == pytest.approx(mcnemar(wins, losses))


def test_deals_of_very_uneven_numbers_of_texts():
    texts = np.arange(30, 60), np.arange(91, 61, -1)
    p = deal_test((texts[0] // 2, texts[1] // 2), texts)
    assert 0.3 < p <= 1
    assert deal_test((texts[0] // 2, texts[1] // 5), texts) < 1e-20


def grouped(rows):
    """Texts of one feature: a row of values for each prompt."""
    prompts = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
    return Grouped(np.array([[value] for row in rows for value in row], dtype=float), prompts)


rows = st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=4), min_size=4, max_size=4)


@settings(deadline=None)
@given(rows, rows)
def test_effects_are_those_counted_by_hand(a, b):
    (found,) = effects(grouped(a), grouped(b), [True])
    rates = [[sum(row) / len(row) for row in rows] for rows in (a, b)]
    differences = [x - y for x, y in zip(*rates, strict=True)]
    assert found.difference == pytest.approx(sum(differences) / 4, abs=1e-12)
    assert found.p == pytest.approx(by_deals(a, b))
    assert -1 <= found.low <= found.difference + 1e-12 <= found.high + 2e-12 <= 1 + 3e-12


def test_a_number_has_its_own_unit():
    (found,) = effects(grouped([[3, 5], [4, 4], [9, 7]]), grouped([[1, 1]] * 3), [False])
    assert (found.a, found.b, found.difference) == pytest.approx((16 / 3, 1, 13 / 3))
    assert found.low < 13 / 3 < found.high


def covered(rng, rate_a, rate_b, prompts, samples, strength):
    """Whether the interval holds the true difference of rates that vary by prompt together."""
    # Rates of a prompt: its own part of the texts has the feature always or never.
    always = rng.random(prompts) < rate_a
    a = np.where(rng.random((prompts, samples)) < strength, always[:, None], 0)
    a = np.where(a + 0 == 1, 1, rng.random((prompts, samples)) < rate_a * (1 - strength))
    b = rng.random((prompts, samples)) < rate_b
    true = 1 - (1 - rate_a * strength) * (1 - rate_a * (1 - strength)) - rate_b
    low, high = rate_interval(a.mean(1), b.mean(1), (a.size, b.size))
    return low <= true <= high


@pytest.mark.parametrize(
    ("rate_a", "rate_b", "strength"),
    [(0.5, 0.0, 0), (0.5, 0.0, 0.8), (0.05, 0.05, 0.5), (0.9, 0.5, 0), (0.02, 0.0, 0.5)],
)
def test_intervals_of_rates_hold_the_true_difference(rate_a, rate_b, strength):
    rng = np.random.default_rng(1)
    held = sum(covered(rng, rate_a, rate_b, 20, 3, strength) for _ in range(400))
    assert held / 400 > 0.9


def test_intervals_of_texts_that_are_all_alike_have_a_width():
    low, high = rate_interval(np.ones(10), np.zeros(10), (40, 40))
    assert 0.3 < low < 1
    assert high == 1


def test_intervals_of_means_are_students():
    rng = np.random.default_rng(2)
    limits = [mean_interval(rng.normal(1, 2, 8)) for _ in range(400)]
    assert 0.9 < sum(low <= 1 <= high for low, high in limits) / 400 < 0.99


values = st.lists(st.lists(st.integers(0, 1), min_size=5, max_size=5), min_size=4, max_size=12)


@given(values, st.permutations(range(5)), st.sampled_from([0.3, 0.7, 1]))
def test_folding_by_definition(rows, order, limit):
    columns = np.array(rows, dtype=float)
    origins = np.arange(len(rows)) % 2
    found = folded(columns, origins, order, limit - 1e-9)

    def alike(x, y):
        if (columns[:, x] == columns[:, y]).all():
            return True
        parts = [columns[origins == each] - columns[origins == each].mean(0) for each in (0, 1)]
        inner = [
            sum((part[:, m] * part[:, n]).sum() for part in parts)
            for m, n in ((x, y), (x, x), (y, y))
        ]
        size = (inner[1] * inner[2]) ** 0.5
        return size > 1e-9 and abs(inner[0]) / size >= limit - 1e-9

    kept = [*found]
    assert sorted([*kept, *(n for some in found.values() for n in some)]) == [*range(5)]
    assert kept == [number for number in order if number in found]
    for number in order:
        before = [each for each in kept if order.index(each) < order.index(number)]
        first = next((each for each in before if alike(each, number)), None)
        assert (first is None) == (number in found)
        if first is not None:
            assert any(number in found[each] and alike(each, number) for each in before)


def test_two_habits_of_one_model_are_two():
    """What only tells A's texts from B's is no likeness of features."""
    rng = np.random.default_rng(3)
    a = rng.random((200, 2)) < 0.9
    columns = np.concatenate([a, np.zeros((200, 2))]).astype(float)
    origins = np.repeat([0, 1], 200)
    assert np.corrcoef(columns.T)[0, 1] > 0.7
    assert folded(columns, origins, [0, 1], 0.6) == {0: [], 1: []}


def test_no_more_than_most_are_kept():
    columns = np.eye(4)
    assert [*folded(columns, np.zeros(4, dtype=int), range(4), 0.9, most=2)] == [0, 1]
