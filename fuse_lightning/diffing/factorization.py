"""Non-negative factorization of counts: topics of texts."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
STEPS = 300
"""Most steps from one start."""
SETTLED = 1e-7
"""Relative gain of a step below which a start has settled."""
STARTS = 3
"""Random starts, the best of which counts."""
TINY = 1e-12
"""Least expected count, so that no division is by 0."""


class Factors(NamedTuple):
    """Factors of counts of V tokens in T texts by K topics.

    Attributes:
        texts: Expected count of each topic in each text, shape (T, K).
        tokens: Share of each token in each topic, shape (K, V). A topic's shares sum to 1.
        divergence: Kullback-Leibler divergence of the counts from the expected ones (nats), lower
            is better.
    """

    texts: Floats
    tokens: Floats
    divergence: float


def factorize(counts: csr_array, topics: int, seed: int) -> Factors:
    """Factors of counts by multiplicative updates.

    Each step lowers the generalized Kullback-Leibler divergence (Lee and Seung, Advances in Neural
    Information Processing Systems 13, 2000). The factors maximize the likelihood of Poisson counts.

    Args:
        counts: Counts of V tokens in T texts, shape (T, V), some of them above 0.
        topics: K, the number of topics.
        seed: Seed of the starts.

    >>> blocks = csr_array(np.array([[4.0, 2, 0], [2, 1, 0], [0, 0, 3]]))
    >>> factors = factorize(blocks, topics=2, seed=0)
    >>> sorted((factors.tokens.round(2) + 0).tolist()), round(factors.divergence, 6)
    ([[0.0, 0.0, 1.0], [0.67, 0.33, 0.0]], 0.0)
    """
    draw = np.random.default_rng(seed)
    found = [_settle(counts, *_start(counts, topics, draw)) for _ in range(STARTS)]
    return min(found, key=lambda factors: factors.divergence)


def number_of_topics(counts: csr_array, most: int, seed: int) -> int:
    """Number of topics with the least Bayesian information criterion.

    It is that of the multinomial model, in which every topic after the first costs one number for
    each text and each token: -2 log L + ((V - 1) K + T (K - 1)) log N, for the likelihood L and N
    counts. Numbers are tried from 1 on, until one is worse than the one before.

    Args:
        counts: Counts of V tokens in T texts, shape (T, V), some of them above 0.
        most: Largest number that is tried.
        seed: Seed of the factorizations.

    >>> blocks = np.kron(np.eye(2), np.full((30, 4), 5.0))
    >>> number_of_topics(csr_array(blocks), most=4, seed=0)
    2
    """
    texts, tokens = counts.shape
    total = math.log(float(counts.sum()))

    def criterion(topics: int) -> float:
        numbers: int = (tokens - 1) * topics + texts * (topics - 1)
        # The divergence is the negative logarithm of the likelihood, but for a constant.
        return 2 * factorize(counts, topics, seed).divergence + numbers * total

    best, least = 1, criterion(1)
    for topics in range(2, min(most, texts, tokens) + 1):
        value = criterion(topics)
        if value >= least:
            break
        best, least = topics, value
    return best


def _start(counts: csr_array, topics: int, draw: np.random.Generator) -> tuple[Floats, Floats]:
    """Random factors, whose expected counts have the right sum."""
    texts, tokens = counts.shape
    shares = draw.uniform(0.5, 1.5, (topics, tokens))
    shares /= shares.sum(1, keepdims=True)
    return draw.uniform(0.5, 1.5, (texts, topics)) * counts.sum() / (texts * topics), shares


def _settle(counts: csr_array, texts: Floats, tokens: Floats) -> Factors:
    values = counts.data.astype(np.float64)
    rows = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
    columns = counts.indices.astype(np.int64)
    divergence = math.inf
    for _ in range(STEPS):
        expected = _expected(texts, tokens, rows, columns)
        before = divergence
        divergence = float((values * np.log(values / expected)).sum() - values.sum() + texts.sum())
        if before - divergence <= SETTLED * max(divergence, 1.0):
            break
        texts = texts * (_ratios(counts, values / expected) @ tokens.T)
        expected = _expected(texts, tokens, rows, columns)
        tokens = tokens * (_ratios(counts, values / expected).T @ texts).T
        # The scale goes to the texts, which leaves the expected counts as they are.
        scale = tokens.sum(1)
        texts_sum = texts.sum(0)
        tokens = tokens / np.maximum(scale, TINY)[:, None]
        texts = texts * (scale / np.maximum(texts_sum, TINY))
    return Factors(texts, tokens, divergence)


def _expected(texts: Floats, tokens: Floats, rows: Ints, columns: Ints) -> Floats:
    """Expected counts where counts are above 0."""
    found: Floats = np.maximum(np.einsum("nk,nk->n", texts[rows], tokens.T[columns]), TINY)
    return found


def _ratios(counts: csr_array, values: Floats) -> csr_array:
    return csr_array((values, counts.indices, counts.indptr), shape=counts.shape)
