"""The heat map of scored texts, as a browser shows it."""

import json
import re
from statistics import mean, stdev

import pytest

from fuse_lightning.decoding.colours import (
    DARK,
    LIGHT,
    contrast,
    scale_top,
    sides,
    strength,
)
from fuse_lightning.decoding.scored_text import MEASURES
from fuse_lightning.report import heat_map
from tests.decoding.scored_texts import infinite, scored
from tests.report.browser import CHROMIUM, browser

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")

HOSTILE = [
    "</script><script>window.hit = 1</script>",
    '<img src=x onerror="window.hit = 2">',
    "\u2028",
    "\x1b[31m",
    "\u202e",
    " \n",
    "\t",
    "",
    "<!--",
    "`${window.hit = 3}'\"",
]
WIDE = 300
TEXTS = [
    scored([" the", " quick", " fox", "\n", " runs"], prompt="Once upon", sample=0),
    scored([" a", " slow", " cat"], prompt="Once upon", sample=1, kl=[0.5, 0.25, 0.0]),
    scored(HOSTILE, prompt="</script>\n\u202e", prompt_number=1, ended="stop"),
    scored([f" w{n}" for n in range(WIDE)], prompt="Many", prompt_number=2, kl=[0.125] * WIDE),
    infinite(),
    *(scored([" late"], prompt=f"p{n}", prompt_number=n, kl=[0.1]) for n in range(3, 200)),
]
TOKENS = "document.querySelectorAll('[data-index=\"{}\"] .told > .t')"


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """A browser in which the page is open."""
    folder = tmp_path_factory.mktemp("page")
    path = heat_map(TEXTS, folder / "page.html", title="A <b>title</b>", sort=False)
    with browser(tmp_path_factory.mktemp("profile")) as found:
        found.open(path)
        yield found


@pytest.fixture
def page(shown):
    """The page as it is at first."""
    choose(shown, "measure", "kl")
    choose(shown, "order", "given")
    choose(shown, "filter", "", "input")
    shown.run("hide(), scrollTo(0, 0), document.activeElement.blur()")
    painted(shown)
    return shown


def choose(page, name, value, event="change"):
    page.run(f"$('{name}').value = {json.dumps(value)}")
    page.run(f"$('{name}').dispatchEvent(new Event('{event}'))")


def painted(page):
    page.run("new Promise(done => requestAnimationFrame(() => setTimeout(done)))")


def key(page, name):
    for kind in ("rawKeyDown", "keyUp"):
        page.ask("Input.dispatchKeyEvent", type=kind, key=name)


def point(page, script):
    """Moves the mouse to the middle of an element."""
    x, y = page.run(
        f"(() => {{ const at = {script}.getClientRects()[0]; "
        "return [at.x + at.width / 2, at.y + at.height / 2] })()"
    )
    page.ask("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)


def backgrounds(page, index):
    """Backgrounds of a text's tokens, as #rrggbb."""
    found = page.run(
        f"[...{TOKENS.format(index)}].map(token => getComputedStyle(token).backgroundColor)"
    )
    shares = (re.findall(r"[\d.]+", each.removeprefix("color(srgb")) for each in found)
    return [[float(part) * 255 for part in each] for each in shares]


def wanted(text, measure, theme):
    top, values = scale_top(TEXTS, measure), text.tokens.divergences[measure]
    colours = [
        theme.background(side, strength(value, top))
        for side, value in zip(sides(text), values, strict=True)
    ]
    return [[int(each[n : n + 2], 16) for n in (1, 3, 5)] for each in colours]


@pytest.mark.parametrize(("scheme", "theme"), [("light", LIGHT), ("dark", DARK)])
def test_backgrounds_are_those_of_the_chosen_measure(page, scheme, theme):
    feature = {"name": "prefers-color-scheme", "value": scheme}
    page.ask("Emulation.setEmulatedMedia", features=[feature])
    for measure in ("kl", "js", "centred_l1"):
        choose(page, "measure", measure)
        for index in (0, 1, 4):
            # A background is rounded to whole parts of 255.
            for found, expected in zip(
                backgrounds(page, index), wanted(TEXTS[index], measure, theme), strict=True
            ):
                assert found == pytest.approx(expected, abs=0.6)
    page.ask("Emulation.setEmulatedMedia", features=[])


def test_each_text_has_its_means(page):
    facts = page.run("document.querySelector('article .facts').innerText")
    assert "mean KL(A‖B) 2 nats" in facts
    assert "perplexity base 7.389, tuned 9.025" in facts
    choose(page, "measure", "tv")
    assert "mean total variation 0.25" in page.run(
        "document.querySelector('article .facts').innerText"
    )


def test_the_side_is_seen_without_colour(page):
    found = page.run(
        f"[...{TOKENS.format(0)}].map(token => getComputedStyle(token)).map(style => "
        "[style.borderTopWidth, style.borderBottomWidth])"
    )
    lines = {"a": ["0px", "2px"], "b": ["2px", "0px"], "even": ["0px", "0px"]}
    assert found == [lines[side] for side in sides(TEXTS[0])]
    assert {*sides(TEXTS[0])} == {*lines}


def check_panel(page, text, place):
    """The panel tells all of a token."""
    assert page.run("panel.hidden") is False
    told = page.run("panel.innerText")
    assert f"id {text.tokens.ids[place]}" in told
    rows = page.run(
        "[...panel.querySelectorAll('.streams tr')].map(row => "
        "[...row.cells].map(cell => cell.innerText.replace(/\\s+/g, ' ')))"
    )
    assert rows[0] == ["", "A: base", "B: tuned"]
    assert [float(each.replace("−", "-")) for each in rows[1][1:]] == pytest.approx(
        [text.tokens.log_probs[name][place] for name in text.pair], rel=1e-3
    )
    assert rows[3] == ["top 1", "·base 50 %", "·tuned 50 %"]
    assert rows[4][1] == "·x 0.001 %"
    measured = page.run(
        "[...panel.querySelectorAll('.measured td:nth-child(2)')].map(cell => cell.innerText)"
    )
    assert [float(each) for each in measured] == pytest.approx(
        [text.tokens.divergences[name][place] for name in MEASURES], rel=1e-3
    )


def test_a_token_under_the_mouse_tells_its_numbers(page):
    point(page, f"{TOKENS.format(0)}[2]")
    check_panel(page, TEXTS[0], 2)
    assert "likelier under B, by 1 nats" in page.run("panel.innerText")
    point(page, f"{TOKENS.format(0)}[0]")
    check_panel(page, TEXTS[0], 0)
    page.ask("Input.dispatchMouseEvent", type="mouseMoved", x=2, y=2)
    page.run("new Promise(done => setTimeout(done, 400))")
    assert page.run("panel.hidden") is True


def test_the_keyboard_goes_from_token_to_token(page):
    page.run(f"{TOKENS.format(0)}[0].focus()")
    check_panel(page, TEXTS[0], 0)
    key(page, "ArrowRight")
    check_panel(page, TEXTS[0], 1)
    assert page.run("document.activeElement.getAttribute('aria-describedby')") == "panel"
    key(page, "End")
    check_panel(page, TEXTS[0], 4)
    key(page, "ArrowRight")
    check_panel(page, TEXTS[0], 4)
    # One token of a text at a time is reached by Tab.
    assert page.run(f"[...{TOKENS.format(0)}].map(token => token.tabIndex)") == [-1] * 4 + [0]
    key(page, "Escape")
    assert page.run("panel.hidden") is True
    key(page, "Home")
    check_panel(page, TEXTS[0], 0)


def test_a_click_keeps_the_panel(page):
    point(page, f"{TOKENS.format(0)}[1]")
    page.click('[data-index="0"] .told > .t:nth-of-type(3)')
    place = int(page.run("current.dataset.place"))
    check_panel(page, TEXTS[0], place)
    point(page, f"{TOKENS.format(1)}[0]")
    page.run("new Promise(done => setTimeout(done, 400))")
    check_panel(page, TEXTS[0], place)
    page.click("h1")
    assert page.run("panel.hidden") is True


def test_a_tap_shows_the_panel_and_another_one_hides_it(page):
    page.ask("Emulation.setTouchEmulationEnabled", enabled=True)

    def tap(script):
        x, y = page.run(
            f"(() => {{ const at = {script}.getClientRects()[0]; return [at.x + 5, at.y + 5] }})()"
        )
        page.ask("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
        page.ask("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
        painted(page)

    for place in (1, 2):
        tap(f"{TOKENS.format(0)}[{place}]")
        check_panel(page, TEXTS[0], place)
    tap("document.querySelector('h1')")
    assert page.run("panel.hidden") is True
    page.ask("Emulation.setTouchEmulationEnabled", enabled=False)


def test_hostile_tokens_are_text(page):
    assert page.run("document.querySelector('h1').textContent") == "A <b>title</b>"
    page.run(f"{TOKENS.format(2)}[0].focus()")
    assert HOSTILE[0].replace(" ", "·") in page.run("panel.textContent")
    shown = page.run(f"[...{TOKENS.format(2)}].map(token => token.textContent)")
    escapes = {"\u2028": "\\u2028", "\x1b[31m": "\\u001b[31m", "\u202e": "\\u202e"}
    assert shown == [escapes.get(each, each) for each in HOSTILE]
    assert page.run("typeof window.hit") == "undefined"
    for place, name in ((5, "·↵"), (6, "⇥"), (7, "part of a character")):
        page.run(f"{TOKENS.format(2)}[{place}].focus()")
        assert page.run("panel.querySelector('strong').textContent") == name
    sign = "getComputedStyle(document.querySelector('.told .newline'), '::before').content"
    assert page.run(sign) == '"↵"'
    asked = [
        e["params"]["request"]["url"]
        for e in page.events
        if e["method"] == "Network.requestWillBeSent"
    ]
    assert [url for url in asked if not url.startswith("file:")] == []
    assert [
        e for e in page.events if e["method"] in ("Log.entryAdded", "Runtime.exceptionThrown")
    ] == []


def test_infinite_numbers_are_shown(page):
    page.run(f"{TOKENS.format(4)}[0].focus()")
    told = page.run("panel.innerText")
    assert re.search(r"KL\(A‖B\)\s+∞", told)
    assert "likelier under A, by ∞ nats" in told
    assert re.search(r"log-probability\s+−1\s+−∞", told)
    page.run(f"{TOKENS.format(4)}[1].focus()")
    assert re.search(r"KL\(A‖B\)\s+NaN", page.run("panel.innerText"))


def order(page):
    return page.run("[...document.querySelectorAll('article')].map(each => +each.dataset.index)")


def test_the_most_divergent_texts_come_first(page):
    assert order(page) == list(range(len(TEXTS)))
    choose(page, "order", "most")
    # Texts of one mean stay as they are given; what has no mean comes last.
    means = {n: text.divergence() for n, text in enumerate(TEXTS) if n != 4}
    assert order(page) == [*sorted(means, key=lambda n: -means[n]), 4]


def test_texts_without_prompts_are_told_apart_by_how_they_begin(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bare")
    bare = [
        scored([" a", " red", " star"], prompt="", prompt_number=0),
        scored([" two", " boxes"], prompt="", prompt_number=1),
    ]
    mixed = [*bare, scored([" fox"], prompt="The", prompt_number=2)]
    names = "[...document.querySelectorAll('.go')].map(each => each.innerText)"
    with browser(tmp_path_factory.mktemp("profile")) as found:
        found.open(heat_map(bare, folder / "bare.html", title="bare", sort=False))
        assert found.run(names) == ["·a·red·star", "·two·boxes"]
        assert found.run("document.querySelector('#summary summary').innerText") == "By text"
        found.open(heat_map(mixed, folder / "mixed.html", title="mixed", sort=False))
        assert found.run(names) == ["(no prompt)", "(no prompt)", "The"]
        assert found.run("document.querySelector('#summary summary').innerText") == "By prompt"


def test_the_table_has_means_and_standard_errors_by_prompt(page):
    rows = page.run(
        "[...$('by-prompt').rows].slice(0, 2).map(row => "
        "[...row.cells].map(cell => cell.innerText))"
    )
    means = [TEXTS[0].divergence(), TEXTS[1].divergence()]
    assert rows[0][:3] == ["0", "Once·upon", "2"]
    assert [float(each) for each in rows[0][3:]] == pytest.approx(
        [mean(means), stdev(means) / 2**0.5], rel=5e-3
    )
    assert rows[1] == ["1", "</script>↵\\u202e", "1", "4.5", "–"]
    page.run("document.querySelector('.go[data-index=\"3\"]').click()")
    painted(page)
    top = page.run(
        "document.querySelector('article[data-index=\"3\"]').getBoundingClientRect().top"
    )
    assert 0 <= top < 400


def test_a_filter_leaves_texts_that_hold_its_words(page):
    choose(page, "filter", "UPON the quick", "input")
    assert page.run("$('count').value") == f"1 of {len(TEXTS)}"
    assert page.run("articles.filter(each => !each.hidden).map(each => +each.dataset.index)") == [0]


def test_texts_become_elements_when_they_are_near(page):
    last = f'article[data-index="{len(TEXTS) - 1}"]'
    assert page.run(f"document.querySelector('{last}').childElementCount") == 0
    page.run(f"document.querySelector('{last}').scrollIntoView()")
    page.run(
        "new Promise(done => { const look = () => "
        f"document.querySelector('{last} .told') ? done() : requestAnimationFrame(look); look() }})"
    )
    assert page.run(f"document.querySelector('{last} .told').textContent").endswith(" late")


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_is_wider_than_the_page(page, width):
    page.look(width, 800)
    page.run(f"{TOKENS.format(0)}[4].focus()")
    assert page.run("panel.getBoundingClientRect().right <= innerWidth")
    assert page.run("document.documentElement.scrollWidth <= innerWidth")
    page.ask("Emulation.clearDeviceMetricsOverride")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_other_text_is_read_on_its_background(page, scheme):
    feature = {"name": "prefers-color-scheme", "value": scheme}
    page.ask("Emulation.setEmulatedMedia", features=[feature])
    found = page.run(
        "(() => { const style = getComputedStyle(document.documentElement);"
        "return ['text', 'soft', 'line', 'page', 'box'].map(name => "
        "style.getPropertyValue('--' + name).trim()) })()"
    )
    whole = [each if len(each) == 7 else "#" + "".join(c * 2 for c in each[1:]) for each in found]
    text, soft, line, back, box = whole
    for colour in (text, soft):
        assert min(contrast(colour, back), contrast(colour, box)) >= 4.5
    assert contrast(line, back) >= 4.5
    page.ask("Emulation.setEmulatedMedia", features=[])
