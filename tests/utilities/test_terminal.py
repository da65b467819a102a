"""What is printed: in any encoding, above a progress bar, and where nobody reads."""

import io
import logging
import os
import re
import subprocess
import sys
import unicodedata
from dataclasses import replace

import pytest
from tqdm import tqdm

from fuse_lightning.callbacks.table import print_results
from fuse_lightning.cli.quiet import keep_lines_apart
from fuse_lightning.evaluation.table import print_figures
from fuse_lightning.metrics import About
from fuse_lightning.results.result import Result
from fuse_lightning.utilities.terminal import (
    HIDDEN,
    JOINERS,
    flushed,
    printable,
    say,
    settle_streams,
    visible,
)

TEXT = "a star\u2019s é ☃ 日本"


def result(text):
    return Result(text, text, [1], 1.0, {"fluency": 1.0}, 1, 0, 0.5)


@pytest.mark.parametrize("name", ["utf-8", "cp1252", "ascii", "latin-1", "shift_jis"])
def test_tables_and_prompts_are_printed_in_any_encoding(name, monkeypatch):
    file = io.TextIOWrapper(io.BytesIO(), name)
    monkeypatch.setattr("sys.stdout", file)
    settle_streams()
    print_results([result(TEXT)])
    print("wrote ☃")
    file.flush()
    shown = file.buffer.getvalue().decode(name)
    cell = TEXT.encode(name, "backslashreplace").decode(name)
    assert printable(TEXT) == cell
    assert cell in shown
    # The lines of the table are of one length, so that its columns stand below each other.
    assert ("│" in shown) == (name == "utf-8")
    if name in ("ascii", "cp1252", "latin-1"):
        assert len({len(line) for line in shown.splitlines()[:-1]}) == 1


@pytest.mark.parametrize(
    ("terminal", "rows", "left"), [(True, 40, "110 more of 150"), (False, 150, "")]
)
def test_a_terminal_gets_the_best_prompts_of_a_long_table(terminal, rows, left, monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr("sys.stdout", stream)
    monkeypatch.setattr(stream, "isatty", lambda: terminal)
    print_results([replace(result(f"t{n // 3}"), rank=n % 3 + 1) for n in range(150)])
    lines = re.sub(r"\x1b\[[\d;]*m", "", stream.getvalue()).splitlines()
    names = [line.split()[1] for line in lines if re.match(r"│ t\d", line)]
    each = 1 if terminal else 3
    assert names == [f"t{n}" for n in range(50) for _ in range(each)][:rows]
    assert lines[-1].partition(" prompts")[0] == left or not left


def test_figures_are_printed_in_any_encoding(monkeypatch):
    file = io.TextIOWrapper(io.BytesIO(), "ascii")
    monkeypatch.setattr("sys.stdout", file)
    print_figures({"found": {"fluency": 1.0, "targets": 3.0}}, {"fluency": About(False)})
    lines = file.buffer.getvalue().decode("ascii").splitlines()
    assert any("fluency \\u2193" in line for line in lines)
    assert len({len(line) for line in lines}) == 1


@pytest.mark.slow
def test_a_process_with_an_old_encoding_prints_its_help_and_its_errors():
    words = [sys.executable, "-m", "fuse_lightning", "report", "gone☃"]
    done = subprocess.run(
        words,
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii:strict", "PYTHONUTF8": "1"},
        check=False,
    )
    assert done.returncode == 2
    assert b"Traceback" not in done.stderr
    assert b"gone\\u2603" in done.stderr


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("error", [True, False])
def test_a_line_stands_alone_above_a_bar(error, monkeypatch):
    """As a terminal shows it: what stands before a carriage return is written over."""
    screen = Terminal()
    monkeypatch.setattr("sys.stdout", screen)
    monkeypatch.setattr("sys.stderr", screen)
    others = logging.getLogger("lightning.fabric")
    monkeypatch.setattr(others, "handlers", [logging.StreamHandler(screen)])
    keep_lines_apart()
    with tqdm(total=1200, file=screen, ncols=60, mininterval=0) as bar:
        bar.update(120)
        assert say("120 prompts are in x", error=error)
        bar.update(1)
        logging.getLogger("fuse_lightning.data").warning("target 'a' is left out")
        bar.update(1)
        others.warning("stopped")
    lines = [shown(line) for line in screen.getvalue().split("\n")]
    for line in ("120 prompts are in x", "target 'a' is left out", "stopped"):
        assert line in lines


def shown(line):
    cells = []
    for part in line.split("\r"):
        cells[: len(part)] = part
    return "".join(cells).rstrip()


def test_a_pipe_that_nobody_reads_is_told_and_left(monkeypatch):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as pipe:
        monkeypatch.setattr("sys.stdout", pipe)
        assert not say("a")
        # From now on it is lost in silence.
        assert say("b")
        assert flushed(pipe)
    monkeypatch.undo()


def test_characters_that_a_terminal_obeys_or_hides_are_escaped_and_others_are_not():
    for char in map(chr, range(sys.maxunicode + 1)):
        hidden = unicodedata.category(char) in HIDDEN and char not in JOINERS
        assert (visible(char) != char) == hidden, ascii(char)
