"""The bank of prompts: what it keeps, draws, and writes."""

import math

import pytest
import torch

from fuse_lightning.diffing import PromptBank
from fuse_lightning.diffing.likeness import ngram_vectors
from fuse_lightning.diffing.prompt_bank import BankEntry
from fuse_lightning.errors import FuseError
from tests.near import near

TEXTS = ["a red ball", "a red bell", "two blue stars", "the sea", "a house at night"]


def bank(divergences, grades=None, **options):
    made = PromptBank(**options)
    made.start([[]])
    values = zip(TEXTS, divergences, grades or [math.nan] * len(divergences), strict=False)
    entries = [BankEntry(text, value, 0.1, grade, 0, "seed") for text, value, grade in values]
    made.record(0, entries, [*ngram_vectors([entry.prompt for entry in entries])])
    return made


def drawn(made, seed=0):
    return [each.prompt for each in made.drawn(0, torch.Generator().manual_seed(seed))]


@pytest.mark.parametrize("count", [0, 1, 2, 5])
@pytest.mark.parametrize("temperature", [0.0, 0.5])
def test_few_prompts_and_equal_ones_are_all_drawn(count, temperature):
    for divergences in ([0.3] * count, [0.1 * n for n in range(count)]):
        made = bank(divergences, temperature=temperature)
        assert sorted(drawn(made)) == sorted(TEXTS[:count])
        assert made.figures().get("bank/prompts", 0) == count


def test_without_temperature_the_most_divergent_are_drawn():
    made = bank([0.1, 0.5, 0.2, 0.4, 0.3], subsample=3, temperature=0, diversity_weight=0)
    assert drawn(made) == [TEXTS[1], TEXTS[3], TEXTS[4]]


def test_diversity_and_grade_count_by_their_weights():
    # The first two prompts are alike.
    apart = bank([0.3] * 5, subsample=3, temperature=0, nearest=1)
    assert not {*drawn(apart)} & {*TEXTS[:2]}
    grades = [0.0, 9.0, 1.0, 8.0, 2.0]
    graded = bank([0.3] * 5, grades, subsample=2, temperature=0, grade_weight=5)
    assert {*drawn(graded)} == {TEXTS[1], TEXTS[3]}


def test_a_random_draw_prefers_divergent_prompts():
    made = bank([0.0, 1.0, 0.0, 0.0, 0.0], subsample=1, diversity_weight=0, temperature=1.0)
    often = sum(drawn(made, seed) == [TEXTS[1]] for seed in range(200))
    # The weights are 2 and four times -0.5.
    expected = 200 * math.exp(2) / (math.exp(2) + 4 * math.exp(-0.5))
    assert abs(often - expected) < 5 * math.sqrt(200 * 0.75 * 0.25)


def test_prompts_are_recorded_once_and_point_to_their_vectors():
    made = bank([0.1, 0.2])
    again = [BankEntry(TEXTS[1], 9.0, 0.0, 0.0, 1, "x"), BankEntry(TEXTS[4], 0.3, 0.0, 0.0, 1, "x")]
    made.record(0, again, [*ngram_vectors([TEXTS[1], TEXTS[4]])])
    entries = made.entries(0)
    assert [each.prompt for each in entries] == [TEXTS[0], TEXTS[1], TEXTS[4]]
    assert entries[1].divergence == 0.2
    for entry in entries:
        assert torch.equal(made.vectors(0)[entry.embedding], ngram_vectors([entry.prompt])[0])
    assert made.figures()["bank/best"] == near(0.3)


def test_a_checkpoint_gives_the_same_bank_back():
    made = bank([0.1, 0.5, 0.2])
    made.refuse(0, 4)
    made.update([[(-0.5, TEXTS[1]), (-0.1, TEXTS[0])]])
    other = PromptBank()
    other.start([[]])
    other.restore(0, made.target_state(0))
    assert other.entries(0) == made.entries(0)
    assert torch.equal(other.vectors(0), made.vectors(0))
    assert other.figures() == made.figures()
    assert other.expand() == [[TEXTS[1], TEXTS[0]]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"subsample": 0}, "subsample of PromptBank is 0; give 1 or more"),
        ({"temperature": -1}, "temperature of PromptBank is -1; give 0 or more"),
        ({"duplicate_cosine": 0}, "duplicate_cosine of PromptBank is 0; give a number above 0"),
        ({"grade_weight": math.inf}, "the weights of PromptBank are .*inf"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(FuseError, match=message):
        PromptBank(**options)
