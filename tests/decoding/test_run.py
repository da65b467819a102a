"""Folder of a run of texts: lock, resume, and what is never written over."""

from pathlib import Path

import pytest

from fuse_lightning.decoding import ScoredText, Tokens
from fuse_lightning.decoding.run import DecodingRun, next_folder
from fuse_lightning.errors import FuseError

IDENTITY = {"seed": "0", "model content of A": "abc"}


def text(sample):
    tokens = Tokens(("a",), (0,), {"kl": (0.5,)}, {"A": (-1.0,), "B": (-2.0,)})
    return ScoredText("p", "a", tokens, ("A", "B"), 0, sample, {"A": 2.0, "B": -1.0}, "length")


def begun(path="run", count=2, identity=IDENTITY, **options):
    with DecodingRun(Path(path), **options) as run:
        found = run.begin(identity, "seed: 0\n")
        for sample in range(len(found), count):
            run.add(text(sample))
    return found


def refused(call):
    with pytest.raises(FuseError) as caught:
        call()
    return str(caught.value)


def test_a_run_goes_on_behind_its_last_whole_line():
    begun()
    file = Path("run/texts.jsonl")
    whole = file.read_bytes()
    assert begun(goes_on=True) == [text(0), text(1)]
    for cut in (whole[:-1], whole[: len(whole) // 2 + 9], b'{"pro'):
        file.write_bytes(cut)
        kept = cut.count(b"\n")
        assert begun(goes_on=True) == [text(0), text(1)][:kept]
        assert file.read_bytes() == whole


def test_a_run_is_not_written_over_without_being_told():
    begun()
    line = refused(lambda: DecodingRun(Path("run")))
    assert "'run'" in line
    assert "texts.jsonl" in line
    assert "another --out" in line
    assert begun(overwrite=True) == []


def test_what_another_run_left_goes_when_it_is_overwritten():
    begun()
    for name in ("sweep.json", "report.html", "prompts.csv"):
        Path("run", name).write_text("old")
    with DecodingRun(Path("run"), overwrite=True):
        pass
    assert not [each for each in Path("run").iterdir() if each.name != ".lock"]


def test_other_options_do_not_go_on():
    begun()
    line = refused(lambda: begun(goes_on=True, identity={**IDENTITY, "seed": "1"}))
    assert "seed is 1, but was 0" in line
    other = {**IDENTITY, "model content of A": "def"}
    assert "model content of A" in refused(lambda: begun(goes_on=True, identity=other))
    # Before models are loaded nobody knows what is in them.
    with DecodingRun(Path("run"), goes_on=True) as run:
        run.check({"seed": "0"})
        assert "seed is 2" in refused(lambda: run.check({"seed": "2"}))
        assert "noise" in refused(lambda: run.check({"seed": "0", "noise": "1"}))


def test_one_process_works_in_a_folder():
    with DecodingRun(Path("run")):
        assert "in use" in refused(lambda: DecodingRun(Path("run"), overwrite=True))


def test_a_new_folder_that_stays_empty_goes():
    with DecodingRun(Path("run")):
        assert Path("run").exists()
    assert not Path("run").exists()


def test_folders_are_numbered():
    assert [str(next_folder()) for _ in range(2)] == [
        "logs/decode/version_0",
        "logs/decode/version_1",
    ]
    Path("logs/decode/version_7").mkdir()
    Path("logs/decode/version_x").mkdir()
    assert next_folder().name == "version_8"


def test_a_folder_without_a_run_cannot_go_on():
    Path("run").mkdir()
    assert "'run' holds no config.yaml" in refused(lambda: DecodingRun(Path("run"), goes_on=True))


def test_texts_are_kept_where_no_more_can_be_written(monkeypatch):
    def full(path, line):
        raise OSError(28, "No space left on device")

    with DecodingRun(Path("run")) as run:
        run.begin(IDENTITY, "")
        run.add(text(0))
        monkeypatch.setattr("fuse_lightning.decoding.run.append_lines", full)
        assert "No space left" in refused(lambda: run.add(text(1)))
        assert run.count == 1


def test_a_broken_identity_is_told():
    begun()
    Path("run/run.json").write_text("{")
    assert "run.json" in refused(lambda: begun(goes_on=True))


def test_a_folder_that_cannot_be_written_is_named(monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fuse_lightning.results.run_folder.RunFolder.write", full)
    line = refused(begun)
    assert "'run'" in line
    assert "No space left on device" in line
