"""Configurations that would fill the memory, or never end, are refused before they are parsed."""

import os
import sys
import time
from pathlib import Path

import pytest
import yaml

from fuse_lightning.cli import config_files
from fuse_lightning.cli.config_files import check_configs, config_text
from fuse_lightning.cli.main import main
from fuse_lightning.errors import FuseError


def bomb(levels, width=10):
    """YAML that unfolds to a power of its size."""
    lines = ["a0: &a0 [x]"]
    for level in range(1, levels + 1):
        inner = ", ".join([f"*a{level - 1}"] * width)
        lines.append(f"a{level}: &a{level} [{inner}]")
    return "\n".join(lines)


def unfolded(value):
    """How many values there are, each counted as often as it is reached."""
    parts = value.items() if isinstance(value, dict) else enumerate(value)
    keys = len(value) if isinstance(value, dict) else 0
    return keys + sum(
        1 + (unfolded(part) if isinstance(part, dict | list) else 0) for _, part in parts
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (bomb(9), "it holds more than 30000 values"),
        (bomb(200, 2), "it holds more than 30000 values"),
        (bomb(9).replace("[", "{k: [").replace("]", "]}"), "it holds more than 30000 values"),
        ("a: &a {b: &b {c: 1}}\n" + "- *a\n" * 3, None),
        ("[" * 100_000, "it is nested too deeply"),
        ("{a: " * 100_000, "it is nested too deeply"),
        ("- " * 100_000, "it is nested too deeply"),
        ("x" * (2**20 + 1), "it is larger than 1 MiB"),
        ("- x\n" * 200_000, "it holds more than 30000 values"),
        ("a: &a [*a]", None),
        ("*gone", None),
        ("a: [", None),
        ("", None),
    ],
)
def test_what_cannot_be_unfolded(text, reason):
    Path("c.yaml").write_text(text)
    began = time.monotonic()
    if reason is None:
        assert config_text(Path("c.yaml")) == text
    else:
        with pytest.raises(FuseError, match=f"config 'c.yaml' cannot be read: {reason}.*; give a"):
            config_text(Path("c.yaml"))
    assert time.monotonic() - began < 60


@pytest.mark.parametrize("text", [bomb(2, 3), "a: &a {b: [1, 2]}\nc: [*a, *a, {d: *a}]\ne: x"])
def test_the_limit_is_the_number_of_values(text, monkeypatch):
    count = unfolded(yaml.safe_load(text))
    Path("c.yaml").write_text(text)
    monkeypatch.setattr(config_files, "MOST_VALUES", count + 1)
    config_text(Path("c.yaml"))
    monkeypatch.setattr(config_files, "MOST_VALUES", count)
    with pytest.raises(FuseError, match=f"more than {count} values"):
        config_text(Path("c.yaml"))


@pytest.mark.parametrize("words", [["--config", "pipe"], ["--config=pipe"], ["-c", "pipe"]])
def test_a_pipe_is_no_configuration(words, monkeypatch, capsys):
    os.mkfifo("pipe")
    monkeypatch.setattr(sys, "argv", ["fuse"])
    with pytest.raises(SystemExit, match="2"):
        main(["fit", *words])
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: config 'pipe' cannot be read: it is a named pipe, not a file")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--data", "pipe.yaml"], "config 'pipe.yaml' cannot be read: it is a named pipe"),
        (["--data.images", "pipe.yaml"], "option --data.images: 'pipe.yaml' cannot be read"),
        (["--model=/dev/zero"], "option --model: '/dev/zero' cannot be read: it is a device"),
        (["--config", "folder"], "config 'folder' cannot be read: it is a folder"),
    ],
)
def test_options_that_name_what_never_ends(words, message):
    os.mkfifo("pipe.yaml")
    Path("folder").mkdir()
    with pytest.raises(FuseError, match=message):
        check_configs(words)


def test_other_words_are_left_to_the_parser():
    Path("rows.json").write_text("[" + "{}, " * 40_000 + "{}]")
    Path("folder").mkdir()
    words = ["--config", "gone.yaml", "--data.images", "rows.json", "--x", "folder", "--y=\0"]
    check_configs(["fit", *words, "--data.texts", "a long text " * 999, "--z=", "-5"])


def test_a_bomb_in_a_runs_folder_is_one_line(monkeypatch, capsys):
    Path("run").mkdir()
    Path("run/config.yaml").write_text(bomb(9))
    for words in (["fit", "--resume", "run"], ["fit", "--config", "run/config.yaml"]):
        with pytest.raises(SystemExit, match="2"):
            main(words)
        (line,) = capsys.readouterr().err.splitlines()
        assert "config.yaml' cannot be read: it holds more than 30000 values" in line
