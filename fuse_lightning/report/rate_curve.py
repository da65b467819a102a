"""Drawing of the rates of a sweep, as an SVG for a page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from scipy.special import logit

from fuse_lightning.decoding.sweep import Sweep, percent

SIZE = 640, 360
"""Width and height, in pixels."""
LEFT, RIGHT, TOP, BOTTOM = 74, 18, 44, 52
"""Margins around the drawn area, in pixels."""
TICKS = (
    *(1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.1),
    *(0.5, 0.9, 0.99, 0.999, 0.9999, 1 - 1e-5, 1 - 1e-6, 1 - 1e-7),
)
"""Rates that may have a line across."""
STEPS = (1.0, 2.0, 2.5, 5.0)
"""Distances of ticks of amounts, times a power of ten."""
LINE, TEXT, RULE = "var(--line, #2f6fde)", "var(--text, #1c2330)", "var(--rule, #e3e7ef)"
"""Colours, which are those of the page where there is one."""
BESIDE = 8.0
"""Distance of an extrapolated rate from its amount, off the counted one, in pixels."""
APART = 24
"""Distance of rates of 0 and of 1, whose logits are infinite, from all others, in pixels."""


@dataclass(frozen=True)
class Scale:
    """Places of amounts and rates on the drawing; a rate's height is its logit.

    Attributes:
        amounts: Lowest and highest amount.
        rates: Lowest and highest rate, neither 0 nor 1.
        none: Whether there is a line for a rate of 0 below.
        every: Whether there is a line for a rate of 1 above.
    """

    amounts: tuple[float, float]
    rates: tuple[float, float]
    none: bool = False
    every: bool = False

    @classmethod
    def of(cls, sweep: Sweep) -> Scale:
        """Scale that shows all rates of a sweep, and the ends of intervals between 0 and 1."""
        points = [each for each in sweep.rates if each.rate is not None]
        amounts = [each.amount for each in points] + [sweep.wanted]
        shown = [rate for each in points for rate in (each.rate, each.low, each.high)]
        if (found := sweep.extrapolation) is not None:
            shown += [found.rate, found.low, found.high]
        inside = [rate for rate in shown if rate is not None and TICKS[0] < rate < TICKS[-1]]
        low, high = min(inside, default=0.01), max(inside, default=0.99)
        least = max((tick for tick in TICKS if tick <= low), default=TICKS[0])
        most = min((tick for tick in TICKS if tick >= high), default=TICKS[-1])
        room = 0.06 * (max(amounts) - min(amounts)) or 0.5
        ends = (min(amounts) - room, max(amounts) + room), (least, most)
        known = [rate for rate in shown if rate is not None]
        return cls(*ends, min(known, default=1) <= TICKS[0], max(known, default=0) >= TICKS[-1])

    def x(self, amount: float) -> float:
        """Distance of an amount from the left edge, in pixels."""
        low, high = self.amounts
        return LEFT + (amount - low) / (high - low) * (SIZE[0] - LEFT - RIGHT)

    def y(self, rate: float) -> float:
        """Distance of a rate from the upper edge, in pixels."""
        bottom, top = SIZE[1] - BOTTOM, TOP
        if self.none and rate <= TICKS[0]:
            return bottom
        if self.every and rate >= TICKS[-1]:
            return top
        bottom, top = bottom - APART * self.none, top + APART * self.every
        low, high = logit(self.rates)
        place = (logit(min(max(rate, self.rates[0]), self.rates[1])) - low) / (high - low)
        return float(bottom - place * (bottom - top))


def rate_curve(sweep: Sweep) -> Markup:
    """Drawing of counted rates with intervals, the fitted curve with its band, and what it says.

    Heights are logits, so that a fitted line is straight and rare rates are apart. Marks differ by
    shape: dots with solid intervals were counted, the diamond with a broken one is extrapolated.
    Rates of 0 and of 1 have lines of their own, apart from the others.

    Args:
        sweep: The sweep.

    Returns:
        An ``<svg>`` element, whose colours are those of the page's style where it has them.
    """
    scale = Scale.of(sweep)
    name = Markup.escape(sweep.name)
    said = Markup.escape("; ".join(sweep.lines))
    parts = [*_frame(scale, sweep), *_fitted(scale, sweep), *_counted(scale, sweep)]
    return Markup(
        f'<svg class="rates" role="img" viewBox="0 0 {SIZE[0]} {SIZE[1]}" width="{SIZE[0]}" '
        f'font-family="system-ui, sans-serif" font-size="12" color="{TEXT}" fill="currentColor" '
        'xmlns="http://www.w3.org/2000/svg">'
        f"<title>Rate of {name} by amount</title><desc>{said}</desc>{''.join(parts)}</svg>"
    )


def _frame(scale: Scale, sweep: Sweep) -> Iterable[str]:
    """Axes with their names and ticks, and the legend."""
    width, height = SIZE
    low, high = height - BOTTOM, TOP
    ticks = _spread([each for each in TICKS if scale.rates[0] <= each <= scale.rates[1]])
    for rate in [*[0.0] * scale.none, *ticks, *[1.0] * scale.every]:
        y = scale.y(rate)
        yield _line(LEFT, y, width - RIGHT, y, RULE)
        yield f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{percent(rate)}</text>'
    for amount in _ticks(*scale.amounts):
        x = scale.x(amount)
        yield _line(x, low, x, low + 5)
        yield f'<text x="{x:.1f}" y="{low + 18}" text-anchor="middle">{amount:g}</text>'
    yield _line(LEFT, low, width - RIGHT, low) + _line(LEFT, low, LEFT, high)
    middle = (LEFT + width - RIGHT) / 2
    yield (f'<text x="{middle:.1f}" y="{height - 10}" text-anchor="middle">amount</text>')
    yield (
        f'<text transform="translate(14 {(low + high) / 2:.1f}) rotate(-90)" '
        f'text-anchor="middle">rate of {Markup.escape(_short(sweep.name))}</text>'
    )
    yield f'<circle cx="{LEFT + 8}" cy="16" r="4" fill="{LINE}"/>'
    yield f'<text x="{LEFT + 18}" y="20">counted</text>'
    if (found := sweep.extrapolation) is not None:
        yield _diamond(LEFT + 90, 16)
        yield f'<text x="{LEFT + 101}" y="20">extrapolated by a {found.shape}</text>'
    level = f"{100 * sweep.level:g} % intervals"
    yield f'<text x="{width - RIGHT}" y="20" text-anchor="end">{level}</text>'


def _fitted(scale: Scale, sweep: Sweep) -> Iterable[str]:
    """The fitted curve with its band, and the extrapolated rate."""
    found = sweep.extrapolation
    if found is None:
        return
    upper = [(scale.x(each.amount), scale.y(each.high)) for each in sweep.curve]
    lower = [(scale.x(each.amount), scale.y(each.low)) for each in sweep.curve]
    line = [(scale.x(each.amount), scale.y(each.rate)) for each in sweep.curve]
    yield f'<polygon points="{_points([*upper, *lower[::-1]])}" fill="{LINE}" opacity="0.15"/>'
    yield f'<polyline points="{_points(line)}" fill="none" stroke="{LINE}" stroke-width="1.6"/>'
    x = scale.x(found.wanted) + (BESIDE if sweep.counted else 0.0)
    yield from _interval(scale, x, found.low, found.high, ' stroke-dasharray="4 3"')
    yield _diamond(x, scale.y(found.rate))


def _counted(scale: Scale, sweep: Sweep) -> Iterable[str]:
    """Counted rates with their intervals."""
    for each in sweep.rates:
        if each.rate is not None:
            x = scale.x(each.amount)
            yield from _interval(scale, x, each.low, each.high)
            yield (
                f'<circle cx="{x:.1f}" cy="{scale.y(each.rate):.1f}" r="4" fill="{LINE}"><title>'
                f"amount {each.amount:g}: {percent(each.rate)}, {each.texts} texts"
                "</title></circle>"
            )


def _interval(scale: Scale, x: float, low: float, high: float, more: str = "") -> Iterable[str]:
    """Interval of a rate."""
    yield _line(x, scale.y(low), x, scale.y(high), more=f' stroke-width="1.4"{more}')
    for rate in (low, high):
        yield _line(x - 4, scale.y(rate), x + 4, scale.y(rate))


def _diamond(x: float, y: float) -> str:
    corners = [(x, y - 6), (x + 6, y), (x, y + 6), (x - 6, y)]
    return (
        f'<polygon points="{_points(corners)}" fill="var(--page, #fff)" stroke="currentColor" '
        'stroke-width="1.6"/>'
    )


def _line(
    x: float, y: float, to_x: float, to_y: float, color: str = "currentColor", more: str = ""
) -> str:
    return (
        f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{to_x:.1f}" y2="{to_y:.1f}" stroke="{color}"{more}/>'
    )


def _points(places: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)


def _spread(ticks: Sequence[float], most: int = 7) -> Sequence[float]:
    """At most so many ticks, both ends among them."""
    every = -(-(len(ticks) - 1) // (most - 1)) or 1
    return ticks[::every] if (len(ticks) - 1) % every == 0 else [*ticks[::every], ticks[-1]]


def _ticks(low: float, high: float) -> list[float]:
    """Round amounts between two, about six.

    >>> _ticks(0.9, 4.1)
    [1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0]
    """
    rough = (high - low) / 7
    power = 10.0 ** np.floor(np.log10(rough))
    step = next((each * power for each in STEPS if each * power >= rough), 10 * power)
    first = int(np.ceil(low / step))
    return [round(float(n * step), 10) for n in range(first, int(np.floor(high / step)) + 1)]


def _short(name: str, most: int = 40) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"
