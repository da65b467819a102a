"""Memory budget: the number of token positions in one forward."""

import gc
from collections.abc import Callable, Sequence

import torch

from fuse_lightning.engine.memory_gauge import MemoryGauge

FIRST = 1024
"""Positions of the first forwards on a CUDA device, which measure the need of larger ones."""
TELLING = 256
"""Fewest positions of a forward whose memory is measured: small ones have mostly fixed costs."""
SHARE = 0.8
"""Share of the free memory that one forward may take."""
SPARED = 32
"""Padded positions that do not end a batch: a further forward would cost more."""
FULL = ("can't allocate memory", "out of memory", "ALLOC_FAILED")
"""Words of errors of other classes that mean memory ran out: of CPUs, MPS, drivers, libraries."""


class Budget:
    """Largest number of token positions in one forward, halved when memory runs out.

    On CUDA devices what the first, small batch takes tells how many positions there is room for,
    and every larger one tells it better. That resets torch's statistics of the peak.

    Args:
        tokens: Most token positions in one forward, padding included. Where memory runs out the
            batch is halved for good and tried again.
        apart: Rows of more positions than this never go into one forward with others; ``None``
            where any rows may.
    """

    def __init__(self, tokens: int = 8192, apart: int | None = None) -> None:
        self.tokens = tokens
        self.apart = apart
        self.most = tokens
        """The given number of positions, or a smaller one that memory was found to hold."""
        self.measured = 0
        """Positions of the largest batch whose memory was measured."""

    def run(
        self,
        lengths: Sequence[int],
        call: Callable[[slice], None],
        waste: float = torch.inf,
        share: float = 1.0,
        *,
        inner: bool = False,
        held: Sequence[int] | None = None,
    ) -> None:
        """Calls a function on consecutive slices of rows that fit into memory.

        Args:
            lengths: Positions of each row; sorted, so that little is padded.
            call: Computes some rows; it may be called again for the same rows.
            waste: Share of the real positions above which padding ends a batch early.
            share: Share of the budget that one call may use.
            inner: Whether ``call`` runs a batch of its own, which is the one to measure.
            held: Positions that each row takes in memory, of which keys and values of some are
                only copied; by default those that are read.

        Raises:
            RuntimeError: If memory does not hold even one row.
        """
        start = 0
        held = lengths if held is None else held
        # Where gradients are asked for, this is part of a call that is measured as a whole.
        measures = not inner and not torch.is_grad_enabled() and MemoryGauge.works()
        while start < len(lengths):
            first = measures and not self.measured
            most = share * (min(self.tokens, FIRST) if first else self.tokens)
            stop = self._stop(lengths, held, start, waste, most)
            # The padding is part of what is tried.
            tried = int((stop - start) * max(held[start:stop]) / share)
            gauge = MemoryGauge() if measures and tried >= max(TELLING, self.measured + 1) else None
            try:
                call(slice(start, stop))
            except RuntimeError as error:
                if stop - start == 1 or not _memory(error):
                    raise
                self.most = self.tokens = max(1, tried // 2)
                error.__traceback__ = None
                gc.collect()
                if torch.cuda.is_available():
                    torch.cuda.empty_cache()
            else:
                start = stop
                if gauge:
                    self.measured = tried
                    self.tokens = max(1, int(min(self.most, SHARE * gauge.times() * tried)))

    def _stop(
        self,
        lengths: Sequence[int],
        held: Sequence[int],
        start: int,
        waste: float,
        most: float,
    ) -> int:
        real = width = widest = 0
        apart = torch.inf if self.apart is None else self.apart
        for index in range(start, len(lengths)):
            if (lengths[index] > apart) != (lengths[start] > apart):
                return index
            real += lengths[index]
            width = max(width, lengths[index])
            widest = max(widest, held[index])
            padded, whole = (size * (index + 1 - start) for size in (width, widest))
            if index > start and (whole > most or padded - real > max(SPARED, waste * real)):
                return index
        return len(lengths)


def _memory(error: RuntimeError) -> bool:
    """Whether an error means that memory ran out, on an accelerator or a CPU."""
    return isinstance(error, torch.OutOfMemoryError) or any(mark in str(error) for mark in FULL)
