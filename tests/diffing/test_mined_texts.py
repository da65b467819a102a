import random

import pytest

from fuse_lightning.diffing.mined_texts import two_halves
from fuse_lightning.errors import FuseError

TEXTS = [("", f"text {number}") for number in range(21)] + [("a", "text 0")]


def halves(texts, seed=0):
    return [{texts[number] for number in half} for half in two_halves(texts, seed)]


def test_halves_share_no_text_and_hold_all():
    chosen, measured = halves([*TEXTS, *TEXTS])
    assert not chosen & measured
    assert chosen | measured == {*TEXTS}
    assert abs(len(chosen) - len(measured)) <= 1


def test_halves_do_not_depend_on_the_order():
    texts = random.Random(0).sample(TEXTS, len(TEXTS))
    first, second = two_halves(TEXTS, 3), two_halves(texts, 3)
    for ours, theirs in zip(first, second, strict=True):
        assert [TEXTS[number] for number in ours] == [texts[number] for number in theirs]


def test_the_seed_decides():
    assert len({frozenset(halves(TEXTS, seed)[0]) for seed in range(5)}) == 5


def test_too_few_texts_are_refused():
    with pytest.raises(FuseError, match=r"there are 3 different texts.*give at least 4"):
        two_halves([("", "a"), ("", "b"), ("b", ""), ("", "a")], 0)
