"""Verdicts in the report: all of it is shown, what is broken is named and left out."""

import json
import re
from html import escape

import markupsafe
import pytest

from fuse_lightning.evaluation.verdict_files import EXAMPLES, FILE
from fuse_lightning.report import read_run
from fuse_lightning.report.verdicts import (
    BAR,
    MOST_FIELDS,
    MOST_FLIPS,
    MOST_TEXT,
    PAIRS,
    bar,
    shortened,
)
from fuse_lightning.report.write import page
from fuse_lightning.results.export import json_lines
from fuse_lightning.results.result import Result
from tests.factories.verdicts import judged, run_with
from tests.report.test_report import HOSTILE, Page

CASES = {"better": (0.9, 0.5), "worse": (0.4, 0.9), "not shown": (0.6, 0.6)}


@pytest.fixture
def run(tmp_path):
    return run_with(tmp_path / "run", {"moods": {"gpt2": judged(0.85, 0.6)}})


@pytest.mark.parametrize(("word", "sign"), [("better", "▲"), ("not shown", "■"), ("worse", "▼")])
def test_the_word_is_told_by_a_sign_too_and_the_sentence_follows(tmp_path, word, sign):
    one = judged(*CASES[word])
    assert one.verdict.word == word
    text = page(read_run(run_with(tmp_path / "run", {"moods": {"gpt2": one}})))
    assert f'<strong class="word">{sign} {word}</strong>' in text
    assert escape(one.verdict.sentence) in text


def test_every_figure_of_the_tables_is_shown(run):
    verdict = read_run(run).verdicts[0].verdict
    text = page(read_run(run))
    cells = {re.sub(r"\s+", " ", cell).strip() for cell in Page(text).cells}
    for score in (*verdict.candidates, *verdict.floors):
        wanted = {score.name, f"{100 * score.accuracy:.1f} %", f"{100 * score.select:.1f} %"}
        wanted |= {f"{score.cross_entropy:.3f}", f"{score.calibration_error:.3f}", str(score.tier)}
        assert wanted <= cells
        assert f"<span>{100 * score.low:.1f} % to {100 * score.high:.1f} %</span>" in text
    for each in verdict.comparisons:
        assert {each.floor, str(each.wins), str(each.losses)} <= cells
        assert f"{100 * each.difference:+.1f}" in cells
    for score in (verdict.chosen, verdict.floors[1]):
        assert {str(count) for row in score.confusion for count in row} <= cells
    assert text.count('class="bar"') == len(verdict.comparisons) + 4


def test_what_a_column_means_is_told_without_a_pointer(run):
    (shown,) = read_run(run).verdicts
    text = page(read_run(run))
    for name, about in (shown.columns | PAIRS).items():
        assert f"<b>{name}</b>: {markupsafe.escape(about)}" in text
    heads = re.findall(r"<th[^>]*title=[^>]*><button>([^<]*)", text)
    assert {*shown.columns, *PAIRS} <= {*heads}


def test_lines_of_a_prompt_are_kept(tmp_path):
    demonstrations = "a fine film\nIt was great"
    one = judged(0.85, 0.6, prompt=demonstrations, text="a\nstar")
    folder = run_with(tmp_path / "run", {"moods": {"gpt2": one}})
    rows = [Result("moods", demonstrations, [1], 0.5, {}, 3, 0, 1.0)]
    (folder / "prompts.jsonl").write_text(json_lines(rows))
    text = page(read_run(folder))
    assert f"<blockquote>{demonstrations}</blockquote>" in text
    assert f'<td class="prompt">{demonstrations}</td>' in text
    assert f'<td class="text">{demonstrations}</td>' in text
    assert '<td class="text">a\nstar' in text
    assert "\\n" not in text.split("<script>")[0]


def test_flipped_examples_are_listed_with_the_largest_change_first(run):
    (shown,) = read_run(run).verdicts
    headline = shown.verdict.headline
    assert (len(shown.gained), len(shown.lost)) == (headline.wins, headline.losses)
    for rows, right in ((shown.gained, (True, False)), (shown.lost, (False, True))):
        assert all(row.right == right for row in rows)
        change = [abs(row.probabilities[0] - row.probabilities[1]) for row in rows]
        assert change == sorted(change, reverse=True)
    text = page(read_run(run))
    assert text.count('data-kind="gained"') == headline.wins
    assert text.count('data-kind="lost"') == headline.losses
    assert shown.gained[0].example["text"] in Page(text).cells


def test_long_lists_end_and_say_how_much_is_left_out(tmp_path):
    one = judged(0.9, 0.3, examples=500)
    for row in one.examples:
        row["example"] |= {f"field {n}": "x" * 5000 for n in range(20)}
    run = run_with(tmp_path / "run", {"moods": {"gpt2": one}})
    text, headline = page(read_run(run)), one.verdict.headline
    assert text.count('data-kind="gained"') == MOST_FLIPS
    left = headline.wins - MOST_FLIPS + max(0, headline.losses - MOST_FLIPS)
    assert f"; {left} of them are left out here" in text
    assert "x" * (MOST_TEXT - 1) + "…" in text
    assert "x" * MOST_TEXT not in text
    assert f"field {MOST_FIELDS - 2}" in text
    assert f"field {MOST_FIELDS - 1}" not in text


def test_many_prompts_and_many_classes_end_too(tmp_path):
    one = judged(0.6, 0.5, examples=600, classes=20, short=210)
    text = page(read_run(run_with(tmp_path / "run", {"moods": {"gpt2": one}})))
    assert "12 more are in verdict.json." in text
    assert "220 more are in verdict.json." in text
    assert 'class="sortable matrix"' not in text
    row = sum(one.verdict.chosen.confusion[3])
    right = one.verdict.chosen.confusion[3][3], one.verdict.floors[1].confusion[3][3]
    cells = "".join(f'<td class="number">{count}</td>' for count in (row, *right))
    assert f'<th scope="row">class 3</th>{cells}' in text


def test_several_verdicts_have_a_table_of_all(tmp_path):
    verdicts = {word: {"gpt2": judged(*shares)} for word, shares in CASES.items()}
    verdicts["better"]["opt"] = judged(0.8, 0.5)
    text = page(read_run(run_with(tmp_path / "run", verdicts)))
    links = [each.get("href") for tag, each in Page(text).tags if tag == "a"]
    ids = [each["id"] for tag, each in Page(text).tags if tag == "article"]
    assert links == [f"#{each}" for each in ids]
    assert len(ids) == 4
    assert text.count("<details open>") == 0
    alone = run_with(tmp_path / "alone", {"moods": {"gpt2": judged(0.8, 0.5)}})
    assert "<a " not in page(read_run(alone))


def test_hostile_text_stays_text(tmp_path):
    one = judged(0.9, 0.5, prompt=HOSTILE, text=HOSTILE)
    found = Page(page(read_run(run_with(tmp_path / "run", {HOSTILE: {HOSTILE: one}}))))
    assert HOSTILE in found.cells
    assert any(cell.startswith(HOSTILE) and cell[-1].isdigit() for cell in found.cells)
    assert [tag for tag, _ in found.tags].count("script") == 1
    names = {name for _, attributes in found.tags for name in attributes}
    assert not any(name.startswith("on") or name == "style" for name in names)


def rewritten(path, change):
    path.write_text(change(path.read_text()))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"moods": 3}', '{"moods": {"gpt2": {}}}'])
def test_a_broken_file_of_verdicts_is_named_and_left_out(run, caplog, text):
    (run / FILE).write_text(text)
    found = read_run(run)
    assert found.verdicts == []
    assert "verdict.json' is broken" in caplog.text
    assert '<section id="verdicts">' not in page(found)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "{\n" + text,
        lambda text: text[:-30],
        lambda text: "".join(text.splitlines(keepends=True)[1:]),
        lambda text: text.replace('"class 0"', '"class 9"'),
        lambda text: text.replace('"answers": ["class 0"', '"answers": ["class 1"'),
    ],
)
def test_foreign_answers_are_named_and_left_out(run, caplog, change):
    rewritten(run / EXAMPLES, change)
    (shown,) = read_run(run).verdicts
    assert not shown.flips
    assert "verdict-examples.jsonl' is broken" in caplog.text
    assert escape(shown.verdict.sentence) in page(read_run(run))


def test_what_is_no_file_is_left_out(run, caplog):
    (run / EXAMPLES).unlink()
    assert read_run(run).verdicts[0].flips == []
    assert not caplog.text
    (run / FILE).unlink()
    (run / FILE).mkdir()
    assert read_run(run).verdicts == []
    assert "it is a folder" in caplog.text


def test_one_broken_verdict_leaves_the_others(tmp_path, caplog):
    both = {"good": judged(0.9, 0.5), "bad": judged(0.9, 0.5)}
    run = run_with(tmp_path / "run", {"moods": both})
    whole = json.loads((run / FILE).read_text())
    del whole["moods"]["bad"]["alpha"]
    (run / FILE).write_text(json.dumps(whole))
    assert [each.model for each in read_run(run).verdicts] == ["good"]
    assert "verdict on 'moods' under 'bad'" in caplog.text
    assert "verdict.alpha is missing" in caplog.text


def test_bars_stay_in_their_picture():
    found = bar(-5.0, 0.5, 9.0, 0.25, (0, 1))
    assert (found.left, found.width, found.at, found.mark) == (0, BAR[0], BAR[0] / 2, BAR[0] / 4)
    assert bar(0.3, 0.3, 0.3, 0.3, (0.3, 0.3)).width == 1


def test_short_texts_stay_whole():
    assert shortened("a" * MOST_TEXT) == "a" * MOST_TEXT
    assert shortened(3) == "3"
