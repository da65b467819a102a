"""Progress bar of targets done and the best prompt; in a log file, plain lines."""

import shutil
import sys
import time
from math import isfinite
from typing import Any, TextIO

import lightning as L
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.callbacks.progress.tqdm_progress import Tqdm
from rich.cells import cell_len
from rich.console import Console

from fuse_lightning.data.loader import TargetLoader
from fuse_lightning.results.result import Result
from fuse_lightning.search import search_of
from fuse_lightning.utilities.terminal import say, visible

BAR = 10
"""Cells of the bar itself."""
EVERY = 30.0
"""Seconds between two lines of a log file."""


class Tally:
    """Counts and mean loss of a list of results that grows; each result is looked at once."""

    def __init__(self) -> None:
        self.read = 0
        self.done: set[str] = set()
        self.losses = 0.0
        self.best = 0

    def take(self, results: list[Result]) -> None:
        """Adds the results that have come since the last call."""
        for result in results[self.read :]:
            self.done.add(result.target)
            if result.rank == 1:
                self.losses += result.loss
                self.best += 1
        self.read = len(results)


class PromptProgressBar(TQDMProgressBar):
    """Progress bar: targets done and their rate, time left, mean best loss, and a best prompt.

    Its line is as wide as the terminal; the prompt takes what the figures leave, and loses its
    beginning where it is longer. A narrow terminal shows no prompt and fewer figures.

    Where the output is no terminal a plain line says this, at most every half minute and at the
    end. Over several devices it is about the targets of the first one.
    """

    def __init__(
        self, refresh_rate: int = 1, process_position: int = 0, leave: bool = False
    ) -> None:
        super().__init__(refresh_rate, process_position, leave)
        self._steps = 0
        self._begun = self._told = 0.0
        self._begun_steps = self._begun_done = 0
        self._tally = Tally()

    @property
    def is_disabled(self) -> bool:
        """Whether no bar is drawn, as in a log file, which would keep every state of it."""
        return bool(super().is_disabled) or not (self.stream.isatty() or Console().is_jupyter)

    @property
    def stream(self) -> TextIO:
        """Where the bar is drawn."""
        return sys.stdout

    def init_train_tqdm(self) -> Tqdm:
        """The bar, whose line :meth:`_line` makes."""
        return Tqdm(
            position=2 * self.process_position,
            disable=self.is_disabled,
            leave=True,
            dynamic_ncols=True,
            file=self.stream,
            bar_format=f"{{bar:{BAR}}} {{desc}}",
        )

    def on_train_epoch_start(self, trainer: L.Trainer, *_: Any) -> None:
        """Begins the bar; a search has one epoch, so that its number tells nothing."""
        if self._leave:
            self.train_progress_bar = self.init_train_tqdm()
        total = self.total_train_batches
        self.train_progress_bar.reset(int(total) if isfinite(total) else None)

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Notes how many targets were done when this process began."""
        if not self._begun:
            self._tally = Tally()
            self._begun = self._told = time.monotonic()
            self._begun_steps = self.train_progress_bar.initial = batch_idx
            self._begun_done = self._done(pl_module)

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Moves the bar, or writes a line if it is time for one."""
        self._steps = batch_idx + 1
        bar = self.train_progress_bar
        if not self.is_disabled and self._should_update(self._steps, bar.total):
            bar.n = self._steps
            bar.set_description_str(self._line(trainer, pl_module))
        if time.monotonic() - self._told >= EVERY:
            self._tell(trainer, pl_module)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Ends the bar, or writes the last line."""
        super().on_train_end(trainer, pl_module)
        if self._begun:
            self._tell(trainer, pl_module)
        self._begun = 0.0

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        """Clears the bar, so that the message about the error stands alone."""
        self._begun = 0.0
        if self._train_progress_bar is not None:
            self.train_progress_bar.leave = False
            self.train_progress_bar.close()

    def get_metrics(
        self, trainer: L.Trainer, pl_module: L.LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        """The usual metrics, without the number of the run's folder."""
        metrics = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)
        return metrics

    def _line(self, trainer: L.Trainer, pl_module: L.LightningModule) -> str:
        """Figures and a best prompt, as far as the terminal has room for them."""
        counts = self._counts(trainer, pl_module)
        targets = f"{'/'.join(map(str, counts))} target{'' if counts[-1] == 1 else 's'}"
        parts = [targets, *self._figures(trainer, pl_module, time.monotonic())]
        if counts == [0, 1]:
            parts[0] = f"step {self._steps}/{self.total_train_batches}"
        # The last column stays free: some terminals begin a line behind it.
        room = shutil.get_terminal_size().columns - BAR - 2
        # The loss comes last, and goes last.
        while len(parts) > 1 and cell_len(", ".join(parts)) > room:
            del parts[1]
        line = ", ".join(parts)
        found = [best for best in search_of(pl_module).best if best is not None]
        room -= cell_len(line) + len(": ")
        if not found or room < BAR:
            return line
        prompt = visible(found[0].prompt)
        if cell_len(prompt) > room:
            # A wide character at the cut counts two cells.
            while cell_len(prompt) > room - 1:
                prompt = prompt[1:]
            prompt = f"…{prompt}"
        return f"{line}: {prompt}"

    def _tell(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Writes a progress line to a log file."""
        if not (self.is_enabled and self.is_disabled):
            return
        self._told = time.monotonic()
        counts = self._counts(trainer, pl_module)
        parts = [f"{' of '.join(map(str, counts))} target{'' if counts[-1] == 1 else 's'}"]
        if counts == [0, 1]:
            # Nothing else of one target would move.
            parts.append(f"step {self._steps} of at most {self.total_train_batches}")
        parts += self._figures(trainer, pl_module, self._told)
        say(", ".join(parts))

    def _figures(self, trainer: L.Trainer, pl_module: L.LightningModule, now: float) -> list[str]:
        """Rate, time left and loss, as far as they are known."""
        parts = []
        if rate := self._rate(pl_module):
            parts.append(f"{rate:.1f} a minute")
        if left := self._left(trainer, pl_module, rate, now):
            parts.append(f"{_duration(left)} left")
        if any(search_of(pl_module).best):
            name = "loss" if self._counts(trainer, pl_module)[-1] == 1 else "mean loss"
            parts.append(f"{name} {self._mean_loss(pl_module):.3f}")
        return parts

    def _rate(self, pl_module: L.LightningModule) -> float:
        """Targets that this process finishes per minute; 0 before the first."""
        done = self._done(pl_module) - self._begun_done
        return 60 * done / (time.monotonic() - self._begun) if done else 0.0

    def _left(
        self, trainer: L.Trainer, pl_module: L.LightningModule, rate: float, now: float
    ) -> float:
        """Seconds left, estimated from the steps to come or from the targets done."""
        steps = max(self._steps - self._begun_steps, 1)
        most = (now - self._begun) / steps * (self.total_train_batches - self._steps)
        done, *known = self._counts(trainer, pl_module)
        return min([most, *(60 * (count - done) / rate for count in known if rate)])

    def _counts(self, trainer: L.Trainer, pl_module: L.LightningModule) -> list[int]:
        """Targets done by this device and, if known, how many it has."""
        # What had a result before this process began is not among those that are served.
        served = trainer.train_dataloader
        if not isinstance(served, TargetLoader):
            return [self._done(pl_module)]
        return [self._done(pl_module), self._begun_done + len(served.targets)]

    def _done(self, pl_module: L.LightningModule) -> int:
        self._tally.take(search_of(pl_module).results)
        return len(self._tally.done)

    def _mean_loss(self, pl_module: L.LightningModule) -> float:
        """Mean best loss of the targets that have ended and of those in the batch."""
        module = search_of(pl_module)
        self._tally.take(module.results)
        running = [each.best.loss for each in module.searches if each.best and not each.done]
        return (self._tally.losses + sum(running)) / (self._tally.best + len(running))


def _duration(seconds: float) -> str:
    """A time span as text, such as ``12 min``.

    >>> [_duration(seconds) for seconds in (0.4, 1020, 11520)]
    ['0 s', '17 min', '3.2 h']
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
