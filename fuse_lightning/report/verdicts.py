"""Verdicts of a run as its report shows them."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from fuse_lightning.evaluation.sentence import WAYS
from fuse_lightning.evaluation.verdict import Comparison, PromptScore, Verdict, Way
from fuse_lightning.evaluation.verdict_files import (
    EXAMPLES,
    FILE,
    Answered,
    Pair,
    check_examples,
    read_examples,
    read_verdicts,
)
from fuse_lightning.evaluation.verdict_table import expectations, other_ways
from fuse_lightning.utilities.regular import read_text
from fuse_lightning.utilities.terminal import quoted

MOST_FLIPS, MOST_CLASSES, MOST_ROWS, MOST_VERDICTS = 100, 12, 200, 50
"""Most flips of a kind, classes of a confusion matrix, rows of a table, and shown verdicts."""
MOST_FIELDS, MOST_TEXT = 6, 1000
"""Most fields of an example, and characters of each."""
MOST_CHAINS, MOST_OPEN, MOST_CHAIN = 200, 300, 10_000
"""Most examples that are listed with chains, and characters of a chain that is not folded, and of
one that is not cut."""
SIGNS = {"better": "▲", "not shown": "■", "worse": "▼"}
KINDS = {
    "gained": "▲ right now",
    "lost": "▼ wrong now",
    "right": "✓ both right",
    "wrong": "✗ both wrong",
}
"""Kinds of examples by what the chosen prompt and the strongest floor answer."""
PAIRS = {
    "wins": "examples that only the prompt answers rightly",
    "losses": "examples that only the floor answers rightly",
    "points": "accuracy of the prompt less that of the floor",
    "95 % interval": "of the points; the line marks no difference",
    "p": "of McNemar's exact test, adjusted for the number of prompts",
    "needed": "examples that would show a difference of this size in 8 of 10 cases",
}
"""What the columns of comparisons mean."""
BAR = 140, 16
"""Width and height of a drawn interval, in pixels."""
Content = TypeVar("Content")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Bar:
    """Drawn interval: its place along a line, in pixels.

    Attributes:
        left: Begin of the interval.
        width: Its width, at least 1.
        at: Place of the value itself.
        mark: Place of what it is compared with.
    """

    left: float
    width: float
    at: float
    mark: float


def bar(low: float, value: float, high: float, mark: float, scale: tuple[float, float]) -> Bar:
    """Bar of an interval on a scale from its lowest to its highest value.

    >>> bar(0.25, 0.5, 0.75, 0.5, (0, 1))
    Bar(left=35.0, width=70.0, at=70.0, mark=70.0)
    """
    first, last = scale
    places = [
        round(BAR[0] * min(1.0, max(0.0, (each - first) / ((last - first) or 1))), 1)
        for each in (low, high, value, mark)
    ]
    return Bar(places[0], max(1.0, round(places[1] - places[0], 1)), *places[2:])


@dataclass(frozen=True)
class ClassRow:
    """A class of the test examples.

    Attributes:
        name: The class.
        examples: Number of its examples.
        ours: Number of those that the chosen prompt answers rightly.
        theirs: Number of those that the strongest floor does.
    """

    name: str
    examples: int
    ours: int
    theirs: int


@dataclass
class Shown:
    """A verdict with what the page says of it.

    Attributes:
        target: The target.
        model: The model that judges.
        verdict: The verdict.
        gained: Examples that the chosen prompt answers rightly and the strongest floor does not,
            those with the largest change of probability first.
        lost: Examples that only the floor answers rightly.
        same: Examples that both answer rightly, or wrongly, in the order of the data.
    """

    target: str
    model: str
    verdict: Verdict
    gained: Sequence[Answered] = ()
    lost: Sequence[Answered] = ()
    same: Sequence[Answered] = ()

    @property
    def ways(self) -> list[Way]:
        """Ways to read chains that the verdict does not go by; none where there are no chains."""
        return [each.by for each in other_ways(self.verdict, self.verdict.chosen)]

    @property
    def columns(self) -> dict[str, str]:
        """What the columns of prompts and floors mean, in their order."""
        found = {
            "tier": "rank among all; prompts of one tier cannot be told apart",
            "accuracy": "share of the test examples answered rightly",
            "95 % interval": "of the accuracy; the line marks the strongest floor",
            "select": "accuracy on the examples that choose",
            "loss": "mean cross-entropy in nats, lower is better",
        }
        if self.verdict.chains is None:
            return found | {"calibration": "expected calibration error, lower is better"}
        return (
            found
            | {f"by {way}": f"accuracy {WAYS[way]}" for way in self.ways}
            | {
                "readable": "share of the chains that hold an answer",
                "cut": "share of the chains that were cut short",
            }
        )

    @property
    def sign(self) -> str:
        """Sign of the word, which tells it from others without colour."""
        return SIGNS[self.verdict.word]

    @property
    def floor(self) -> PromptScore:
        """The strongest floor."""
        return self.verdict.strongest

    @property
    def prompts(self) -> list[tuple[PromptScore, Bar]]:
        """Prompts and floors, with bars on one scale that mark the strongest floor's accuracy."""
        found = [*self.verdict.candidates, *self.verdict.floors]
        scale = min(each.low for each in found), max(each.high for each in found)
        mark = self.floor.accuracy
        return [(each, bar(each.low, each.accuracy, each.high, mark, scale)) for each in found]

    @property
    def comparisons(self) -> list[tuple[Comparison, Bar]]:
        """Comparisons, with bars on one scale around a difference of 0."""
        found = self.verdict.comparisons
        most = max((max(abs(each.low), abs(each.high)) for each in found), default=0) or 1
        scale = (-most, most)
        return [(each, bar(each.low, each.difference, each.high, 0, scale)) for each in found]

    @property
    def matrices(self) -> list[PromptScore]:
        """The chosen prompt and the strongest floor, where their matrices are small."""
        few = 0 < len(self.verdict.labels) <= MOST_CLASSES
        return [self.verdict.chosen, self.floor] if few else []

    @property
    def classes(self) -> list[ClassRow]:
        """Classes with their examples and right answers."""
        pairs = zip(self.verdict.chosen.confusion, self.floor.confusion, strict=True)
        return [
            ClassRow(name, sum(ours), ours[n], theirs[n])
            for n, (name, (ours, theirs)) in enumerate(zip(self.verdict.labels, pairs, strict=True))
        ]

    @property
    def expectations(self) -> list[str]:
        """Lines about what accuracy to expect."""
        return expectations(self.verdict)

    @property
    def flips(self) -> list[tuple[str, Answered]]:
        """Flipped examples that are listed, each with its kind, ``gained`` or ``lost``."""
        return [
            *(("gained", each) for each in self.gained[:MOST_FLIPS]),
            *(("lost", each) for each in self.lost[:MOST_FLIPS]),
        ]

    @property
    def chained(self) -> list[tuple[str, Answered]]:
        """Examples that are listed with chains, flipped ones first; none where there are none.

        Each has its kind: ``gained``, ``lost``, or ``right`` or ``wrong`` with both.
        """
        if self.verdict.chains is None:
            return []
        both = [("right" if each.right[0] else "wrong", each) for each in self.same]
        return [*self.flips, *both][:MOST_CHAINS]

    @property
    def unchained(self) -> int:
        """Number of examples that are not listed with chains."""
        return len(self.gained) + len(self.lost) + len(self.same) - len(self.chained)

    @property
    def left_out(self) -> int:
        """Number of flipped examples that are not listed."""
        return len(self.gained) + len(self.lost) - len(self.flips)

    @property
    def fields(self) -> list[str]:
        """Names of the fields that the listed examples have."""
        listed = self.chained or self.flips
        names = dict.fromkeys(name for _, each in listed for name in each.example)
        return [*names][:MOST_FIELDS]


def shortened(text: object, most: int = MOST_TEXT) -> str:
    """Text for a cell, with at most so many characters.

    >>> shortened("a star"), len(shortened("a" * 5000))
    ('a star', 1000)
    """
    whole = str(text)
    return whole if len(whole) <= most else f"{whole[: most - 1]}…"


def read_shown(folder: Path) -> list[Shown]:
    """Verdicts of a run's folder, with the examples that the chosen prompt flips.

    What is broken is named in a warning, and left out.
    """
    told = _read(folder / FILE, read_verdicts)
    if told is None:
        return []
    verdicts, broken = told
    for (target, model), reason in broken.items():
        what = f"verdict on {quoted(target)} under {quoted(model)} in {quoted(folder / FILE)}"
        logger.warning("%s is broken (%s); it is not shown", what, reason)
    answered = _read(folder / EXAMPLES, partial(_examples, verdicts)) or {}
    return [
        Shown(*pair, verdict, *_flips(answered.get(pair, []))) for pair, verdict in verdicts.items()
    ]


def _read(path: Path, read: Callable[[str], Content]) -> Content | None:
    """What a file holds; ``None`` if there is none, or it is broken."""
    if not path.exists():
        return None
    try:
        return read(read_text(path, errors="replace"))
    except (OSError, ValueError) as error:
        logger.warning("%s is broken (%s); it is not shown", quoted(path), error)
        return None


def _examples(verdicts: Mapping[Pair, Verdict], text: str) -> dict[Pair, list[Answered]]:
    """Answers of a file to single examples, each checked against its verdict."""
    found = read_examples(text)
    for pair, rows in found.items():
        if pair in verdicts:
            check_examples(verdicts[pair], rows)
    return found


def _flips(rows: Sequence[Answered]) -> tuple[list[Answered], list[Answered], list[Answered]]:
    """Examples that the prompt alone answers rightly, that the floor alone does, and the others."""

    def change(each: Answered) -> float:
        return abs(each.probabilities[0] - each.probabilities[1])

    ordered = sorted(rows, key=change, reverse=True)
    gained = [each for each in ordered if each.right == (True, False)]
    lost = [each for each in ordered if each.right == (False, True)]
    return gained, lost, [each for each in rows if each.right[0] == each.right[1]]
