"""The report of a run: complete, self-contained, and deaf to what hostile text says."""

import io
import json
import os
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from datasets import Dataset
from PIL import Image
from tensorboard.summary.writer.record_writer import RecordWriter
from torch.utils.tensorboard import SummaryWriter

from fuse_lightning.cli.main import main
from fuse_lightning.errors import FuseError
from fuse_lightning.report import read_run, report
from fuse_lightning.report.curves import HEIGHT, PAD, WIDTH, curve, curves_of
from fuse_lightning.report.write import _thumbnail, page
from fuse_lightning.results.export import json_lines
from fuse_lightning.results.result import Result

HOSTILE = "</td><script>alert(1)</script>\"'{{ 7 * 7 }}<img src=x onerror=alert(2)>"


class Page(HTMLParser):
    """Tags with their attributes, and the text of table cells."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.cells, self.inside = [], [], False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "td":
            self.cells.append("")
        self.inside = tag == "td" or (self.inside and tag in ("br", "img", "small"))

    def handle_endtag(self, tag):
        self.inside &= tag == "small"

    def handle_data(self, data):
        if self.inside:
            self.cells[-1] += data


def result(target, prompt, loss=1.5, **changes):
    losses = {"fluency": 1.0, "image_similarity": 0.5}
    return Result(target, prompt, [1, 2], loss, losses, 3, 0, 2.0, **changes)


@pytest.fixture
def folder(tmp_path):
    run = tmp_path / "logs" / "search" / "version_0"
    run.mkdir(parents=True)
    rows = [result("one", "a red star", 2.5), result(HOSTILE, HOSTILE)]
    lines = [json.dumps(row.to_dict()) for row in rows]
    (run / "prompts.jsonl").write_text("\n".join(lines) + "\n")
    (run / "config.yaml").write_text(f"model: {HOSTILE}\n")
    board = SummaryWriter(run)
    for step, value in enumerate((4.0, 3.0, 2.0)):
        board.add_scalar("train/best", value, step)
    board.add_image("target/one", np.zeros((4, 6, 3), np.uint8), 0, dataformats="HWC")
    board.close()
    return run


def test_everything_of_a_run_is_in_the_page_and_in_the_table(folder, capsys):
    main(["report", str(folder)])
    assert "report.html" in capsys.readouterr().out
    found = Page((folder / "report.html").read_text())
    assert found.cells[1:8] == ["one", "a red star", "2.500", "1.000", "0.500", "3", "2.0"]
    assert [tag for tag, _ in found.tags].count("polyline") == 1
    (picture,) = [attributes for tag, attributes in found.tags if tag == "img"]
    assert picture["src"].startswith("data:image/jpeg;base64,")
    rows = Dataset.from_parquet(str(folder / "prompts.parquet")).to_list()
    assert [row["prompt"] for row in rows] == ["a red star", HOSTILE]
    assert [row["loss_fluency"] for row in rows] == [1.0, 1.0]


def test_what_a_target_is_of_stands_below_a_name_that_does_not_say_it(folder):
    text = "a long text about a red star above two boxes"
    rows = [
        result("a long text… 12345678", "a", source=f"{text} {HOSTILE}"),
        result("p/a.png (sad)", "b", source="p/a.png"),
    ]
    (folder / "prompts.jsonl").write_text("".join(json.dumps(r.to_dict()) + "\n" for r in rows))
    main(["report", str(folder)])
    found = Page((folder / "report.html").read_text())
    assert f"a long text… 12345678{text} {HOSTILE}" in found.cells
    assert "p/a.png (sad)" in found.cells
    table = Dataset.from_parquet(str(folder / "prompts.parquet")).to_list()
    assert [row["source"] for row in table] == [row.source for row in rows]


def test_what_was_used_is_shown_where_it_is_known(folder):
    heads = [f"<button>{name}</button>" for name in ("seconds", "evaluations", "tokens", "flops")]
    assert [head in page(read_run(folder)) for head in heads] == [True, False, False, False]
    row = result("one", "a star", evaluations=48, tokens=12345, flops=2.5e12)
    (folder / "prompts.jsonl").write_text(json.dumps(row.to_dict()) + "\n")
    main(["report", str(folder)])
    text = (folder / "report.html").read_text()
    assert all(head in text for head in heads)
    assert {"48", "12345", "2.5e+12"} <= {cell.strip() for cell in Page(text).cells}
    (told,) = Dataset.from_parquet(str(folder / "prompts.parquet")).to_list()
    assert [told[name] for name in ("evaluations", "tokens", "flops")] == [48, 12345, 2.5e12]


def test_hostile_text_stays_text(folder):
    text = page(read_run(folder))
    found = Page(text)
    assert HOSTILE in found.cells
    assert [tag for tag, _ in found.tags].count("script") == 1
    assert not any(name.startswith("on") for _, attributes in found.tags for name in attributes)
    assert "49" not in [cell.strip() for cell in found.cells]


def test_the_page_asks_nobody_for_anything(folder):
    text = page(read_run(folder))
    assert not re.search(r"(src|href)\s*=\s*[\"'](?!data:)", text)
    assert "default-src 'none'" in text


def test_results_of_several_devices_of_an_unfinished_run_are_read(folder):
    (folder / "prompts.jsonl").rename(folder / "prompts-rank0.jsonl")
    line = json.dumps(result("two", "a blue star").to_dict())
    (folder / "prompts-rank1.jsonl").write_text(line + "\n")
    assert [row.target for row in read_run(folder).results] == ["one", HOSTILE, "two"]


def test_a_resumed_run_has_one_curve(folder):
    board = SummaryWriter(folder, filename_suffix=".later")
    for step, value in ((1, 3.5), (2, 2.5), (3, 1.5)):
        board.add_scalar("train/best", value, step)
    board.close()
    assert read_run(folder).curves["train/best"] == [(0, 4.0), (1, 3.5), (2, 2.5), (3, 1.5)]


def test_curves_fill_their_frame():
    points = [(0, 5.0), (10, 1.0), (20, 3.0)]
    line = [tuple(map(float, point.split(","))) for point in curve(points).line.split()]
    assert line == [(8, 8), (WIDTH / 2, HEIGHT - 8), (WIDTH - 8, HEIGHT / 2)]
    assert curve([(3, 2.0), (4, 2.0)]).low == "2"


def test_the_loss_is_shown_over_the_targets_own_steps(folder):
    rows = [
        result("one", "a", curve=[(1, 4.0), (3, 1.0)]),
        result("two", "b", curve=[(2, 3.0), (4, 2.0)]),
    ]
    (folder / "prompts.jsonl").write_text(json_lines(rows))
    found = curves_of(read_run(folder), ["fluency"])
    assert [*found] == ["loss"]
    # At the steps 2, 3 and 4 the losses are (4, 3), (1, 3) and (1, 2).
    assert (found["loss"].low, found["loss"].high, found["loss"].last) == ("1.25", "3.75", "1.5")
    assert found["loss"].line.split()[1].partition(",")[0] == f"{WIDTH / 2:.1f}"
    assert len(found["loss"].band.split()) == 6
    assert "mean and quartiles of 2" in page(read_run(folder))
    # Results of earlier versions have no curve, and what was logged is shown.
    (folder / "prompts.jsonl").write_text(json_lines([result("one", "a")]))
    assert [*curves_of(read_run(folder), ["fluency"])] == ["best"]


def test_weights_means_and_what_was_left_out_are_shown(folder):
    rows = [result("one", "a", 2.5), result("two", "b", 1.5), result("two", "c", 9.0, rank=2)]
    (folder / "prompts.jsonl").write_text(json_lines(rows))
    (folder / "run.json").write_text('{"weight of fluency": "2.0", "seed": "0"}')
    lines = [json.dumps({"target": HOSTILE, "reason": "broken"}), '{"target']
    (folder / "skipped.jsonl").write_text("\n".join(lines))
    text = page(read_run(folder))
    assert "times 2<" in text
    assert "times their weights (fluency times 2)." in text
    assert "1 target was left out" in text
    found = Page(text)
    place = found.cells.index("mean of the best")
    assert found.cells[place : place + 7] == [
        "mean of the best",
        "",
        "",
        "2.000",
        "1.000",
        "0.500",
        "3.0",
    ]
    assert [tag for tag, _ in found.tags].count("script") == 1


def test_curves_of_long_runs_are_short_and_keep_what_stands_out():
    values = np.random.default_rng(0).normal(size=50_000).round(3)
    values[31_234], values[7] = 9, -9
    found = curve([*enumerate(values.tolist())])
    line = [tuple(map(float, point.split(","))) for point in found.line.split()]
    assert len(line) <= 2 * WIDTH
    assert line == sorted(line, key=lambda point: point[0])
    heights = [height for _, height in line]
    assert (max(heights), min(heights)) == (HEIGHT - PAD, PAD)
    assert line[heights.index(PAD)][0] == pytest.approx(
        PAD + 31_234 / 49_999 * (WIDTH - 2 * PAD), abs=0.1
    )
    assert (found.low, found.high, found.last) == ("-9", "9", f"{values[-1]:.4g}")


@pytest.mark.parametrize("share", [0, 0.3, 0.7, 0.99])
def test_what_is_left_of_broken_files_is_shown(folder, share):
    (events,) = folder.glob("events*")
    data = events.read_bytes()
    events.write_bytes(data[: int(share * len(data))] + bytes(range(256)))
    (folder / "config.yaml").write_bytes(b"seed: \xff\0")
    with (folder / "prompts.jsonl").open("a") as file:
        file.write('{"target": "half')
    found = Page(page(read_run(folder)))
    assert "a red star" in found.cells


def test_every_prompt_of_a_target_is_shown_and_its_picture_is_kept_once(folder):
    rows = [result("one", f"prompt {rank}", rank=rank) for rank in (1, 2, 3)]
    (folder / "prompts.jsonl").write_text(json_lines(rows))
    tags = Page(page(read_run(folder))).tags
    pictures = [attributes for tag, attributes in tags if tag == "img"]
    assert ["src" in each for each in pictures] == [True, False, False]
    assert [each.get("data-same") for each in pictures[1:]] == [pictures[0]["id"]] * 2


def test_a_folder_without_results_is_refused(tmp_path):
    with pytest.raises(FuseError, match=r"holds no prompts\.jsonl"):
        report(tmp_path)


def test_a_broken_line_is_named(folder):
    with (folder / "prompts.jsonl").open("a") as file:
        file.write("{\n")
    with pytest.raises(FuseError, match=r"line 3 of .* remove the line"):
        report(folder)


@pytest.mark.parametrize("name", ["config.yaml", "prompts.jsonl", "events.out.tfevents.1"])
@pytest.mark.parametrize("thing", ["pipe", "device", "folder"])
def test_what_is_no_file_in_a_run_is_one_line(folder, name, thing):
    path = folder / name
    path.unlink(missing_ok=True)
    match thing:
        case "pipe":
            os.mkfifo(path)
        case "device":
            path.symlink_to("/dev/zero")
        case "folder":
            path.mkdir()
    reason = rf"{name}' cannot be read: it is a (named )?{thing}"
    with pytest.raises(FuseError, match=f"{reason}|holds no prompts.jsonl") as error:
        read_run(folder)
    assert ("holds no prompts" in str(error.value)) == (name == "prompts.jsonl")


def test_results_of_a_device_that_are_no_file(folder):
    os.mkfifo(folder / "prompts-rank1.jsonl")
    with pytest.raises(FuseError, match=r"rank1\.jsonl' cannot be read: it is a named pipe"):
        read_run(folder)


def test_events_with_a_sound_sum_that_are_none(folder, caplog):
    writer = RecordWriter((folder / "events.out.tfevents.9").open("wb"))
    writer.write(b"\xff\xff\xff no event")
    writer.close()
    assert "a red star" in Page(page(read_run(folder))).cells
    assert "events.out.tfevents.9 are broken" in caplog.text


def test_a_picture_of_a_run_starts_no_program(monkeypatch):
    content = io.BytesIO()
    Image.new("RGB", (9, 9)).save(content, "EPS")
    monkeypatch.setattr("subprocess.Popen", None)
    monkeypatch.setattr("PIL.EpsImagePlugin.has_ghostscript", lambda: True)
    assert _thumbnail(content.getvalue()) is None
