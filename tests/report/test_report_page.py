"""The report of a thousand targets, as a browser shows it."""

import json

import numpy as np
import pytest
from torch.utils.tensorboard import SummaryWriter

from fuse_lightning.report import report
from fuse_lightning.results.export import json_lines
from fuse_lightning.results.result import Result
from tests.report.browser import CHROMIUM, browser

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")

COUNT = 1000
COLORS = ("red", "teal", "blue", "green", "orange")
HOSTILE = (
    '</script><script>window.hit = 1</script><img src=x onerror="window.hit = 2">\'"`${hit = 3}'
)
HOSTILE_ROW = 700


def prompt(index):
    return HOSTILE if index == HOSTILE_ROW else f"a {COLORS[index % len(COLORS)]} star {index}"


def results():
    losses = np.random.default_rng(0).permutation(COUNT).astype(float) - 500
    for index, loss in enumerate(losses):
        for rank in (1, 2):
            named = {"fluency": loss, "image_similarity": rank / 2}
            text = prompt(index) if rank == 1 else "the next best"
            yield Result(f"scene {index}", text, [1], loss + rank, named, 3, 0, 1.5, rank)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A browser in which the report is open."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "prompts.jsonl").write_text(json_lines(results()))
    board = SummaryWriter(folder)
    for index in range(COUNT):
        picture = np.full((8, 12, 3), index % 256, np.uint8)
        board.add_image(f"target/scene {index}", picture, 0, dataformats="HWC")
    for step, loss in enumerate((3.0, 2.0, 1.0)):
        board.add_scalar("train/best", loss, step)
    board.close()
    report(folder)
    with browser(tmp_path_factory.mktemp("profile")) as found:
        found.open(folder / "report.html")
        yield found


def column(page, index, count=5):
    cells = "[...document.querySelectorAll('tbody tr')].filter(row => !row.hidden)"
    return page.run(f"{cells}.slice(0, {count}).map(row => row.cells[{index}].textContent)")


def sort(page, name):
    index = page.run(f"heads.findIndex(head => head.textContent === {json.dumps(name)})")
    page.run("scrollTo(0, 0)")
    page.click(f"th:nth-child({index + 1}) button")
    return index


def find(page, text):
    page.run("scrollTo(0, 0); search.select()")
    page.type(text) if text else page.run("document.execCommand('delete')")


def test_everything_is_shown(page):
    assert page.run("document.querySelectorAll('tbody tr').length") == 2 * COUNT
    assert page.run("document.querySelector('p').textContent").startswith("1000 targets, 2000")
    assert page.run("document.querySelectorAll('polyline').length") == 1


def test_pictures_are_seen_when_scrolled_to(page):
    inside = "document.querySelector('tbody tr:nth-child(1200) img')"
    page.run("scrollTo(0, 0)")
    page.wheel(600)
    assert page.run(
        "new Promise(done => { const look = () => scrollY > 0 ? done(true) : "
        "requestAnimationFrame(look); look(); })"
    )
    page.run(f"{inside}.scrollIntoView()")
    assert page.run(f"{inside}.decode().then(() => {inside}.naturalWidth)") == 12
    # The second prompt of a target shows the picture that the first one holds.
    assert page.run(f"{inside}.src === document.getElementById('picture-600').src")
    assert page.run(f"{inside}.getBoundingClientRect().top < innerHeight")


def test_columns_are_sorted_as_numbers_and_as_words(page):
    losses = sorted((result.loss for result in results()), reverse=True)
    index = sort(page, "loss")
    assert column(page, index) == [f"{loss:.3f}" for loss in losses[::-1][:5]]
    sort(page, "loss")
    assert column(page, index) == [f"{loss:.3f}" for loss in losses[:5]]
    assert page.run(f"heads[{index}].getAttribute('aria-sort')") == "descending"
    index = sort(page, "target")
    assert column(page, index, 6) == [f"scene {number}" for number in (0, 0, 1, 1, 2, 2)]
    assert page.run("document.querySelectorAll('[aria-sort]').length") == 1


def test_a_search_leaves_what_holds_its_words(page):
    find(page, "TEAL star")
    wanted = sum(result.prompt.startswith("a teal star") for result in results())
    assert page.run("count.value") == f"{wanted} of {2 * COUNT}"
    assert all(text.startswith("a teal star") for text in column(page, 3, COUNT))
    assert len(column(page, 3, COUNT)) == wanted
    find(page, "")
    assert page.run("[...body.rows].filter(row => row.hidden).length") == 0
    assert page.run("count.value") == ""


@pytest.mark.parametrize("width", [390, 1024, 1280, 1440])
def test_prompts_have_room_at_every_width(page, width):
    page.look(width)
    try:
        prompts = "[...document.querySelectorAll('td.prompt')].slice(0, 20)"
        widths = page.run(f"{prompts}.map(cell => cell.getBoundingClientRect().width)")
        assert min(widths) >= 240
        assert page.run("document.documentElement.scrollWidth <= innerWidth")
        shown = "getComputedStyle(document.querySelector('td.extra')).display !== 'none'"
        assert page.run(shown) == (width > 1440)
        page.run("document.getElementById('all').click()")
        assert page.run(shown)
        assert page.run("document.documentElement.scrollWidth <= innerWidth")
        page.run("document.getElementById('all').click()")
    finally:
        page.look(1280)


def test_nothing_hostile_runs_and_nobody_is_asked(page):
    find(page, "onerror")
    assert column(page, 3) == [HOSTILE]
    find(page, "")
    assert page.run("typeof window.hit") == "undefined"
    asked = [
        e["params"]["request"]["url"]
        for e in page.events
        if e["method"] == "Network.requestWillBeSent"
    ]
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert [
        e for e in page.events if e["method"] in ("Log.entryAdded", "Runtime.exceptionThrown")
    ] == []


def test_the_policy_of_the_page_stops_scripts_that_are_not_its_own(page):
    page.run(
        "(() => { const script = document.createElement('script'); "
        "script.textContent = 'window.added = 1'; document.body.append(script); "
        "const image = new Image(); image.setAttribute('onerror', 'window.added = 2'); "
        "image.src = 'data:,'; document.body.append(image); "
        "return new Promise(done => image.addEventListener('error', () => setTimeout(done))) })()"
    )
    assert page.run("typeof window.added") == "undefined"


def test_paper_shows_dark_letters_and_nothing_to_click(page):
    dark = {"name": "prefers-color-scheme", "value": "dark"}
    page.ask("Emulation.setEmulatedMedia", media="print", features=[dark])
    try:
        shown = "(name => getComputedStyle(document.querySelector(name)).display)"
        assert page.run(f"{shown}('#prompts thead')") == "none"
        assert page.run(f"{shown}('.tools')") == "none"
        page.run(
            "document.body.append(Object.assign(document.createElement('div'), "
            "{className: 'tall', id: 'probe'}))"
        )
        assert page.run("getComputedStyle(probe).maxHeight") == "none"
        text = page.run("getComputedStyle(document.body).color.match(/\\d+/g).map(Number)")
        assert max(text) < 100
    finally:
        page.run("document.getElementById('probe')?.remove()")
        page.ask("Emulation.setEmulatedMedia", media="", features=[])
