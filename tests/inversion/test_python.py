"""The function ``fuse_lightning.invert``: what it takes, and what it leaves alone."""

import logging
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoModelForCausalLM, AutoTokenizer

import fuse_lightning
from fuse_lightning import CLIP, CausalLM, FuseError, invert
from fuse_lightning.cli.zoo import scenes
from fuse_lightning.data.sources import ZOO_SCENES
from fuse_lightning.inversion.given import names_picture
from fuse_lightning.inversion.settings import setting_of
from fuse_lightning.models.loading import resolve
from tests.near import near

SHORT = {"steps": 1, "top": 1, "preset": "clip"}
CAPTION = {"preset": "caption", "steps": 1, "top": 1}
SCENE = ZOO_SCENES / "scene-0.png"


def test_it_takes_what_holds_a_picture():
    image = Image.open(SCENE)
    pixels = np.asarray(image.convert("RGB"))
    tensor = torch.from_numpy(pixels.copy()).permute(2, 0, 1) / 255
    given = [SCENE, str(SCENE), image, pixels, tensor]
    rows = [invert(each, **SHORT)[0] for each in given]
    assert rows[0].prompt == rows[1].prompt
    assert (rows[3].target, rows[3].loss) == (rows[4].target, near(rows[4].loss, size=1))
    assert rows[3].source == f"{rows[3].target} in memory ({rows[3].target[-8:]})"
    assert [row.target for row in invert([image, pixels], **SHORT)] == [
        rows[2].target,
        rows[3].target,
    ]


@pytest.mark.parametrize("given", ["two red stars", ["two red stars", "a big blue box"]])
def test_it_takes_texts(given):
    rows = invert(given, **SHORT)
    assert [row.target for row in rows] == ([given] if isinstance(given, str) else given)
    assert [row.source for row in rows] == [row.target for row in rows]


def test_models_may_be_in_memory():
    folder = resolve("zoo/gpt2")
    network = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    writer = CausalLM(network, tokenizer=AutoTokenizer.from_pretrained(folder))
    options = {"steps": 2, "top": 1, "weights": {"image_similarity": 3.0}}
    (row,) = invert(SCENE, writer=writer, clip=CLIP("zoo/clip"), models="zoo", **options)
    (same,) = invert(SCENE, writer="zoo/gpt2", **options)
    assert (row.prompt, row.loss) == (same.prompt, near(same.loss, size=1))
    losses = row.losses
    assert row.loss == near(losses["fluency"] + 3 * losses["image_similarity"], size=1)


def test_it_prints_and_writes_nothing(capfd, caplog, recwarn):
    caplog.set_level(logging.INFO)
    warnings.simplefilter("always")
    invert(Image.open(SCENE), **SHORT)
    told = capfd.readouterr()
    assert (told.out, told.err) == ("", "")
    assert not [record for record in caplog.records if record.name.startswith("lightning")]
    assert not [each for each in recwarn if "lightning" in str(each.filename)]
    assert not [*Path().iterdir()]


@pytest.mark.parametrize(
    ("given", "options", "told"),
    [
        (np.random.default_rng(0).random((40, 40, 3)), {}, "is no drawn scene"),
        (SCENE, {"text": "a dog"}, "words that no drawn scene has ('dog')"),
        ("two dogs", {}, "words that no drawn scene has ('dogs')"),
        (SCENE, {"text": "a red star"}, None),
        ("two red stars", {}, None),
    ],
)
def test_what_the_zoo_does_not_know_is_told(given, options, told, caplog):
    invert(given, **SHORT, **options)
    (*lines,) = (record.getMessage() for record in caplog.records)
    if told is None:
        assert not lines
        return
    (line,) = lines
    assert told in line
    assert "give another model as clip" in line


@pytest.mark.parametrize(
    ("named", "told"),
    [
        ({}, "other models as writer and clip, or models hub"),
        ({"preset": "clip"}, "another model as clip, or models hub"),
        ({"writer": "mine"}, "another model as clip, or models hub"),
        ({"writer": "mine", "clip": "zoo/clip"}, "another model as clip"),
        ({"text": "a red star"}, "as writer and clip (for texts also encoder), or models hub"),
    ],
)
def test_only_the_models_of_the_zoo_that_are_read_are_named(named, told, caplog, tmp_path):
    (tmp_path / "mine").symlink_to(resolve("zoo/gpt2"))
    noise = np.random.default_rng(0).random((40, 40, 3))
    if "writer" in named:
        named = named | {"writer": str(tmp_path / "mine")}
    invert(noise, models="zoo", **CAPTION | named)
    (line,) = caplog.messages
    assert line.endswith(f"so the prompts will not fit; give {told}") or (
        "text" in named and line.endswith(told)
    )


@pytest.mark.parametrize(
    ("named", "told"),
    [
        ({"writer": "mine"}, "clip is not given, so the hub's openai/clip-vit-base-patch32 "),
        ({"clip": "mine"}, "writer is not given, so the hub's openai-community/gpt2-medium "),
        (
            {"writer": "mine", "preset": "sentiment"},
            "clip and classifier are not given, so the hub's openai/clip-vit-base-patch32 ",
        ),
        ({"clip": "mine", "preset": "clip"}, None),
        ({"writer": "mine", "clip": "zoo/clip"}, None),
        ({"writer": "mine", "models": "hub"}, None),
        ({}, None),
    ],
)
def test_models_of_the_hub_that_nobody_named_are_told(named, told, caplog, monkeypatch):
    def fit(*args):
        raise KeyboardInterrupt

    # The models would be read then.
    monkeypatch.setattr("fuse_lightning.inversion.run._fit", fit)
    with pytest.raises(KeyboardInterrupt):
        invert(SCENE, **CAPTION | named)
    lines = [line for line in caplog.messages if "hub's" in line]
    assert len(lines) == (told is not None)
    assert all(line.startswith(told) and "or models zoo" in line for line in lines)


def test_other_models_are_not_said_to_be_of_the_zoo(caplog, tmp_path):
    (tmp_path / "mine").symlink_to(resolve("zoo/clip"))
    noise = np.random.default_rng(0).random((40, 40, 3))
    invert(noise, clip=str(tmp_path / "mine"), writer=None, **SHORT | {"steps": 1})
    # The writer of the setting takes no part.
    assert not caplog.records


def test_defaults_of_models_follow_those_that_are_named():
    hub = setting_of("hub", {})
    assert setting_of(None, {"writer": "models/mine"}).clip == hub.clip
    assert setting_of(None, {"writer": "models/mine"}).similarity == 22
    assert setting_of("zoo", {"writer": "models/mine"}).clip == "zoo/clip"
    assert setting_of(None, {"clip": "zoo/clip-judge"}).writer == "zoo/gpt2"


@pytest.mark.parametrize(
    ("given", "options", "message"),
    [
        (["a.png", "two stars"], {}, "'two stars' is a text, and others are pictures"),
        ("missing.png", {}, r"image 'missing\.png' does not exist"),
        ("some/missing", {}, "image 'some/missing' does not exist"),
        (5, {}, "data.images holds 5, of type int"),
        (np.zeros((2, 3)), {"models": "moon"}, "models is 'moon'"),
        (np.full((9, 9), 300.0), {}, "from 300 to 300 is no picture"),
        (SCENE, {"weights": {"fluency": "much"}, "preset": "caption"}, "weight of fluency is 'm"),
        ((), {}, "nothing to invert"),
    ],
)
def test_what_is_wrong_is_said(given, options, message):
    with pytest.raises(FuseError, match=message):
        invert(given, **SHORT | options)


def test_a_text_that_names_something_is_a_picture(tmp_path):
    (tmp_path / "two stars").mkdir()
    names = ["two stars", "two *", "hub:me/birds@test", "https://host/a", "a.JPG", "b.parquet"]
    assert all(map(names_picture, names))
    texts = ["three stars", "is it a star?", "see https://host/a", "texts.txt", "a/b c", "", "a\nb"]
    assert not any(map(names_picture, texts))


def test_star_completion_knows_all_names_and_loads_nothing():
    names = dir(fuse_lightning)
    assert {"Term", "PromptOptimizer", "invert", "CLIP", "FuseError"} <= {*names}
    assert fuse_lightning.invert is invert


class TestSidecars:
    """A text beside each picture."""

    def test_the_best_prompt_lies_beside_its_picture_and_nothing_is_written_over(self, caplog):
        scenes(Path("many"), 3, 5)
        Path("many/scene-1.txt").write_text("mine")
        rows = invert("many", sidecar=True, **SHORT | {"top": 2})
        best = {row.target: row.prompt for row in rows if row.rank == 1}
        assert Path("many/scene-0.txt").read_text() == f"{best['scene-0']}\n"
        assert Path("many/scene-1.txt").read_text() == "mine"
        assert "1 text beside a picture is there already and stays: 'many/scene-1.txt'" in (
            caplog.text
        )
        rows = invert("many/scene-1.png", sidecar=True, force=True, **SHORT)
        assert Path("many/scene-1.txt").read_text() == f"{rows[0].prompt}\n"

    def test_two_pictures_of_one_name_do_not_share_a_text(self, caplog):
        Image.open(SCENE).save("a.png")
        Image.open(SCENE).rotate(90).save("a.bmp")
        rows = invert(["a.png", "a.bmp"], sidecar=True, force=True, **SHORT)
        assert Path("a.txt").read_text() == f"{rows[0].prompt}\n"
        assert "stays: 'a.txt'" in caplog.text

    def test_a_picture_that_is_called_a_text_is_not_replaced(self):
        Image.open(SCENE).save("a.txt", "PNG")
        before = Path("a.txt").read_bytes()
        invert(Path("a.txt"), sidecar=True, force=True, **SHORT)
        assert Path("a.txt").read_bytes() == before

    def test_all_pictures_of_a_target_get_its_prompt(self):
        scenes(Path("many"), 2, 5)
        (row,) = invert("many", sidecar=True, **SHORT | {"preset": "style"})
        texts = {path.read_text() for path in Path("many").glob("*.txt")}
        assert texts == {f"{row.prompt}\n"}
        assert (row.target, row.source) == ("together", "many")
