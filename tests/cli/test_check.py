"""``fuse check``: what it prints, and that it writes nothing."""

import json
import random
from pathlib import Path

import pytest
import yaml

from fuse_lightning.cli.main import main
from fuse_lightning.zoo.scene_folder import write_scenes

RUN = {
    "model": {
        "class_path": "RandomSearch",
        "init_args": {
            "terms": [
                {
                    "class_path": "Classification",
                    "init_args": {"model": "zoo/gpt2", "layout": "{prompt} {text}{answer}"},
                }
            ],
            "steps": 4,
            "batch_size": 6,
            "prompt_length": 2,
            "examples_per_step": 4,
        },
    },
    "data": {
        "class_path": "LabelledExamples",
        "init_args": {"data": "zoo/moods", "shots": 4, "select": 12, "test": 20},
    },
    "trainer": {
        "accelerator": "cpu",
        "callbacks": [
            {
                "class_path": "FinalVerdict",
                "init_args": {"floors": {"stock": ["{labels}:"], "demonstrations": 0}},
            },
            {"class_path": "Headroom", "init_args": {"examples": 10}},
        ],
    },
}


@pytest.fixture
def check(monkeypatch, capsys):
    """Runs ``fuse check``; gives its exit code, what it prints, and the lines of its errors."""
    monkeypatch.setattr("sys.argv", ["fuse"])
    Path("run.yaml").write_text(yaml.safe_dump(RUN), encoding="utf-8")

    def run(*words, config="run.yaml"):
        code = 0
        try:
            main(["check", "--config", config, *words])
        except SystemExit as end:
            code = end.code
        said = capsys.readouterr()
        return code, said.out, said.err.splitlines()

    return run


def test_tables_cost_and_a_last_line(check):
    before = {*Path().rglob("*")}
    code, out, _ = check("--model.max_evaluations", "60")
    assert code == 0
    assert "before the search of zoo/moods:" in out
    assert "the template alone" in out
    assert "of 10 examples that choose" in out
    assert "max_evaluations allows about" in out
    assert out.splitlines()[-1].startswith("  not worth it: ")
    assert {*Path().rglob("*")} - before <= {Path("cache")}


def test_json(check):
    code, out, _ = check("--json", "--data.test", "0")
    found = json.loads(out)
    assert code == 0
    assert found["targets"] == 1
    assert found["plan"]["steps"] == 4
    assert found["plan"]["candidates"] == 6
    assert found["headroom"]["zoo/moods"]["tests"] == 0
    assert any("no test examples" in reason for reason in found["reasons"]["zoo/moods"])


def test_a_search_without_labelled_examples_has_its_cost_alone(check, tmp_path):
    write_scenes(tmp_path / "scenes", 2, random.Random(0), "none")
    terms = [{"class_path": "ImageSimilarity", "init_args": {"model": "zoo/clip"}}]
    model = {"terms": terms, "steps": 3, "batch_size": 4, "prompt_length": 2}
    run = {
        "model": {"class_path": "RandomSearch", "init_args": model},
        "data": {"class_path": "ImageTargets", "init_args": {"images": str(tmp_path / "scenes")}},
        "trainer": {"accelerator": "cpu"},
    }
    Path("images.yaml").write_text(yaml.safe_dump(run), encoding="utf-8")
    code, out, _ = check(config="images.yaml")
    assert code == 0
    lines = out.splitlines()
    assert "4 candidates" in lines[-2]
    assert lines[-1].startswith("floors and headroom need labelled examples or questions; ")
    assert not Path("logs").exists()


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--resume", "logs"], "error: fuse check looks at a search that has not begun, and --res"),
        (["--overwrite"], "error: fuse check looks at a search that has not begun, and --over"),
        (["--run=logs"], "error: fuse check looks at a search that has not begun, and --run"),
        (["--model.steps", "0"], "error: steps is 0; it must be at least 1"),
        (["--data.data", "none.csv"], "error: "),
        (["--model.max_evaluations", "-1"], "error: max_evaluations is -1; it must be above 0"),
    ],
)
def test_errors_are_one_line(check, words, line):
    code, out, errors = check(*words)
    assert (code, out) == (2, "")
    assert errors[-1].startswith(line)
    assert not any("Traceback" in each for each in errors)


def test_help_says_what_it_is(check):
    _, out, _ = check("--help")
    assert out.startswith("  fuse check --config FILE [options of fuse fit] [--json]")
