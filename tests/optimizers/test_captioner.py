"""Captions as prompts: what is proposed, what wins, seeds, resuming, errors."""

import json
from itertools import chain

import pytest
import torch
import yaml
from lightning.pytorch.callbacks import ModelCheckpoint
from PIL import Image

from fuse_lightning.cli.main import main
from fuse_lightning.data import ImageTargets, SentimentTargets
from fuse_lightning.errors import FuseError
from fuse_lightning.models import CaptionModel
from fuse_lightning.objectives import Fluency, ImageSimilarity, Sentiment
from fuse_lightning.optimizers import GCG, Captioner, Constraints
from fuse_lightning.search import GreedySearch, HistorySearch, UniformCostSearch
from tests.factories.captioners import blip
from tests.near import near
from tests.optimizers.runs import close, fit, found

STEPS = 3


@pytest.fixture(scope="module")
def writer(tmp_path_factory):
    return blip(tmp_path_factory.mktemp("captioner") / "blip")


class Recording(Captioner):
    """Also remembers what it proposed, for each target and step."""

    def load(self, *args):
        super().load(*args)
        self.proposed = {}

    def propose(self, states):
        proposed = super().propose(states)
        for target, states in zip(self.targets, proposed, strict=True):
            self.proposed.setdefault(target.id, []).append(states)
        return proposed


class Fixed(CaptionModel):
    """Says what it is told to say."""

    def __init__(self, *texts):
        super().__init__("fixed")
        self.texts = list(texts)

    def load(self, device="cpu"):
        pass

    def captions(self, images, *args, **kwargs):
        return [self.texts for _ in images]


def optimizer(folders, writer, kind=Captioner, **changes):
    terms = [
        Fluency(folders["gpt2"], prefix="An image of"),
        ImageSimilarity(folders["clip"], weight=8, prefix="An image of"),
    ]
    options = {"steps": STEPS, "count": 6, "max_new_tokens": 6, "prefix": "an image of"}
    return kind(terms, captioner=writer, **(options | changes))


def test_the_result_is_the_best_of_all_captions(folders, pictures, writer, tmp_path):
    module = optimizer(folders, writer, Recording)
    data = ImageTargets([str(pictures / "0.png"), str(pictures / "1.png")], batch_size=2)
    fit(module, data, tmp_path)
    objective, model = module.objective, CaptionModel(writer)
    model.load()
    assert len(module.results) == 2
    for result, target in zip(module.results, data.find_targets(), strict=True):
        objective.set_targets([target])
        texts, scored = [], []
        for state in dict.fromkeys(chain(*module.proposed[target.id])):
            one = objective.prompts([state], [0])
            assert one.canonical == [True]
            texts += one.texts
            scored.append((float(objective.total(objective.losses(one))[0]), state))
        loss, state = min(scored)
        assert tuple(result.ids) == state
        assert result.loss == near(loss)
        assert model.captions(target.images, 1, "an image of", 6)[0][0] in texts
        assert module.proposed[target.id][0] != module.proposed[target.id][1]
        assert 6 < len(texts) <= 6 * STEPS


def test_each_step_draws_others_and_keeps_the_best(folders, pictures, writer, tmp_path, double):
    module = optimizer(folders, writer, Recording)
    fit(module, ImageTargets(str(pictures / "0.png")), tmp_path, GreedySearch())
    steps = module.proposed["pictures/0.png"]
    totals = [
        module.objective.total(
            module.objective.losses(module.objective.prompts(states, [0] * len(states)))
        )
        for states in steps
    ]
    for earlier, losses, later in zip(steps, totals, steps[1:], strict=False):
        assert later[0] == earlier[int(losses.argmin())]
        assert set(later) - set(earlier)


@pytest.mark.parametrize(
    "strategy",
    [GreedySearch, lambda: HistorySearch(3, 1), lambda: UniformCostSearch(4)],
)
def test_same_seed_gives_same_prompts_in_any_batch(
    folders, pictures, writer, tmp_path, double, strategy
):
    runs = []
    for seed, size in ((3, 2), (3, 1), (4, 3)):
        torch.manual_seed(size)
        module = optimizer(folders, writer, seed=seed)
        fit(module, ImageTargets(str(pictures), batch_size=size), tmp_path, strategy())
        runs.append([(row.target, row.prompt, row.step) for row in module.results])
    assert runs[0] == runs[1] != runs[2]


def test_resumed_run_equals_an_uninterrupted_one(folders, pictures, writer, tmp_path, double):
    data = {"images": str(pictures), "batch_size": 2}
    saver = ModelCheckpoint(tmp_path / "ckpt", every_n_train_steps=1, save_top_k=-1)
    whole = optimizer(folders, writer, seed=1)
    fit(whole, ImageTargets(**data), tmp_path / "whole", saver)
    for stop in (1, 2, 4):
        (checkpoint,) = (tmp_path / "ckpt").glob(f"*step={stop}.ckpt")
        assert checkpoint.stat().st_size < 40_000
        resumed = optimizer(folders, writer, seed=1)
        torch.manual_seed(123)
        trainer = fit(resumed, ImageTargets(**data), tmp_path / "rest", ckpt_path=checkpoint)
        assert trainer.global_step == 2 * STEPS
        assert found(resumed) == close(found(whole))


def test_captions_are_read_as_the_primary_spells_them(folders, pictures, tmp_path):
    """CLIP's tokenizer knows no capitals; the objective may be a single term."""
    said = Fixed("Two RED  stars", "two red stars", "", "a café", "a <|endoftext|> tree", "a dog")
    terms = [ImageSimilarity(folders["clip"], prefix="An image of")]
    module = Recording(terms, said, steps=1, constraints=Constraints(block=["dog"]))
    fit(module, ImageTargets(str(pictures / "0.png")), tmp_path)
    assert module.proposed["pictures/0.png"] == [[module.objective.encode_prompt("two red stars")]]
    assert module.results[0].prompt == "two red stars"


def test_every_picture_of_a_target_is_captioned(folders, writer, tmp_path):
    (tmp_path / "style").mkdir()
    for name in ("red", "green", "blue"):
        Image.new("RGB", (32, 32), name).save(tmp_path / "style" / f"{name}.png")
    asked = []

    class Counting(CaptionModel):
        def captions(self, images, count, *args, **kwargs):
            asked.append((len(images), count, kwargs))
            return super().captions(images, count, *args, **kwargs)

    module = optimizer(folders, Counting(writer), Recording, steps=2, count=7)
    fit(module, ImageTargets(str(tmp_path), batch_size=1), tmp_path / "run")
    assert asked == [(3, 3, {}), (3, 3, {"num_beams": 0})]
    assert 3 < len(module.proposed["style"][0]) <= 9
    assert module.results[0].prompt


def test_patience_ends_a_target(folders, pictures, tmp_path):
    module = optimizer(folders, Fixed("two red stars"), Recording, steps=9, patience=2)
    fit(module, ImageTargets(str(pictures / "0.png")), tmp_path)
    assert list(map(len, module.proposed["pictures/0.png"])) == [1, 1, 1]


def test_a_target_without_a_picture_is_refused(folders, writer, tmp_path):
    module = Captioner([Sentiment(folders["classifier"])], writer)
    with pytest.raises(FuseError, match=r"target 'positive' has no image.*give data\.images"):
        fit(module, SentimentTargets("positive"), tmp_path)


def test_captions_that_no_model_can_read_are_refused(folders, pictures, tmp_path):
    module = optimizer(folders, Fixed("猫が好き", "red " * 46))
    with pytest.raises(FuseError, match=r"no prompt was found for target 'pictures/0\.png'"):
        fit(module, ImageTargets(str(pictures / "0.png")), tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"count": 0}, "count is 0; it must be at least 1"),
        ({"max_new_tokens": -1}, "max_new_tokens is -1; it must be at least 1"),
        ({"steps": 0}, "steps is 0"),
    ],
)
def test_impossible_settings_are_refused(folders, writer, changes, message):
    with pytest.raises(FuseError, match=message):
        optimizer(folders, writer, **changes)


def test_another_model_than_a_captioner_is_refused(folders):
    with pytest.raises(FuseError, match="is a CLIPModel, not a captioner"):
        optimizer(folders, folders["clip"]).load()


@pytest.mark.parametrize("nested", [True, False])
def test_it_runs_from_a_configuration(folders, pictures, writer, tmp_path, nested):
    options = {"model_id": writer, "dtype": "bfloat16"}
    captioner = {"class_path": "CaptionModel", "init_args": options} if nested else writer
    term = {"class_path": "ImageSimilarity", "init_args": {"model": folders["clip"]}}
    model = {"terms": [term], "captioner": captioner, "steps": 2, "count": 3, "max_new_tokens": 5}
    config = {
        "model": {"class_path": "Captioner", "init_args": model},
        "data": {"class_path": "ImageTargets", "init_args": {"images": str(pictures / "0.png")}},
    }
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(config))
    main(["fit", "--config", "own.yaml", "--trainer.accelerator", "cpu"])
    (lines,) = (tmp_path / "logs" / "search").glob("*/prompts.jsonl")
    assert json.loads(lines.read_text())["prompt"]


def test_a_start_leaves_out_what_prompts_may_not_say(folders, pictures, tmp_path):
    said = "two RED stars # and a green tree"
    limits = Constraints(tokens="words", block=["red", "tree"])
    terms = [Fluency(folders["gpt2"]), ImageSimilarity(folders["clip"])]
    module = GCG(terms, steps=1, top_k=9, initial_prompt=Fixed(said), constraints=limits)
    fit(module, ImageTargets(str(pictures / "0.png")), tmp_path)
    assert module.caption(module.targets[0]) == "two stars and a green"
    assert len(module.results) == 1


def test_a_step_whose_captions_are_all_forbidden_is_not_the_end(folders, pictures, tmp_path):
    class Second(Fixed):
        def captions(self, images, *args, **kwargs):
            self.texts = ["a red star"] if "num_beams" in kwargs else ["two dogs"]
            return super().captions(images)

    module = optimizer(folders, Second(), constraints=Constraints("words", block=["dog"]))
    fit(module, ImageTargets(str(pictures / "0.png")), tmp_path, GreedySearch())
    assert [row.prompt for row in module.results] == ["a red star"]


def test_the_ranking_is_reported(folders, pictures, writer, tmp_path):
    module = optimizer(folders, writer, top=3)
    fit(module, ImageTargets(str(pictures / "0.png")), tmp_path, GreedySearch())
    losses = [row.loss for row in module.results]
    assert len(losses) == 3
    assert losses == sorted(losses)
