"""Every snippet of Python and YAML of the README and of the pages is run, or read."""

import csv
import json
from pathlib import Path

import pytest
import yaml

from fuse_lightning.models.loading import resolve
from fuse_lightning.zoo.moods import mood_captions
from tests.docs.pages import ROOT, blocks

ZOO = {"openai-community/gpt2-xl": "zoo/gpt2", "openai-community/gpt2": "zoo/gpt2"}
"""Models of the hub, and those of the package that stand for them."""
ELSEWHERE = {
    ("README.md", 0): "tests/test_package.py",
    ("README.md", 1): "tests/test_package.py",
    **{("docs/add_your_own.md", n): "tests/runs/test_templates.py" for n in range(9)},
    **{("docs/templates.md", n): "tests/runs/test_templates.py" for n in range(5)},
    ("docs/evaluation.md", 2): "tests/evaluation/test_own_parts.py",
    ("docs/layouts.md", 0): "tests/runs/test_layouts_page.py",
    ("docs/models.md", 3): "tests/engine/test_generate_limits.py",
}
"""Snippets, by page and number, with the file of the tests that run them."""
UNRUN = {
    ("docs/evaluation.md", 1): "needs DSPy, which is no part of the development tools",
    ("docs/models.md", 2): "needs a T5 of the hub; tests/models/test_seq2seq_lm.py has another",
    ("docs/results.md", 0): "reads the file of a run, as tests/results do",
}
RUN = {
    ("docs/applications.md", 0): {},
    ("docs/classification.md", 0): {"steps=4": "steps=1"},
    ("docs/decoding.md", 0): {"max_new_tokens=40": "max_new_tokens=4"},
    ("docs/decoding.md", 1): {"max_new_tokens=12": "max_new_tokens=4"},
    ("docs/evaluation.md", 0): {},
    ("docs/find_divergence.md", 0): {},
    ("docs/index.md", 0): {'"zoo/scenes", top=1': '"zoo/scenes", top=1, steps=1'},
    ("docs/mining.md", 0): {"mood_captions(600)": "mood_captions(60)"},
    ("docs/models.md", 0): {},
    ("docs/models.md", 1): {},
    ("docs/package.md", 0): {},
    ("docs/reasoning.md", 0): {"steps=2": "steps=1", "select=20, test=40": "select=8, test=10"},
    ("docs/text_findings.md", 0): {"max_new_tokens=24, samples=4": "max_new_tokens=8, samples=2"},
    ("docs/text_findings.md", 1): {},
}
"""Snippets that run here, with what is made smaller. Those of a page go on from each other."""
PYTHON = blocks("python")
SEVERAL = sorted({page for page, _ in RUN})


def test_every_snippet_is_run_or_has_a_reason():
    there = {(page, number) for page, texts in PYTHON.items() for number in range(len(texts))}
    assert there == {*RUN, *ELSEWHERE, *UNRUN}
    assert all((ROOT / file).exists() for file in ELSEWHERE.values())
    assert not {*RUN} & {*ELSEWHERE, *UNRUN}


@pytest.fixture
def files(tmp_path):
    """What snippets read: a table of answers, and the result of a run."""
    with Path("answers.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["question", "answer_a", "answer_b"])
        texts = [row["text"] for row in mood_captions(48)]
        writer.writerows([[f"question {n}", text, text[::-1]] for n, text in enumerate(texts)])
    run = Path("logs/search/version_0")
    run.mkdir(parents=True)
    (run / "chat.json").write_text(json.dumps([{"role": "user", "content": "Mood of {text}?"}]))
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("page", SEVERAL)
def test_snippets_of_a_page_run(page, files, capsys):
    names = {"__name__": "snippet"}
    for (there, number), changes in RUN.items():
        if there != page:
            continue
        code = PYTHON[page][number]
        for old, new in changes.items():
            assert old in code, f"{page} has no longer {old!r}"
            code = code.replace(old, new)
        for hub, stand_in in ZOO.items():
            code = code.replace(f'"{hub}"', f'"{resolve(stand_in)}"')
        exec(compile(code, f"{page}, snippet {number}", "exec"), names)
    assert len(names) > 2


@pytest.mark.parametrize("page", sorted(blocks("yaml")))
def test_yaml_of_a_page_can_be_read(page):
    for text in blocks("yaml")[page]:
        assert yaml.safe_load(text)
