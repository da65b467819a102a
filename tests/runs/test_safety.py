"""Prompts, file names and captions are text of others: it stays text wherever it is shown."""

import csv
import io
import json
import pickle
import struct
import sys
import unicodedata
import zlib
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import lightning as L
import pytest
import torch
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st
from lightning.pytorch.loggers import TensorBoardLogger
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugin_util import markdown_to_safe_html

from fuse_lightning.callbacks import (
    Evaluation,
    PromptProgressBar,
    PromptTable,
    PromptWriter,
    TensorBoardPrompts,
)
from fuse_lightning.cli.main import main
from fuse_lightning.cli.resume import last_checkpoint
from fuse_lightning.data import ImageTargets, Target, TargetBatch
from fuse_lightning.data.module import _report
from fuse_lightning.errors import FuseError
from fuse_lightning.objectives import Fluency
from fuse_lightning.optimizers import AutoDAN
from fuse_lightning.report.run import Run, read_run
from fuse_lightning.report.write import page, table
from fuse_lightning.results.export import FORMULA, csv_text, json_lines
from fuse_lightning.results.result import Result, read_results
from fuse_lightning.utilities.terminal import visible
from tests.callbacks.stubs import Idle, search
from tests.callbacks.stubs import trainer as stub

FORMULAS = ("=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "=1+1")
CONTROLS = (
    "\x1b[31mred\x1b[0m",
    "\x1b]0;title\x07",
    "gone\rhere",
    "a\x08\x08b",
    "\x9b31m",
    "\x00",
    "\x7f",
    "\u202eevil\u202c",
    "\u2066a\u2069",
    "two\nlines",
    "\u2028",
    "\ufeff",
    "\u200b",
    "\udcff",
)
MARKUP = (
    "<script>alert(1)</script>",
    "</pre></code><img src=x onerror=alert(1)>",
    "[x](javascript:a)",
    "![x](http://evil/x.png)",
    "\n\n<b>bold</b>",
    "{{ 7 * 7 }}",
    "[bold]x[/bold]",
    "a/b/../c",
    "/a/b.png",
    "| a |",
)
HOSTILE = (*FORMULAS, *CONTROLS, *MARKUP)


def hidden(text):
    """Characters that a terminal obeys or does not show."""
    kinds = ("Cc", "Cf", "Cs", "Zl", "Zp")
    return [c for c in text if unicodedata.category(c) in kinds and c not in "\u200c\u200d"]


def result(text, loss=-1.5):
    return Result(text, text, [1, 2], loss, {"fluency": loss}, 1, 0, 0.5)


def found(text):
    return SimpleNamespace(prompt=text, loss=1.0)


texts = st.text(st.characters(exclude_categories=())) | st.sampled_from(HOSTILE)


@given(texts)
def test_what_is_shown_has_no_controls_and_json_stays_the_same(text):
    shown = visible(text)
    assert not hidden(shown)
    assert len(shown.splitlines()) <= 1
    assert json.loads(visible(json.dumps(text, ensure_ascii=False))) == text
    if not hidden(text):
        assert shown == text


@pytest.mark.parametrize(
    "text",
    ["plain", "ünï 日本 עברית", "👩\u200d👩\u200d👧", "\u0645\u06cc\u200c\u062e\u0648", "a\\nb"],
)
def test_words_of_all_scripts_stay_as_they_are(text):
    assert visible(text) == text


@given(st.lists(texts, max_size=5))
def test_a_spreadsheet_computes_nothing(rows):
    found = [*csv.reader(io.StringIO(csv_text([result(text) for text in rows])))]
    assert len(found) == (len(rows) + 1 if rows else 0)
    for row, text in zip(found[1:], rows, strict=True):
        for cell in (row[0], row[2]):
            assert cell.removeprefix("'") == visible(text).removeprefix("'")
            assert not cell.lstrip().startswith(FORMULA)
            assert not hidden(cell)
        # Numbers stay numbers.
        assert float(row[3]) == -1.5


@given(st.lists(texts, max_size=5))
def test_json_lines_hold_the_exact_text(rows):
    results = [result(text) for text in rows]
    lines = json_lines(results)
    assert not hidden(lines.replace("\n", ""))
    Path("rows.jsonl").write_text(lines, encoding="utf-8")
    assert read_results(Path("rows.jsonl")) == results


@pytest.mark.parametrize("text", HOSTILE)
def test_the_table_and_the_bar_show_and_do_not_obey(text, capsys, monkeypatch):
    trainer = SimpleNamespace(
        is_global_zero=True, train_dataloader=None, num_training_batches=9, max_epochs=1
    )
    module = Idle(result(text), searches=[SimpleNamespace(best=found(text), done=True)])
    PromptTable().on_fit_end(trainer, module)
    out = capsys.readouterr().out
    assert not hidden(out.replace("\n", ""))
    assert visible(text).strip() in out.replace("\n", " ")
    monkeypatch.setenv("COLUMNS", "400")
    bar = PromptProgressBar()
    bar.setup(trainer, module, "fit")
    assert bar._line(trainer, module).endswith(f": {visible(text)}")


@pytest.mark.parametrize("text", HOSTILE)
def test_the_short_command_shows_and_does_not_obey(text, capsys, monkeypatch):
    monkeypatch.setattr("fuse_lightning.inversion.invert", lambda found, **_: found([result(text)]))
    main(["invert", "--text", "a"])
    shown = capsys.readouterr().out
    assert len(shown.splitlines()) == 2
    assert not hidden(shown.replace("\n", ""))
    main(["invert", "--text", "a", "--json"])
    (line,) = capsys.readouterr().out.splitlines()
    assert not hidden(line)
    assert json.loads(line)["prompt"] == text


@pytest.mark.parametrize("text", CONTROLS)
@pytest.mark.parametrize("words", [["invert"], ["report"], ["fit", "--config"], []])
def test_an_error_shows_and_does_not_obey(words, text, capsys):
    with pytest.raises(SystemExit, match="2"):
        main([*words, f"nothing{text}"])
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert not hidden(error.removesuffix("\n"))


def test_the_way_to_go_on_shows_and_does_not_obey(capsys):
    folder = Path("a\x1b[31m\u202e; rm x")
    trainer = stub(folder=folder)
    writer, module = PromptWriter(), search(result("a"), overwrite=True)
    writer.on_fit_start(trainer, module)
    (folder / "config.yaml").touch()
    writer.on_exception(trainer, module, KeyboardInterrupt())
    told = capsys.readouterr().err
    assert not hidden(told.replace("\n", ""))
    assert "--resume 'a\\u001b[31m\\u202e; rm x'" in told


class Tags(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def board(tmp_path):
    """A run whose targets and prompts are all hostile, with pictures."""
    logger = TensorBoardLogger(tmp_path, name="", version="")
    trainer = SimpleNamespace(
        loggers=[logger], global_step=1, log_dir=str(tmp_path), is_global_zero=True
    )
    Image.new("RGB", (9, 7), "red").save("a.png")
    targets = [Target(text, [Path("a.png")]) for text in HOSTILE]
    module = Idle(searches=[SimpleNamespace(best=found(text)) for text in HOSTILE])
    prompts = TensorBoardPrompts()
    prompts.on_train_start(trainer, module)
    prompts.on_train_batch_end(trainer, module, None, TargetBatch(targets), 0)
    logger.experiment.close()
    (tmp_path / "prompts.jsonl").write_text(
        json_lines([result(target.id) for target in targets]), encoding="utf-8"
    )
    return tmp_path


def test_tensorboard_shows_prompts_as_they_are(board):
    events = EventAccumulator(
        str(next(board.glob("events*"))), {"images": 0, "tensors": 0}
    ).Reload()
    tags = events.Tags()
    assert len(tags["images"]) == len(HOSTILE)
    assert not hidden("".join(tags["images"] + tags["tensors"]))
    for text in HOSTILE:
        name = visible(Target(text).id)
        (event,) = events.Tensors(f"prompt/{name}/text_summary")
        shown = Tags(markdown_to_safe_html(event.tensor_proto.string_val[0]))
        assert [tag for tag, _ in shown.tags] == ["pre", "code", "p"]
        assert shown.text.splitlines()[0] == visible(text).rstrip()


def test_the_report_shows_text_and_finds_every_picture(board):
    run = read_run(board)
    shown = Tags(page(run))
    assert [tag for tag, _ in shown.tags].count("img") == len(HOSTILE)
    assert [tag for tag, _ in shown.tags].count("script") == 1
    assert all(
        set(names) <= {"src", "id", "width", "height", "alt", "loading", "decoding"}
        for tag, names in shown.tags
        if tag == "img"
    )
    for text in HOSTILE:
        assert visible(Target(text).id) in shown.text
    (board / "prompts.parquet").write_bytes(table(run))
    rows = Dataset.from_parquet(str(board / "prompts.parquet")).to_list()
    assert [row["target"] for row in rows] == [Target(text).id for text in HOSTILE]


@pytest.mark.parametrize("text", HOSTILE)
def test_the_parquet_table_holds_the_text(text, tmp_path):
    (tmp_path / "a.parquet").write_bytes(table(Run(tmp_path, [result(text)])))
    (row,) = Dataset.from_parquet(str(tmp_path / "a.parquet")).to_list()
    assert row["prompt"] == text.replace("\udcff", "\\udcff")


def bomb(width=60_000, height=60_000):
    """A PNG of a few bytes that says it has billions of pixels."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(99)))


@pytest.mark.parametrize("data", [bomb(), bomb(12_000, 9_000), b"", b"no picture", bomb(9, 9)])
def test_a_picture_of_a_run_that_cannot_be_shown_is_left_out(data, tmp_path):
    run = Run(tmp_path, [result("a")], {"a": data})
    assert "<img" not in page(run)


def test_a_decompression_bomb_is_one_line(capsys):
    Path("bomb.png").write_bytes(bomb())
    with pytest.raises(SystemExit, match="2"):
        main(["invert", "bomb.png"])
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("error: image 'bomb.png' is too large")


class Payload:
    def __reduce__(self):
        return Path.touch, (Path("ran").resolve(),)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_checkpoint_that_holds_code_does_not_run_it(zipped, capsys, monkeypatch):
    folder = Path("logs/search/version_0")
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "config.yaml").touch()
    path = folder / "checkpoints" / "a.ckpt"
    state = {"global_step": 3, "state_dict": Payload()}
    if zipped:
        torch.save(state, path)
    else:
        path.write_bytes(pickle.dumps(state))
    monkeypatch.setattr(sys, "argv", ["fuse"])
    words = ["--model=AutoDAN", "--model.terms=[]", "--data=ImageTargets", "--data.images=a.png"]
    with pytest.raises(SystemExit, match="2"):
        main(["fit", *words, "--ckpt_path", str(path)])
    assert "cannot be read" in capsys.readouterr().err
    assert last_checkpoint(folder) is None
    assert not Path("ran").exists()
    pickle.loads(pickle.dumps(Payload()))
    assert Path("ran").exists()


def test_a_text_that_is_no_unicode_is_one_line(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["invert", "--text", "a \udcff"])
    assert "has a text that is no Unicode" in capsys.readouterr().err.splitlines()[-1]
    with pytest.raises(FuseError, match="write it in UTF-8"):
        Target("a", text="\ud800")
    with pytest.raises(FuseError, match="write it in UTF-8"):
        Target("a", references=["a star", "\ud800"])


@pytest.mark.parametrize("text", ["\x1b[31mred\x1b[0m", "\x1b]0;title\x07"])
def test_an_evaluation_shows_and_does_not_obey(text, capsys, tmp_path):
    """The constant is a prompt or a caption of others, targets are files of others."""
    for name in ("a", text):
        Image.new("RGB", (9, 9)).save(tmp_path / f"{name}.png")
    module = AutoDAN([Fluency("zoo/gpt2", name="=1+1")])
    losses = {"=1+1": 1.0}
    module.results = [Result("a.png", f"a star {text}", [1], 1.0, losses, 1, 0, 1.0)]
    trainer = L.Trainer(
        accelerator="cpu",
        logger=False,
        callbacks=[Evaluation()],
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path / "out",
    )
    trainer.validate(module, ImageTargets(str(tmp_path)), verbose=False)
    said = capsys.readouterr().out
    assert "constant: a star" in said
    assert "no prompt yet: " in said
    assert not hidden(said.replace("\n", ""))
    header, *_ = csv.reader((tmp_path / "out" / "evaluation.csv").open())
    assert "'=1+1" in header
    assert not any(cell.startswith(FORMULA) for cell in header)


@pytest.mark.parametrize("text", CONTROLS)
def test_why_a_target_is_left_out_is_shown_and_not_obeyed(text, caplog):
    data = ImageTargets("zoo/scenes", on_error="skip")
    data.skip(Target("a"), f"404 {text}")
    _report([("a", f"404 {text}")])
    assert len(caplog.messages) == 2
    assert not any(hidden(message) for message in caplog.messages)
