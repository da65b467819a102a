"""The page of differences, as a browser shows it on a phone and on a desk."""

import pytest

from fuse_lightning.decoding.colours import contrast
from fuse_lightning.diffing.finding import Finding
from fuse_lightning.report import heat_map
from fuse_lightning.report.differences import differences_page
from tests.decoding.scored_texts import scored
from tests.report.browser import CHROMIUM, browser
from tests.report.test_report_page import HOSTILE

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")

LONG = "x" * 200
MODELS = f"/models/{LONG}", f"<b>base</b>{HOSTILE}"
FINDINGS = [
    Finding("text", f"A has {LONG}", 0.25, "share of texts", 0.1, 0.4, 1e-9, 90, 0.0, (LONG,) * 3),
    Finding(
        *("text", HOSTILE, -0.5, "share of texts", -0.6, -0.4, 0.03125, 90, 0.0, (HOSTILE,)),
        detail={"also": [HOSTILE, LONG]},
    ),
    Finding("token", "A writes ' x' less often", -3.0, "expected uses", -4, -2, 0.01, 40, 0.0),
    Finding("topic", "A writes the group ' x', ' y' more", 6.0, "expected uses", 4, 8, 0.01, 40, 0),
    Finding(
        *("word", "A finds these words", 1.0, "nats a place", 0.5, 1.5, 0.01, 40, 0.0, ("a x",)),
        detail={"words": [LONG, "x", HOSTILE]},
    ),
    Finding("prompt", "behind 'x' the two diverge", 0.5, "nats", 0.4, 0.6, 0.01, 9, 0.0, ("x\ny",)),
]
SIZES = [(width, scheme) for width in (390, 1280) for scheme in ("light", "dark")]


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """A browser, and the page of differences beside the heat map that it links to."""
    folder = tmp_path_factory.mktemp("page")
    place = heat_map([scored([" a", " cat"])], folder / "map of texts.html", title="The map")
    links = {"token by token": place.name, "the figures": "findings.json"}
    (folder / "findings.json").write_text("[]")
    path = differences_page(
        FINDINGS,
        folder / "report.html",
        models=MODELS,
        summary=f"6 differences, of {LONG}.",
        notes=[f"Texts: {LONG}"],
        links=links,
    )
    with browser(tmp_path_factory.mktemp("profile")) as found:
        yield found, path


def opened(shown, width=1280, scheme="light"):
    """The page in a window of some width, with all examples open."""
    page, path = shown
    page.look(width, scheme=scheme)
    page.events = []
    page.open(path)
    page.run("document.querySelectorAll('details').forEach(each => { each.open = true })")
    return page


def colours(page, selector, name):
    """Colours of elements, as #rrggbb."""
    found = page.run(
        f"[...document.querySelectorAll({selector!r})]"
        f".map(each => getComputedStyle(each).{name}.match(/[\\d.]+/g).slice(0, 3).map(Number))"
    )
    return ["#" + "".join(f"{round(part):02x}" for part in each) for each in found]


@pytest.mark.parametrize(("width", "scheme"), SIZES)
def test_nothing_sticks_out_and_nothing_is_too_small_to_read(shown, width, scheme):
    page = opened(shown, width, scheme)
    assert page.run("innerWidth") == width
    assert page.run("document.documentElement.scrollWidth <= innerWidth")
    out = page.run(
        "[...document.querySelectorAll('body *')].filter(each => "
        "each.getBoundingClientRect().right > document.documentElement.clientWidth)"
        ".map(each => each.tagName)"
    )
    assert out == []
    sizes = page.run(
        "[...document.querySelectorAll('body *')].filter(each => each.innerText)"
        ".map(each => parseFloat(getComputedStyle(each).fontSize))"
    )
    assert min(sizes) >= 11
    (back,) = colours(page, "body", "backgroundColor")
    # WCAG 2.2 asks for 4.5 of small text.
    for selector in ("h1, h2, h3, p, li, summary", ".word", "a"):
        found = colours(page, selector, "color")
        assert found
        assert min(contrast(each, back) for each in found) >= 4.5
    for text, box in zip(
        colours(page, "blockquote", "color"),
        colours(page, "blockquote", "backgroundColor"),
        strict=True,
    ):
        assert contrast(text, box) >= 4.5


def test_the_colour_beside_a_finding_is_that_of_the_model_that_has_more(shown):
    page = opened(shown)
    a, b = colours(page, ".pair .word", "color")
    found = colours(page, "article", "borderLeftColor")
    assert found[:5] == [a, b, a, a, b]
    assert found[5] not in (a, b)
    told = page.run("[...document.querySelectorAll('article h3 + p')].map(each => each.innerText)")
    assert told[0].startswith("A minus B: 0.25 share of texts (95 % interval 0.1 to 0.4); p < 0.")
    assert told[1].startswith("A minus B: −0.5 share of texts (95 % interval −0.6 to −0.4); p = ")
    assert told[5].startswith("0.5 nats (95 % interval 0.4 to 0.6)")


def test_each_kind_has_a_section_and_lines_of_examples_stay_apart(shown):
    page = opened(shown)
    assert page.run("document.querySelectorAll('section').length") == 5
    texts = page.run("[...document.querySelectorAll('blockquote')].map(each => each.innerText)")
    assert texts == [text for each in FINDINGS for text in each.examples]
    names = page.run("[...document.querySelectorAll('.pair li')].map(each => each.innerText)")
    assert names == [f"A {MODELS[0]}", f"B {MODELS[1]}"]


def test_links_lead_to_the_files_beside_the_page(shown):
    page = opened(shown)
    texts = page.run("[...document.querySelectorAll('a')].map(each => each.innerText)")
    assert texts == ["token by token", "the figures"]
    places = page.run("[...document.querySelectorAll('a')].map(each => each.href)")
    folder = shown[1].parent
    assert places == [(folder / n).as_uri() for n in ("map of texts.html", "findings.json")]
    page.events = []
    page.click("a")
    page.wait("Page.loadEventFired")
    assert page.run("document.title") == "The map"


def test_hostile_names_and_texts_do_nothing(shown):
    page = opened(shown, 390)
    assert page.run("typeof window.hit") == "undefined"
    kinds = ("Log.entryAdded", "Runtime.exceptionThrown")
    assert [event for event in page.events if event["method"] in kinds] == []
    asked = [
        event["params"]["request"]["url"]
        for event in page.events
        if event["method"] == "Network.requestWillBeSent"
    ]
    assert asked == [shown[1].as_uri()]
