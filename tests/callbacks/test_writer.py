import csv
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import lightning as L
import pytest
from lightning.pytorch.callbacks import Callback
from PIL import Image

from fuse_lightning.callbacks import PromptTable, PromptWriter
from fuse_lightning.callbacks.formats import csv_row, json_lines
from fuse_lightning.data import ImageTargets, Target
from fuse_lightning.errors import FuseError
from fuse_lightning.objectives import Fluency, ImageSimilarity
from fuse_lightning.optimizers import AutoDAN
from fuse_lightning.results import Result, read_results, read_targets, result_files
from tests.disk import at_most


def result(name, prompt="a red cube", **losses):
    losses = losses or {"fluency": 1.25, "image_similarity": 0.5}
    return Result(name, prompt, [3, 1, 4], sum(losses.values()), losses, 2, 0, 1.5)


def trainer(rank=0, ranks=1, folder="run", targets=None):
    data = targets and SimpleNamespace(targets=[Target(name) for name in targets])
    return SimpleNamespace(
        datamodule=data or None,
        strategy=SimpleNamespace(barrier=lambda: None),
        log_dir=folder,
        default_root_dir=".",
        global_rank=rank,
        world_size=ranks,
        is_global_zero=rank == 0,
    )


def read(folder="run", name="prompts"):
    with Path(folder, f"{name}.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    text = Path(folder, f"{name}.jsonl").read_text(encoding="utf-8")
    return table, [json.loads(line) for line in text.splitlines()]


def expect(results, folder="run", name="prompts"):
    table, lines = read(folder, name)
    assert [Result(**line) for line in lines] == results
    assert table == [{key: str(cell) for key, cell in csv_row(r).items()} for r in results]


def test_results_are_added_as_they_come():
    writer, module = PromptWriter(), SimpleNamespace(results=[])
    writer.on_train_start(trainer(), module)
    expect([])
    for name in ("a", "b", "c"):
        module.results.append(result(name))
        writer.on_train_batch_end(trainer(), module)
        writer.on_train_batch_end(trainer(), module)
        expect(module.results)


@pytest.mark.parametrize(
    "prompt", ['with "quotes", commas', "two\nlines", "ünï 🐈", "", "=1+1", "back\\slash"]
)
def test_any_prompt_survives(prompt):
    module = SimpleNamespace(results=[result("a, b", prompt)])
    PromptWriter().on_train_start(trainer(), module)
    expect(module.results)


def resumed(*kept, found=("a", "b", "c", "d"), targets=("a", "b", "c", "d")):
    """A run that had found some targets and goes on with the results of a checkpoint."""
    writer, before = PromptWriter(), SimpleNamespace(results=[result(name) for name in found])
    writer.on_train_start(trainer(targets=targets), before)
    module = SimpleNamespace(results=[result(name, "anew") for name in kept])
    writer = PromptWriter()
    writer.on_train_start(trainer(targets=targets), module)
    return writer, module


def test_a_resumed_run_keeps_what_came_after_its_checkpoint_until_it_is_found_again():
    writer, module = resumed("a")
    later = {name: result(name) for name in "bcd"}
    expect([*module.results, *later.values()])
    for name in "bcd":
        module.results.append(result(name, "anew"))
        del later[name]
        writer.on_train_batch_end(trainer(), module)
        expect([*module.results, *later.values()])


def test_a_resumed_run_that_dies_at_once_has_lost_nothing():
    resumed("a")
    _, lines = read()
    assert [line["target"] for line in lines] == ["a", "b", "c", "d"]
    PromptWriter().on_train_start(trainer(), SimpleNamespace(results=[]))
    assert read()[1] == lines


def test_targets_that_a_run_does_not_have_are_not_its_results():
    resumed("a", targets=("a", "c"))
    assert [line["target"] for line in read()[1]] == ["a", "c"]


def test_targets_that_are_left_out_as_finished_stay():
    run = trainer(targets=("a", "c"))
    run.datamodule.finished = {"b"}
    before = SimpleNamespace(results=[result(name) for name in "abd"])
    PromptWriter().on_train_start(trainer(targets=("a", "b", "d")), before)
    writer, module = PromptWriter(), SimpleNamespace(results=[])
    writer.on_train_start(run, module)
    module.results += [result("c"), result("a", "anew")]
    writer.on_train_batch_end(run, module)
    writer.on_fit_end(run, module)
    assert {(line["target"], line["prompt"]) for line in read()[1]} == {
        ("a", "anew"),
        ("b", "a red cube"),
        ("c", "a red cube"),
    }


@pytest.mark.parametrize("before", [True, False])
def test_a_search_that_was_cut_short_does_not_undo_one_that_ended(before):
    first = replace(result("a", "first"), finished=before)
    PromptWriter().on_train_start(trainer(targets="a"), SimpleNamespace(results=[first]))
    writer, module = PromptWriter(), SimpleNamespace(results=[])
    writer.on_train_start(trainer(targets="a"), module)
    module.results.append(replace(result("a", "second"), finished=False))
    writer.on_fit_end(trainer(targets="a"), module)
    expect([first] if before else module.results)
    module.results[:] = [result("a", "third")]
    writer.on_fit_end(trainer(targets="a"), module)
    expect(module.results)


def test_a_line_that_was_half_written_is_left_out():
    writer, module = PromptWriter(), SimpleNamespace(results=[result("a"), result("b", "ü" * 9)])
    writer.on_train_start(trainer(), module)
    path = Path("run/prompts.jsonl")
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for end in range(first, len(whole) - 2):
        path.write_bytes(whole[:end])
        assert read_results(path) == module.results[:1]
    PromptWriter().on_train_start(trainer(), SimpleNamespace(results=[]))
    expect(module.results[:1])


@pytest.mark.parametrize(
    "line", ["left over", "[1]", '{"target": "a"}', "[" * 99999, '{"target": 1, "prompt": 2}']
)
def test_a_line_that_is_no_result_is_named_and_stays(line):
    Path("run").mkdir()
    text = f"{line}\n{json.dumps(result('a').to_dict())}\n"
    Path("run/prompts.jsonl").write_text(text)
    with pytest.raises(FuseError, match=r"line 1 of 'run/prompts\.jsonl' is no result"):
        PromptWriter().on_train_start(trainer(), SimpleNamespace(results=[]))
    assert Path("run/prompts.jsonl").read_text() == text


def fit(ranks, results, targets):
    """Results of every rank before a run ends, joined by the first one at its end."""
    writers = [PromptWriter() for _ in range(ranks)]
    modules = [SimpleNamespace(results=[]) for _ in range(ranks)]
    for rank in range(ranks):
        writers[rank].on_train_start(trainer(rank, ranks, targets=targets), modules[rank])
        modules[rank].results += results[rank::ranks]
        writers[rank].on_train_batch_end(trainer(rank, ranks), modules[rank])
    return writers


def test_files_of_single_devices_become_one_that_has_every_target_once():
    names = ["a", "b", "c", "d", "e"]
    rows = [result(name) for name in names]
    writers = fit(2, rows[:4], names)
    # A run that dies here leaves both files, which the next one begins with.
    writers = fit(2, [result("a", "anew"), result("b", "anew")], names)
    expect([result("a", "anew"), rows[2]], name="prompts-rank0")
    assert {
        name: [r.prompt for r in found]
        for name, found in read_targets(result_files(Path("run"))).items()
    } == {
        "a": ["anew"],
        "b": ["anew"],
        "c": ["a red cube"],
        "d": ["a red cube"],
    }
    merged = SimpleNamespace(results=[result("a", "anew"), result("b", "anew"), rows[2]])
    for rank in range(2):
        writers[rank].on_fit_end(trainer(rank, 2, targets=names), merged)
    # The search ended before "d" was found again: it stays.
    expect([*merged.results, rows[3]])
    assert sorted(path.name for path in Path("run").iterdir()) == ["prompts.csv", "prompts.jsonl"]


def test_what_several_devices_found_is_not_lost_on_one():
    fit(2, [result(name) for name in "abc"], ["a", "b", "c"])
    PromptWriter().on_train_start(trainer(targets=["a", "b", "c"]), SimpleNamespace(results=[]))
    expect([result("a"), result("b"), result("c")])
    assert not [*Path("run").glob("prompts-rank*")]


@pytest.mark.parametrize("spare", [0, 1, 50])
@pytest.mark.parametrize("more", ["c", "b"])
def test_a_full_disk_is_one_line_and_files_stay_whole(spare, more):
    writer, module = PromptWriter(), SimpleNamespace(results=[result("a"), result("b")])
    writer.on_train_start(trainer(), module)
    if more == "b":
        # What was found after the checkpoint makes the file be written anew.
        writer, module = PromptWriter(), SimpleNamespace(results=[result("a")])
        writer.on_train_start(trainer(), module)
    Path("run/config.yaml").touch()
    before = Path("run/prompts.jsonl").read_bytes()
    module.results.append(result(more, "a long prompt " * 9))
    with at_most(len(before) + spare), pytest.raises(FuseError) as caught:
        writer.on_train_batch_end(trainer(), module)
    message = str(caught.value)
    assert message == (
        "'run/prompts.jsonl' cannot be written (File too large); make room or allow writing "
        "there; 2 prompts are in run/prompts.jsonl; go on with: fuse fit --resume run"
    )
    assert Path("run/prompts.jsonl").read_bytes() == before
    assert {path.name for path in Path("run").iterdir()} == {
        "config.yaml",
        "prompts.csv",
        "prompts.jsonl",
    }
    # What was found is still in memory, and written as soon as there is room.
    writer.on_train_batch_end(trainer(), module)
    expect([result("a"), *([result("b")] if more == "c" else []), module.results[-1]])


def test_a_disk_that_is_full_when_a_run_goes_on_keeps_what_there_is():
    resumed("a")
    before = Path("run/prompts.jsonl").read_bytes()
    with at_most(50), pytest.raises(FuseError, match="there; 4 prompts are in run/prompts"):
        resumed("a", found=())
    assert Path("run/prompts.jsonl").read_bytes() == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_device_without_room():
    writer, module = PromptWriter(), SimpleNamespace(results=[])
    writer.on_train_start(trainer(), module)
    Path("run/prompts.csv").unlink()
    Path("run/prompts.csv").symlink_to("/dev/full")
    module.results.append(result("a"))
    with pytest.raises(FuseError, match=r"prompts\.csv' cannot be written \(No space left"):
        writer.on_train_batch_end(trainer(), module)
    assert read_results(Path("run/prompts.jsonl")) == module.results


@pytest.mark.parametrize("place", ["/proc/fuse", "file/run"])
def test_a_folder_that_cannot_be_made_is_one_line(place):
    Path("file").touch()
    with pytest.raises(FuseError, match=rf"'{place}' cannot be written .*; 0 prompts are in"):
        PromptWriter().on_train_start(trainer(folder=place), SimpleNamespace(results=[]))


def test_one_writer_serves_two_fits():
    writer, module = PromptWriter(), SimpleNamespace(results=[result("a")])
    writer.on_train_start(trainer(folder="first"), module)
    module.results = [result("b"), result("c")]
    writer.on_train_start(trainer(folder="second"), module)
    expect([result("a")], "first")
    expect(module.results, "second")


def test_every_rank_writes_files_of_its_own():
    for rank in range(2):
        module = SimpleNamespace(results=[result(f"target {rank}")])
        PromptWriter().on_train_start(trainer(rank, 2), module)
    for rank in range(2):
        expect([result(f"target {rank}")], name=f"prompts-rank{rank}")


def test_without_a_logger_the_root_folder_is_used():
    PromptWriter().on_train_start(trainer(folder=None), SimpleNamespace(results=[result("a")]))
    expect([result("a")], ".")


def test_the_table_shows_brackets_as_they_are(capsys):
    module = SimpleNamespace(results=[result("a", "[bold] [/] :cat:")])
    PromptTable().on_fit_end(trainer(), module)
    assert "[bold] [/] :cat:" in capsys.readouterr().out


@pytest.mark.parametrize(("results", "rank"), [([], 0), ([result("a")], 1)])
def test_no_table_without_results_or_on_other_ranks(results, rank, capsys):
    PromptTable().on_fit_end(trainer(rank, 2), SimpleNamespace(results=results))
    assert capsys.readouterr().out == ""


class Watcher(Callback):
    """Reads the files behind the writer, after every step."""

    def __init__(self):
        self.seen = []

    def on_train_batch_end(self, trainer, pl_module, *args):
        table, lines = read(trainer.log_dir)
        self.seen.append([line["target"] for line in lines])
        assert [row["target"] for row in table] == self.seen[-1]


def test_a_search_writes_each_target_when_it_finishes():
    for name, color in (("red", "red"), ("blue", "blue"), ("green", "green")):
        Image.new("RGB", (16, 16), color).save(f"{name}.png")
    module = AutoDAN(
        [Fluency("zoo/gpt2", prefix="An image of"), ImageSimilarity("zoo/clip", weight=8)],
        steps=2,
        batch_size=4,
        gradient_samples=1,
    )
    watcher = Watcher()
    fit = L.Trainer(
        accelerator="cpu",
        max_epochs=1,
        callbacks=[PromptWriter(), watcher],
        default_root_dir="logs",
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        log_every_n_steps=1,
    )
    fit.fit(module, datamodule=ImageTargets(["red.png", "blue.png", "green.png"], batch_size=2))
    pair = ["red.png", "blue.png"]
    assert watcher.seen == [[], pair, pair, [*pair, "green.png"]]
    expect(module.results, fit.log_dir)
    for found in module.results:
        assert module.objective.primary.decode([found.ids])[0].strip() == found.prompt
        assert found.loss == pytest.approx(
            found.losses["fluency"] + 8 * found.losses["image_similarity"], rel=1e-5
        )


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_finished_targets_that_are_left_out_keep_their_results_on_every_device(ranks):
    """The same command again, in the folder of a run that was killed."""
    names = ["a", "b", "c", "d"]
    Path("run").mkdir()
    for rank in range(2):
        Path(f"run/prompts-rank{rank}.jsonl").write_text(json_lines([result(names[rank])]))
    writers = [PromptWriter() for _ in range(ranks)]
    modules = [SimpleNamespace(results=[]) for _ in range(ranks)]

    barrier = threading.Barrier(ranks)
    devices = [trainer(rank, ranks, targets=names[2:]) for rank in range(ranks)]
    for device in devices:
        device.datamodule.finished = {"a", "b"}
        device.strategy.barrier = barrier.wait

    def together(method):
        with ThreadPoolExecutor(ranks) as pool:
            [
                *pool.map(
                    lambda each: getattr(each[0], method)(*each[1:]),
                    zip(writers, devices, modules, strict=True),
                )
            ]

    together("on_train_start")
    assert sorted(read_targets(result_files(Path("run")))) == ["a", "b"]
    modules[0].results.append(result("c"))
    together("on_train_batch_end")
    assert sorted(read_targets(result_files(Path("run")))) == ["a", "b", "c"]


def test_targets_that_are_left_out_are_all_written_down():
    module, device = SimpleNamespace(results=[]), trainer(targets=["a"])
    device.datamodule.skipped = {f"b{i}\n": "broken \x1b[31m" for i in range(12)}
    writer = PromptWriter()
    writer.on_train_start(device, module)
    device.datamodule.skipped["late"] = "gone"
    writer.on_fit_end(device, module)
    lines = Path("run/skipped.jsonl").read_text().splitlines()
    expected = [{"target": name, "reason": why} for name, why in device.datamodule.skipped.items()]
    assert [json.loads(line) for line in lines] == expected
    assert not any("\x1b" in line for line in lines)
