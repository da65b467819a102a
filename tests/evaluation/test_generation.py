"""Figures of pictures that are generated from prompts, beside plain ones."""

import random

import pytest
import torch
from torch.nn.functional import cosine_similarity

from fuse_lightning.callbacks import GeneratedPictures
from fuse_lightning.data import Target
from fuse_lightning.errors import FuseError
from fuse_lightning.evaluation.generation import PipelineGenerator, generator_of
from fuse_lightning.evaluation.generation.measures import (
    Editability,
    EditKeeps,
    GeneratedSimilarity,
    GeneratedText,
    GenerationSeconds,
    ReferenceSimilarity,
    Studio,
    Undrawn,
    edited,
)
from fuse_lightning.evaluation.measures import JudgedPrompt
from fuse_lightning.models import CLIP
from fuse_lightning.objectives import Fluency, ImageSimilarity, Objective
from fuse_lightning.zoo.generator import SceneGenerator
from fuse_lightning.zoo.reading import read_scene
from fuse_lightning.zoo.render import render
from tests.factories.diffusion import PICTURE, stable_diffusion
from tests.near import assert_near, near

TEXTS = (
    "two large red squares above a small blue ball in the snow",
    "a tiny golden star at night",
    "bloerahuge grass",
)


@pytest.fixture
def studio():
    return Studio(SceneGenerator(), CLIP("zoo/clip-judge"), samples=2, seed=7)


def figure(measure, prompts):
    metric = measure.metric()
    # Several batches are one mean.
    for each in prompts:
        measure.update(metric, [each])
    measure.update(metric, [])
    return float(metric.compute())


@pytest.fixture
def prompts(tmp_path):
    found = []
    for place, text in enumerate(TEXTS):
        scene = read_scene(TEXTS[(place + 1) % 3] if place else text)
        path = tmp_path / f"{place}.png"
        render(scene, random.Random(place)).save(path)
        found.append(JudgedPrompt(Target(str(place), pictures=(path,)), "found", text))
    return found


def pictures(judge, text):
    made = [render(read_scene(text), random.Random(f"scene-{seed}")) for seed in (7, 8)]
    return judge.image_features(made)


def test_similarities_are_mean_cosines_of_all_pairs(studio, prompts):
    found = figure(GeneratedSimilarity(studio), prompts)
    texts = figure(GeneratedText(studio), prompts)
    judge = CLIP("zoo/clip-judge")
    judge.load()
    own, read = [], []
    for each in prompts:
        target = judge.image_features(each.target.images)
        words = judge.text_features(judge.encode([each.text]))
        for vector in pictures(judge, each.text):
            own.append(float(cosine_similarity(vector, target[0], dim=0)))
            read.append(float(cosine_similarity(vector, words[0], dim=0)))
    assert found == near(sum(own) / len(own))
    assert texts == near(sum(read) / len(read))
    # A prompt that shows its target's scene is nearer than others.
    assert own[0] > 0.8 > max(own[2:])


def test_edits_exchange_one_noun_each():
    assert edited("Two red Balls left of a ball", SceneGenerator()) == [
        ("Two red squares left of a ball", "balls", "squares"),
        ("Two red Balls left of a square", "ball", "square"),
    ]
    assert edited("a hotdog and a dog", PipelineGenerator("x")) == [
        ("a hotdog and a cat", "dog", "cat")
    ]


def test_prompts_whose_nouns_can_be_exchanged_are_editable(studio, prompts):
    assert figure(Editability(studio), prompts) == near(2 / 3)
    # An object that the picture cannot hold is no part of it.
    third = "a red ball left of a blue star, a green box"
    assert figure(Editability(studio), [JudgedPrompt(Target("a"), "found", third)]) == near(2 / 3)


def test_prompts_that_name_nothing_to_draw_are_counted(studio, prompts):
    measure = Undrawn(studio)
    assert measure.applies(prompts[0].target, "found")
    assert figure(measure, prompts) == 1
    pipeline = Studio(PipelineGenerator("x"), studio.judge)
    # Nobody can tell what a network draws.
    assert not Undrawn(pipeline).applies(prompts[0].target, "found")


def test_undrawn_prompts_are_told_with_what_counts_them():
    search = Objective([Fluency("zoo/gpt2")])
    pictures = GeneratedPictures("zoo/scenes")
    assert pictures.about() == ""
    pictures.measures(search)
    assert pictures.about() == "pictures by zoo/scenes, judge zoo/clip-judge"
    figures = {
        "found": {"targets": 4.0, "undrawn_prompts": 3.0},
        "reference": {"targets": 4.0, "undrawn_prompts": 0.0},
    }
    line = pictures.undrawn(figures)
    assert "can draw: 3 of 4 (found); their" in line
    assert "editability counts these prompts as 0, and edit_kept_cosine leaves them out" in line
    del figures["found"]
    assert pictures.undrawn(figures) == ""


def test_a_judge_tells_where_the_generator_does_not(studio, prompts, monkeypatch):
    monkeypatch.setattr(SceneGenerator, "changes_one", lambda *_: None)
    asked = []
    generate = SceneGenerator.generate

    def counted(self, texts, seed):
        asked.append((*texts, seed))
        return generate(self, texts, seed)

    monkeypatch.setattr(SceneGenerator, "generate", counted)
    right = figure(Editability(studio), prompts[:2])
    judge = CLIP("zoo/clip-judge")
    judge.load()
    expected = []
    for each in prompts[:2]:
        changes = []
        before = pictures(judge, each.text).mean(0)
        for text, was, now in edited(each.text, SceneGenerator()):
            gain = pictures(judge, text).mean(0) - before
            old, new = judge.text_features(judge.encode([f"a {was}", f"a {now}"]))
            changes.append(bool(gain @ new > 0 > gain @ old))
        expected.append(sum(changes) / len(changes))
    assert right == near(sum(expected) / 2)
    # Pictures are made once, for all measures.
    figure(EditKeeps(studio), prompts[:2])
    figure(GenerationSeconds(studio), prompts[:2])
    assert len(asked) == len(set(asked))
    # A generator that ignores its text changes nothing.
    monkeypatch.setattr(
        SceneGenerator, "generate", lambda self, _, seed: generate(self, [""], seed)
    )
    still = Studio(SceneGenerator(), studio.judge)
    assert figure(Editability(still), prompts[:2]) == 0
    assert figure(EditKeeps(still), prompts[:2]) == near(1.0)


def test_vectors_that_are_no_longer_kept_are_made_again(studio, prompts, monkeypatch):
    monkeypatch.setattr("fuse_lightning.evaluation.generation.measures.KEPT", 1)
    alone = [studio.vectors([text], torch.device("cpu"))[0] for text in TEXTS]
    together = studio.vectors(TEXTS, torch.device("cpu"))
    assert_near(together, torch.stack(alone))
    assert len(studio._known) == 1
    assert len(studio.seconds(TEXTS, torch.device("cpu"))) == len(TEXTS)


def test_references_are_compared_under_an_encoder():
    encoder = CLIP("zoo/clip-judge")
    target = Target("a", references=["first", "a red star", "two blue balls"])
    measure = ReferenceSimilarity(encoder)
    assert figure(measure, [JudgedPrompt(target, "found", "two blue balls")]) == near(1.0)
    other = figure(measure, [JudgedPrompt(target, "found", "a green box at night")])
    vectors = encoder.text_features(
        encoder.encode(["a green box at night", "a red star", "two blue balls"])
    )
    assert other == near(float((vectors[1:] @ vectors[0]).max()))
    assert not measure.applies(Target("b"), "found")


def test_a_pipeline_of_diffusers_makes_pictures(tmp_path):
    generator = generator_of(str(stable_diffusion(tmp_path / "sd")))
    assert isinstance(generator, PipelineGenerator)
    generator = PipelineGenerator(generator.model_id, steps=2)
    generator.load(torch.device("cpu"))
    one, two = generator.generate(["a red star", "a blue star"], 3)
    assert one.size == (PICTURE, PICTURE)
    assert one.tobytes() != two.tobytes()
    # The noise is that of the seed, whatever else is made beside it.
    assert generator.generate(["a blue star"], 3)[0].tobytes() == two.tobytes()
    assert generator.generate(["a blue star"], 4)[0].tobytes() != two.tobytes()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"generator": "no/where"}, "pictures of 'no/where' need a judge; give --judge"),
        ({"generator": "zoo/scenes", "judge": "zoo/gpt2"}, "'zoo/gpt2' is a causal language model"),
        ({"judge": "zoo/clip"}, "give --generate as well"),
        ({"generator": "zoo/scenes", "samples": 0}, "samples of GeneratedPictures is 0"),
        ({"sentences": "zoo/gpt2"}, "give a sentence encoder as --sentences"),
    ],
)
def test_what_cannot_be_used_is_told(options, told):
    with pytest.raises(FuseError, match=told):
        GeneratedPictures(**options).measures(Objective([Fluency("zoo/gpt2")]))


def test_a_judge_of_its_own_prompts_is_told():
    search = Objective([Fluency("zoo/gpt2"), ImageSimilarity("zoo/clip")])
    with pytest.warns(UserWarning, match="'zoo/clip' takes part in the search"):
        GeneratedPictures("zoo/scenes", judge="zoo/clip").measures(search)
    assert len(GeneratedPictures("zoo/scenes").measures(search)) == 6
