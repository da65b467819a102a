"""Chains in the report: side by side, flipped ones first, long ones folded."""

import re

import pytest

from fuse_lightning.evaluation.verdict_files import EXAMPLES
from fuse_lightning.report import read_run
from fuse_lightning.report.verdicts import KINDS, MOST_CHAIN, MOST_CHAINS, MOST_OPEN
from fuse_lightning.report.write import page
from tests.factories.verdicts import judged, reasoned, run_with
from tests.report.test_report import HOSTILE, Page


def text_of(tmp_path, one):
    return page(read_run(run_with(tmp_path / "run", {"sums": {"gpt2": one}})))


@pytest.fixture
def one():
    return reasoned(0.8, 0.4)


def test_flipped_examples_come_first_and_all_are_listed(one, tmp_path):
    text = text_of(tmp_path, one)
    kinds = re.findall(r'<tr data-kind="(\w+)"', text)
    headline = one.verdict.headline
    begin = ["gained"] * headline.wins + ["lost"] * headline.losses
    assert kinds[: len(begin)] == begin
    assert {*kinds[len(begin) :]} == {"right", "wrong"}
    assert len(kinds) == one.verdict.examples
    for kind, words in KINDS.items():
        assert f'<option value="{kind}">{words}</option>' in text


def test_chains_stand_side_by_side_with_what_is_read_from_them(one, tmp_path):
    text = text_of(tmp_path, one)
    rows = re.findall(r'<tr data-kind="\w+">.*?</tr>', text, re.DOTALL)
    by_question = {re.search(r"What is \d+\?", row)[0]: row for row in rows}
    for example in one.examples:
        row = by_question[example["example"]["question"]]
        sides = re.findall(r'<td class="text chain (\w+)">(.*?)</td>', row, re.DOTALL)
        assert [kind for kind, _ in sides] == [
            "better" if right else "worse" for right in example["right"]
        ]
        for place, (_, cell) in enumerate(sides):
            assert example["chains"][place] in cell
            sign = "✓" if example["right"][place] else "✗"
            assert f"{sign} {example['answers'][place] or 'no answer'}" in cell


def test_figures_of_chains_stand_in_the_table(one, tmp_path):
    text = text_of(tmp_path, one)
    cells = {re.sub(r"\s+", " ", cell).strip() for cell in Page(text).cells}
    for score in (one.verdict.chosen, one.verdict.strongest):
        read = next(each for each in score.readings if each.by == "read")
        assert {f"{100 * read.accuracy:.1f} %", "90.0 %", "20.0 %"} <= cells
    heads = re.findall(r"<button>(.*?)</button>", text)
    assert {"by read", "readable", "cut"} <= {*heads}
    assert not {"by parse", "calibration", "right class"} & {*heads}


def test_long_chains_are_folded_and_very_long_ones_cut(tmp_path):
    assert "<details><summary>so it is" not in text_of(tmp_path / "short", reasoned(0.8, 0.4))
    text = text_of(tmp_path / "long", reasoned(0.8, 0.4, chain="x" * (MOST_CHAIN + 2 * MOST_OPEN)))
    assert f"<details><summary>{'x' * MOST_OPEN}…</summary>" in text
    assert "x" * (MOST_CHAIN - 1) + "…" in text
    assert "x" * MOST_CHAIN not in text


def test_long_lists_end_and_say_how_much_is_left_out(tmp_path):
    text = text_of(tmp_path, reasoned(0.8, 0.4, examples=MOST_CHAINS + 30))
    assert text.count("<tr data-kind=") == MOST_CHAINS
    assert "; 30 of them are in verdict-examples.jsonl alone" in text


def test_hostile_chains_stay_text(tmp_path):
    found = Page(text_of(tmp_path, reasoned(0.8, 0.4, chain=HOSTILE)))
    assert [tag for tag, _ in found.tags].count("script") == 1
    names = {name for _, attributes in found.tags for name in attributes}
    assert not any(name.startswith("on") or name == "style" for name in names)


def test_verdicts_on_classes_and_on_chains_share_a_page(one, tmp_path):
    both = {"sums": {"gpt2": one}, "moods": {"gpt2": judged(0.8, 0.5)}}
    text = page(read_run(run_with(tmp_path / "run", both)))
    assert text.count('class="sortable chains"') == 1
    assert text.count("Answers of prompt 1, a column each") == 1


@pytest.mark.parametrize(
    ("old", "new"),
    [('"right": [true', '"right": [1'), ('"right": [true', '"right": [false'), ('"chains"', '"c"')],
)
def test_foreign_chains_are_named_and_left_out(one, tmp_path, caplog, old, new):
    run = run_with(tmp_path / "run", {"sums": {"gpt2": one}})
    path = run / EXAMPLES
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    (shown,) = read_run(run).verdicts
    assert not shown.chained
    assert "verdict-examples.jsonl' is broken" in caplog.text
