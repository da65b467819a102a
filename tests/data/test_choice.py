"""Which of all targets are searched for: order, number, the finished and the unreadable."""

import logging
import os
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fuse_lightning.cli.main import main
from fuse_lightning.data import ImageTargets, SentimentTargets, TextTargets
from fuse_lightning.data.pictures import content_digest
from fuse_lightning.errors import FuseError
from fuse_lightning.results.distributed import gathered
from fuse_lightning.results.export import csv_text, json_lines
from fuse_lightning.results.result import Result

CONFIGS = Path(__file__).parents[2] / "configs"
COUNT = 30
TEXTS = [f"text {index}" for index in range(COUNT)]
NAMES = TEXTS
"""A short text is its own name."""


def ids(data):
    return [target.id for target in data.find_targets()]


def result(name):
    return Result(name, "a", [1], 1.0, {"fluency": 1.0}, 1, 0, 1.0)


def run(folder, *found, file="prompts.jsonl"):
    """A run that has found some results; a name stands for one without a digest."""
    rows = [result(each) if isinstance(each, str) else each for each in found]
    Path(folder).mkdir(exist_ok=True)
    (Path(folder) / file).write_text(json_lines(rows))
    return str(folder)


@pytest.fixture
def pictures():
    Path("p").mkdir()
    for name in "abcde":
        Image.new("RGB", (9, 9)).save(f"p/{name}.png")
    return "p"


class TestOrder:
    @given(st.integers(), st.integers(1, COUNT))
    def test_a_shuffle_is_one_order_of_all(self, seed, limit):
        whole = ids(TextTargets(TEXTS, shuffle=True, seed=seed))
        assert sorted(whole) == sorted(NAMES)
        assert ids(TextTargets(TEXTS, shuffle=True, seed=seed)) == whole
        assert ids(TextTargets(TEXTS, limit=limit, shuffle=True, seed=seed)) == whole[:limit]

    def test_seeds_give_other_orders(self):
        found = {tuple(ids(TextTargets(TEXTS, shuffle=True, seed=seed))) for seed in range(5)}
        assert len(found) == 5
        assert tuple(NAMES) not in found
        assert ids(TextTargets(TEXTS)) == NAMES

    def test_pictures_beyond_the_limit_are_not_looked_at(self, pictures):
        order = ids(ImageTargets(pictures, shuffle=True, seed=4))
        Path(order[-1]).write_text("broken")
        assert ids(ImageTargets(pictures, limit=4, shuffle=True, seed=4)) == order[:4]


class TestFinished:
    @given(st.sets(st.sampled_from(NAMES), max_size=COUNT - 1), st.booleans(), st.integers(1, 5))
    def test_what_is_left_keeps_its_order(self, tmp_path_factory, finished, shuffle, limit):
        folder = run(tmp_path_factory.getbasetemp() / "finished", *finished)
        whole = ids(TextTargets(TEXTS, shuffle=shuffle))
        data = TextTargets(TEXTS, limit=limit, shuffle=shuffle, skip_finished=folder)
        assert ids(data) == [name for name in whole if name not in finished][:limit]

    def test_what_a_run_was_begun_with_stays_its_own(self):
        data = TextTargets(TEXTS[:4], skip_finished=run("other", *TEXTS[:3]))
        assert ids(data) == [TEXTS[3]]
        data.begun = {TEXTS[1]}
        assert ids(data) == [TEXTS[1], TEXTS[3]]

    def test_files_of_all_devices_and_cut_lines(self):
        run("run", "text 0", "other", file="prompts-rank0.jsonl")
        run("run", "text 3", file="prompts-rank1.jsonl")
        with Path("run/prompts-rank1.jsonl").open("a") as file:
            file.write('{"target": "text 2", "pro')
        assert ids(TextTargets(TEXTS[:4], skip_finished="run")) == ["text 1", "text 2"]
        both = ["run", run("later", "text 1")]
        assert ids(TextTargets(TEXTS[:4], skip_finished=both)) == ["text 2"]
        one = TextTargets(TEXTS[:4], skip_finished="run/prompts-rank1.jsonl")
        assert ids(one) == ["text 0", "text 1", "text 2"]

    def test_targets_whose_search_was_cut_short_are_not_finished(self):
        Path("run").mkdir()
        rows = [result("text 0"), replace(result("text 1"), finished=False)]
        Path("run/prompts.jsonl").write_text(json_lines(rows))
        assert ids(TextTargets(TEXTS[:2], skip_finished="run")) == ["text 1"]

    def test_a_table_of_prompts_is_no_source(self):
        Path("run").mkdir()
        Path("run/prompts.csv").write_text(csv_text([result("text 0")]))
        with pytest.raises(FuseError, match=r"is no result; give prompts\.jsonl"):
            ids(TextTargets(TEXTS[:2], skip_finished="run/prompts.csv"))

    def test_how_many_is_said(self, monkeypatch):
        said = []
        monkeypatch.setattr("fuse_lightning.data.module.rank_zero_info", said.append)
        ids(TextTargets(TEXTS[:4], skip_finished=run("run", "text 0", "text 2", "other")))
        assert said == ["2 of 4 targets are finished in 'run'"]

    def test_all_finished(self):
        data = TextTargets(TEXTS[:2], skip_finished=run("run", *NAMES))
        with pytest.raises(FuseError, match="all 2 targets are finished in 'run'; nothing is left"):
            ids(data)

    def test_each_sentiment_of_a_picture_by_itself(self, pictures):
        folder = run("run", "p/a.png (good)", "p/b.png (good)", "p/b.png (bad)", "bad")
        data = SentimentTargets(["good", "bad"], pictures, limit=2, skip_finished=folder)
        assert ids(data) == ["p/a.png (bad)", "p/c.png (good)", "p/c.png (bad)"]
        assert ids(SentimentTargets(["good", "bad"], skip_finished=folder)) == ["good"]

    def test_pictures_that_are_one_target(self, pictures):
        data = ImageTargets(pictures, together=True, skip_finished=run("run", "p/a.png"))
        assert ids(data) == ["together"]
        data = ImageTargets(pictures, together=True, skip_finished=run("run", "together"))
        with pytest.raises(FuseError, match="all 1 targets are finished"):
            ids(data)

    def test_other_content_under_the_same_name_is_searched_again(self, pictures, caplog):
        (first, second, *_) = ImageTargets(pictures).find_targets()
        rows = [replace(result(each.id), digest=each.digest) for each in (first, second)]
        run("run", *rows)
        assert ids(ImageTargets(pictures, skip_finished="run"))[0] == "p/c.png"
        Image.new("RGB", (9, 9), "red").save("p/b.png")
        data = ImageTargets(pictures, limit=2, skip_finished="run")
        assert ids(data) == ["p/b.png", "p/c.png"]
        assert data.finished == {"p/a.png"}
        warnings = [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]
        assert warnings == [
            "1 targets of 'run' have other content now and are not finished: 'p/b.png'"
        ]
        # A later run of the new picture counts, beside the first.
        new = next(each for each in data.find_targets() if each.id == "p/b.png")
        run("later", replace(rows[1], digest=new.digest))
        both = ImageTargets(pictures, skip_finished=["later", "run"])
        assert ids(both) == ["p/c.png", "p/d.png", "p/e.png"]

    def test_a_picture_of_another_ending_takes_over_nothing(self, pictures):
        (first, *_) = ImageTargets(f"{pictures}/a.png").find_targets()
        run("run", replace(result(first.id), digest=first.digest))
        Image.new("RGB", (9, 9), "red").save("p/a.jpg")
        sources = ["p/a.jpg", "p/a.png"]
        assert ids(ImageTargets(sources, skip_finished="run")) == ["p/a.jpg"]

    def test_a_finished_target_that_is_gone_stays_finished(self, pictures):
        (first, *_) = ImageTargets(pictures).find_targets()
        run("run", replace(result(first.id), digest=first.digest))
        Path("m.csv").write_text("file_name\np/a.png\np/b.png\n")
        Path("p/a.png").unlink()
        assert ids(ImageTargets("m.csv", skip_finished="run")) == ["p/b.png"]
        os.mkfifo("p/a.png")
        assert ids(ImageTargets("m.csv", skip_finished="run")) == ["p/b.png"]

    @pytest.mark.parametrize("shuffle", [True, False])
    def test_no_more_is_read_than_it_takes(self, pictures, monkeypatch, shuffle):
        order = ids(ImageTargets(pictures, shuffle=shuffle))
        found = {target.id: target for target in ImageTargets(pictures).find_targets()}
        finished = [order[0], order[2], order[4]]
        run("run", *(replace(result(name), digest=found[name].digest) for name in finished))
        read = []
        monkeypatch.setattr(
            "fuse_lightning.data.targets.content_digest",
            lambda name, file: read.append(name) or content_digest(name, file),
        )
        data = ImageTargets(pictures, limit=2, shuffle=shuffle, skip_finished="run")
        assert ids(data) == [order[1], order[3]]
        assert read == [repr(name) for name in sorted(order[:4])]

    @pytest.mark.parametrize("line", ["hello", "[]", "5", '{"prompt": "a"}'])
    def test_other_files_are_refused(self, line):
        Path("other.jsonl").write_text(json_lines([result("a")]) + f"{line}\n")
        with pytest.raises(FuseError, match=r"line 2 of 'other\.jsonl' is no result"):
            ids(TextTargets(TEXTS, skip_finished="other.jsonl"))

    def test_nothing_there(self):
        Path("empty").mkdir()
        for name in ("gone", "empty"):
            with pytest.raises(FuseError, match=rf"'{name}' holds no prompts\.jsonl"):
                ids(TextTargets(TEXTS, skip_finished=name))


class TestErrors:
    def test_the_bad_are_named_and_counted(self, pictures, caplog):
        Path("p/b.png").write_text("broken")
        Path("p/d.png").unlink()
        data = ImageTargets([f"p/{name}.png" for name in "abce"], on_error="skip")
        assert ids(data) == ["p/a.png", "p/c.png", "p/e.png"]
        assert list(data.skipped) == ["p/b.png"]
        (record,) = caplog.records
        assert record.levelno == logging.WARNING
        reason = data.skipped["p/b.png"]
        assert record.getMessage() == f"target 'p/b.png' is left out: {reason}"
        assert "image 'p/b.png' cannot be read as a picture" in reason
        assert ids(data) == ["p/a.png", "p/c.png", "p/e.png"]
        assert list(data.skipped) == ["p/b.png"]

    def test_rows_without_a_picture_are_left_out(self, pictures):
        rows = ["a.png,A", ",B", "gone.png,C", "http://x/y.png,D", "e.png,E"]
        Path("p/m.csv").write_text("\n".join(["file_name,id", *rows]))
        data = ImageTargets("p/m.csv", on_error="skip")
        assert ids(data) == ["A", "E"]
        assert list(data.skipped) == ["B", "C", "D"]
        with pytest.raises(FuseError, match="row 2 of table"):
            ids(ImageTargets("p/m.csv"))

    def test_the_limit_counts_the_good(self, pictures):
        Path("p/a.png").write_text("broken")
        Path("p/c.png").write_text("broken")
        data = ImageTargets(pictures, limit=2, on_error="skip")
        assert ids(data) == ["p/b.png", "p/d.png"]
        assert list(data.skipped) == ["p/a.png", "p/c.png"]

    def test_many_are_counted(self, caplog):
        Path("m.csv").write_text("file_name\n" + "".join(f"{name}.png\n" for name in NAMES))
        with pytest.raises(
            FuseError, match=r"none of 30 targets can be read; the first, 'text 0.png'"
        ):
            ids(ImageTargets("m.csv", on_error="skip"))
        said = [record.getMessage() for record in caplog.records]
        assert len(said) == 11
        assert "'text 9.png'" in said[9]
        assert said[10] == "30 targets are left out in all"

    def test_together_leaves_the_bad_out_once(self, pictures, caplog):
        Path("p/b.png").write_text("broken")
        (target,) = ImageTargets(pictures, together=True, on_error="skip").find_targets()
        assert [path.name for path in target.pictures] == ["a.png", "c.png", "d.png", "e.png"]
        assert len(caplog.records) == 1

    def test_a_target_that_turns_out_to_be_broken(self, pictures, caplog):
        data = ImageTargets(pictures, on_error="skip")
        first = data.find_targets()[0]
        data.skip(first, "it is broken")
        assert data.skipped == {"p/a.png": "it is broken"}
        assert caplog.messages == ["target 'p/a.png' is left out: it is broken"]
        with pytest.raises(FuseError, match="it is broken"):
            ImageTargets(pictures).skip(first, "it is broken")

    def test_the_choice_is_checked(self):
        with pytest.raises(FuseError, match=r"data\.on_error is 'stop'; it must be raise or skip"):
            TextTargets("a", on_error="stop")


@pytest.mark.parametrize("config", ["quickstart", "quickstart_sentiment"])
def test_options_on_the_command_line(pictures, config, capsys, monkeypatch):
    # Lightning warns about words of a process that are not the ones it is given.
    monkeypatch.setattr(sys, "argv", ["fuse"])
    Path("p/m.csv").write_text("file_name,key\ngone.png,a\n")
    words = ["fit", "--config", str(CONFIGS / f"{config}.yaml")]
    words += ["--data.images", "m.csv", "--data.root", "p"]
    words += ["--data.limit", "3", "--data.id_column", "key", "--data.on_error", "skip"]
    with pytest.raises(SystemExit) as end:
        main([*words, "--data.shuffle", "true", "--data.seed", "5"])
    assert end.value.code == 2
    gone = str(Path("p/gone.png").resolve())
    assert f"error: image {gone!r} does not exist" in (capsys.readouterr().err)


class TestSeveralDevices:
    def test_what_one_device_cannot_read_none_searches(self, pictures, monkeypatch):
        """Shares are counted off: all must have the same list."""
        others = [{f"p/{name}.png" for name in names} for names in ("abde", "abcd")]
        monkeypatch.setattr("fuse_lightning.data.module.gather", lambda own: [own, *others])
        data = ImageTargets(pictures, on_error="skip")
        data.setup("fit")
        assert [target.id for target in data.targets] == ["p/a.png", "p/b.png", "p/d.png"]

    def test_results_that_several_devices_hold_count_once(self, monkeypatch):
        """As after a checkpoint that was written at the end of a run."""
        rows = [result(name) for name in ("text 1", "text 0", "text 2")]
        monkeypatch.setattr(
            "fuse_lightning.results.distributed.gather", lambda own: [rows, rows[1:]]
        )
        trainer = SimpleNamespace(datamodule=TextTargets(TEXTS[:3]))
        trainer.datamodule.setup("fit")
        assert gathered([], trainer) == [rows[1], rows[0], rows[2]]
