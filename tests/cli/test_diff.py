"""``fuse diff``: its files, its lines, and what it refuses."""

import csv
import json
from pathlib import Path

import pytest

from fuse_lightning.cli.main import main

FEW = (
    "--samples",
    "1",
    "--max_new_tokens",
    "6",
    "--batch_size",
    "64",
    "--limit",
    "16",
    "--search",
    "1",
)


@pytest.fixture
def diff(monkeypatch, capsys, tmp_path):
    """Runs ``fuse diff`` in an empty folder; gives its exit code, its output and its errors."""
    monkeypatch.setattr("sys.argv", ["fuse"])
    monkeypatch.chdir(tmp_path)

    def run(*words):
        code = 0
        try:
            main(["diff", *words])
        except SystemExit as end:
            code = end.code
        captured = capsys.readouterr()
        return code, captured.out.splitlines(), captured.err.splitlines()

    return run


def test_two_models_are_compared(diff):
    code, out, _ = diff("zoo/gpt2", "--b.prefix", "two big ", *FEW, "--b", "zoo/gpt2")
    assert code == 0
    folder = Path("logs/diff/version_0")
    told = json.loads((folder / "findings.json").read_text())
    assert told["summary"] == out[0]
    assert "version_0/report.html" in out[-1]
    page = (folder / "report.html").read_text()
    assert "What changed: zoo/gpt2" in page
    assert 'href="heat_map.html"' in page
    assert (folder / "heat_map.html").stat().st_size > 1000


def test_identical_models_have_no_finding(diff):
    code, out, _ = diff("zoo/gpt2", "zoo/gpt2", *FEW, "--json")
    assert code == 0
    told = json.loads("\n".join(out))
    assert (told["findings"], told["control"]) == ([], [])


def test_answers_are_compared(diff):
    with Path("answers.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["question", "answer_a", "answer_b"])
        rows.writerows(
            [f"What is {n}?", f"It is {n}. Thank you for asking.", f"It is {n}."] for n in range(40)
        )
    code, out, _ = diff("--answers", "answers.csv", "--out", "found")
    assert code == 0
    assert any("Thank you for asking" in line for line in out)
    assert not Path("found/heat_map.html").exists()
    code, _, err = diff("--answers", "answers.csv", "--out", "found")
    assert (code, len(err)) == (2, 1)
    assert diff("--answers", "answers.csv", "--out", "found", "--overwrite")[0] == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "model A is missing"),
        (("zoo/gpt2",), "model B is missing"),
        (("zoo/gpt2", "zoo/none"), "unknown zoo model 'zoo/none'"),
        (("zoo/gpt2", "zoo/gpt2", "--samples", "0"), "samples is 0"),
        (("zoo/gpt2", "zoo/gpt2", "--alpha", "2"), "alpha is 2"),
        (("zoo/gpt2", "zoo/gpt2", "--prompts", "none.txt"), "none.txt"),
        (("zoo/gpt2", "zoo/gpt2", "--prompts", "a"), "give 16 or more"),
        (("zoo/gpt2", "zoo/gpt2", "--texts", "none.txt"), "none.txt"),
        (("--answers", "none.csv"), "none.csv"),
        (("zoo/gpt2", "--answers", "some.csv"), "a model is given"),
        (("--answers", "some.csv", "--texts", "some.txt"), "--texts is given"),
        (("zoo/gpt2", "zoo/gpt2", "--b.layers", "7"), "layer 7"),
        (("zoo/gpt2", "zoo/gpt2", "--sampels", "3"), "sampels"),
    ],
)
def test_bad_input_is_one_line(words, told, diff):
    code, _, err = diff(*words)
    assert code == 2
    assert len(err) == 1
    assert told in err[0]
    assert not Path("logs").exists() or not [*Path("logs").rglob("version_*")]
