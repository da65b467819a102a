"""Classification prompts under models that took no part in the search."""

import csv
from pathlib import Path

import pytest
import torch
import yaml

from fuse_lightning.cli.main import main
from fuse_lightning.data import LabelledExamples
from fuse_lightning.data.targets import Target
from fuse_lightning.errors import FuseError
from fuse_lightning.evaluation import transfer
from fuse_lightning.evaluation.term_metrics import as_prompts
from fuse_lightning.objectives import (
    Classification,
    Fluency,
    Objective,
    Seq2SeqClassification,
    TextSimilarity,
)
from tests.factories.causal_lms import llama
from tests.factories.seq2seq_lms import bart, t5

LAYOUT = "{prompt}: {text} it was {answer}"
WORDS = {"good": ["great", "good"], "bad": "bad"}
PROMPTS = ["what is it", "the film"]


@pytest.fixture
def target():
    examples = [
        {"text": "the film was great", "label": "good"},
        {"text": "nobody liked the ending", "label": "bad"},
    ]
    return Target("moods", examples=examples, labels={"good": ["red"], "bad": ["green"]})


def figures(gauge, target):
    objective = gauge.objective
    objective.load()
    objective.set_targets([target])
    metrics = gauge.metrics()
    gauge.update(metrics, as_prompts(objective, PROMPTS, [0, 0]))
    return {gauge.figure(name): float(metric.compute()) for name, metric in metrics.items()}


def search_of(*terms):
    return Objective([*terms])


@pytest.mark.parametrize(("build", "kind"), [(llama, Classification), (t5, Seq2SeqClassification)])
def test_another_model_classifies_with_the_layout_and_the_words_of_the_search(
    build, kind, tmp_path, target
):
    name = str(build(tmp_path / "other"))
    own = Classification("zoo/gpt2", LAYOUT, WORDS, weight=2.0, error_weight=1.0)
    gauge = transfer(name, search_of(Fluency("zoo/gpt2"), own), [target])
    assert type(gauge.term) is kind
    found = figures(gauge, target)
    assert {*found} == {f"{name}_cross_entropy", f"{name}_accuracy"}
    # The same as a search of this model alone would see.
    alone = Objective([kind(name, LAYOUT, WORDS)])
    alone.load()
    alone.set_targets([target])
    losses = alone.losses(as_prompts(alone, PROMPTS, [0, 0]))
    assert found[f"{name}_cross_entropy"] == pytest.approx(float(losses.mean()), rel=1e-5)


def test_without_words_of_the_search_those_of_the_data_count(tmp_path, target):
    name = str(bart(tmp_path / "other"))
    gauge = transfer(name, search_of(Classification("zoo/gpt2", LAYOUT)), [target])
    figures(gauge, target)
    assert gauge.term.batch[0].verbalizers.words == ("red", "green")


def test_a_search_that_classifies_nothing_measures_perplexity(tmp_path, target):
    gauge = transfer(str(llama(tmp_path / "other")), search_of(Fluency("zoo/gpt2")), [target])
    assert type(gauge.term) is Fluency


def test_an_encoder_decoder_has_nothing_to_measure_where_nothing_is_classified(tmp_path):
    name = str(t5(tmp_path / "other"))
    with pytest.raises(FuseError, match="but the search has no Classification; leave the model"):
        transfer(name, search_of(TextSimilarity("zoo/clip")), [Target("a", text="a red dog")])


@pytest.mark.parametrize("build", [llama, t5])
def test_a_target_without_labels_is_refused(build, tmp_path, target):
    search = search_of(Classification("zoo/gpt2", LAYOUT))
    with pytest.raises(FuseError, match="not every target has labelled examples to compare with"):
        transfer(str(build(tmp_path / "other")), search, [target, Target("a", text="a red dog")])


@pytest.mark.parametrize("build", [llama, t5])
def test_a_chat_is_refused_by_a_model_without_a_chat_template(build, tmp_path, target):
    name = str(build(tmp_path / "other"))
    chat = [
        {"role": "user", "content": "{prompt}: {text}"},
        {"role": "assistant", "content": "{answer}"},
    ]
    gauge = transfer(name, search_of(Classification("zoo/gpt2", chat)), [target])
    with pytest.raises(FuseError, match="layout is a chat, but the tokenizer of") as raised:
        gauge.objective.load()
    assert "\n" not in str(raised.value)


def test_prompts_that_leave_no_room_have_an_infinite_loss(tmp_path, target):
    gauge = transfer(
        str(bart(tmp_path / "other")), search_of(Classification("zoo/gpt2", LAYOUT)), [target]
    )
    gauge.objective.load()
    gauge.objective.set_targets([target])
    prompts = as_prompts(gauge.objective, ["a", "a " * 40], [0, 0])
    losses = gauge.objective.losses(prompts)[:, 0]
    assert torch.isfinite(losses).tolist() == [True, False]


def test_figures_of_labelled_targets_come_from_their_test_examples(tmp_path):
    name = str(t5(tmp_path / "other"))
    words = {"good": ["great", "good", "calm"], "bad": ["bad", "old"]}
    rows = [
        f"{article} {word} {thing},{label}"
        for label, some in words.items()
        for word in some
        for thing in ("film", "dog", "house", "boat")
        for article in ("the", "a")
    ]
    Path("rows.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    term = {"class_path": "Classification", "init_args": {"model": "zoo/gpt2", "layout": LAYOUT}}
    options = {"data": "rows.csv", "select": 6, "test": 8}
    config = {
        "model": {
            "class_path": "RandomSearch",
            "init_args": {"steps": 1, "batch_size": 4, "terms": [term]},
        },
        "data": {"class_path": "LabelledExamples", "init_args": options},
        "trainer": {
            "accelerator": "cpu",
            "enable_progress_bar": False,
            "logger": {
                "class_path": "TensorBoardLogger",
                "init_args": {"save_dir": "logs", "name": "search"},
            },
        },
    }
    Path("run.yaml").write_text(yaml.safe_dump(config))
    main(["fit", "--config", "run.yaml"])
    run = Path("logs/search/version_0")
    main(["test", "--run", str(run), "--transfer", name])
    with (run / "evaluation.csv").open() as file:
        found = next(row for row in csv.DictReader(file) if row["captions"] == "found")
    with (run / "prompts.csv").open() as file:
        prompt = next(csv.DictReader(file))["prompt"]
    data = LabelledExamples(**options)
    data.setup("test")
    (target,) = data.targets
    for column, alone in (
        (f"{name}_cross_entropy", Seq2SeqClassification(name, LAYOUT)),
        ("classification", Classification("zoo/gpt2", LAYOUT)),
    ):
        objective = Objective([alone])
        objective.load()
        losses = []
        for each in (target.tested(), target):
            objective.set_targets([each])
            losses.append(float(objective.losses(as_prompts(objective, [prompt], [0]))))
        assert float(found[column]) == pytest.approx(losses[0], rel=1e-4)
        assert float(found[column]) != pytest.approx(losses[1], rel=1e-4)
