"""``fuse diff``: its files, its lines, and what it refuses."""

import csv
import json
import signal
from pathlib import Path

import pytest

from fuse_lightning.cli.main import main
from fuse_lightning.decoding.run import DecodingRun

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


TWO = ("zoo/gpt2", "zoo/gpt2", "--b.prefix", "two big ", *FEW)


def test_a_run_that_is_interrupted_goes_on_to_the_same_findings(diff, monkeypatch):
    assert diff(*TWO, "--out", "whole")[0] == 0
    add = DecodingRun.add

    def interrupted(self, text):
        add(self, text)
        if self.count % 25 == 0:
            signal.raise_signal(signal.SIGINT)

    # Jobs in the background of a shell ignore the signal from the beginning.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(DecodingRun, "add", interrupted)
            for words, count in ((*TWO, "--out", "a run"), 25), (("--resume", "a run"), 50):
                code, _, err = diff(*words)
                assert code == 130
                assert err == [
                    f"{count} texts are in a run; go on with: fuse diff --resume 'a run'",
                    "ended by Ctrl-C before its work was done",
                ]
    finally:
        signal.signal(signal.SIGINT, before)
    assert diff("--resume", "a run")[::2] == (0, [])
    for name in ("findings.json", "texts.jsonl"):
        assert Path("a run", name).read_bytes() == Path("whole", name).read_bytes()
    # One that is complete writes nothing more; what no text depends on may change.
    assert diff("--resume", "a run", "--batch_size", "3", "--alpha", "0.01")[::2] == (0, [])
    assert Path("a run/texts.jsonl").read_bytes() == Path("whole/texts.jsonl").read_bytes()
    for change, told in (
        (["--b.prefix", "x"], "b.prefix is 'x', but was 'two big '"),
        (["zoo/mood-plain"], "a.model is 'zoo/mood-plain', but was 'zoo/gpt2'"),
        (["--samples", "2"], "samples is 2, but was 1"),
        (["--amount", "1"], "amount is 1.0, but was 2.0"),
        (["--limit", "17"], "limit is 17, but was 16"),
        (["--out", "x"], "out is 'x'"),
        (["--overwrite"], "--overwrite"),
        (["--answers", "x.csv"], "answers is 'x.csv'"),
    ):
        code, _, err = diff("--resume", "a run", *change)
        assert (code, len(err)) == (2, 1)
        assert told in err[0]
    line = Path("a run/texts.jsonl").read_text().splitlines(keepends=True)[0]
    with Path("a run/texts.jsonl").open("a") as file:
        file.write(line)
    code, _, err = diff("--resume", "a run")
    assert (code, len(err)) == (2, 1)
    assert "holds a text twice" in err[0]


def test_the_bar_says_which_phase_runs(diff, monkeypatch):
    told = []

    class Bar:
        def __init__(self, **options):
            told.append([options["desc"], options["total"], options["disable"], options["initial"]])

        def update(self):
            told[-1][3] += 1

        def close(self):
            pass

    monkeypatch.setattr("fuse_lightning.cli.diff.tqdm", Bar)
    assert diff(*TWO)[0] == 0
    # Nothing of a file or pipe is a terminal.
    assert told == [["texts", 64, True, 64], ["tokens", 16, True, 0], ["prompts", 1, True, 1]]


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
        (("--resume", "none"), "'none' holds no config.yaml"),
        (("--resume",), "give the folder of a run, such as logs/diff/version_0"),
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


def test_a_missing_file_of_texts_is_named_by_its_option(diff):
    code, _, err = diff("zoo/gpt2", "zoo/gpt2", "--texts", "missing.txt")
    assert code == 2
    assert "give --texts an existing file" in err[0]
