"""Verdicts as a browser shows them: sorted by a click, filtered by the kind of flip."""

import json

import pytest

from fuse_lightning.report import report
from tests.factories.verdicts import judged, run_with
from tests.report.browser import CHROMIUM, browser
from tests.report.test_report_page import HOSTILE

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")


@pytest.fixture(scope="module")
def verdict():
    return judged(0.85, 0.6, prompt=HOSTILE, text=HOSTILE)


@pytest.fixture(scope="module")
def page(verdict, tmp_path_factory):
    """A browser in which the report is open."""
    folder = run_with(tmp_path_factory.mktemp("run") / "run", {"moods": {"gpt2": verdict}})
    report(folder)
    with browser(tmp_path_factory.mktemp("profile")) as found:
        found.open(folder / "report.html")
        yield found


def table(page, title):
    """JavaScript of the first table below a title."""
    all_details = "[...document.querySelectorAll('#verdicts details')]"
    begins = f"each.textContent.trim().startsWith({json.dumps(title)})"
    return f"{all_details}.find(each => {begins}).querySelector('table')"


def column(page, of, name, click=True):
    """A column's keys, sorted by it."""
    head = f"[...{of}.tHead.querySelectorAll('th')].find(h => h.textContent === {json.dumps(name)})"
    if click:
        page.run(f"{head}.querySelector('button').click()")
    cell = f"row.cells[{head}.cellIndex]"
    return page.run(
        f"[...{of}.tBodies[0].rows].map(row => {cell}.dataset.key ?? {cell}.textContent)"
    )


def test_figures_are_sorted_as_numbers_and_not_as_they_are_written(page, verdict):
    prompts, pairs = table(page, "Prompts"), table(page, "Comparisons")
    scores = (*verdict.verdict.candidates, *verdict.verdict.floors)
    found = [float(key) for key in column(page, prompts, "accuracy")]
    assert found == sorted(each.accuracy for each in scores)
    assert column(page, prompts, "prompt") == sorted(each.name for each in scores)
    for name, of in (("points", "difference"), ("p", "adjusted"), ("95 % interval", "low")):
        wanted = sorted(getattr(each, of) for each in verdict.verdict.comparisons)
        assert [float(key) for key in column(page, pairs, name)] == wanted
        assert [float(key) for key in column(page, pairs, name)] == wanted[::-1]


def test_every_table_is_sorted_by_a_click(page):
    count = page.run("document.querySelectorAll('table').length")
    assert count == 6
    assert (
        page.run(
            "[...document.querySelectorAll('table')].filter(each => { "
            "const button = each.tHead.querySelector('button'); button.click(); "
            "return button.closest('th').getAttribute('aria-sort') === 'ascending' "
            "|| button.closest('th').getAttribute('aria-sort') === 'descending' }).length"
        )
        == count
    )


@pytest.mark.parametrize("kind", ["gained", "lost", ""])
def test_flips_are_filtered_by_their_kind(page, verdict, kind):
    page.run(
        f"(() => {{ const kinds = document.querySelector('select.kinds'); kinds.value = '{kind}'; "
        "kinds.dispatchEvent(new Event('change')) })()"
    )
    shown = page.run(
        "[...document.querySelectorAll('tr[data-kind]')].filter(row => row.offsetHeight)"
        ".map(row => row.dataset.kind)"
    )
    headline = verdict.verdict.headline
    wanted = {"gained": headline.wins, "lost": headline.losses}
    assert {name: shown.count(name) for name in wanted} == {
        name: count if kind in ("", name) else 0 for name, count in wanted.items()
    }


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_words_can_be_read_in_light_and_dark_and_nothing_sticks_out(page, scheme, width):
    page.look(width, scheme=scheme)
    assert page.run("document.documentElement.scrollWidth <= innerWidth")
    contrasts = page.run(
        "(() => { const light = color => { const [r, g, b] = color.match(/[\\d.]+/g).map(each => "
        "each / 255).map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4); "
        "return 0.2126 * r + 0.7152 * g + 0.0722 * b }; "
        "const page = light(getComputedStyle(document.body).backgroundColor); "
        "return [...document.querySelectorAll('.word, article p, td')].map(each => { "
        "const text = light(getComputedStyle(each).color); "
        "return (Math.max(text, page) + 0.05) / (Math.min(text, page) + 0.05) }) })()"
    )
    # WCAG 2.2 asks for 4.5 of small text.
    assert min(contrasts) >= 4.5


def test_nothing_hostile_runs_and_nothing_is_refused(page):
    assert page.run("typeof window.hit") == "undefined"
    kinds = ("Log.entryAdded", "Runtime.exceptionThrown")
    assert [event for event in page.events if event["method"] in kinds] == []
