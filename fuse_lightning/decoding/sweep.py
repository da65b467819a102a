"""Sweep along a path of weights: counted rates of a property, and the extrapolated one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table
from rich.text import Text

from fuse_lightning.decoding.extrapolation import (
    CurvePoint,
    Extrapolation,
    Shape,
    curve,
    extrapolate,
)
from fuse_lightning.decoding.properties import Property
from fuse_lightning.decoding.rates import Grades, Rate, rates
from fuse_lightning.decoding.scored_text import ScoredText
from fuse_lightning.errors import FuseError
from fuse_lightning.evaluation.intervals import LEVEL
from fuse_lightning.utilities.numbers import check_number
from fuse_lightning.utilities.tables import print_table
from fuse_lightning.utilities.terminal import printable, say

PERCENT_DIGITS = 3
"""Digits of a rate in percent that count."""


def path_weights(amount: float, before: str, after: str) -> dict[str, float]:
    """Weights of two streams at an amount a: the scores are ``before + a * (after - before)``.

    Args:
        amount: The amount: 0 is the first stream, 1 the second; above 1 the change is amplified.
        before: Name of the stream before the change.
        after: Name of the stream after it.

    Raises:
        FuseError: If the amount is no finite number.

    >>> path_weights(3, "base", "tuned")
    {'base': -2.0, 'tuned': 3.0}
    """
    check_number("amount", amount)
    return {before: 1.0 - amount, after: float(amount)}


def grade_texts(prop: Property, amount: float, texts: Sequence[ScoredText]) -> Grades:
    """Grades of the texts that were written with one amount."""
    values = prop.grades([each.text for each in texts], [each.prompt for each in texts])
    return Grades(amount, tuple(values), tuple(each.prompt_number for each in texts))


@dataclass(frozen=True)
class Sweep:
    """Rates of a property along a path of weights.

    Attributes:
        name: Name of the property.
        description: What the property is, in words that go behind "texts".
        wanted: Amount whose rate is wanted.
        level: Confidence level of all intervals.
        rates: Counted rates, in the order of the amounts.
        extrapolation: The rate at the wanted amount as the other amounts let one expect it;
            ``None`` if they say nothing about it.
        refusal: Reason why there is no extrapolation; empty if there is one.
        curve: Fitted curve of the extrapolation, to be drawn; empty if there is none.
    """

    name: str
    description: str
    wanted: float
    level: float
    rates: tuple[Rate, ...]
    extrapolation: Extrapolation | None = None
    refusal: str = ""
    curve: tuple[CurvePoint, ...] = ()

    @classmethod
    def of_texts(
        cls,
        prop: Property,
        texts: Mapping[float, Sequence[ScoredText]],
        wanted: float = 1.0,
        *,
        shape: Shape = "auto",
        level: float = LEVEL,
    ) -> Sweep:
        """Sweep of texts that were written with several amounts behind the same prompts.

        Args:
            prop: The property.
            texts: Texts of each amount.
            wanted: Amount whose rate is wanted.
            shape: Curve of the logit of the rate.
            level: Confidence level.
        """
        groups = [grade_texts(prop, amount, some) for amount, some in texts.items()]
        return cls.of_grades(
            groups, prop.name, prop.description, wanted=wanted, shape=shape, level=level
        )

    @classmethod
    def of_grades(
        cls,
        groups: Sequence[Grades],
        name: str,
        description: str = "",
        *,
        wanted: float = 1.0,
        shape: Shape = "auto",
        level: float = LEVEL,
    ) -> Sweep:
        """Sweep of grades of texts.

        Counts that allow no extrapolation are no error: their rates are told, with the reason.

        >>> counts = [Grades.counted(*each) for each in [(1, 0, 200), (2, 0, 200), (3, 0, 200)]]
        >>> sweep = Sweep.of_grades(counts, "refusal")
        >>> sweep.refusal.partition(",")[0], len(sweep.rates)
        ('no text of the amounts 2', 3)
        """
        check_number("wanted amount", wanted)
        counted = tuple(rates(groups, level))
        try:
            found = extrapolate(groups, wanted, shape=shape, level=level)
        except FuseError as error:
            return cls(name, description, wanted, level, counted, refusal=str(error))
        points = tuple(curve(groups, found))
        return cls(name, description, wanted, level, counted, found, curve=points)

    @property
    def counted(self) -> Rate | None:
        """The rate that was counted at the wanted amount; ``None`` if none was."""
        there = (each for each in self.rates if each.amount == self.wanted and each.texts)
        return next(there, None)

    @property
    def disagrees(self) -> bool:
        """Whether the counted and the extrapolated rate differ by more than chance.

        Their logits are compared by the standard errors that their intervals stand for; where an
        interval is open, the intervals must lie apart.
        """
        there, found = self.counted, self.extrapolation
        if there is None or there.rate is None or found is None:
            return False
        ends = (there.low, there.high, found.low, found.high)
        if there.low > found.high or there.high < found.low:
            return True
        if not all(0 < each < 1 for each in (*ends, there.rate, found.rate)):
            return False
        low, high, other_low, other_high = map(_logit, ends)
        half = math.hypot(high - low, other_high - other_low) / 2
        return abs(_logit(there.rate) - _logit(found.rate)) > half

    @property
    def lines(self) -> list[str]:
        """What the sweep says of the wanted amount, a line each."""
        interval = f"{100 * self.level:g} % interval"
        found = self.extrapolation
        lines = []
        if found is None:
            lines.append(f"no rate is extrapolated: {self.refusal}")
        else:
            texts = f"{found.worth} texts" if found.worth else "less than 1 text"
            worth = f"; they tell as much as {texts} of amount {self.wanted:g}"
            lines.append(
                f"rate at amount {self.wanted:g}, extrapolated by a {found.shape}: "
                f"{percent(found.rate)} ({interval} {percent(found.low)} to "
                f"{percent(found.high)}), from {found.texts} texts at other amounts"
                f"{'' if found.worth is None else worth}"
            )
            lines += found.notes
        if (there := self.counted) is not None and there.rate is not None:
            lines.append(
                f"rate at amount {self.wanted:g}, counted: {percent(there.rate)} ({interval} "
                f"{percent(there.low)} to {percent(there.high)}), from {there.texts} texts"
            )
            if self.disagrees:
                lines.append(
                    "the two differ by more than chance: the rates do not go on as the curve does; "
                    "trust the counted rate, or give smaller amounts"
                )
        if unjudged := sum(each.unjudged for each in self.rates):
            lines.append(f"{unjudged} texts could not be judged, and count nowhere")
        return lines

    def to_dict(self) -> dict[str, Any]:
        """The sweep as an object that JSON can hold."""
        told = asdict(self)
        if self.extrapolation is not None:
            told["extrapolation"]["worth"] = self.extrapolation.worth
        return told

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> Sweep:
        """The sweep of an object from :meth:`to_dict`, which JSON may have held."""
        found = told["extrapolation"]
        if found is not None:
            found = {key: value for key, value in found.items() if key != "worth"}
            found |= {key: tuple(found[key]) for key in ("amounts", "notes")}
        return cls(
            told["name"],
            told["description"],
            told["wanted"],
            told["level"],
            tuple(Rate(**each) for each in told["rates"]),
            found and Extrapolation(**found),
            told["refusal"],
            tuple(CurvePoint(**each) for each in told["curve"]),
        )


def print_sweep(sweep: Sweep) -> None:
    """Prints the rates of a sweep as a table, and what it says of the wanted amount."""
    interval = f"{100 * sweep.level:g} % interval"
    names = ["amount", "texts", "prompts", "hits", "rate", interval, "extrapolated", interval]
    table = Table(title=Text(printable(f"texts {sweep.description or sweep.name}")))
    for name in names:
        table.add_column(name, justify="right")
    for row in _rows(sweep):
        table.add_row(*(Text(cell) for cell in row))
    print_table(table)
    say(*(printable(line) for line in sweep.lines))


def _rows(sweep: Sweep) -> Iterable[tuple[str, ...]]:
    """Cells of each amount, in order, the wanted one among them."""
    found = sweep.extrapolation
    expected = ("", "")
    if found is not None:
        expected = percent(found.rate), f"{percent(found.low)} to {percent(found.high)}"
    cells = {each.amount: _counted(each) for each in sweep.rates}
    cells.setdefault(sweep.wanted, ("", "", "", "", ""))
    for amount in sorted(cells):
        more = expected if amount == sweep.wanted else ("", "")
        yield (f"{amount:g}", *cells[amount], *more)


def _counted(rate: Rate) -> tuple[str, ...]:
    if rate.rate is None:
        return ("0", "0", "0", "", "")
    return (
        str(rate.texts),
        str(rate.prompts),
        f"{rate.hits:.4g}",
        percent(rate.rate),
        f"{percent(rate.low)} to {percent(rate.high)}",
    )


def _logit(rate: float) -> float:
    return math.log(rate / (1 - rate))


def percent(rate: float) -> str:
    """A rate in percent with three digits that count, as rare rates need them.

    >>> percent(0.000123), percent(0.25), percent(0.0), percent(1.0), percent(2e-9)
    ('0.0123 %', '25 %', '0 %', '100 %', '2e-07 %')
    """
    return f"{100 * rate:.{PERCENT_DIGITS}g} %"
