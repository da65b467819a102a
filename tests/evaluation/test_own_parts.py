"""Measures, floors and terms of a user, through validate and report, without any other edit."""

import csv
import json
import math
import re
from pathlib import Path

import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.text import CharErrorRate

from fuse_lightning import (
    CLIP,
    AutoDAN,
    CausalLM,
    Continuation,
    Fluency,
    FuseError,
    ImageSimilarity,
    ImageTargets,
    TextTargets,
)
from fuse_lightning.callbacks import Evaluation
from fuse_lightning.cli.main import main
from fuse_lightning.cli.zoo import scenes
from fuse_lightning.data import Target
from fuse_lightning.engine.token_batch import TokenBatch
from fuse_lightning.evaluation import Floor, JudgedPrompt, Measure, TermMetrics, transfer
from fuse_lightning.evaluation.floors import all_floors
from fuse_lightning.evaluation.measures import all_measures
from fuse_lightning.evaluation.table import read_figures
from fuse_lightning.evaluation.term_metrics import transfer_term
from fuse_lightning.metrics import Mean, MeanLoss, MeanScore
from fuse_lightning.objectives import Objective
from fuse_lightning.objectives.reading import Reading, row_weights
from fuse_lightning.objectives.transfer import placed_like
from fuse_lightning.report import read_run
from tests.evaluation.test_evaluation import stored, trainer
from tests.near import near
from tests.report.test_report import Page

DOCS = Path(__file__).parents[2] / "docs" / "evaluation.md"


def example(language):
    """The example of the documentation."""
    _, section = DOCS.read_text().split("## Your own measure, your own floor")
    return re.search(rf"```{language}\n(.*?)```", section, re.DOTALL)[1]


def test_the_example_of_the_documentation_is_measured_and_reported(tmp_path, capsys):
    code = example("python")
    assert len(code.splitlines()) <= 40
    Path("own.py").write_text(code)
    scenes(Path("scenes"), 2, 5)
    evaluation = yaml.safe_load(example("yaml"))["trainer"]["callbacks"]
    config = {
        "model": {
            "class_path": "AutoDAN",
            "init_args": {
                "steps": 1,
                "batch_size": 4,
                "gradient_samples": 2,
                "terms": [{"class_path": "own.Calm", "init_args": {"model": "zoo/gpt2"}}],
            },
        },
        "data": {"class_path": "ImageTargets", "init_args": {"images": "scenes"}},
        "trainer": {
            "accelerator": "cpu",
            "enable_progress_bar": False,
            "callbacks": evaluation,
            "logger": {
                "class_path": "TensorBoardLogger",
                "init_args": {"save_dir": "logs", "name": "search"},
            },
        },
    }
    Path("run.yaml").write_text(yaml.safe_dump(config))
    main(["fit", "--config", "run.yaml"])
    run = Path("logs/search/version_0")
    # The words of the command line come beside what the configuration says.
    main(["validate", "--run", str(run), "--transfer", "zoo/clip-judge"])
    printed = capsys.readouterr().out
    assert "article ↑" in printed
    assert "calm_calm ↑" in printed
    with (run / "evaluation.csv").open() as file:
        table = {row["captions"]: row for row in csv.DictReader(file)}
    assert [*table] == ["found", "constant", "reference", "fixed"]
    assert float(table["fixed"]["article"]) == 1
    assert float(table["fixed"]["words"]) == 2
    losses = [json.loads(line)["loss"] for line in (run / "prompts.jsonl").open()]
    below = sum(loss < 3 for loss in losses) / 2
    assert float(table["found"]["calm_calm"]) == below
    assert float(table["found"]["calm"]) == near(sum(losses) / 2)
    assert float(table["found"]["calm_perplexity"]) > 1
    assert "zoo/clip-judge_cosine" in table["fixed"]
    assert "objects_right" in table["fixed"]
    curves = read_run(run).curves
    assert {"val/fixed/article", "val/found/calm_calm", "val/found/objects_right"} <= {*curves}
    main(["report", str(run)])
    text = (run / "report.html").read_text()
    assert ">fixed</button></th>" in text
    assert '<th scope="row" title="share">article ↑</th>' in text
    assert ">calm ↓</th>" in text
    assert "1.000" in Page(text).cells


class Length(Measure):
    """Characters of a prompt."""

    name = "characters"

    def metric(self):
        return Mean("characters")

    def applies(self, target, source):
        return source != "found" or target.id == "scene-1"

    def update(self, metric, prompts):
        metric.update([len(each.text) for each in prompts])


class Silent(Floor):
    """A floor that knows a prompt of no target, or of one."""

    def __init__(self, known=(), name="silent"):
        self.known, self.name = known, name

    def prompt(self, target):
        return "a star" if target.id in self.known else None


class OwnScenes(ImageTargets):
    """A data module that brings a measure and a floor."""

    def measures(self):
        return [Length()]

    def floors(self):
        return [Silent(["scene-0"], "of data")]


def two():
    return stored(
        AutoDAN([Fluency("zoo/gpt2"), ImageSimilarity("zoo/clip")]),
        {"scene-0": "a red star", "scene-1": "two blue boxes"},
    )


def measured(data, folder, **options):
    evaluation = Evaluation(printed=False, **options)
    trainer(folder, evaluation).validate(two(), data, verbose=False)
    return evaluation.figures


def test_a_data_module_brings_measures_and_floors(tmp_path):
    data = OwnScenes("zoo/scenes", limit=2, batch_size=2)
    figures = measured(data, tmp_path, floors=[Silent(["scene-1"])])
    assert [*figures] == ["found", "constant", "reference", "of data", "silent"]
    # It applies to one of the found prompts alone.
    assert figures["found"]["characters"] == len("two blue boxes")
    assert figures["of data"]["characters"] == len("a star")
    assert figures["of data"]["targets"] == 1
    written = read_figures((tmp_path / "evaluation.json").read_text())
    assert written.measures["characters"].higher_is_better is None
    assert written.measures["characters"].unit == "characters"


@pytest.mark.filterwarnings("error:The ``compute`` method")
def test_a_floor_without_any_prompt_has_no_figures(tmp_path):
    figures = measured(ImageTargets("zoo/scenes", limit=2), tmp_path, floors=[Silent()])
    assert figures["silent"].pop("targets") == 0
    assert not any(value == value for value in figures["silent"].values())
    assert figures["found"]["targets"] == 2


class Empty(Floor):
    """No word at all: what the models say of prefix and suffix alone."""

    name = "empty"

    def prompt(self, target):
        return ""


def test_an_empty_prompt_is_a_floor(tmp_path):
    data = ImageTargets("zoo/scenes", limit=2, batch_size=2)
    row = measured(data, tmp_path, floors=[Empty()], transfer=["zoo/gpt2"])["empty"]
    assert (row["targets"], row["words"], row["tokens"]) == (2, 0, 0)
    clip = CLIP("zoo/clip")
    clip.load()
    pictures = clip.image_features([target.images[0] for target in data.targets])
    text = clip.text_features(clip.encode([""]))
    assert row["image_similarity_cosine"] == near(float((pictures @ text.T).mean()), size=1)
    assert row["fluency"] == 0


class Pair(Mean):
    """A metric that computes two numbers."""

    def compute(self):
        return torch.ones(2)


class Pairs(Length):
    name = "pairs"

    def metric(self):
        return Pair()


class Characters(Measure):
    """A metric of torchmetrics, as it is."""

    name = "character_errors"

    def metric(self):
        return CharErrorRate()

    def update(self, metric, prompts):
        metric.update([each.text for each in prompts], ["a"] * len(prompts))


def test_a_metric_that_is_no_number_costs_no_other_figure(tmp_path, caplog):
    data = ImageTargets("zoo/scenes", limit=2)
    figures = measured(data, tmp_path, measures=[Characters(), Pairs()])
    assert figures["found"]["character_errors"] == pytest.approx((9 + 14) / 2)
    assert figures["found"]["pairs"] != figures["found"]["pairs"]
    assert "pairs is left out" in caplog.text
    written = read_figures((tmp_path / "evaluation.json").read_text())
    assert written.measures["character_errors"].higher_is_better is False


class Nameless(Measure):
    def metric(self):
        return Mean()

    def update(self, metric, prompts):
        raise AssertionError


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"measures": [Length(), Length()]}, "Length and Length have the name 'characters'"),
        ({"measures": [Length]}, "is no Measure; give an object of a class that is one"),
        ({"measures": [Nameless()]}, "Measure Nameless has no name; give the class a name"),
        ({"floors": [Silent(name="constant")]}, "Constant and Silent have the name 'constant'"),
        ({"floors": [Silent(name="figures")]}, "a floor has the name 'figures'"),
        ({"floors": ["a star"]}, "'a star' is no Floor; give an object"),
    ],
)
def test_parts_that_cannot_stand_beside_others_are_said_in_one_line(options, message, tmp_path):
    data = ImageTargets("zoo/scenes", limit=2)
    with pytest.raises(FuseError, match=message):
        measured(data, tmp_path, **options)


def test_a_measure_named_like_a_term_is_said_in_one_line(tmp_path):
    measure = Length()
    measure.name = "fluency"
    with pytest.raises(FuseError, match="two figures have the name 'fluency'"):
        measured(ImageTargets("zoo/scenes", limit=2), tmp_path, measures=[measure])


def test_the_package_s_own_parts_have_names_of_their_own():
    assert [each.name for each in all_measures([])] == [
        "bleu",
        "rouge_l",
        "objects_right",
        "distinct_1",
        "distinct_2",
        "words",
        "tokens",
        "seconds",
    ]
    assert [each.name for each in all_floors([])] == ["constant", "captioner", "reference"]


class Echo(Continuation):
    """A term that other causal models may stand in for, after those of the package."""

    @classmethod
    def for_transfer(cls, model, targets, search):
        return cls(model, label="x", **placed_like(model, search))


def test_terms_say_for_which_models_they_stand():
    target = Target("a", text="a star")
    search = [Fluency("zoo/gpt2", prefix="An image of")]
    found = transfer_term(CausalLM("zoo/gpt2"), [target], search)
    assert type(found) is Fluency
    assert (found.prefix, found.name) == ("An image of", "zoo/gpt2")
    picture = Target("b", pictures=["b.png"])
    clip = transfer("zoo/clip-judge", Objective(search), [picture]).term
    assert type(clip) is ImageSimilarity
    # A model that the package has no term for is left to those of the search.
    captioner = type("Captions", (CausalLM,), {"kind": "captioner"})
    own = [Echo("zoo/gpt2", suffix="!")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fuse_lightning.evaluation.term_metrics.TRANSFERS", ())
        found = transfer_term(captioner("zoo/gpt2"), [target], own)
        assert type(found) is Echo
        with pytest.raises(FuseError, match="'zoo/gpt2' is a captioner, which measures no prompts"):
            transfer_term(captioner("zoo/gpt2"), [target], search[:0])


def test_the_loss_of_a_term_of_the_search_has_the_term_s_name():
    objective = Objective([Fluency("zoo/gpt2"), ImageSimilarity("zoo/clip")])
    for own, expected in (
        (
            True,
            [["fluency", "fluency_perplexity"], ["image_similarity", "image_similarity_cosine"]],
        ),
        (False, [["fluency_nll", "fluency_perplexity"], ["image_similarity_cosine"]]),
    ):
        for term, names in zip(objective.terms, expected, strict=True):
            figures = TermMetrics(objective, term, own)
            found = [figures.figure(short) for short in figures.metrics()]
            assert found[: len(names)] == names
    loss = TermMetrics(objective, objective.terms[0], own=True).metrics()[""]
    assert isinstance(loss, MeanLoss)
    assert loss.unit == "nats per token"


class Noted(Fluency):
    """A term of three rows a prompt: one row for its first example, two for its second."""

    fills = ("note",)

    def set_targets(self, targets):
        self.examples = [2] * len(targets)

    def contents(self, owner, example):
        return [{"note": note} for note in (("so",), ("well", "then"))[example]]

    def metrics(self):
        return {**super().metrics(), "below": MeanScore("share")}

    def update_metrics(self, metrics, reading, losses):
        super().update_metrics(metrics, reading, losses)
        metrics["below"].update((losses < 5).float(), row_weights(reading))


def test_a_term_of_many_rows_a_prompt_counts_each_prompt_alike(tmp_path):
    texts = {"scene-0": "a red star", "scene-1": "two blue boxes left of a cross"}
    module = stored(AutoDAN([Noted("zoo/gpt2", layout="{note} {prompt}")]), texts)
    evaluation = Evaluation(printed=False)
    data = ImageTargets("zoo/scenes", limit=2, batch_size=2)
    trainer(tmp_path, evaluation).validate(module, data, verbose=False)
    row = evaluation.figures["found"]
    means, total, tokens, below = [], 0.0, 0, []
    for text in texts.values():
        rows = {}
        for note in ("so", "well", "then"):
            plain = Objective([Fluency("zoo/gpt2", prefix=f"{note} ")])
            plain.load()
            state = plain.encode_prompt(text)
            loss = float(plain.losses(plain.prompts([state], [0]))[0, 0])
            rows[note] = loss
            total, tokens = total + loss * len(state), tokens + len(state)
        means.append((rows["so"] + (rows["well"] + rows["then"]) / 2) / 2)
        right = {note: float(loss < 5) for note, loss in rows.items()}
        below.append((right["so"] + (right["well"] + right["then"]) / 2) / 2)
    assert row["noted"] == near(sum(means) / 2)
    assert row["objective"] == near(sum(means) / 2)
    assert row["noted_perplexity"] == near(math.exp(total / tokens))
    assert row["noted_below"] == near(sum(below) / 2, size=1)
    assert 0 < row["noted_below"] < 1


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=12))
def test_weights_of_rows_let_prompts_and_their_examples_count_alike(rows):
    of, example = map(torch.tensor, zip(*rows, strict=True))
    none = torch.zeros_like(of)
    batch = TokenBatch(none[:, None], none[:, None].bool(), none[:, None, None].expand(-1, 1, 2))
    reading = Reading(batch, {}, of, none, example, none, none, none)
    weights = row_weights(reading)
    for prompt in {*of.tolist()}:
        examples = {*example[of == prompt].tolist()}
        for each in examples:
            share = weights[(of == prompt) & (example == each)]
            assert float(share.sum()) == near(1 / len(examples))
            assert len({*share.tolist()}) == 1


@given(st.lists(st.floats(0, 9), max_size=6), st.integers(0, 6))
def test_a_mean_in_parts_is_that_of_all(values, cut):
    for kind in (Mean, MeanScore, MeanLoss):
        metric = kind("unit")
        metric.update(values[:cut])
        metric.update(torch.tensor(values[cut:]))
        if values:
            assert float(metric.compute()) == near(sum(values) / len(values), size=9)


def test_texts_have_no_measure_of_scenes(tmp_path):
    target = Target("a", metadata={"objects": [{"color": "red", "shape": "nothing"}]})
    (measure,) = [each for each in all_measures([]) if each.name == "objects_right"]
    assert not measure.applies(target, "found")
    assert not measure.applies(TextTargets("a star").find_targets()[0], "found")
    known = Target("b", metadata={"objects": [{"color": "red", "shape": "star"}]})
    metric = measure.metric()
    measure.update(metric, [JudgedPrompt(known, "found", text) for text in ("a red star", "")])
    assert float(metric.compute()) == 0.5


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"figures": 1}',
        '{"figures": {"found": {"bleu": "high"}}}',
        '{"figures": {"found": {"bleu": true}}}',
        '{"figures": {}, "measures": {"bleu": {"direction": 1}}}',
        '{"figures": {}, "measures": {"bleu": {"unit": 1}}}',
        '{"figures": {}, "measures": {"bleu": {"digits": 99}}}',
        '{"figures": {}, "measures": {"bleu": {"higher_is_better": "yes"}}}',
        "[" * 100_000,
    ],
)
def test_broken_figures_of_a_run_are_not_shown(text, tmp_path, caplog):
    (tmp_path / "prompts.jsonl").write_text(
        json.dumps(
            {
                "target": "one",
                "prompt": "a star",
                "ids": [1],
                "loss": 1.0,
                "losses": {},
                "step": 1,
                "seed": 0,
                "seconds": 1.0,
            }
        )
    )
    (tmp_path / "evaluation.json").write_text(text)
    run = read_run(tmp_path)
    assert run.evaluation is None
    assert len(run.results) == 1
    assert "evaluation.json' is broken" in caplog.text
