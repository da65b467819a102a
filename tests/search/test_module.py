"""A search over whole texts under Lightning's trainer, against a plain loop."""

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace

import lightning as L
import pytest
import torch

from fuse_lightning.callbacks import JoinedPrompt, PromptTable
from fuse_lightning.data import TextTargets
from fuse_lightning.errors import FuseError
from fuse_lightning.results.result import read_results, read_targets, result_files
from fuse_lightning.search import GreedySearch, distinct, search_of
from fuse_lightning.search.target_search import hash_seed
from tests.search.spelling import WORDS, Spelling, Watch, distance, neighbours, run


def by_hand(wanted, name, steps=6, seed=3, count=3, width=2):
    """The two best texts of a target, and how many were looked at, without Lightning."""
    generator = torch.Generator().manual_seed(hash_seed(seed, name))
    beam, known, seen = ["a"], {"a": sum(distance("a", wanted))}, [1]
    for _ in range(steps):
        found = [text for state in beam for text in neighbours(state, generator, count)]
        losses = {text: sum(distance(text, wanted)) for text in found}
        for text in found:
            if text:
                known.setdefault(text, losses[text])
        seen.append(seen[-1] + len(found))
        beam = [text for _, text in distinct([(losses[text], text) for text in found])][:width]
    best = sorted(known, key=lambda text: known[text])[:2]
    return [(text.title(), known[text]) for text in best], seen


def checkpoint_at(step, run_folder, place):
    """A checkpoint of a run, beside what the run's files held when it was written."""
    then = place / "then"
    then.mkdir()
    shutil.copy(run_folder / f"step-{step}.jsonl", then / "prompts.jsonl")
    shutil.copy(run_folder / "run.json", then)
    (path,) = (run_folder / "checkpoints").glob(f"*step={step}.ckpt")
    torch.save(torch.load(path, weights_only=True) | {"run": str(then)}, then / "last.ckpt")
    return then / "last.ckpt"


def told(results):
    """Results without their shares of steps, which depend on who else was in the batch."""
    return [replace(result, seconds=0.0, tokens=0, flops=0.0) for result in results]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nothing stopped: its folder, results, and what its searches kept."""
    folder = tmp_path_factory.mktemp("whole")
    watch = Watch()
    module, _ = run(folder, watch)
    return folder, told(module.results), watch.seen


def test_a_search_over_texts_is_a_plain_loop_for_each_target(whole):
    folder, results, seen = whole
    names = [*dict.fromkeys(result.target for result in results)]
    for name, wanted in zip(names, WORDS, strict=True):
        best, counts = by_hand(wanted, name)
        rows = [row for row in results if row.target == name]
        assert [(row.prompt, row.loss) for row in rows] == best
        assert [seen[name, step] for step in range(1, 7)] == counts[1:]
        for row in rows:
            assert row.losses == dict(
                zip(("letters", "length"), distance(row.prompt.lower(), wanted), strict=True)
            )
            assert row.ids == []
            assert row.finished
    assert told(read_results(folder / "prompts.jsonl")) == results


@pytest.mark.parametrize("stop", [1, 4, 6, 9])
def test_a_run_goes_on_from_any_step_as_if_nothing_had_happened(whole, stop, tmp_path):
    folder, results, seen = whole
    checkpoint = checkpoint_at(stop, folder, tmp_path)
    watch = Watch()
    module, trainer = run(tmp_path, watch, checkpoint=checkpoint)
    assert told(module.results) == results
    used = [
        (row.evaluations, row.tokens, row.flops) for row in read_results(folder / "prompts.jsonl")
    ]
    assert [(row.evaluations, row.tokens, row.flops) for row in module.results] == used
    assert watch.seen.items() <= seen.items()
    assert trainer.global_step == 24


def process(folder, last, devices):
    words = [sys.executable, "-m", "tests.search.spelling", str(folder), str(last), str(devices)]
    root = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
    return subprocess.run(words, cwd=root, capture_output=True, text=True, timeout=200)


@pytest.mark.parametrize("devices", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_run_that_is_killed_goes_on_in_its_folder(whole, devices, tmp_path):
    done = process(tmp_path, 8, devices)
    assert done.returncode == -signal.SIGKILL, done.stderr
    found = [*read_targets(result_files(tmp_path)).values()]
    assert 0 < len(found) < len(WORDS)
    checkpoint = tmp_path / "checkpoints" / "epoch=0-step=8.ckpt"
    saved = torch.load(checkpoint, weights_only=True)["state_dict"]["_extra_state"]
    assert len(saved["searches"]) == devices + 1
    module, _ = run(tmp_path, checkpoint=checkpoint)
    assert told(module.results) == whole[1]
    assert told(read_results(tmp_path / "prompts.jsonl")) == whole[1]


@pytest.mark.slow
def test_two_devices_find_what_one_does(whole, tmp_path):
    done = process(tmp_path, -1, 2)
    assert done.returncode == 0, done.stderr
    assert told(read_results(tmp_path / "prompts.jsonl")) == whole[1]


def test_another_search_does_not_go_on(whole, tmp_path):
    checkpoint = next((whole[0] / "checkpoints").glob("*step=4.ckpt"))
    with pytest.raises(FuseError, match="start is b, but was a; go on with the same"):
        run(tmp_path, checkpoint=checkpoint, start="b")


@pytest.mark.parametrize(
    "change",
    [
        lambda search: search["search"]["own"].update(seen="many"),
        lambda search: search["search"]["own"].clear(),
        lambda search: search["search"].update(own=3),
        lambda search: search["search"].update(tokens="many"),
        lambda search: search["search"]["evaluated"].update(count=-1),
        lambda search: search["search"].pop("evaluated"),
        lambda search: search["search"].pop("own"),
        lambda search: search["search"]["kept"][0].update(state=(1, 2)),
        lambda search: search["search"]["kept"][0].update(losses=[1.0]),
    ],
)
def test_what_is_no_state_of_the_search_is_refused(whole, tmp_path, change):
    checkpoint = checkpoint_at(4, whole[0], tmp_path)
    saved = torch.load(checkpoint, weights_only=True)
    for search in saved["state_dict"]["_extra_state"]["searches"].values():
        change(search)
    torch.save(saved, tmp_path / "bad.ckpt")
    with pytest.raises(FuseError, match="checkpoint cannot be read; give a file that a search of"):
        run(tmp_path, checkpoint=tmp_path / "bad.ckpt")


def test_callbacks_serve_any_search(tmp_path, capsys):
    module, _ = run(tmp_path, PromptTable())
    assert module.results[0].prompt in capsys.readouterr().out
    with pytest.raises(FuseError, match=r"JoinedPrompt scores prompts .* and Spelling has none"):
        run(tmp_path / "joined", JoinedPrompt())


def test_a_search_that_finds_nothing_says_why(tmp_path):
    class Silent(Spelling):
        def score(self, proposed):
            return [[] for _ in proposed]

    module = Silent(steps=2)
    trainer = L.Trainer(
        accelerator="cpu", max_epochs=1, logger=False, default_root_dir=tmp_path, barebones=True
    )
    with pytest.raises(FuseError, match=r"^no prompt was found for target '.*': it has no letters"):
        trainer.fit(module, TextTargets("bead"))
    assert isinstance(module.frontier, GreedySearch)


def test_limits_hold_for_any_search(tmp_path):
    free, _ = run(tmp_path / "free", steps=40, words=["bead"], top=1)
    (row,) = free.results
    enough, _ = run(tmp_path / "enough", steps=40, words=["bead"], top=1, stop_loss=row.loss)
    assert [enough.searches[0].step, enough.searches[0].done] == [row.step, True]
    patient, _ = run(tmp_path / "patient", steps=40, words=["bead"], top=1, patience=2)
    assert patient.searches[0].step == patient.searches[0].best.step + 2
    quick, _ = run(tmp_path / "quick", steps=40, words=["bead"], top=1, max_seconds=1e-9)
    assert quick.searches[0].step == 1


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("steps", 0),
        ("patience", 0),
        ("top", 0),
        ("stop_loss", float("nan")),
        ("max_evaluations", 0),
        ("max_tokens", -1),
        ("max_seconds", 0),
        ("max_flops", float("nan")),
    ],
)
def test_limits_out_of_their_range_are_refused(option, value):
    with pytest.raises(FuseError, match=rf"^{option} is {value}; it must be"):
        Spelling(**{option: value})


def test_what_is_no_search_is_named():
    with pytest.raises(FuseError, match="BoringModel is no search; give the trainer a Search"):
        search_of(type("BoringModel", (L.LightningModule,), {})())
    assert search_of(module := Spelling()) is module
