"""Normal forms, vectors and near-duplicates of prompts."""

import pytest
import torch

from fuse_lightning.diffing.likeness import (
    DuplicateFilter,
    mean_distances,
    ngram_vectors,
    normal_form,
)
from tests.near import assert_near


@pytest.mark.parametrize("other", ["A RED, ball!", "a  red\tball", "a red ball."])
def test_case_space_and_punctuation_make_no_new_prompt(other):
    known = DuplicateFilter(2.0, ["a red ball"], ngram_vectors(["a red ball"]))
    assert not known.admits(other, ngram_vectors([other])[0])


def test_marks_of_other_scripts_are_no_punctuation():
    assert normal_form("की") != normal_form("का")
    assert len({normal_form(text) for text in ("!", "?", "")}) == 3


def test_alike_prompts_are_refused_by_their_vectors_alone():
    texts = ["a small red ball on the sand", "a small red ball on the sands", "two blue stars"]
    vectors = ngram_vectors(texts)
    assert vectors[0] @ vectors[1] > 0.8 > 0.2 > vectors[0] @ vectors[2]
    known = DuplicateFilter(0.8, [], None)
    assert [known.admits(*each) for each in zip(texts, vectors, strict=True)] == [True, False, True]
    loose = DuplicateFilter(2.0, [], None)
    assert all(loose.admits(*each) for each in zip(texts, vectors, strict=True))


def test_vectors_are_units_and_depend_on_the_text_alone():
    texts = ["a", "", "ab cd", "a red ball"]
    vectors = ngram_vectors(texts)
    assert_near(vectors[[0, 2, 3]].norm(dim=1), torch.ones(3))
    for at, text in enumerate(texts):
        assert torch.equal(ngram_vectors([text])[0], vectors[at])


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_distances_equal_those_of_one_prompt_at_a_time(count):
    vectors = ngram_vectors(["a red ball", "a red bell", "two stars", "a sea", "the sea"][:count])
    found = mean_distances(vectors, 2)
    expected = []
    for at in range(count):
        others = sorted(float(1 - vectors[at] @ vectors[n]) for n in range(count) if n != at)
        nearest = others[:2]
        expected.append(sum(nearest) / len(nearest) if nearest else 0.0)
    assert_near(found, torch.tensor(expected), 1.0)
