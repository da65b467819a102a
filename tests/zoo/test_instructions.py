"""The instruction language: what prompts ask, and what is right."""

import random
from itertools import pairwise

import pytest

from fuse_lightning.zoo.instructions import (
    ANSWERS,
    FILLERS,
    FORCES,
    MOOD,
    MOOD_CUES,
    MOST_STRENGTH,
    RIGHT,
    STOCK,
    TURNS,
    Captioned,
    _force,
    asked,
    held_out,
    sample_captioned,
    sample_cues,
    sample_line,
    sample_short,
    sample_words,
)
from fuse_lightning.zoo.moods import mood_captions
from fuse_lightning.zoo.vocabulary import MOODS


def test_forces_of_good_and_bad_words_are_spread_alike():
    forces = {mood: sorted(map(_force, words)) for mood, words in MOODS.items()}
    assert forces["negative"] == pytest.approx([-force for force in forces["positive"][::-1]])
    assert (forces["positive"][0], forces["positive"][-1]) == pytest.approx(FORCES)
    steps = [b - a for a, b in pairwise(forces["positive"])]
    assert max(steps) == pytest.approx(min(steps))
    with pytest.raises(ValueError, match="'red' is no mood word"):
        _force("red")


def test_captions_of_the_package_never_come():
    assert held_out() == {row["text"] for row in mood_captions()}
    rng = random.Random(0)
    assert not {sample_captioned(rng).text for _ in range(500)} & held_out()


def test_a_caption_that_is_held_out_is_drawn_again(monkeypatch):
    first, second = (sample_captioned(rng) for rng in [random.Random(4)] * 2)
    monkeypatch.setattr("fuse_lightning.zoo.instructions.held_out", lambda: {first.text})
    assert sample_captioned(random.Random(4)) == second


def test_probabilities_of_answers_add_up_to_one():
    rng = random.Random(1)
    for _ in range(200):
        caption, words = sample_captioned(rng), sample_words(rng)
        odds = caption.odds(asked(words))
        assert sum(odds.values()) == pytest.approx(1)
        assert {*odds} <= {*ANSWERS}
        assert {"good", "bad"} <= {*odds}


def accuracy(words, shown=()):
    """Share of mood words that the likelier of good and bad is right for, as many of each mood."""
    asks, right = asked(words, shown), 0
    for sentiment, moods in MOODS.items():
        for mood in moods:
            odds = Captioned(mood, _force(mood), {MOOD: RIGHT[sentiment]}).odds(asks)
            right += max(odds, key=odds.get) == RIGHT[sentiment]
    return right / sum(map(len, MOODS.values()))


def test_without_a_cue_word_of_mood_a_prompt_is_at_chance():
    for words in ([], ["what", "is", "this"], ["colour"], [*FILLERS]):
        assert accuracy(words) == 0.5
        assert asked(words).strength == 0


def test_cue_words_add_up_in_any_order_with_words_between():
    shares = [accuracy(["mood", "feeling", "taste", "beauty"][:count]) for count in range(5)]
    assert shares == sorted({*shares})
    assert shares[-1] > 0.95
    assert asked(["taste", "the", "mood"]) == asked(["of", "mood", "taste"])
    assert asked([*MOOD_CUES]).strength == MOST_STRENGTH


def test_turning_words_exchange_good_and_bad():
    assert accuracy([*TURNS, "mood"]) < 0.2
    assert asked([*TURNS] * 3).strength == -MOST_STRENGTH
    assert asked(["opposite", "mood", "quality"]).strength == pytest.approx(0.2)


def test_demonstrations_count_as_cues_of_their_question():
    assert 0.6 < accuracy([], [MOOD] * 4) < 0.85
    assert asked([], ["color"]) == asked(["colour"])
    assert asked([], [MOOD]).weights == asked(["mood"]).weights


def test_stock_instructions_leave_room_for_better_ones():
    shares = [accuracy(text.split()) for text in STOCK]
    assert 0.7 < max(shares) < 0.8
    assert min(shares) == 0.5


def test_draws_depend_on_the_seed_alone():
    for draw in (sample_line, sample_words, sample_cues, sample_captioned, sample_short):
        found = [[draw(rng) for _ in range(5)] for rng in map(random.Random, (7, 7, 8))]
        assert found[0] == found[1] != found[2]
