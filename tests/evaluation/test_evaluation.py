"""Figures of a run against plain references, through Lightning and through the command line."""

import csv
import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import lightning as L
import pytest
import torch
import yaml
from torchmetrics.functional.text import sacre_bleu_score

from fuse_lightning import (
    CLIP,
    AutoDAN,
    CaptionModel,
    CausalLM,
    Fluency,
    FuseError,
    ImageSimilarity,
    ImageTargets,
    Sentiment,
    SentimentTargets,
    TextTargets,
)
from fuse_lightning.callbacks import Evaluation, Predictions
from fuse_lightning.cli.main import main
from fuse_lightning.cli.zoo import scenes
from fuse_lightning.data import Target
from fuse_lightning.data.loader import TargetLoader
from fuse_lightning.data.queue import TargetQueue
from fuse_lightning.evaluation import transfer
from fuse_lightning.evaluation.stored import matched
from fuse_lightning.objectives import Objective, TextSimilarity
from fuse_lightning.optimizers import Captioner
from fuse_lightning.results.export import json_lines
from fuse_lightning.results.result import Result
from fuse_lightning.search.rank_checkpoints import joined, results_of
from fuse_lightning.zoo.scenes import named_objects
from tests.factories.captioners import blip
from tests.factories.configs import SCENES_RUN
from tests.near import near

OPENING = "An image of"
COUNT = 3


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    scenes(folder, COUNT, 5)
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory, pictures):
    """The folder of a finished run of the command line."""
    folder = tmp_path_factory.mktemp("run")
    config = json.loads(json.dumps(SCENES_RUN))
    config["model"]["init_args"] |= {"steps": 2, "top": 2}
    config["data"]["init_args"]["images"] = str(pictures)
    config["trainer"]["default_root_dir"] = str(folder)
    logger = {"class_path": "TensorBoardLogger"}
    config["trainer"]["logger"] = logger | {
        "init_args": {"save_dir": str(folder), "name": "search"}
    }
    (folder / "run.yaml").write_text(yaml.safe_dump(config))
    main(["fit", "--config", str(folder / "run.yaml")])
    return folder / "search" / "version_0"


def copy(run, folder):
    return Path(shutil.copytree(run, folder / "search" / "version_0"))


def rows(run):
    return [json.loads(line) for line in (run / "prompts.jsonl").read_text().splitlines()]


def figures(folder):
    with (folder / "evaluation.csv").open() as file:
        return {row["captions"]: row for row in csv.DictReader(file)}


def plain(texts, targets, opening=""):
    """Figures of one caption a target, one text at a time."""
    judge, writer, clip = CLIP("zoo/clip-judge"), CausalLM("zoo/gpt2"), CLIP("zoo/clip")
    for model in (judge, writer, clip):
        model.load()
    found = {}
    with torch.no_grad():
        for name, model in (("image_similarity", clip), ("zoo/clip-judge", judge)):
            images = [model.image_features(target.images)[0] for target in targets]
            vectors = [model.text_features(model.encode([text]))[0] for text in texts]
            cosines = [[float(text @ image) for image in images] for text in vectors]
            best = [row[place] >= max(row) - 1e-6 for place, row in enumerate(cosines)]
            found[f"{name}_cosine"] = sum(row[i] for i, row in enumerate(cosines)) / len(texts)
            found[f"{name}_top1"] = sum(best) / len(texts)
        nll = []
        for text in texts:
            ids = [*writer.start_ids, *writer.tokenizer(text, add_special_tokens=False).input_ids]
            logits = writer.module(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
            nll.append([-float(logits[i - 1, ids[i]]) for i in range(1, len(ids))])
    total = sum(map(sum, nll)) / sum(map(len, nll))
    found["fluency_perplexity"] = math.exp(total)
    found["fluency"] = sum(sum(each) / len(each) for each in nll) / len(nll)
    found["tokens"] = sum(map(len, nll)) / len(nll)
    found["words"] = sum(len(text.split()) for text in texts) / len(texts)
    found["objective"] = found["fluency"] + 5 * (1 - found["image_similarity_cosine"])
    others = [list(target.references[1:]) for target in targets]
    found["bleu"] = float(sacre_bleu_score(texts, others, lowercase=True))
    found["objects_right"] = sum(
        {(each["color"], each["shape"]) for each in target.metadata["objects"]}
        <= named_objects(text)
        for text, target in zip(texts, targets, strict=True)
    ) / len(texts)
    return found


def test_figures_are_those_of_plain_references(run, pictures, tmp_path, capsys):
    folder = copy(run, tmp_path)
    config = (folder / "config.yaml").read_text()
    transfer = ["--transfer", "zoo/clip-judge", "--transfer=zoo/gpt2"]
    main(["test", "--run", str(folder), *transfer, "--generate", "zoo/scenes"])
    printed = capsys.readouterr().out
    assert "zoo/clip-judge_cosine ↑" in printed
    table, about = figures(folder), json.loads((folder / "evaluation.json").read_text())
    assert [*table] == ["found", "constant", "reference"]
    targets = ImageTargets(str(pictures)).find_targets()
    prompts = [row["prompt"] for row in rows(folder) if row["rank"] == 1]
    references = [target.references[0] for target in targets]
    shortlist = {text: plain([text] * COUNT, targets) for text in [*prompts, *references]}
    constant = min(shortlist, key=lambda text: shortlist[text]["objective"])
    assert about["constant"] == constant
    assert f"constant: {constant} (the best on these same targets" in printed
    assert "pictures by zoo/scenes, judge zoo/clip-judge" in printed
    assert about["generated"] == "pictures by zoo/scenes, judge zoo/clip-judge"
    blank = sum(not named_objects(text) for text in prompts)
    assert float(table["found"]["undrawn_prompts"]) == blank
    assert (f"can draw: {blank} of {COUNT} (found)" in printed) == (blank > 0)
    assert "nan" not in printed
    for source, texts in (
        ("found", prompts),
        ("constant", [constant] * COUNT),
        ("reference", references),
    ):
        expected = plain(texts, targets)
        given = {name: float(table[source][name]) for name in expected}
        assert given == near(expected, size=1)
        saved = {name: about["figures"][source][name] for name in expected}
        assert saved == near(expected, size=1)
        again = float(table[source]["zoo/gpt2_perplexity"])
        assert again == near(given["fluency_perplexity"])
        assert float(table[source]["targets"]) == COUNT
    losses = [row["loss"] for row in rows(folder) if row["rank"] == 1]
    assert float(table["found"]["objective"]) == near(sum(losses) / COUNT)
    seconds = [row["seconds"] for row in rows(folder) if row["rank"] == 1]
    assert float(table["found"]["seconds"]) == pytest.approx(sum(seconds) / COUNT)
    assert table["constant"]["seconds"] == ""
    # The run stays as it was.
    assert (folder / "config.yaml").read_text() == config
    # Pictures of what references name are nearest to the targets' own.
    cosines = {source: float(row["generated_cosine"]) for source, row in table.items()}
    assert cosines["reference"] > 0.8 > cosines["constant"]
    assert float(table["reference"]["editability"]) == 1


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("count", [COUNT, 1])
def test_two_devices_measure_the_same(run, tmp_path, count):
    """Also where one of them has no prompt at all."""
    folder = copy(run, tmp_path)
    lines = (folder / "prompts.jsonl").read_text().splitlines(keepends=True)
    (folder / "prompts.jsonl").write_text("".join(lines[: 2 * count]))
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    words = ["validate", "--run", str(folder), "--transfer", "zoo/clip-judge"]
    main(words)
    alone = figures(folder)
    command = [Path(sys.executable).with_name("fuse"), *words, "--trainer.devices=2"]
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=250)
    together = figures(folder)
    assert [*together] == [*alone]
    for source, row in alone.items():
        one = {name: float(cell) for name, cell in row.items() if name != "captions" and cell}
        two = {name: float(together[source][name]) for name in one}
        assert two == near(one, size=1)


def test_a_checkpoint_serves_too(run, tmp_path, monkeypatch):
    (checkpoint, *_) = sorted(run.glob("checkpoints/*step=4*.ckpt"))
    words = ["--config", str(run / "config.yaml"), "--ckpt_path", str(checkpoint)]
    logger = "--trainer.logger.init_args.save_dir"
    main(["validate", *words, logger, str(tmp_path / "other")])
    (folder,) = (tmp_path / "other" / "search").iterdir()
    losses = [row["loss"] for row in rows(run) if row["rank"] == 1]
    assert float(figures(folder)["found"]["objective"]) == near(sum(losses) / COUNT)


def test_pictures_that_were_measured_are_let_go(run, tmp_path, monkeypatch):
    held, targets = [], []
    set_targets = Objective.set_targets

    def known(*args):
        found = matched(*args)
        targets[:] = found[0]
        return found

    def watched(self, batch):
        held.append(sum("images" in vars(target) for target in targets))
        set_targets(self, batch)

    monkeypatch.setattr("fuse_lightning.callbacks.evaluation.matched", known)
    monkeypatch.setattr(Objective, "set_targets", watched)
    main(["validate", "--run", str(copy(run, tmp_path)), "--data.batch_size=1"])
    assert len(held) > COUNT
    assert max(held) < COUNT


@pytest.mark.parametrize("name", ["prompts.csv", "prompts.jsonl"])
def test_predictions_are_the_rows_of_the_run(run, tmp_path, name, capsys):
    main(["predict", "--run", str(run), "--out", name])
    assert "wrote 6 prompts" in capsys.readouterr().out
    assert (tmp_path / name).read_text() == (run / name).read_text()


def test_targets_without_a_prompt_are_named_and_left_out(run, tmp_path, capsys):
    folder = copy(run, tmp_path)
    lines = (folder / "prompts.jsonl").read_text().splitlines(keepends=True)
    (folder / "prompts.jsonl").write_text("".join(lines[2:]))
    main(["predict", "--run", str(folder)])
    printed = capsys.readouterr()
    assert rows(folder)[0]["prompt"] in printed.out
    assert "no prompt yet for 1 of 3 targets: scene-0" in printed.err
    main(["validate", "--run", str(folder)])
    assert "no prompt yet: scene-0" in capsys.readouterr().out
    assert {row["targets"] for row in figures(folder).values()} == {"2.0"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--data.limit", "1"], "a prompt for target 'scene-1', which the data does not have"),
        (["--transfer", "no/where"], "'no/where'"),
        (["--transfer", "zoo/nothing"], "unknown zoo model 'zoo/nothing'"),
        (["--judge", "zoo/clip-judge"], "give --generate as well"),
        (["--classifier", "zoo/clip-judge"], "not a sequence classifier; give it as --transfer"),
        (["--classifier", "zoo/sentiment"], "not every target has a wanted sentiment"),
    ],
)
def test_what_cannot_be_measured_is_said_in_one_line(run, words, message, capsys):
    with pytest.raises(SystemExit) as error:
        main(["validate", "--run", str(run), *words])
    assert error.value.code == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "error:" in line]
    assert message in line


def test_a_prompt_of_other_content_is_measured_for_no_target(run, pictures, tmp_path, capsys):
    """The run's pictures are changed: its second scene is the first one's picture now."""
    folder = copy(run, tmp_path)
    scenes = shutil.copytree(pictures, tmp_path / "scenes")
    shutil.copy(scenes / "scene-0.png", scenes / "scene-1.png")
    for command in ("validate", "test", "predict"):
        with pytest.raises(SystemExit, match="2"):
            main([command, "--run", str(folder), "--data.images", str(scenes)])
        assert capsys.readouterr().err.splitlines()[-1] == (
            "error: the content of target 'scene-1' is not what its prompt was found for "
            "(1 of 3 such); give the data that the run searched, or search anew"
        )
    # Rows of earlier versions have no digest: the name alone counts.
    lines = [row | {"digest": ""} for row in rows(folder)]
    (folder / "prompts.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in lines))
    main(["predict", "--run", str(folder), "--data.images", str(scenes)])
    assert rows(folder)[0]["prompt"] in capsys.readouterr().out


def test_a_kind_of_file_that_nobody_writes_is_said_in_one_line(run, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["predict", "--run", str(run), "--out", "out.txt"])
    assert capsys.readouterr().err.endswith("out is 'out.txt'; it must end in .csv or .jsonl\n")


def test_a_run_without_prompts_is_refused(run, tmp_path, capsys):
    folder = copy(run, tmp_path)
    (folder / "prompts.jsonl").unlink()
    with pytest.raises(SystemExit):
        main(["validate", "--run", str(folder)])
    assert "holds no prompts.jsonl" in capsys.readouterr().err


def trainer(folder, *callbacks):
    return L.Trainer(
        accelerator="cpu",
        max_epochs=1,
        callbacks=list(callbacks),
        default_root_dir=folder,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )


def test_one_trainer_searches_scores_and_searches_again(pictures, tmp_path):
    terms = [Fluency("zoo/gpt2", prefix=OPENING), ImageSimilarity("zoo/clip", 5, prefix=OPENING)]
    search = AutoDAN(terms, steps=2, batch_size=8, gradient_samples=2)
    data = ImageTargets(str(pictures), batch_size=2)
    evaluation = Evaluation(printed=False)
    runner = trainer(tmp_path, evaluation)
    runner.fit(search, data)
    assert not evaluation.figures
    first = [(row.target, row.prompt) for row in search.results]
    (logged,) = runner.validate(search, data, verbose=False)
    mean = sum(row.loss for row in search.results) / COUNT
    assert logged["val/found/objective"] == near(mean)
    (logged,) = runner.test(search, data, verbose=False)
    assert logged["test/found/objective"] == near(mean)
    batches = runner.predict(search, data)
    assert [row["prompt"] for batch in batches for row in batch] == [text for _, text in first]
    again = AutoDAN(terms, steps=2, batch_size=8, gradient_samples=2)
    trainer(tmp_path / "again", evaluation).fit(again, data)
    assert [(row.target, row.prompt) for row in again.results] == first


def stored(module, prompts):
    """An optimizer that has found prompts."""
    names = [term.name for term in module.objective.terms]
    losses = dict.fromkeys(names, 1.0)
    module.results = [
        Result(name, text, [1], 1.0, losses, 1, 0, 1.0) for name, text in prompts.items()
    ]
    return module


@pytest.mark.parametrize("kind", [Captioner, AutoDAN])
def test_captioner_is_a_floor(kind, pictures, tmp_path):
    captioner = CaptionModel(blip(tmp_path / "blip"))
    options = {"captioner" if kind is Captioner else "initial_prompt": captioner}
    terms = [Fluency("zoo/gpt2"), ImageSimilarity("zoo/clip", 5)]
    module = stored(
        kind(terms, **options), {f"scene-{index}": "a red star" for index in range(COUNT)}
    )
    evaluation = Evaluation(printed=False)
    data = ImageTargets(str(pictures))
    trainer(tmp_path, evaluation).validate(module, data, verbose=False)
    assert [*evaluation.figures] == ["found", "constant", "captioner", "reference"]
    texts = [module.caption(target) for target in data.targets]
    assert all(texts)
    assert len({*texts}) > 1
    expected = sum(len(module.objective.encode_prompt(text)) for text in texts) / COUNT
    assert evaluation.figures["captioner"]["tokens"] == pytest.approx(expected)


def test_moods_are_judged_by_a_classifier(tmp_path):
    data = SentimentTargets(["positive", "negative"], "zoo/scenes", limit=1)
    module = stored(
        AutoDAN([Fluency("zoo/gpt2")]),
        {"scene-0 (positive)": "a lovely red star", "scene-0 (negative)": "a charming star"},
    )
    evaluation = Evaluation(classifier="zoo/sentiment", printed=False)
    trainer(tmp_path, evaluation).test(module, data, verbose=False)
    assert evaluation.figures["found"]["zoo/sentiment_accuracy"] == 0.5
    # The search's own label counts where targets want none.
    own = Objective([Fluency("zoo/gpt2"), Sentiment("zoo/sentiment", label="negative")])
    with pytest.warns(UserWarning, match="takes part in the search"):
        gauge = transfer("zoo/sentiment", own, [Target("x")])
    assert gauge.term.label == "negative"


def test_texts_are_judged_by_the_text_tower(tmp_path):
    text = "two blue squares above a yellow cross"
    data = TextTargets(text)
    (name,) = [target.id for target in data.find_targets()]
    module = stored(AutoDAN([Fluency("zoo/gpt2"), TextSimilarity("zoo/clip")]), {name: text})
    evaluation = Evaluation(["zoo/clip-judge"], printed=False)
    trainer(tmp_path, evaluation).test(module, data, verbose=False)
    row = evaluation.figures["found"]
    assert row["zoo/clip-judge_cosine"] == near(1)
    assert "bleu" not in row
    assert "objects_right" not in row
    with pytest.raises(FuseError, match="not every target has a picture or a text"):
        transfer("zoo/clip", Objective([Fluency("zoo/gpt2")]), [Target("x")])


def test_a_caption_that_is_too_long_is_no_number(tmp_path):
    module = stored(
        AutoDAN([Fluency("zoo/gpt2"), ImageSimilarity("zoo/clip")]),
        {"scene-0": "a red star " * 40, "scene-1": "a red star"},
    )
    evaluation = Evaluation(["zoo/clip-judge"], printed=False)
    data = ImageTargets("zoo/scenes", limit=2, batch_size=2)
    trainer(tmp_path, evaluation).test(module, data, verbose=False)
    row = json.loads((tmp_path / "evaluation.json").read_text())["figures"]["found"]
    assert row["objective"] is None
    assert row["zoo/clip-judge_cosine"] is None
    assert row["zoo/clip-judge_top1"] <= 0.5


def test_a_search_that_fails_leaves_the_trainer_able_to_validate(tmp_path):
    module = stored(AutoDAN([Fluency("zoo/gpt2")], steps=1), {"scene-0": "a red star"})
    runner = trainer(tmp_path, Evaluation(printed=False))
    broken = AutoDAN([Fluency("zoo/gpt2"), Sentiment("zoo/sentiment")], steps=1)
    with pytest.raises(FuseError, match="no sentiment"):
        runner.fit(broken, ImageTargets("zoo/scenes", limit=1))
    assert runner.validate(module, ImageTargets("zoo/scenes", limit=1), verbose=False)


def test_targets_come_with_a_data_module(tmp_path):
    loader = TargetLoader(TargetQueue([Target("scene-0")]))
    module = stored(AutoDAN([Fluency("zoo/gpt2")]), {"scene-0": "a red star"})
    with pytest.raises(FuseError, match="has no data module; give it"):
        trainer(tmp_path).validate(module, dataloaders=loader)


def test_two_evaluations_are_one_too_many(tmp_path):
    module = stored(AutoDAN([Fluency("zoo/gpt2")]), {"scene-0": "a red star"})
    runner = trainer(tmp_path, Evaluation(), Evaluation(["zoo/gpt2"]))
    with pytest.raises(FuseError, match="two Evaluation; give one"):
        runner.validate(module, ImageTargets("zoo/scenes", limit=1))


def test_results_of_several_devices_are_read_from_one_checkpoint():
    module = AutoDAN([Fluency("zoo/gpt2")])
    states = [
        stored(AutoDAN([Fluency("zoo/gpt2")]), {name: "a red star"}).get_extra_state()
        for name in ("one", "two")
    ]
    checkpoint = {"state_dict": {"_extra_state": joined(states)}, "run": "run"}
    own = {"state_dict": {"_extra_state": joined(states)}, "run": "run"}
    # What is in the run's files is in no checkpoint.
    Path("run").mkdir()
    filed = Result("filed", "a blue star", [1], 1.0, {"fluency": 1.0}, 1, 0, 1.0)
    Path("run/prompts-rank1.jsonl").write_text(json_lines([filed]))
    state = SimpleNamespace(fn="validate")
    module._trainer = SimpleNamespace(state=state, global_rank=0, world_size=1)
    module.on_load_checkpoint(checkpoint)
    module.load_state_dict(checkpoint["state_dict"])
    assert [row.target for row in module.results] == ["filed", "one", "two"]
    # Another search has taken the folder since.
    Path("run/run.json").write_text('{"seed": "another"}')
    assert [row.target for row in results_of(own)] == ["one", "two"]


def test_predictions_need_a_known_kind_of_file():
    with pytest.raises(FuseError, match=r"must end in \.csv or \.jsonl"):
        Predictions("prompts.txt")
