"""Table and sentences that compare optimizers and floors by their verdicts."""

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any

from benchmarks.classification.pages import spread
from benchmarks.classification.runs import Row
from benchmarks.machine import table
from fuse_lightning.evaluation.verdict import Verdict

Cells = Mapping[str, Sequence[Mapping[str, Any]]]
"""Found verdicts of each optimizer, with what was used, in the order of the seeds."""
WORDS = ("better", "not shown", "worse")
STOCK = "the best stock instruction"
RANDOM = "RandomSearch"


def verdicts(cells: Sequence[Mapping[str, Any]]) -> list[Verdict]:
    """The verdicts of an optimizer."""
    return [Verdict.from_dict(cell["verdict"]) for cell in cells]


def floor_accuracies(cells: Cells) -> dict[str, list[tuple[float, float]]]:
    """Accuracy of each floor on test and on select, one pair a seed."""
    found: dict[str, list[tuple[float, float]]] = {}
    # A seed's floors are the same for all optimizers.
    longest = max(cells.values(), key=len)
    for verdict in verdicts(longest):
        for floor in verdict.floors:
            found.setdefault(floor.name, []).append((floor.accuracy, floor.select))
    return found


def compared(cells: Cells) -> str:
    """A table with a line for each optimizer and each floor."""
    head = [
        *("prompt", "test accuracy, %", "on select, %", "better / not shown / worse"),
        *("than stock", "evaluations", "positions", "TFLOP", "s"),
    ]
    rows = []
    for name, found in cells.items():
        told = verdicts(found)
        used = {key: mean(cell["used"][key] for cell in found) for key in found[0]["used"]}
        rows.append(
            [
                name,
                spread([verdict.chosen.accuracy for verdict in told]),
                spread([verdict.chosen.select for verdict in told]),
                counts([verdict.word for verdict in told]),
                counts([against(verdict, STOCK) for verdict in told]),
                f"{used['evaluations']:.0f}",
                f"{used['tokens']:.0f}",
                f"{used['flops'] / 1e12:.2f}",
                f"{used['seconds']:.0f}",
            ]
        )
    for name, pairs in floor_accuracies(cells).items():
        test, select = ([*each] for each in zip(*pairs, strict=True))
        rows.append([f"*{name}*", spread(test), spread(select), *["-"] * 6])
    return table(head, rows)


def against(verdict: Verdict, floor: str) -> str:
    """What is said of the found prompt against one floor."""
    name = verdict.chosen.name
    return next(
        each.word for each in verdict.comparisons if (each.candidate, each.floor) == (name, floor)
    )


def counts(words: Sequence[str]) -> str:
    """How often each word was said.

    >>> counts(["worse", "better", "worse"])
    '1 / 0 / 2'
    """
    found = Counter(words)
    return " / ".join(str(found[word]) for word in WORDS)


def findings(cells: Cells, rows: Mapping[str, Row]) -> str:
    """Sentences about gradient optimizers that end below what costs less."""
    score = {
        name: mean(verdict.chosen.accuracy for verdict in verdicts(found))
        for name, found in cells.items()
    }
    floors = {
        name: mean(test for test, _ in pairs) for name, pairs in floor_accuracies(cells).items()
    }
    random = {name: value for name, value in score.items() if name.startswith(RANDOM)}
    strongest = sorted(random, key=random.__getitem__)[-1:]
    rivals = {STOCK: floors[STOCK]} | {name: random[name] for name in strongest}
    gradient = [name for name in cells if rows[name].gradient]
    lines = []
    for rival, bar in rivals.items() if gradient else ():
        below = [name for name in gradient if score[name] <= bar]
        who = "No optimizer with gradients" if not below else "; ".join(below)
        verb = "ends" if len(below) < 2 else "end"
        lines.append(f"{who} {verb} at or below {rival} ({100 * bar:.1f} %) in mean accuracy.")
    best = max(score, key=score.__getitem__)
    lines.append(f"The best optimizer is {best} ({100 * score[best]:.1f} %).")
    return " ".join(lines)
