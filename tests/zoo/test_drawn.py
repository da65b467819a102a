"""Which pictures and texts the zoo's models know."""

import io
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from fuse_lightning.data.images import read_image
from fuse_lightning.zoo.drawn import is_drawn_scene, unknown_words
from fuse_lightning.zoo.render import render
from fuse_lightning.zoo.scenes import sample_scene, sample_sentence

COUNT = 200


def saved(image, kind, **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return read_image(stream.getvalue())


CHANGES = {
    "as drawn": lambda image: image,
    "large": lambda image: image.resize((256, 256)),
    "wide": lambda image: image.resize((200, 150), Image.Resampling.NEAREST),
    "small": lambda image: image.resize((16, 16), Image.Resampling.LANCZOS),
    "JPEG": lambda image: saved(image, "JPEG", quality=60),
    "large JPEG": lambda image: saved(image.resize((512, 512)), "JPEG", quality=20),
    "GIF": lambda image: saved(image, "GIF"),
    "transparent": lambda image: image.convert("RGBA"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_scenes_are_known_however_they_are_saved(change):
    rng = Random(change)
    assert all(
        is_drawn_scene(CHANGES[change](render(sample_scene(rng), rng))) for _ in range(COUNT)
    )


@given(seed=st.integers(0, 2**32), side=st.integers(8, 300), blur=st.integers(0, 9))
def test_what_has_all_colours_is_no_scene(seed, side, blur):
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    image = Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(blur * side / 100))
    assert not is_drawn_scene(image)


@pytest.mark.parametrize("colour", [(244, 246, 250), (18, 18, 40), (176, 216, 246), (0, 0, 0)])
def test_a_ground_without_objects_is_no_scene(colour):
    assert not is_drawn_scene(Image.new("RGB", (64, 64), colour))


def test_grey_and_gradients_are_no_scenes():
    for image in (Image.linear_gradient("L"), Image.radial_gradient("L")):
        assert not is_drawn_scene(image)
    assert not is_drawn_scene(Image.effect_mandelbrot((90, 90), (-3, -2.5, 2, 2.5), 100))


def test_the_words_of_scenes_are_known():
    rng = Random(3)
    assert not any(unknown_words(sample_sentence(rng)[0]) for _ in range(COUNT))
    assert unknown_words("Dogs play in the snow near a fence, dogs!") == [
        *("dogs", "play", "near", "fence")
    ]
