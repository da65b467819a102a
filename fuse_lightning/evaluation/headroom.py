"""Room of a target with answers: whether a better prompt has room, and could be shown."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from scipy.stats import friedmanchisquare
from torch import Tensor

from fuse_lightning.evaluation.intervals import accuracy_interval
from fuse_lightning.evaluation.paired import ALPHA, needed_examples
from fuse_lightning.evaluation.sentence import percent, rounded_up, spaced
from fuse_lightning.evaluation.strongest import strongest
from fuse_lightning.evaluation.verdict import ChainScore, ChainSettings

SATURATED = 0.95
"""Accuracy of a floor above which a search is not worth its cost."""
GAIN = 0.05
"""Gain in accuracy that the test examples should be able to show."""
DIFFERING = 0.1
"""Least share of examples on which two prompts are taken to differ in being right."""
MOSTLY = 0.5
"""Share of written answers outside the label set that is too large."""
CUT = 0.1
"""Share of chains cut at the token limit that is too large."""
SCALE = 10_000
"""Examples that a share is turned into, so that it can be counted."""


@dataclass(frozen=True)
class FloorFigure:
    """Accuracy of a floor on the examples that choose.

    Attributes:
        name: Name of the floor.
        text: Its prompt.
        accuracy: Share of right answers.
        examples: Number of examples that were asked: those that the prompt does not show.
        loss: Mean loss on them, in nats.
        low: Lowest accuracy of its 95 % interval.
        high: Highest accuracy of its 95 % interval.
    """

    name: str
    text: str
    accuracy: float
    examples: int
    loss: float
    low: float
    high: float

    @classmethod
    def of(cls, name: str, text: str, right: int, examples: int, loss: float) -> "FloorFigure":
        """Figure of a floor that is right on some of the examples.

        >>> FloorFigure.of("the template alone", "", 30, 40, 0.5).accuracy
        0.75
        """
        interval = accuracy_interval(right, examples)
        return cls(name, text, right / examples, examples, loss, *interval)


@dataclass(frozen=True)
class Room:
    """What is known of a target with answers before a search.

    Test examples are counted, and never read.

    Attributes:
        examples: Number of the examples that choose prompts and that were read.
        floors: Figures of prompts that cost no search.
        majority: Share of the most frequent class, or right answer.
        alike: P value of "all stock instructions are equally good"; ``None`` for fewer than three.
        differing: Share of the examples on which one alone of the two best floors is right.
        tests: Number of test examples.
        outside: Share of the answers, written behind the layout with an empty prompt, that begin
            with no word of a class; ``None`` where the model does not write.
        written: One such answer, or a chain without answer; empty if there is none, or all of
            them are.
        chains: Figures of the best floor's chains; ``None`` where answers need none.
        settings: How chains are written and read; ``None`` where answers need none.
    """

    examples: int
    floors: Sequence[FloorFigure]
    majority: float
    alike: float | None
    differing: float
    tests: int
    outside: float | None
    written: str
    chains: ChainScore | None = None
    settings: ChainSettings | None = None

    @property
    def best(self) -> FloorFigure:
        """The strongest floor, as the verdict chooses it."""
        place = strongest((floor.accuracy, floor.loss) for floor in self.floors)
        return self.floors[place]

    @property
    def room(self) -> float:
        """Accuracy that the best floor leaves to gain."""
        return 1 - self.best.accuracy

    @property
    def needed(self) -> int:
        """Number of test examples that would show :data:`GAIN`."""
        return examples_for(GAIN, self.differing)

    @property
    def smallest(self) -> float | None:
        """Smallest gain that the test examples can show; ``None`` if they can show none."""
        return smallest_gain(self.tests, self.differing)

    @property
    def label(self) -> str:
        """What the right answers are called."""
        return "answer" if self.settings else "class"

    @property
    def saturated(self) -> bool:
        """Whether the best floor is right nearly always, as far as can be told."""
        return self.best.accuracy > SATURATED or self.best.high >= 1

    @property
    def hopeless(self) -> bool:
        """Whether no floor beats the most frequent class, and no wording is better than others."""
        alike = self.alike is None or self.alike >= ALPHA
        return alike and self.best.low <= self.majority

    def reasons(self) -> list[str]:
        """Reasons why a search would not pay; empty if there is none."""
        found = []
        if self.saturated:
            found.append(
                f"saturated: {self.best.name} reaches {percent(self.best.accuracy)} of "
                f"{spaced(self.examples)} examples"
            )
        elif self.hopeless:
            found.append(
                f"no headroom, as far as {spaced(self.examples)} examples tell: no floor is better "
                f"than the most frequent {self.label} ({percent(self.majority)}), and no wording "
                "of the instruction is better than others"
            )
        if not self.tests:
            found.append("there are no test examples that could show a gain: set data.test")
        elif not self.saturated and (self.smallest is None or self.smallest > self.room):
            found.append(
                f"the {spaced(self.tests)} test examples could not even show that a prompt is "
                f"always right: give about {spaced(rounded_up(self.needed))}"
            )
        return found

    def hints(self) -> list[str]:
        """Remarks on what would make a search, or its verdict, tell more; empty for none."""
        found = []
        if 0 < self.tests < self.needed:
            found.append(
                f"to show a gain of 5 points takes about {spaced(rounded_up(self.needed))} test "
                "examples"
            )
        if self.outside is not None and self.outside > MOSTLY:
            such = f"such as {self.written!r}" if self.written else "and empty"
            found.append(
                f"{percent(self.outside)} of the answers that the model writes by itself are "
                f"outside the label set, {such}: where it shall write the answer, name the classes "
                "in the layout"
            )
        return found + self._chain_hints()

    def _chain_hints(self) -> list[str]:
        """Remarks on chains that are cut, or hold no answer."""
        if self.chains is None or self.settings is None:
            return []
        found = []
        if self.chains.cut > CUT:
            found.append(
                f"{percent(self.chains.cut)} of the chains with {self.best.name} are cut short: "
                f"raise max_chain_tokens of Reasoning, which is {self.settings.max_chain_tokens}"
            )
        by_chain = self.settings.measure == "parse"
        share = self.chains.readable if by_chain else self.chains.written
        if 1 - share > MOSTLY:
            such = f", such as {self.written!r}" if self.written else ""
            where = "the chains" if by_chain else "the texts behind the extractor"
            found.append(
                f"{percent(1 - share)} of {where} with {self.best.name} hold no answer{such}: "
                "change the layout, the extractor or the kind of answers"
            )
        return found

    def to_dict(self) -> dict[str, Any]:
        """All figures by name, as plain data."""
        return asdict(self) | {
            "floors": [asdict(floor) for floor in self.floors],
            "best": self.best.name,
            "room": self.room,
            "saturated": self.saturated,
            "needed": self.needed,
            "smallest_gain": self.smallest,
        }


def alike(right: Tensor) -> float | None:
    """P value of "all prompts are equally good" by Cochran's Q test.

    For answers that are right or wrong it is Friedman's test, ties included.

    Args:
        right: Whether each prompt answers each example rightly, shape (N, E).

    Returns:
        The P value; ``None`` for fewer than three prompts. Of prompts that are right on the same
        examples it is 1.

    >>> import torch
    >>> always, half = torch.ones(40, dtype=torch.bool), torch.arange(40) < 20
    >>> alike(torch.stack([always, always, half])) < 0.001
    True
    >>> alike(torch.stack([half, half, half])), alike(torch.stack([half, always]))
    (1.0, None)
    """
    if len(right) < 3:
        return None
    if bool((right == right[0]).all()):
        return 1.0
    return float(friedmanchisquare(*right.int().tolist()).pvalue)


def examples_for(gain: float, differing: float) -> int:
    """Number of test examples that show a gain in accuracy with a power of 0.8.

    Args:
        gain: The true gain, above 0.
        differing: Share of the examples on which one alone of the two prompts is right. It is
            taken to be at least :data:`DIFFERING`, and at least the gain.

    >>> examples_for(0.05, 0.1), examples_for(0.05, 0.3)
    (332, 960)
    """
    share = max(differing, gain, DIFFERING)
    losses = round(SCALE * (share - gain) / 2)
    # Rounded apart, so that more disagreement is never taken for a larger gain.
    wins = losses + round(SCALE * gain)
    needed = needed_examples(wins, losses, SCALE)
    assert needed is not None, gain
    return needed


def smallest_gain(tests: int, differing: float) -> float | None:
    """Smallest gain, in half points, that some test examples show with a power of 0.8.

    Args:
        tests: Number of test examples.
        differing: As for :func:`examples_for`.

    >>> smallest_gain(400, 0.1), smallest_gain(2, 0.1)
    (0.05, None)
    """
    gains = (step / 200 for step in range(1, 201))
    return next((gain for gain in gains if examples_for(gain, differing) <= tests), None)


def is_inside(answer: str, words: Sequence[str]) -> bool:
    """Whether a written answer begins with one of some words; case and white space do not count.

    >>> is_inside(" Positive, I think", ["positive", "negative"]), is_inside("It", ["is"])
    (True, False)
    """
    text = answer.strip().casefold()
    return any(text.startswith(word.strip().casefold()) for word in words)
