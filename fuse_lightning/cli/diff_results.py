"""Files of ``fuse diff``, and the lines that it prints."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from fuse_lightning.decoding.run import DecodingRun
from fuse_lightning.diffing.difference import Difference
from fuse_lightning.report.differences import differences_page, number
from fuse_lightning.report.heat_map import heat_map
from fuse_lightning.results.run_folder import FINDINGS
from fuse_lightning.utilities.terminal import quoted, say, visible

PAGE, MAP = "report.html", "heat_map.html"
MOST_TOLD = 5
"""Most findings of a kind that the terminal shows."""
NAMES = {
    "text": "differences of texts",
    "word": "words",
    "topic": "groups of tokens",
    "token": "tokens",
    "prompt": "prompts",
}
"""Findings of each kind, as the terminal names those that it leaves to the page."""
MOST_SHOWN = 1000
"""Most texts of the heat map, so that it opens in seconds."""


def write(difference: Difference, run: DecodingRun, names: tuple[str, str]) -> None:
    """Writes the files of a comparison.

    Args:
        difference: What was found.
        run: The run, which holds the folder.
        names: Names of A and B.
    """
    folder = run.path
    run.folder.write(FINDINGS, f"{json.dumps(difference.to_dict(), indent=1)}\n")
    links = {}
    if texts := [each for each in difference.texts if len(each.tokens)]:
        texts.sort(key=lambda each: -each.divergence("js"))
        about = f"A is {names[0]}; B is {names[1]}"
        heat_map(texts[:MOST_SHOWN], folder / MAP, measure="js", about=about)
        links = {"where the two part, token by token": MAP}
    differences_page(
        difference.findings,
        folder / PAGE,
        models=names,
        summary=difference.summary,
        notes=[*difference.notes, *_divergence(difference), *difference.hints],
        links=links,
        looked=difference.looked,
    )


def _divergence(difference: Difference) -> list[str]:
    found = difference.divergence
    if found is None:
        return []
    over = "given texts" if all(each.ended == "given" for each in difference.texts) else "prompts"
    js, kl = found.divergences["js"], found.divergences["kl"]
    return [
        f"Mean over {over}: Jensen-Shannon {number(js.value)} nats a token (standard error "
        f"{number(js.error)}), KL(A‖B) {number(kl.value)} ({number(kl.error)}). Two identical "
        "models have 0."
    ]


def tell(difference: Difference, folder: Path, *, as_json: bool) -> None:
    """Prints what was found.

    Args:
        difference: What was found.
        folder: The run's folder.
        as_json: Whether to print JSON, and nothing else.
    """
    if as_json:
        text = json.dumps(difference.to_dict(), indent=2, ensure_ascii=False)
        say(*map(visible, text.splitlines()))
        return
    lines = [difference.summary]
    kinds = Counter(each.kind for each in difference.findings)
    told: Counter[str] = Counter()
    for each in difference.findings:
        told[each.kind] += 1
        if told[each.kind] == MOST_TOLD + 1:
            lines.append(f"     … and {kinds[each.kind] - MOST_TOLD} more {NAMES[each.kind]}")
        if told[each.kind] > MOST_TOLD:
            continue
        place = sum(min(count, MOST_TOLD) for count in told.values())
        p = "" if each.p is None else f", p {each.p:.2g}"
        lines += [
            f"{place:3}. {each.claim}",
            f"     {number(each.effect)} {each.unit} ({number(each.low)} to "
            f"{number(each.high)}{p}; identical pair {number(each.identical)})",
        ]
    lines += [*difference.hints, *_divergence(difference)]
    say(*map(visible, [*lines, f"the page is {quoted(folder / PAGE)}"]))
