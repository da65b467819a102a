"""Colours of tokens."""

import math

import numpy as np
import pytest

from fuse_lightning.decoding.colours import (
    DARK,
    LIGHT,
    check_measure,
    contrast,
    present,
    scale_top,
    side,
    sides,
    strength,
)
from fuse_lightning.decoding.scored_text import ScoredText, Tokens
from fuse_lightning.errors import FuseError
from tests.decoding.scored_texts import infinite, scored

# Vision without one kind of cones, in linear RGB: Machado et al., 2009.
BLIND = {
    "red": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "green": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "blue": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


@pytest.mark.parametrize("theme", [LIGHT, DARK])
@pytest.mark.parametrize("which", ["a", "b", "even"])
def test_text_is_read_on_every_background(theme, which):
    for share in np.linspace(0, 1, 101):
        assert contrast(theme.text, theme.background(which, share)) >= 4.5


@pytest.mark.parametrize("theme", [LIGHT, DARK])
@pytest.mark.parametrize("kind", BLIND)
def test_sides_are_told_apart_without_one_kind_of_cones(theme, kind):
    def seen(colour):
        srgb = np.array([int(colour[n : n + 2], 16) for n in (1, 3, 5)]) / 255
        linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
        found = np.clip(np.array(BLIND[kind]) @ linear, 0, 1)
        return np.where(found <= 0.0031308, found * 12.92, 1.055 * found ** (1 / 2.4) - 0.055)

    blue, orange = seen(theme.a), seen(theme.b)
    # Red and green of the same kind come as near as 0.1 to each other.
    assert np.abs(blue - orange).max() > 0.3


def test_strength_grows_with_the_divergence_up_to_the_top():
    values = [0.0, 0.01, 0.5, 1.0, 2.0, 3.0, math.inf]
    found = [strength(value, 2.0) for value in values]
    assert found == sorted(found)
    assert found[0] == 0
    assert found[2] == 0.5
    assert found[-3:] == [1, 1, 1]
    # Rounding may leave a divergence a little below 0.
    assert strength(-1e-9, 2.0) == strength(math.nan, 2.0) == 0


def test_sides():
    assert side(-1.0, -1.02) == "a"
    assert side(-1.02, -1.0) == "b"
    assert side(-1.0, -1.005) == "even"
    assert sides(infinite()) == ["a", "b", "even", "even"]
    assert sides(ScoredText("", "a", Tokens(("a",), (1,)), ("A", "B"))) == ["even"]


def test_one_scale_is_common_to_all_texts_and_one_odd_token_does_not_set_it():
    assert scale_top([scored(["a"] * 3), scored(["a"] * 5)], "kl") == 4.0
    many = scored(["a"] * 300, kl=[1.0] * 299 + [1000.0])
    assert scale_top([many], "kl") == 1.0
    assert scale_top([infinite()], "kl") == 1.0
    assert scale_top([scored(["a"] * 2, kl=[math.inf, 0.0])], "kl") == 1.0
    assert scale_top([], "kl") == 1.0


def test_a_measure_that_no_text_has_is_named():
    texts = [ScoredText("", "a", Tokens(("a",), (1,), {"js": (0.1,), "kl": (1.0,)}), ("A", "B"))]
    assert present(texts) == ["kl", "js"]
    check_measure("js", texts)
    with pytest.raises(FuseError, match=r"'tv'; the texts have kl, js"):
        check_measure("tv", texts)
    with pytest.raises(FuseError, match=r"'l2' is not known; use one of kl"):
        check_measure("l2", texts)
