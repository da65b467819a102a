"""Size and speed of heat maps, in a headless Chromium.

``python -m benchmarks.heat_map`` writes ``benchmarks/results/heat_map.md``.
"""

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.machine import describe, table, write
from benchmarks.report import PAINTED, seconds
from fuse_lightning.decoding.scored_text import MEASURES, ScoredText, Tokens
from fuse_lightning.report import heat_map
from tests.report.browser import CHROMIUM, browser

STREAMS = ("base", "tuned")
VOCABULARY, TOPS = 50_000, 10
SIZES = {"1 text of 200 tokens": (1, 200), "1 000 texts of 100 tokens": (1000, 100)}


def made_up(texts: int, length: int, seed: int = 0) -> list[ScoredText]:
    """Texts of random tokens of a large vocabulary, two for each prompt.

    Words are drawn by Zipf's law, as in texts of people.
    """
    draw = np.random.default_rng(seed)
    words = [f" {draw.integers(26**6):x}"[: 2 + n % 9] for n in range(VOCABULARY)]
    chances = 1 / np.arange(2, VOCABULARY + 2)
    chances /= chances.sum()
    found = []
    for number in range(texts):
        ids = draw.choice(VOCABULARY, length, p=chances)
        tops = {}
        for name in STREAMS:
            places = draw.choice(VOCABULARY, (length, TOPS), p=chances)
            shares = -np.sort(-draw.dirichlet(np.full(TOPS, 0.2), length), axis=1)
            tops[name] = tuple(
                tuple((words[word], float(p)) for word, p in zip(place, share, strict=True))
                for place, share in zip(places, shares, strict=True)
            )
        tokens = Tokens(
            tuple(words[each] for each in ids),
            tuple(map(int, ids)),
            {name: tuple(draw.exponential(0.5, length).tolist()) for name in MEASURES},
            {name: tuple((-draw.exponential(2, length)).tolist()) for name in STREAMS},
            tops,
        )
        text = "".join(tokens.pieces)
        weights = {"base": 1.0, "tuned": -0.5}
        prompt = f"Prompt number {number // 2} says"
        found.append(ScoredText(prompt, text, tokens, STREAMS, number // 2, number % 2, weights))
    return found


def look(path: Path) -> dict[str, float]:
    """Seconds until the page is painted, and until what is asked of it is on the screen."""
    with tempfile.TemporaryDirectory() as profile, browser(Path(profile)) as page:
        begin = time.perf_counter()
        page.open(path)
        page.run(PAINTED)
        opened = time.perf_counter() - begin
        change = "$('measure').value = 'js', $('measure').dispatchEvent(new Event('change'))"
        find = "$('filter').value = 'number 7', $('filter').dispatchEvent(new Event('input'))"
        return {
            "opened": opened,
            "a token's panel": seconds(page, "document.querySelector('.told > .t').focus()"),
            "another measure": seconds(page, change),
            "scrolled to its end": seconds(page, "scrollTo(0, document.body.scrollHeight)"),
            "filtered": seconds(page, find),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    if CHROMIUM is None:
        raise SystemExit("there is no Chromium on this machine; install one")
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for what, size in SIZES.items():
            texts = made_up(*size)
            begin = time.process_time()
            path = heat_map(texts, Path(name) / "page.html")
            written = time.process_time() - begin
            found = [look(path) for _ in range(options.repeats)]
            taken = {each: median(one[each] for one in found) for each in found[0]}
            times = [f"{each:.2f}" for each in (written, *taken.values())]
            rows.append([what, f"{path.stat().st_size / 1e6:.2f}", *times])
    write(
        "heat_map",
        "# Heat maps of scored texts\n\n"
        f"{describe()}\n\n"
        f"Random tokens of {len(STREAMS)} streams, with {TOPS} top tokens of each and "
        f"{len(MEASURES)} divergences. Written: seconds of one core. The others: headless "
        f"Chromium, seconds until what was asked for is on the screen; medians "
        f"of {options.repeats} browsers, each begun anew.\n\n"
        f"{table(['page', 'MB', 'written', *taken], rows)}\n",
    )


if __name__ == "__main__":
    main()
