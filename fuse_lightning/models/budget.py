"""How many token positions go into one forward."""

import gc
from collections.abc import Callable, Sequence

import torch


class Budget:
    """Splits work into batches that memory holds, and remembers what it learnt.

    Args:
        tokens: Most token positions in one forward, padding included. Where memory runs out the
            batch is halved for good and tried again.
    """

    def __init__(self, tokens: int = 8192) -> None:
        self.tokens = tokens

    def run(
        self,
        lengths: Sequence[int],
        call: Callable[[slice], None],
        waste: float = torch.inf,
        share: float = 1.0,
    ) -> None:
        """Calls ``call`` for slices of rows, in order.

        Args:
            lengths: Positions of each row; sorted, so that little is padded.
            call: Computes some rows; it may be called again for the same rows.
            waste: Share of the real positions above which padding ends a batch early.
            share: Share of the budget that one call may use.

        Raises:
            RuntimeError: If memory does not hold even one row.
        """
        start = 0
        while start < len(lengths):
            stop = self._stop(lengths, start, waste, share)
            try:
                call(slice(start, stop))
            except RuntimeError as error:
                if stop - start == 1 or not _memory(error):
                    raise
                # The half of what was tried, whatever the padding was.
                width = max(lengths[start:stop])
                self.tokens = max(1, int((stop - start) // 2 * width / share))
                error.__traceback__ = None
                gc.collect()
                if torch.cuda.is_available():
                    torch.cuda.empty_cache()
            else:
                start = stop

    def _stop(self, lengths: Sequence[int], start: int, waste: float, share: float) -> int:
        real = width = 0
        for index in range(start, len(lengths)):
            real += lengths[index]
            width = max(width, lengths[index])
            padded = width * (index + 1 - start)
            if index > start and (
                padded > share * self.tokens or padded - real > max(SPARED, waste * real)
            ):
                return index
        return len(lengths)


SPARED = 32
"""Padded positions too few to end a batch for: a forward has a cost of its own."""


def _memory(error: RuntimeError) -> bool:
    """Whether an error says that memory ran out, on an accelerator or a CPU."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
