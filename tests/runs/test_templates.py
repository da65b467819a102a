"""Templates of a user's own classes, and the page that walks through them."""

import json
import re
import shutil
import sys
from pathlib import Path

import pytest
import torch
import yaml

from fuse_lightning.cli.main import main
from tests.near import assert_near

ROOT = Path(__file__).parents[2]
TEMPLATES = ROOT / "examples" / "templates"
FILES = sorted(TEMPLATES.glob("*.py"))
PAGE = (ROOT / "docs" / "add_your_own.md").read_text(encoding="utf-8")


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """A copy of the templates as the current folder, as the page says."""
    folder = tmp_path / "my_search"
    shutil.copytree(TEMPLATES, folder)
    monkeypatch.chdir(folder)
    yield folder
    for name, module in [*sys.modules.items()]:
        if str(getattr(module, "__file__", "")).startswith(str(folder)):
            del sys.modules[name]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_template_is_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 40


def test_there_is_a_template_of_every_kind():
    assert [path.stem for path in FILES] == ["data", "frontier", "measure", "optimizer", "term"]


def test_all_templates_work_in_one_search(copied, capsys):
    main(["fit", "--config", "search.yaml"])
    run = copied / "logs" / "search" / "version_0"
    rows = [json.loads(line) for line in (run / "prompts.jsonl").read_text().splitlines()]
    assert [row["target"] for row in rows] == ["line 1", "line 2"]
    for row in rows:
        assert row["prompt"]
        assert_near(
            torch.tensor(row["loss"]),
            torch.tensor(
                0.2 * row["losses"]["fluency"]
                + 2 * row["losses"]["text_similarity"]
                + row["losses"]["mood"]
            ),
        )
    assert "no term reads the targets" not in capsys.readouterr().err
    main(["validate", "--run", str(run)])
    figures = json.loads((run / "evaluation.json").read_text())["figures"]
    assert figures["fixed"]["article"] == 1.0
    assert {"mood", "article"} <= figures["found"].keys()


@pytest.mark.slow
@pytest.mark.parametrize(
    "optimizer",
    ["GCG", "PEZ", "RandomSearch", "AutoDAN", "AutoPrompt", "FluentPrompt", "SimplexDescent"],
)
def test_the_packages_optimizers_search_with_a_term_of_ones_own(copied, optimizer):
    config = yaml.safe_load((copied / "search.yaml").read_text())
    options = (
        {}
        if optimizer in ("PEZ", "AutoPrompt", "FluentPrompt", "SimplexDescent")
        else {"batch_size": 8}
    )
    options |= {"steps": 3, "terms": config["model"]["init_args"]["terms"]}
    if optimizer != "AutoDAN":
        options["prompt_length"] = 4
    if optimizer in ("GCG", "AutoPrompt"):
        options["top_k"] = 16
    config["model"] = {"class_path": optimizer, "init_args": options}
    config["trainer"]["callbacks"] = []
    (copied / "own.yaml").write_text(yaml.safe_dump(config))
    main(["fit", "--config", "own.yaml"])
    rows = (copied / "logs" / "search" / "version_0" / "prompts.jsonl").read_text().splitlines()
    assert len(rows) == 2


def test_the_page_quotes_the_templates():
    """Every piece of a class on the page stands in its file, but for docstrings and comments."""
    told = {path: _bare(path.read_text(encoding="utf-8")) for path in FILES}
    blocks = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    quoted = [block for block in blocks if "def " in block and not block.startswith("# ")]
    assert len(quoted) == 6
    for block in quoted:
        assert any(_bare(block) in text for text in told.values()), block


def _bare(text):
    text = re.sub(r'""".*?"""', "", text, flags=re.DOTALL)
    lines = (line.split("  #")[0].strip() for line in text.splitlines())
    return "\n".join(line for line in lines if line)


def test_the_snippet_of_the_page_runs(copied, capsys, monkeypatch):
    monkeypatch.syspath_prepend(str(copied))
    (snippet,) = re.findall(r"```python\n(from fuse_lightning.data.*?)```", PAGE, flags=re.DOTALL)
    exec(snippet, {})
    printed = capsys.readouterr().out
    assert "torch.Size([12, " in printed


def test_the_term_on_the_text_alone_counts_its_letters(copied, capsys):
    (snippet,) = re.findall(r"```python\n(# brief\.py\n.*?)```", PAGE, flags=re.DOTALL)
    Path("brief.py").write_text(snippet)
    options = {"class_path": "brief.Brief", "init_args": {"free": 5, "weight": 1.0}}
    main(["fit", "--config", "search.yaml", "--model.steps", "2", f"--model.terms={[options]}"])
    assert "no term reads the targets (brief)" in capsys.readouterr().err
    rows = Path("logs/search/version_0/prompts.jsonl").read_text().splitlines()
    for row in map(json.loads, rows):
        assert row["losses"]["brief"] == max(0, len(row["prompt"]) - 5)
