"""The reasoning language: what chains and answers prompts have."""

import random
from itertools import pairwise

import pytest

from fuse_lightning.zoo.reasoning import (
    BEST,
    LARGEST,
    LESS,
    MAX_CHAIN,
    MORE,
    NEUTRAL,
    STOCK,
    THRESHOLDS,
    TRAP,
    held_out,
    reasoning_stories,
    sample_chain,
    sample_story,
)
from fuse_lightning.zoo.reasoning_prompts import (
    BASE,
    COUNTED,
    CUES,
    FILLERS,
    LEAST_STRENGTH,
    MOST_STRENGTH,
    TRAPS,
    sample_prompt,
    sample_words,
    strength,
)

STORIES = reasoning_stories(400, seed=9)


def accuracy(strong):
    """Share of stories whose likeliest answer behind their likeliest chain is right."""
    right = 0
    for story in STORIES:
        odds = story.odds(strong, sample_chain(story, strong, random.Random(0), 0.0).last)
        right += odds.index(max(odds)) == story.right
    return right / len(STORIES)


def of(text):
    return accuracy(strength(text.split()))


def test_more_strength_has_more_answers_right():
    shares = [accuracy(strong) for strong in (BASE, 1.8, 2.1, 2.4, 2.7, 3.3)]
    assert all(later > before for before, later in pairwise(shares))
    assert shares[-1] == 1.0


def test_named_instructions_are_what_they_are_said_to_be():
    assert of("") == of(NEUTRAL) < 0.3
    assert of(TRAP) < 0.15
    assert of(BEST) == 1.0
    stock = [*map(of, STOCK)]
    assert 0.2 < min(stock) < 0.4
    assert 0.7 < max(stock) < 0.85
    # One other word does not lead out of the trap.
    words = TRAP.split()
    for place in range(len(words)):
        for word in COUNTED:
            assert strength([*words[:place], word, *words[place + 1 :]]) < BASE


def test_words_count_once_in_any_order_and_the_strongest_of_an_aspect_alone():
    assert strength(["step", "think", "step"]) == strength(["of", "think", "the", "step"])
    assert strength(["every", "each", "all"]) == strength(["every"])
    assert strength(FILLERS) == BASE
    cues = [word for words in CUES.values() for word in words]
    assert strength(cues) == strength(BEST.split()) <= MOST_STRENGTH
    assert strength([word for words in TRAPS.values() for word in words]) >= LEAST_STRENGTH


def test_chains_add_up_and_fit():
    rng = random.Random(1)
    for story in STORIES:
        text, last = sample_chain(story, 1.5, rng)
        assert len(text.split()) < MAX_CHAIN
        before = story.start
        first, *steps = text.removesuffix(" .").split(" , ")
        assert int(first) == story.start
        assert len(steps) == len(story.changes)
        for step in steps:
            *how, value = step.split()
            if how != ["still"]:
                by = int(how[1]) if how[0] == "plus" else -int(how[1])
                before = max(0, min(before + by, LARGEST))
            assert int(value) == before
        assert last == before


def test_a_chain_follows_the_verbs_below_its_strength():
    for story in STORIES[:100]:
        steps = sample_chain(story, 1.2, random.Random(0), 0.0).text.split(" , ")[1:]
        for step, (verb, _) in zip(steps, story.changes, strict=True):
            assert step.startswith("still") == (THRESHOLDS[verb] >= 1.2)


def test_verbs_of_both_kinds_are_as_hard():
    assert [THRESHOLDS[verb] for verb in MORE] == [THRESHOLDS[verb] for verb in LESS]


@pytest.mark.parametrize("last", [None, 0, 5])
def test_probabilities_of_answers_add_up_to_one_and_trust_grows(last):
    story = next(story for story in STORIES if story.start != story.right == 5)
    before = 0.0
    for strong in (-3.0, -1.0, 0.0, 1.0, 2.0, 4.0):
        odds = story.odds(strong, last)
        assert sum(odds) == pytest.approx(1)
        assert len(odds) == LARGEST + 1
        # Whatever the chain, the right answer is likelier behind a stronger prompt.
        assert odds[story.right] > before
        before = odds[story.right]


def test_held_out_stories_are_those_of_the_package():
    assert held_out() == {*reasoning_stories(1000)}


def test_draws_depend_on_the_seed_alone():
    for draw in (sample_story, sample_prompt, sample_words):
        found = [[draw(rng) for _ in range(5)] for rng in map(random.Random, (7, 7, 8))]
        assert found[0] == found[1] != found[2]
