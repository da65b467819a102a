"""Metrics of captions against plain counts, in one piece and in several."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fuse_lightning.metrics import Distinct, Perplexity, Retrieval, RougeL, words
from tests.near import near

TEXTS = st.lists(
    st.lists(st.sampled_from(["a", "red", "Red,", "blue", "star."]), max_size=6).map(" ".join),
    max_size=6,
)


def plain_words(text):
    return text.lower().replace(",", "").replace(".", "").split()


def lcs(first, second):
    """Length of the longest common subsequence, by its definition."""
    if not first or not second:
        return 0
    if first[0] == second[0]:
        return 1 + lcs(first[1:], second[1:])
    return max(lcs(first[1:], second), lcs(first, second[1:]))


def f_measure(first, second):
    common = lcs(plain_words(first), plain_words(second))
    if not common:
        return 0.0
    precision, recall = common / len(plain_words(first)), common / len(plain_words(second))
    return 2 * precision * recall / (precision + recall)


@given(TEXTS, st.integers(0, 6), st.integers(1, 3))
def test_distinct_counts_n_grams(texts, cut, n):
    metric = Distinct(n)
    metric.update(texts[:cut])
    metric.update(texts[cut:])
    rows = map(plain_words, texts)
    grams = [tuple(row[i : i + n]) for row in rows for i in range(len(row) - n + 1)]
    if not grams:
        assert math.isnan(metric.compute())
    else:
        assert float(metric.compute()) == pytest.approx(len(set(grams)) / len(grams))


def test_words_are_without_case_and_punctuation():
    assert words("A well-lit dog's Bed, (two)!") == ["a", "well-lit", "dog's", "bed", "two"]


@given(TEXTS, TEXTS.filter(bool), st.integers(0, 6))
def test_rouge_is_the_longest_common_subsequence_with_the_nearest_reference(texts, others, cut):
    metric = RougeL()
    metric.update([], [])
    for part in (texts[:cut], texts[cut:]):
        metric.update(part, [others] * len(part))
    scores = [max(f_measure(text, other) for other in others) for text in texts]
    if scores:
        assert float(metric.compute()) == near(sum(scores) / len(scores), size=1)


def test_perplexity_counts_tokens_not_captions():
    metric = Perplexity()
    metric.update(torch.tensor([1.0, 2.0]), torch.tensor([3, 1]))
    metric.update(torch.tensor([4.0]), torch.tensor([2]))
    metric.update(torch.empty(0), torch.empty(0, dtype=torch.long))
    assert float(metric.compute()) == near(math.exp((3 + 2 + 8) / 6))


def test_retrieval_looks_at_all_pictures():
    generator = torch.Generator().manual_seed(0)
    images = torch.nn.functional.normalize(torch.randn(7, 5, generator=generator), dim=1)
    texts = torch.nn.functional.normalize(
        images + 0.7 * torch.randn(7, 5, generator=generator), dim=1
    )
    metric = Retrieval()
    metric.update(texts[:3], images[:3])
    metric.update(texts[3:], images[3:])
    best = [max(range(7), key=lambda i: float(text @ images[i])) for text in texts]
    share = sum(i == place for place, i in enumerate(best)) / 7
    assert 0 < share < 1
    assert float(metric.compute()) == pytest.approx(share)


def test_retrieval_of_equal_pictures_and_of_unreadable_captions():
    images = torch.eye(3)[[0, 0, 1]]
    metric = Retrieval()
    metric.update(torch.stack([images[0], images[1], torch.full((3,), torch.nan)]), images)
    assert float(metric.compute()) == pytest.approx(2 / 3)


def test_retrieval_of_no_captions_is_no_number():
    """As of a captioner that says nothing."""
    assert math.isnan(Retrieval().compute())


def test_retrieval_in_parts_is_that_of_all_at_once(monkeypatch):
    texts, images = torch.randn(2, 9, 4).unbind()
    shares = []
    for rows in (1024, 2):
        monkeypatch.setattr("fuse_lightning.metrics.text.ROWS", rows)
        metric = Retrieval()
        metric.update(texts, images)
        shares.append(float(metric.compute()))
    assert shares[0] == shares[1]
