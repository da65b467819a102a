"""Topics: groups of tokens that move together, in the same texts and direction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from fuse_lightning.diffing.factorization import factorize, number_of_topics

COMMON = 2
"""Fewest texts in which a token of a topic moved."""
CONSIDERED = 300
"""Most tokens that are grouped: those whose probability moved most."""


@dataclass(frozen=True)
class Topic:
    """Group of tokens that one of two models favours in the same texts.

    Attributes:
        direction: 1 where A favours them, -1 where B does.
        ids: Its tokens, the one whose probability moved most first.
    """

    direction: int
    ids: tuple[int, ...]


def find_topics(
    counts: csr_array,
    shift: NDArray[np.float64],
    direction: int,
    topics: int | None,
    most: int,
    tokens: int,
    seed: int,
) -> list[Topic]:
    """Topics of the tokens that moved in one direction.

    A token belongs to the topic from which most of its counts are expected. Topics of a single
    token are left out, as that token says it all.

    Args:
        counts: Times that each token is among those that moved most, by text, shape (T, V).
        shift: Mean shift of each token in the direction, shape (V,). Tokens of 0 or less belong to
            no topic.
        direction: 1 for A less B, -1 for B less A.
        topics: Number of topics; ``None`` for that of
            :func:`~fuse_lightning.diffing.factorization.number_of_topics`.
        most: Largest number that is tried then.
        tokens: Most tokens of a topic.
        seed: Seed of the factorization.

    >>> blocks = np.kron(np.eye(2, dtype=int), np.full((30, 2), 5))
    >>> shift = np.array([0.1, 0.2, 0.3, 0.1])
    >>> for topic in find_topics(csr_array(blocks), shift, 1, None, most=4, tokens=10, seed=0):
    ...     print(topic.ids)
    (1, 0)
    (2, 3)
    """
    often = np.asarray((counts > 0).sum(0)).ravel()
    columns = np.flatnonzero((often >= COMMON) & (shift > 0))
    columns = np.sort(columns[np.argsort(-shift[columns], kind="stable")[:CONSIDERED]])
    some = csr_array(counts[:, columns])
    some = csr_array(some[np.flatnonzero(some.sum(1))])
    if min(some.shape, default=0) < COMMON:
        return []
    number = number_of_topics(some, most, seed) if topics is None else min(topics, *some.shape)
    if not number:
        return []
    factors = factorize(some, number, seed)
    expected = factors.texts.sum(0)[:, None] * factors.tokens
    belongs = expected.argmax(0)
    found = []
    for topic in range(number):
        own = np.flatnonzero(belongs == topic)
        ids = columns[own[np.argsort(-shift[columns[own]], kind="stable")][:tokens]]
        if len(ids) > 1:
            found.append(Topic(direction, tuple(ids.tolist())))
    return sorted(found, key=lambda topic: topic.ids)
