"""Texts of the zoo's language, read back as scenes."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuse_lightning.zoo.generator import SceneGenerator
from fuse_lightning.zoo.reading import read_scene
from fuse_lightning.zoo.render import render
from fuse_lightning.zoo.scenes import SENTIMENTS, Kind, Scene, sample_scene, sample_wording
from fuse_lightning.zoo.vocabulary import SHAPES


def drawn(seed, full=True):
    rng = random.Random(seed)
    scene = sample_scene(rng)
    return scene, sample_wording(scene, rng, rng.choice(SENTIMENTS), full=full)[0].text()


@given(st.integers(0, 2**32))
def test_a_caption_is_read_back_as_its_scene(seed):
    scene, text = drawn(seed)
    assert read_scene(text) == scene
    assert read_scene(f"An image of {text.upper()}!") == scene


@given(st.integers(0, 2**32))
def test_what_a_caption_leaves_out_is_filled_in_and_the_rest_kept(seed):
    scene, text = drawn(seed, full=False)
    found = read_scene(text)
    assert found.relation == scene.relation
    assert [(k.shape, k.color, k.count) for k in found.kinds] == [
        (k.shape, k.color, k.count) for k in scene.kinds
    ]


@given(st.text())
def test_any_text_is_some_scene(text):
    read_scene(text)


@pytest.mark.parametrize(
    ("text", "kinds", "relation"),
    [
        ("", (), None),
        ("red", (), None),
        ("lemon crucifixes", (Kind("cross", "yellow", "large", 2),), None),
        ("a red ball, a red ball", (Kind("circle", "red", "large", 1),), None),
        (
            "red ball blue star green box",
            (Kind("circle", "red", "large", 1), Kind("star", "blue", "large", 1)),
            "left of",
        ),
    ],
)
def test_other_texts_show_what_they_name(text, kinds, relation):
    assert read_scene(text) == Scene(kinds, relation, "fog")


def test_pictures_are_those_of_the_scene_with_the_seed_s_jitter():
    scene, text = drawn(5)
    again, other = (SceneGenerator().generate([text], seed)[0].tobytes() for seed in (3, 4))
    assert again == render(scene, random.Random("scene-3")).tobytes()
    assert again != other


@given(st.integers(0, 2**32), st.sampled_from(["shape", "color", "size", "count"]))
def test_only_one_changed_shape_counts_as_an_edit_of_one_object(seed, part):
    scene, text = drawn(seed)
    other, _ = drawn(seed + 1)
    kind, *rest = scene.kinds
    value = getattr(other.kinds[0], part)
    changed = Scene((Kind(**{**vars(kind), part: value}), *rest), scene.relation, scene.background)
    rng = random.Random(seed)
    new = sample_wording(changed, rng, full=True)[0].text()
    right = part == "shape" and value != kind.shape
    # Two kinds of one shape and colour are one kind for a reader.
    if len({(k.shape, k.color) for k in changed.kinds}) == len(changed.kinds):
        assert SceneGenerator().changes_one(text, new) == right


def test_every_noun_has_one_of_another_shape_in_the_same_number():
    number = {noun: n for pairs in SHAPES.values() for pair in pairs for n, noun in enumerate(pair)}
    shape = {noun: name for name, pairs in SHAPES.items() for pair in pairs for noun in pair}
    assert SceneGenerator.nouns.keys() == shape.keys()
    for was, now in SceneGenerator.nouns.items():
        assert number[was] == number[now]
        assert shape[was] != shape[now]
