"""The page on layouts: its configuration, commands and texts are what it says."""

import contextlib
import io
import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from transformers import AutoTokenizer

from fuse_lightning.cli.main import main
from fuse_lightning.models.loading import resolve
from fuse_lightning.objectives.layout import Layout

PAGE = (Path(__file__).parents[2] / "docs" / "layouts.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def blocks(kind):
    return [text for each, text in BLOCKS if each == kind]


def words(command):
    """What a shell passes to ``fuse``."""
    script = f"fuse() {{ printf '%s\\0' \"$@\"; }}\n{command}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, check=True)
    return done.stdout.decode().split("\0")[:-1]


@pytest.mark.parametrize("command", blocks("bash"))
def test_a_command_of_the_page_runs(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("search.yaml").write_text(blocks("yaml")[0])
    main([*words(command), "--model.steps", "2"])
    run = tmp_path / "logs" / "search" / "version_0"
    (row,) = (json.loads(line) for line in (run / "prompts.jsonl").read_text().splitlines())
    assert row["target"] == "three tiny blue stars"
    config = yaml.safe_load((run / "config.yaml").read_text())
    term = config["model"]["init_args"]["terms"][0]["init_args"]
    assert term["layout"] == "{prompt}\nA picture of {answer}"


def test_the_python_example_prints_what_the_page_says():
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(blocks("python")[0], {})
    assert printed.getvalue() == blocks("")[-1]


def test_the_chat_is_read_as_the_page_says():
    tokenizer = AutoTokenizer.from_pretrained(resolve("zoo/gpt2"))
    tokenizer.chat_template = CHATML
    found = [yaml.safe_load(text) for text in blocks("yaml") if "role" in text]
    (given,) = (part["layout"] for part in found if "layout" in part)
    filled = Layout.read(given, tokenizer).fill("Be brief.", {"answer": "a red circle"})
    assert filled.text == blocks("")[0].rstrip("\n")
