import csv
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock

from fuse_lightning.callbacks import PromptTable, PromptWriter
from fuse_lightning.errors import FuseError
from fuse_lightning.results.export import csv_row
from fuse_lightning.results.result import Result, read_results, read_targets, result_files
from fuse_lightning.results.result_files import ResultFiles
from fuse_lightning.results.run_folder import RunFolder
from tests.callbacks.stubs import search, trainer
from tests.disk import at_most


def result(name, prompt="a red cube", **losses):
    losses = losses or {"fluency": 1.25, "image_similarity": 0.5}
    return Result(name, prompt, [3, 1, 4], sum(losses.values()), losses, 2, 0, 1.5)


def begin(module, device=None):
    """A writer that has begun."""
    writer = PromptWriter()
    writer.on_fit_start(device or trainer(), module)
    return writer


def end(writer, module, device=None):
    writer.on_fit_end(device or trainer(), module)
    writer.teardown(device or trainer(), module, "fit")


def visible_files(folder="run"):
    """Names of what a run shows in its folder."""
    return {path.name for path in Path(folder).iterdir() if not path.name.startswith(".")}


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
    module = search()
    writer = begin(module)
    expect([])
    for name in ("a", "b", "c"):
        module.results.append(result(name))
        writer.on_train_batch_end(trainer(), module)
        writer.on_train_batch_end(trainer(), module)
        expect(module.results)
        assert module.durable == len(module.results)


@pytest.mark.parametrize(
    "prompt", ['with "quotes", commas', "two\nlines", "ünï 🐈", "", "=1+1", "back\\slash"]
)
def test_any_prompt_survives(prompt):
    module = search(result("a, b", prompt))
    begin(module)
    expect(module.results)


def earlier(*results):
    """A run that has found something and then was killed."""
    module = search(*results)
    begin(module).folder.leave()


def test_a_run_that_goes_on_has_all_that_was_found():
    earlier(result("a"), result("b"))
    module = search(result("b", "of a checkpoint"), result("c"), goes_on=True)
    writer = begin(module)
    assert module.results == [result("a"), result("b"), result("c")]
    assert module.durable == 3
    expect(module.results)
    module.results.append(result("d"))
    writer.on_train_batch_end(trainer(), module)
    expect(module.results)


def test_a_run_that_goes_on_and_dies_at_once_has_lost_nothing():
    earlier(result("a"), result("b"))
    before = read()[1]
    for _ in range(2):
        begin(search(goes_on=True)).folder.leave()
        assert read()[1] == before


def test_results_of_targets_that_the_data_no_longer_has_stay():
    earlier(result("a"), result("b"), result("c"))
    module = search(goes_on=True)
    end(begin(module, trainer(targets="ac")), module, trainer(targets="ac"))
    assert {line["target"] for line in read()[1]} == {"a", "b", "c"}


def test_a_search_that_was_cut_short_keeps_its_place_until_it_ends():
    first = replace(result("a", "first"), finished=False)
    earlier(first, result("b"))
    module = search(goes_on=True)
    writer = begin(module)
    assert module.results == [result("b")]
    expect([result("b"), first])
    module.results.append(result("c"))
    writer.on_train_batch_end(trainer(), module)
    assert {line["target"] for line in read()[1]} == {"a", "b", "c"}
    module.results.append(result("a", "second"))
    writer.on_train_batch_end(trainer(), module)
    expect([result("b"), result("c"), result("a", "second")])
    end(writer, module)
    expect(module.results)


def test_a_search_that_is_cut_short_again_is_there_once():
    earlier(replace(result("a", "first"), finished=False))
    module = search(goes_on=True)
    writer = begin(module)
    module.results.append(replace(result("a", "second"), finished=False))
    end(writer, module)
    expect(module.results)


class TestFolders:
    """A folder is one run's, and one process's at a time."""

    @pytest.mark.parametrize(
        "name",
        [
            "prompts.jsonl",
            "prompts.csv",
            "prompts-rank1.jsonl",
            "config.yaml",
            "checkpoints/a.ckpt",
        ],
    )
    def test_a_new_run_writes_nothing_over(self, name):
        path = Path("run") / name
        path.parent.mkdir(parents=True)
        path.write_text("somebody's own")
        with pytest.raises(FuseError, match=f"'run' holds {path.name} already.*--overwrite"):
            begin(search())
        assert path.read_text() == "somebody's own"
        assert visible_files() == {path.relative_to("run").parts[0]}

    def test_overwriting_removes_all_that_an_earlier_run_left(self):
        earlier(result("a"), result("b"))
        Path("run/checkpoints").mkdir()
        for name in ("checkpoints/a.ckpt", "skipped.jsonl", "prompts-rank0.csv", "mine.txt"):
            Path("run", name).touch()
        module = search(result("c"), overwrite=True)
        writer = begin(module)
        assert writer.folder is not None
        expect([result("c")])
        kept = {"mine.txt", "prompts.csv", "prompts.jsonl", "run.json", "targets.jsonl"}
        assert visible_files() == kept | {"checkpoints"}
        assert not [*Path("run/checkpoints").iterdir()]
        with pytest.raises(FuseError, match="in use"):
            PromptWriter(overwrite=True).on_fit_start(trainer(), search())

    def test_one_process_works_in_a_folder(self):
        module = search(result("a"))
        writer = begin(module)
        words = rf"'run' is in use by process {os.getpid()} on .*; wait for it to end"
        with pytest.raises(FuseError, match=words):
            begin(search(goes_on=True))
        expect(module.results)
        end(writer, module)
        begin(search(goes_on=True))

    @pytest.mark.slow
    def test_a_process_that_was_killed_holds_no_folder(self):
        code = (
            "import os, pathlib; from fuse_lightning.results.run_folder import RunFolder; "
            "RunFolder(pathlib.Path('run')).take(); os.kill(os.getpid(), 9)"
        )
        assert subprocess.run([sys.executable, "-c", code]).returncode == -9
        assert Path("run/.owner").exists()
        begin(search())

    def test_a_folder_that_was_refused_is_left_alone_to_the_end(self, capsys):
        earlier(result("a"))
        before = {path: path.read_bytes() for path in Path("run").iterdir() if path.is_file()}
        writer, module = PromptWriter(), search(result("b"))
        with pytest.raises(FuseError) as refused:
            writer.on_fit_start(trainer(), module)
        writer.on_exception(trainer(), module, refused.value)
        assert {path: path.read_bytes() for path in before} == before
        assert capsys.readouterr().err == ""

    def test_why_targets_were_left_out_is_kept_until_they_are_found(self):
        earlier(result("a"))
        rows = [{"target": name, "reason": "broken"} for name in ("b", "c")]
        Path("run/skipped.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        module = search(goes_on=True)
        writer = begin(module)
        module.results.append(result("b"))
        end(writer, module)
        (line,) = Path("run/skipped.jsonl").read_text().splitlines()
        assert json.loads(line) == rows[1]

    def test_another_search_does_not_go_on(self):
        earlier(result("a"))
        before = Path("run/prompts.jsonl").read_bytes(), Path("run/run.json").read_bytes()
        with pytest.raises(FuseError, match="the run in 'run' is of"):
            begin(search(goes_on=True, of="another"))
        assert before == (Path("run/prompts.jsonl").read_bytes(), Path("run/run.json").read_bytes())

    def test_results_that_do_not_say_what_they_are_of_take_no_others(self):
        earlier(result("a"))
        Path("run/run.json").unlink()
        with pytest.raises(FuseError, match="does not say what it is of"):
            begin(search(goes_on=True))

    @pytest.mark.parametrize("text", ["[1]", "{", '{"a": 1}', "[" * 9999, "\xff"])
    def test_a_broken_description_is_one_line(self, text):
        earlier(result("a"))
        Path("run/run.json").write_bytes(text.encode("latin1"))
        with pytest.raises(FuseError, match=r"run\.json' cannot be read"):
            begin(search(goes_on=True))

    def test_no_link_in_the_folder_leads_elsewhere(self):
        Path("victim").write_text("untouched" * 999)
        Path("run").mkdir()
        names = (".prompts.jsonl.new", ".run.json.new", ".targets.jsonl.new", ".owner.new")
        for name in names:
            Path("run", name).symlink_to("../victim")
        module = search(result("a"))
        writer = begin(module)
        Path("run/prompts.jsonl").unlink()
        Path("run/prompts.jsonl").symlink_to("../victim")
        module.results.append(result("b"))
        writer.on_train_batch_end(trainer(), module)
        expect(module.results)
        assert Path("victim").read_text() == "untouched" * 999

    def test_what_a_killed_process_left_half_written_is_removed(self):
        Path("run").mkdir()
        for name in (".prompts.jsonl.0123456789abcdef.new", ".mine.new"):
            Path("run", name).touch()
        begin(search())
        assert not Path("run/.prompts.jsonl.0123456789abcdef.new").exists()
        assert Path("run/.mine.new").exists()

    def test_a_folder_that_is_deleted_under_a_run_is_made_again(self, capsys):
        module = search(result("a"))
        writer = begin(module)
        shutil.rmtree("run")
        module.results.append(result("b"))
        writer.on_train_batch_end(trainer(), module)
        expect(module.results)
        shutil.rmtree("run")
        writer.on_exception(trainer(), module, KeyboardInterrupt())
        assert capsys.readouterr().err == "2 prompts are in run/prompts.jsonl\n"
        expect(module.results)

    def test_a_folder_that_was_deleted_and_is_another_runs_now_is_left_to_it(self):
        module = search(result("a"))
        writer = begin(module)
        shutil.rmtree("run")
        other = search(result("b"))
        second = begin(other)
        for ended in (False, True):
            if ended:
                end(second, other)
            module.results.append(result("c"))
            with pytest.raises(FuseError, match=r"all \d are in /.*/prompts\.jsonl") as caught:
                writer.on_train_batch_end(trainer(), module)
            place = str(caught.value).rsplit("are in ")[-1]
            assert read_results(Path(place)) == module.results
            expect([result("b")])
            writer.files = ResultFiles(RunFolder(Path("run")))
            writer.folder._lock = FileLock("elsewhere")

    def test_what_a_folder_said_of_its_run_is_said_again(self):
        module = search(result("a"))
        writer = begin(module, trainer(targets="ab"))
        writer.folder.write("config.yaml", "seed: 1")
        names = ("run.json", "targets.jsonl", "config.yaml")
        before = [Path("run", name).read_bytes() for name in names]
        shutil.rmtree("run")
        module.results.append(result("b"))
        writer.on_train_batch_end(trainer(), module)
        assert [Path("run", name).read_bytes() for name in names] == before

    def test_where_a_folder_cannot_be_made_again_results_go_to_a_temporary_one(self):
        module = search(result("a"))
        writer = begin(module)
        shutil.rmtree("run")
        Path("run").touch()
        module.results.append(result("b"))
        with pytest.raises(FuseError, match=r"all 2 are in /.*/prompts\.jsonl") as caught:
            writer.on_train_batch_end(trainer(), module)
        place = str(caught.value).rsplit("are in ")[-1]
        assert read_results(Path(place)) == module.results


def test_a_run_that_goes_on_leaves_a_half_written_line_out():
    module = search(result("a"), result("b", "ü" * 9))
    begin(module).folder.leave()
    path = Path("run/prompts.jsonl")
    path.write_bytes(path.read_bytes()[:-5])
    begin(search(goes_on=True))
    expect(module.results[:1])


@pytest.mark.parametrize(
    "line", ["left over", "[1]", '{"target": "a"}', "[" * 99999, '{"target": 1, "prompt": 2}']
)
def test_a_line_that_is_no_result_is_named_and_stays(line):
    Path("run").mkdir()
    text = f"{line}\n{json.dumps(result('a').to_dict())}\n"
    Path("run/prompts.jsonl").write_text(text)
    with pytest.raises(FuseError, match=r"line 1 of 'run/prompts\.jsonl' is no result"):
        begin(search(goes_on=True))
    assert Path("run/prompts.jsonl").read_text() == text


def fit(ranks, results, targets, goes_on=False):
    """Every rank's writer and search before a run ends."""
    modules = [search(goes_on=goes_on) for _ in range(ranks)]
    devices = [trainer(rank, ranks, targets=targets) for rank in range(ranks)]
    writers = [begin(module, device) for module, device in zip(modules, devices, strict=True)]
    for rank in range(ranks):
        modules[rank].results += results[rank::ranks]
        writers[rank].on_train_batch_end(devices[rank], modules[rank])
    return writers, modules, devices


def test_files_of_single_devices_become_one_that_has_every_target_once():
    names = ["a", "b", "c", "d", "e"]
    rows = [result(name) for name in names]
    writers, *_ = fit(2, rows[:2], names)
    # A run that dies here leaves both files, which the next one begins with.
    writers[0].folder.leave()
    writers, modules, devices = fit(2, rows[2:4], names, goes_on=True)
    expect(rows[:2])
    expect([rows[2]], name="prompts-rank0")
    expect([rows[3]], name="prompts-rank1")
    found = read_targets(result_files(Path("run")))
    assert found == {name: [row] for name, row in zip("abcd", rows, strict=False)}
    for module in modules:
        module.results = rows[:4]
    for writer, module, device in zip(writers, modules, devices, strict=True):
        end(writer, module, device)
    expect(rows[:4])
    results = {"prompts.csv", "prompts.jsonl"}
    assert visible_files() == results | {"run.json", "targets.jsonl"}


def test_what_several_devices_found_is_not_lost_on_one():
    writers, *_ = fit(2, [result(name) for name in "abc"], ["a", "b", "c"])
    writers[0].folder.leave()
    begin(search(goes_on=True), trainer(targets=["a", "b", "c"]))
    assert read_targets(result_files(Path("run"))).keys() == {*"abc"}
    assert not [*Path("run").glob("prompts-rank*")]


def test_all_devices_say_why_the_first_cannot_begin():
    told = []
    first, second = trainer(0, 2), trainer(1, 2)
    first.strategy.broadcast = told.append
    second.strategy.broadcast = lambda _: told[0]
    Path("run").mkdir()
    Path("run/prompts.jsonl").touch()
    for device in (first, second):
        with pytest.raises(FuseError, match="'run' holds prompts"):
            begin(search(), device)


@pytest.mark.parametrize("spare", [0, 1, 50])
@pytest.mark.parametrize("more", ["c", "b"])
def test_a_full_disk_is_one_line_and_files_stay_whole(spare, more):
    earlier(result("a"), replace(result("b"), finished=more == "c"))
    module = search(goes_on=True)
    writer = begin(module)
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
    assert not [*Path("run").glob(".prompts*")]
    # What was found is still in memory, and written as soon as there is room.
    writer.on_train_batch_end(trainer(), module)
    expect([result("a"), *([result("b")] if more == "c" else []), module.results[-1]])


def test_a_disk_that_is_full_when_a_run_goes_on_keeps_what_there_is():
    earlier(*map(result, "abcd"))
    before = Path("run/prompts.jsonl").read_bytes()
    with at_most(50), pytest.raises(FuseError, match=r"cannot be written .* 4 prompts are in run"):
        begin(search(goes_on=True))
    assert Path("run/prompts.jsonl").read_bytes() == before


@pytest.mark.parametrize("place", ["/proc/fuse", "file/run"])
def test_a_folder_that_cannot_be_made_is_one_line(place):
    Path("file").touch()
    with pytest.raises(FuseError, match=rf"'{place}' cannot be written"):
        begin(search(), trainer(folder=place))


def test_one_writer_serves_two_fits():
    writer, module = PromptWriter(), search(result("a"))
    writer.on_fit_start(trainer(folder="first"), module)
    end(writer, module, trainer(folder="first"))
    module.results = [result("b"), result("c")]
    writer.on_fit_start(trainer(folder="second"), module)
    expect([result("a")], "first")
    expect(module.results, "second")


def test_without_a_logger_the_root_folder_is_used():
    begin(search(result("a")), trainer(folder=None))
    expect([result("a")], ".")


def test_the_table_shows_brackets_as_they_are(capsys):
    module = search(result("a", "[bold] [/] :cat:"))
    PromptTable().on_fit_end(trainer(), module)
    assert "[bold] [/] :cat:" in capsys.readouterr().out


@pytest.mark.parametrize(("results", "rank"), [([], 0), ([result("a")], 1)])
def test_no_table_without_results_or_on_other_ranks(results, rank, capsys):
    PromptTable().on_fit_end(trainer(rank, 2), search(*results))
    assert capsys.readouterr().out == ""


def test_targets_that_are_left_out_are_all_written_down():
    module, device = search(), trainer(targets=["a"])
    device.datamodule.skipped = {f"b{i}\n": "broken \x1b[31m" for i in range(12)}
    writer = begin(module, device)
    device.datamodule.skipped["late"] = "gone"
    writer.on_fit_end(device, module)
    lines = Path("run/skipped.jsonl").read_text().splitlines()
    expected = [{"target": name, "reason": why} for name, why in device.datamodule.skipped.items()]
    assert [json.loads(line) for line in lines] == expected
    assert not any("\x1b" in line for line in lines)
