import numpy as np
from scipy.sparse import csr_array

from fuse_lightning.diffing.topics import find_topics
from tests.diffing.test_factorization import planted

SETTINGS = {"most": 4, "tokens": 10, "seed": 0}


def test_tokens_that_move_in_the_same_texts_are_a_topic():
    counts, _ = planted(40)
    shift = np.array([1, 2, 3, 4, 8, 7, 6, 5.0])
    found = find_topics(counts, shift, -1, None, **SETTINGS)
    assert [(topic.direction, topic.ids) for topic in found] == [
        (-1, (3, 2, 1, 0)),
        (-1, (4, 5, 6, 7)),
    ]


def test_a_topic_holds_so_many_tokens_at_most():
    counts, _ = planted(40)
    found = find_topics(counts, np.arange(1.0, 9), 1, 2, most=4, tokens=2, seed=0)
    assert [topic.ids for topic in found] == [(3, 2), (7, 6)]


def test_what_moved_the_other_way_or_in_one_text_alone_is_in_no_topic():
    counts, _ = planted(40)
    dense = np.concatenate([counts.toarray(), np.zeros((40, 1), np.int64)], 1)
    dense[0, 8] = 50
    shift = np.array([1, 1, 1, -1, 1, 1, 1, 0, 9.0])
    found = find_topics(csr_array(dense), shift, 1, None, **SETTINGS)
    assert sorted(token for topic in found for token in topic.ids) == [0, 1, 2, 4, 5, 6]


def test_without_moved_tokens_there_is_no_topic():
    assert not find_topics(csr_array((5, 7), dtype=int), np.ones(7), 1, None, **SETTINGS)
    assert not find_topics(csr_array(np.eye(5, 7, dtype=int)), np.ones(7), 1, None, **SETTINGS)


def test_a_single_token_is_no_topic():
    counts = csr_array(np.full((6, 1), 3))
    assert not find_topics(counts, np.ones(1), 1, None, **SETTINGS)
