"""The whole search: resuming, duplicates, fresh figures, files."""

import csv
import json
from pathlib import Path

import pytest
import torch
import yaml
from lightning.pytorch.callbacks import ModelCheckpoint

from fuse_lightning.cli.main import main
from fuse_lightning.diffing import (
    DivergencePrompts,
    DivergenceSearch,
    GradientProposer,
    ModelProposer,
    Plainness,
    PromptBank,
    Proposer,
    TemplateMutation,
)
from fuse_lightning.diffing.likeness import normal_form
from fuse_lightning.errors import FuseError
from fuse_lightning.models import SentenceEncoder
from fuse_lightning.results.result import read_results
from fuse_lightning.search import BeamSearch
from tests.diffing.pairs import options
from tests.near import assert_near, near
from tests.optimizers.runs import fit, found

SEEDS = ["a red house", "the sea", "hello"]
SHORT = {"samples": 4, "final_samples": 4, "max_new_tokens": 3, "batch_size": 4, "top": 3}


def search(folder, second=None, **given):
    a, b = options(folder, **(second or {"temperature": 2.0}))
    return DivergenceSearch(a, b, **{**SHORT, "steps": 4, "seed": 1, **given})


def rows(folder):
    with (Path(folder) / "bank.tsv").open(newline="") as file:
        return [*csv.DictReader(file, delimiter="\t")]


class Listed(Proposer):
    """Proposes what it is told, again and again."""

    def __init__(self, *texts):
        self.texts = texts

    def propose(self, examples, count, generator):
        return [*self.texts]


def test_a_resumed_search_equals_an_uninterrupted_one(folder, tmp_path):
    def make():
        proposers = [TemplateMutation(), ModelProposer(), GradientProposer(4, 4, tokens="any")]
        return search(folder("gpt2"), proposers=proposers, batch_size=6)

    whole = make()
    saver = ModelCheckpoint(tmp_path / "ckpt", every_n_train_steps=1, save_top_k=-1)
    fit(whole, DivergencePrompts(SEEDS), tmp_path / "whole", PromptBank(), saver)
    assert len(whole.results) == 3
    (checkpoint,) = (tmp_path / "ckpt").glob("*step=2.ckpt")
    resumed = make()
    torch.manual_seed(123)
    data = DivergencePrompts(SEEDS)
    fit(resumed, data, tmp_path / "rest", PromptBank(), ckpt_path=checkpoint)
    assert found(resumed) == found(whole)
    assert rows(tmp_path / "rest") == rows(tmp_path / "whole")
    assert {row["step"] for row in rows(tmp_path / "whole")} == {*"01234"}
    other = search(folder("gpt2"), measure="kl")
    with pytest.raises(FuseError, match=r"measure is 'kl', but was 'js'; go on with the same"):
        fit(other, DivergencePrompts(SEEDS), tmp_path / "other", ckpt_path=checkpoint)


def test_identical_models_have_no_divergence_anywhere(folder, tmp_path):
    module = search(folder("gpt2"), {"temperature": 1.0}, steps=2)
    fit(module, DivergencePrompts(SEEDS), tmp_path / "run")
    assert [(each.loss, each.losses) for each in module.results] == [
        (0.0, {"divergence": 0.0, "standard_error": 0.0, "selecting_divergence": 0.0})
    ] * 3
    assert {float(row["divergence"]) for row in rows(tmp_path / "run")} == {0.0}


def test_near_duplicates_are_refused_before_they_are_scored(folder, tmp_path):
    texts = ("A  red house!", "a red house", "new words", "New words.", "x y z", "", "  ")
    module = search(folder("gpt2"), proposers=[Listed(*texts)], steps=3)
    bank = PromptBank()
    trainer = fit(module, DivergencePrompts([*SEEDS, "Hello!"]), tmp_path / "run", bank)
    prompts = [row["prompt"] for row in rows(tmp_path / "run")]
    assert {*prompts} == {*SEEDS, "new words", "x y z"}
    assert len(prompts) == len({normal_form(each) for each in prompts})
    assert module.results[0].evaluations == 5
    assert trainer.callback_metrics["bank/refused"] > 3
    assert {row["proposer"] for row in rows(tmp_path / "run")} == {"seed", "Listed"}


def test_reported_figures_are_of_fresh_texts_and_do_not_select(folder, tmp_path):
    module = search(folder("gpt2"), final_samples=8)
    fit(module, DivergencePrompts(SEEDS), tmp_path / "run")
    bank = {row["prompt"]: row for row in rows(tmp_path / "run")}
    seed = module._seed("report")
    assert seed != module._seed("select")
    fresh = module.scorer.score([each.prompt for each in module.results], 8, seed)
    selecting = [each.losses["selecting_divergence"] for each in module.results]
    assert selecting == sorted(selecting, reverse=True)
    assert selecting[0] == max(float(row["divergence"]) for row in bank.values())
    for each in module.results:
        assert each.losses["selecting_divergence"] == float(bank[each.prompt]["divergence"])
        assert each.losses["divergence"] == near(fresh[each.prompt].mean)
        assert each.losses["standard_error"] == near(fresh[each.prompt].error)
        assert each.loss == -each.losses["divergence"]
        assert each.losses["divergence"] != each.losses["selecting_divergence"]
    written = read_results(tmp_path / "run" / "prompts.jsonl")
    assert [row.losses for row in written] == [each.losses for each in module.results]


def test_a_search_that_is_cut_short_reports_fresh_figures_too(folder, tmp_path):
    module = search(folder("gpt2"))
    fit(module, DivergencePrompts(SEEDS), tmp_path / "run", max_steps=2)
    assert not module.results[0].finished
    losses = module.results[0].losses
    assert losses["divergence"] != losses["selecting_divergence"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"samples": 3}, "samples is 3; give 2 or more texts for each prompt, and an even number"),
        ({"final_samples": 1}, "final_samples is 1; give 2 or more texts"),
        ({"proposers": []}, "proposers is empty; give at least one"),
        ({"batch_size": 0}, "batch_size is 0; it must be at least 1"),
        ({"policy": "c"}, "policy is 'c'; give one of a, b, both"),
    ],
)
def test_wrong_options_are_named(folder, given, message):
    with pytest.raises(FuseError, match=message):
        search(folder("gpt2"), **given)


def test_other_frontiers_and_prompts_without_room_are_refused(folder, tmp_path):
    with pytest.raises(FuseError, match=r"keeps its prompts in a PromptBank, .* hold BeamSearch"):
        fit(search(folder("gpt2")), DivergencePrompts(SEEDS), tmp_path / "run", BeamSearch())
    long = " ".join(["house"] * 200)
    with pytest.raises(FuseError, match=r"seed prompt .* leaves no room for a text of 3 tokens"):
        fit(search(folder("gpt2")), DivergencePrompts([long]), tmp_path / "run")


def test_seed_prompts_come_from_texts_files_and_tables():
    Path("seeds.txt").write_text("one\ntwo\n")
    Path("table.csv").write_text("prompt,other\nthree,x\none,y\n")
    (target,) = DivergencePrompts(["zero", "seeds.txt", "table.csv"]).find_targets()
    assert [example["text"] for example in target.examples] == ["zero", "one", "two", "three"]
    Path("there").mkdir()
    Path("there/more.txt").write_text("four\n")
    (target,) = DivergencePrompts("more.txt", root="there", count=1).find_targets()
    assert [example["text"] for example in target.examples] == ["four"]
    with pytest.raises(FuseError, match=r"give data.prompts an existing file"):
        DivergencePrompts("gone.txt").find_targets()


def test_the_configuration_runs_and_predicts(folder, tmp_path, capsys):
    path = Path(__file__).parents[2] / "configs" / "find_divergence.yaml"
    config = yaml.safe_load(path.read_text())
    model = str(folder("gpt2"))
    proposers = [{"class_path": "TemplateMutation", "init_args": {"changes": 1}}]
    config["model"]["init_args"] |= {
        **SHORT,
        "a": {"model": model},
        "b": {"model": model, "temperature": 2.0},
        "steps": 2,
        "proposers": proposers,
    }
    Path("own.yaml").write_text(yaml.safe_dump(config))
    main(["fit", "--config", "own.yaml"])
    (run,) = (tmp_path / "logs" / "search").iterdir()
    results = read_results(run / "prompts.jsonl")
    assert {(each.target, each.rank) for each in results} == {("divergence", n) for n in (1, 2, 3)}
    assert len(rows(run)) >= 4
    assert list(run.glob("events.out.tfevents.*"))
    main(["predict", "--run", str(run), "--out", "out.jsonl"])
    assert read_results(Path("out.jsonl")) == results
    for command in ("validate", "test"):
        with pytest.raises(SystemExit):
            main([command, "--run", str(run)])
        assert "DivergenceSearch measures its prompts itself" in capsys.readouterr().err
    before = (run / "bank.tsv").read_text()
    with pytest.raises(SystemExit):
        main(["fit", "--config", "own.yaml", "--trainer.logger.init_args.version=0"])
    assert "holds prompts.jsonl, prompts.csv, bank.tsv already" in capsys.readouterr().err
    assert (run / "bank.tsv").read_text() == before
    assert json.loads((run / "run.json").read_text())


def test_an_encoder_and_a_grader_say_what_the_bank_holds(folder, tmp_path):
    a, b = options(folder("gpt2"), temperature=2.0)
    encoder = str(folder("sentence_encoder"))
    module = DivergenceSearch(
        a, b, **SHORT, steps=2, encoder=encoder, grader=Plainness(), proposers=[TemplateMutation()]
    )
    bank = PromptBank(grade_weight=1, duplicate_cosine=2)
    fit(module, DivergencePrompts(SEEDS), tmp_path / "run", bank)
    model = SentenceEncoder(encoder)
    model.load()
    entries = bank.entries(0)
    expected = model.text_features(model.encode([entry.prompt for entry in entries]))
    assert_near(bank.vectors(0), expected)
    grades = module.grader.grade([entry.prompt for entry in entries])
    assert [entry.grade for entry in entries] == [near(grade) for grade in grades]
    assert all(grade < 0 for grade in grades)
    with pytest.raises(FuseError, match=r"encoder is .*, but was n-grams"):
        module.check_identity(module.identity() | {"encoder": "n-grams"}, "it")
