"""Seconds and counted operations of one kind of work."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks.gpu.card import Card
from fuse_lightning.engine.meter import total_work, watch
from fuse_lightning.models import FrozenModel


@dataclass(frozen=True)
class Timed:
    """Work that was timed.

    Attributes:
        seconds: Median of the rounds.
        flops: Floating-point operations of one round, counted by the engine's meters.
        peak: Largest memory of the rounds, MB; empty where there is no card.
    """

    seconds: float
    flops: float
    peak: str

    def share(self, rate: float) -> str:
        """Share of the device's rate of products that is reached."""
        return f"{self.flops / self.seconds / rate:.1%}"


@contextmanager
def counted(models: Iterable[FrozenModel]) -> Iterator[Callable[[], float]]:
    """Context with a function that tells the operations of loaded models so far."""
    with ExitStack() as undo:
        meters = watch([model.module for model in models if model.loaded], undo)
        yield lambda: total_work(meters).flops


def timed(card: Card, models: Iterable[FrozenModel], call: Callable[[], Any], rounds: int) -> Timed:
    """Times a call; the first one, which warms up and compiles, does not count."""
    with counted(models) as flops:
        call()
        card.forget_peak()
        seconds, begun = [], flops()
        for _ in range(rounds):
            start = card.clock()
            call()
            seconds.append(card.clock() - start)
        return Timed(median(seconds), (flops() - begun) / rounds, card.peak())
