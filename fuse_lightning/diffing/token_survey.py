"""Survey of all tokens of a vocabulary over texts that two models read."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.stats import t as student
from torch import Tensor

from fuse_lightning.diffing.moved_tokens import MovedTokens, moved_tokens
from fuse_lightning.evaluation.intervals import LEVEL

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class TokenSurvey:
    """Sums over T texts of what two models A and B say of each of V tokens.

    Nothing of the size of V is kept for a position, and of a text only the tokens that moved most.
    *Shift* of a token is its probability by A less that by B.

    Args:
        texts: T, the number of texts.
        vocabulary: V, the number of tokens.
        alpha: Share of the likeliest token's probability that makes a token plausible, see
            :func:`~fuse_lightning.diffing.moved_tokens.moved_tokens`.
        top: Most tokens of a position that count as moved most in each direction.
        watched: C tokens whose shift is kept for every text.

    Attributes:
        positions: Number of positions of each text, shape (T,).
        plausible: Number of positions at which each token is plausible, shape (V,).
        positive: Number of those at which A likes it better, shape (V,).
        log_ratio: Sum over those of its log-probability by A less that by B (nats), shape (V,).
        up: Number of positions at which it is among those that A favours most, shape (V,).
        down: The same for B, shape (V,).
        shift: Sum over texts of the mean shift over the text's positions, shape (V,).
        squares: Sum over texts of that mean, squared, shape (V,).
        watched_shift: Mean shift of the watched tokens in each text, shape (T, C).
        largest: Largest shift of each watched token in each text, shape (T, C).
        smallest: Smallest one, shape (T, C).
        largest_at: Position in the text of the largest, shape (T, C).
        smallest_at: Position in the text of the smallest, shape (T, C).
    """

    def __init__(
        self, texts: int, vocabulary: int, alpha: float, top: int, watched: Sequence[int] = ()
    ) -> None:
        self.alpha = alpha
        self.top = top
        self.watched = torch.tensor([*watched], dtype=torch.long)
        self.positions: Ints = np.zeros(texts, np.int64)
        self.plausible, self.positive, self.up, self.down = np.zeros((4, vocabulary), np.int64)
        self.log_ratio, self.shift, self.squares = np.zeros((3, vocabulary))
        self.watched_shift, self.largest, self.smallest = np.zeros((3, texts, len(watched)))
        self.largest_at, self.smallest_at = np.zeros((2, texts, len(watched)), np.int64)
        self._ups: list[csr_array] = [csr_array((1, vocabulary), dtype=np.int64)] * texts
        self._downs = [*self._ups]

    @property
    def up_by_text(self) -> csr_array:
        """Times that each token is among those that A favours most, by text, shape (T, V)."""
        return _stacked(self._ups)

    @property
    def down_by_text(self) -> csr_array:
        """Times that each token is among those that B favours most, by text, shape (T, V)."""
        return _stacked(self._downs)

    def sure_shift(self) -> Floats:
        """Size of each token's mean shift, less what its 95 % interval takes off, shape (V,).

        So neither a tiny shift in all texts nor a large one in a single text is much.
        """
        texts = len(self.positions)
        mean = self.shift / texts
        # Rounding may make it smaller than 0.
        variance = np.maximum(self.squares / texts - mean**2, 0) * texts / (texts - 1)
        wide = float(student.isf((1 - LEVEL) / 2, texts - 1)) / math.sqrt(texts)
        found: Floats = np.abs(mean) - wide * np.sqrt(variance)
        return found

    def add(self, text: int, parts: Iterable[Tensor]) -> None:
        """Takes one text into account.

        Args:
            text: Its number.
            parts: Its log-probabilities by A and B (nats), some positions after others, each of
                shape (2, n, V). They are overwritten.
        """
        total = torch.zeros(len(self.shift), dtype=torch.double)
        ups, downs = [], []
        watched = []
        for part in parts:
            a, b = part
            moved = moved_tokens(a, b, self.alpha, self.top)
            self._count(moved)
            ups.append(moved.ids[moved.up])
            downs.append(moved.ids[moved.down])
            # Log-probabilities are not needed from here on, and new memory takes time.
            shift = a.exp_().sub_(b.exp_())
            total += shift.sum(0).cpu()
            if len(self.watched):
                watched.append(shift[:, self.watched.to(shift.device)].double().cpu())
            self.positions[text] += len(shift)
        if not self.positions[text]:
            return
        mean = total.numpy() / self.positions[text]
        self.shift += mean
        self.squares += mean**2
        self._ups[text] = self._counted(ups)
        self._downs[text] = self._counted(downs)
        if watched:
            self._watch(text, torch.cat(watched))

    def _count(self, moved: MovedTokens) -> None:
        ids, ratios = moved.ids.cpu().numpy(), moved.log_ratios.double().cpu().numpy()
        up, down = moved.up.cpu().numpy(), moved.down.cpu().numpy()
        np.add.at(self.plausible, ids, 1)
        np.add.at(self.positive, ids[ratios > 0], 1)
        np.add.at(self.log_ratio, ids, ratios)
        np.add.at(self.up, ids[up], 1)
        np.add.at(self.down, ids[down], 1)

    def _counted(self, ids: Sequence[Tensor]) -> csr_array:
        """Number of times that each id comes, shape (1, V)."""
        columns, times = np.unique(torch.cat([*ids]).cpu().numpy(), return_counts=True)
        shape = (1, len(self.shift))
        return csr_array((times, columns, [0, len(columns)]), shape=shape)

    def _watch(self, text: int, shift: Tensor) -> None:
        self.watched_shift[text] = shift.mean(0).numpy()
        most, least = shift.max(0), shift.min(0)
        self.largest[text], self.largest_at[text] = most.values.numpy(), most.indices.numpy()
        self.smallest[text], self.smallest_at[text] = least.values.numpy(), least.indices.numpy()


def _stacked(rows: Sequence[csr_array]) -> csr_array:
    width = rows[0].shape[1]
    begins = np.cumsum([0, *(row.nnz for row in rows)])
    columns = np.concatenate([row.indices for row in rows])
    values = np.concatenate([row.data for row in rows])
    return csr_array((values, columns, begins), shape=(len(rows), width))
