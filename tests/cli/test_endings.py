"""What a search says that has left something undone, and its exit code."""

import logging
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from lightning.pytorch.callbacks import Timer
from PIL import Image

from fuse_lightning.cli.endings import ending
from fuse_lightning.data import Target
from fuse_lightning.optimizers import AutoDAN
from fuse_lightning.results.result import NO_PROMPT, read_results
from fuse_lightning.utilities import terminal
from fuse_lightning.utilities.silence import NEWS
from tests.factories.configs import short_search


def ended(found, skipped=None, **options):
    """The ending of a search for a, b and c; ``found`` has those with a prompt, finished or not."""
    trainer = SimpleNamespace(
        **{
            "log_dir": "run",
            "fast_dev_run": False,
            "max_epochs": 1,
            "max_steps": -1,
            "global_step": 7,
            "callbacks": [],
            **options,
        }
    )
    results = [SimpleNamespace(target=name, finished=done) for name, done in found.items()]
    data = SimpleNamespace(targets=[Target(name) for name in "abc"], skipped=skipped or {})
    return ending(trainer, SimpleNamespace(results=results), data)


WHOLE = {"a": True, "b": True, "c": True}


def test_a_whole_search_says_nothing():
    assert ended(WHOLE) == (0, "")
    assert ended({}, fast_dev_run=1) == (0, "")


def test_targets_without_a_prompt_are_counted_and_the_first_is_named():
    code, line = ended({"a": True})
    assert code == 1
    assert line == (
        "2 of 3 targets have no prompt, the first is 'b': the run ended before they were searched"
    )


@pytest.mark.parametrize(
    ("options", "told", "remedy"),
    [
        ({"max_epochs": 0}, "(trainer.max_epochs is 0)", "--trainer.max_epochs=1"),
        ({"max_steps": 7}, "(trainer.max_steps is 7)", "--trainer.max_steps=-1"),
        ({"max_steps": 0}, "(trainer.max_steps is 0)", "--trainer.max_steps=-1"),
        ({"max_steps": 8}, "searched; go on", "run"),
        ({"callbacks": [Timer("00:00:00:00")]}, "(trainer.max_time is over)", "run"),
    ],
)
def test_what_has_ended_a_run_is_named_with_what_to_do(options, told, remedy, monkeypatch):
    Path("run").mkdir()
    Path("run/config.yaml").touch()
    for timer in options.get("callbacks", ()):
        monkeypatch.setattr(timer, "time_elapsed", lambda stage: 5.0)
    code, line = ended({"a": True}, **options)
    assert code == 1
    assert told in line
    assert "; go on with: fuse fit --resume run" in line
    assert line.endswith(remedy)


def test_searches_that_were_cut_short_have_a_prompt():
    code, line = ended({**WHOLE, "c": False}, max_steps=7)
    assert (code, line) == (0, "1 of 3 searches were cut short (trainer.max_steps is 7)")


def test_what_was_to_be_skipped_is_no_failure():
    assert ended({"a": True, "b": True}, {"c": "image 'c.png' is broken"}) == (0, "")
    code, line = ended({"a": True, "b": True}, {"c": f"{NO_PROMPT} 'c': relax constraints"})
    assert code == 1
    assert line.endswith("the first is 'c': no prompt was found for target 'c': relax constraints")


def test_what_was_skipped_before_a_run_was_resumed_counts(tmp_path):
    Path("run").mkdir()
    Path("run/skipped.jsonl").write_text('{"target": "c", "reason": "image is broken"}\n')
    assert ended({"a": True, "b": True}) == (0, "")
    Path("run/skipped.jsonl").write_text("[]\n{")
    assert ended({"a": True, "b": True})[0] == 1


@pytest.fixture
def run(fit):
    for name in ("a", "b"):
        Image.effect_noise((32, 32), 90).save(f"{name}.png")
    config = short_search(["a.png", "b.png"], 2, batch_size=2)
    Path("run.yaml").write_text(yaml.safe_dump(config))
    return fit


def test_a_run_ends_with_a_line_and_a_code(run):
    code, lines = run("--trainer.max_epochs=0")
    assert (code, lines[-1].partition(":")[0]) == (
        1,
        "2 of 2 targets have no prompt, the first is 'a.png'",
    )
    code, lines = run("--trainer.max_steps=2")
    assert (code, lines[-1].partition(":")[0]) == (
        1,
        "1 of 2 targets have no prompt, the first is 'b.png'",
    )
    words = lines[-1].partition("go on with: fuse fit ")[2].split()
    code, lines = run(*words)
    assert code == 0
    assert not any("targets have no prompt" in line for line in lines)
    (folder,) = Path("logs/search").glob("version_1")
    assert {row.target for row in read_results(folder / "prompts.jsonl")} == {"a.png", "b.png"}


def test_a_run_says_where_its_prompts_are_and_writes_where_it_is_told_to(run):
    code, _ = run("--trainer.default_root_dir=a b")
    told = (
        "prompts are in a b/search/version_0/prompts.csv; a page of them: "
        "fuse report 'a b/search/version_0'"
    )
    assert (code, run.printed[-1]) == (0, told)
    assert Path("a b/search/version_0/prompts.csv").is_file()
    assert not Path("logs").exists()
    # A run that goes on does so where it began.
    code, _ = run("--resume", "a b/search/version_0")
    assert code == 0
    assert not Path("logs").exists()


@pytest.fixture
def hushed(monkeypatch):
    """What ``-q`` changes for the rest of the process is undone."""
    monkeypatch.setattr(terminal._Voice, "hushed", False)
    for name in NEWS:
        monkeypatch.setattr(logging.getLogger(name), "filters", [])


@pytest.mark.usefixtures("hushed")
@pytest.mark.parametrize(
    ("word", "errors"), [("--model.steps=1", []), ("--trainer.max_epochs=0", ["2 of 2 targets"])]
)
def test_a_quiet_run_says_nothing_but_what_went_wrong(word, errors, run):
    code, lines = run("-q", word)
    assert code == len(errors)
    assert [line.partition(" have no prompt")[0] for line in lines] == errors
    assert run.printed == []
    assert Path("logs/search/version_0").is_dir()


def test_a_picture_that_cannot_be_read_and_is_to_be_skipped(run):
    broken = Path("b.png").read_bytes()
    Path("b.png").write_bytes(broken[: len(broken) // 2])
    code, lines = run("--data.on_error=skip")
    assert code == 0
    assert sum("is left out" in line for line in lines) == 1


def test_a_target_for_which_there_is_no_prompt(run, monkeypatch):
    monkeypatch.setattr(AutoDAN, "propose", lambda self, states: [[] for _ in states])
    code, lines = run("--data.on_error=skip")
    assert code == 1
    assert (
        "have no prompt, the first is 'a.png': no prompt was found for target 'a.png'" in lines[-1]
    )
