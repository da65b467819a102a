import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.sparse import csr_array

from fuse_lightning.diffing.factorization import factorize, number_of_topics

SHAPES = st.tuples(st.integers(1, 6), st.integers(1, 6))
COUNTS = SHAPES.flatmap(lambda shape: arrays(np.int64, shape, elements=st.integers(0, 9))).filter(
    lambda counts: counts.sum() > 0
)


def divergence(counts, expected):
    """Generalized Kullback-Leibler divergence, by its definition."""
    found = expected.sum() - counts.sum()
    some = counts > 0
    return found + (counts[some] * np.log(counts[some] / expected[some])).sum()


def planted(texts, seed=0):
    """Counts of texts of two topics of four tokens each; and the topic of each text."""
    draw = np.random.default_rng(seed)
    topic = np.arange(texts) % 2
    rates = np.where(np.arange(8) // 4 == topic[:, None], 4.0, 0.2)
    return csr_array(draw.poisson(rates)), topic


@given(COUNTS, st.integers(1, 3))
def test_factors_say_how_far_they_are(counts, topics):
    found = factorize(csr_array(counts), topics, seed=0)
    assert (found.texts >= 0).all()
    assert (found.tokens >= 0).all()
    assert found.divergence == pytest.approx(
        divergence(counts, np.maximum(found.texts @ found.tokens, 1e-12)), rel=1e-3, abs=1e-3
    )


@given(COUNTS)
def test_one_topic_expects_the_product_of_the_sums(counts):
    found = factorize(csr_array(counts), 1, seed=0)
    expected = counts.sum(1)[:, None] * counts.sum(0) / counts.sum()
    np.testing.assert_allclose(found.texts @ found.tokens, expected, rtol=1e-6, atol=1e-9)


def test_planted_topics_are_found_again():
    counts, topic = planted(40)
    assert number_of_topics(counts, 5, seed=0) == 2
    found = factorize(counts, 2, seed=0)
    assert len({*zip(topic.tolist(), found.texts.argmax(1).tolist(), strict=True)}) == 2
    groups = found.tokens.argmax(0)
    assert len({*groups[:4].tolist()}) == len({*groups[4:].tolist()}) == 1


def test_texts_of_one_kind_have_one_topic():
    counts = np.random.default_rng(0).poisson(2.0, (40, 8))
    assert number_of_topics(csr_array(counts), 5, seed=0) == 1


def test_the_seed_decides_alone():
    counts, _ = planted(20)
    first, second = factorize(counts, 3, seed=1), factorize(counts, 3, seed=1)
    assert (first.tokens == second.tokens).all()
    assert (first.tokens != factorize(counts, 3, seed=2).tokens).any()
