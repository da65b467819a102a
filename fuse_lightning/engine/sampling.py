"""Choice of the next token: greedy, or random with temperature, top-k and top-p."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fuse_lightning.errors import FuseError


@dataclass(frozen=True)
class Sampling:
    """Settings of the choice of the next token.

    Attributes:
        temperature: Divisor of the logits; 0 always takes the likeliest token.
        top_k: Only so many of the likeliest tokens may be chosen; ``None`` for all.
        top_p: Only the likeliest tokens that have this probability together may be chosen.

    Raises:
        FuseError: If one of them makes no sense.
    """

    temperature: float = 0.0
    top_k: int | None = None
    top_p: float = 1.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.temperature) and self.temperature >= 0):
            raise FuseError(f"temperature is {self.temperature}; give 0 (greedy) or more")
        if self.top_k is not None and self.top_k < 1:
            raise FuseError(f"top_k is {self.top_k}; give 1 or more, or none for all tokens")
        if not 0 < self.top_p <= 1:
            raise FuseError(f"top_p is {self.top_p}; give a share above 0 and at most 1")

    @property
    def greedy(self) -> bool:
        """Whether the likeliest token is always chosen."""
        return self.temperature == 0

    def choose(self, logits: Tensor, noise: Tensor | None = None) -> Tensor:
        """Next token of each row.

        Args:
            logits: Shape (N, V).
            noise: A number from [0, 1) for each row, shape (N,), where it is not greedy.

        Returns:
            Ids, shape (N,).
        """
        if noise is None:
            return logits.argmax(-1)
        exact = torch.float32 if logits.device.type == "mps" else torch.float64
        kept = keep_likely(logits.to(exact) / self.temperature, self.top_k, self.top_p)
        return pick(kept.softmax(-1), noise.to(exact))


def keep_likely(logits: Tensor, top_k: int | None = None, top_p: float = 1.0) -> Tensor:
    """Logits with minus infinity for tokens outside top-k and top-p.

    Args:
        logits: Shape (N, V).
        top_k: Only so many of the likeliest tokens stay, and those that equal the last of them.
        top_p: Then only the likeliest that have at least this probability together stay.

    >>> logits = torch.tensor([[0.5, 0.2, 0.2, 0.1]]).log()
    >>> keep_likely(logits, top_p=0.6).softmax(-1)
    tensor([[0.7143, 0.2857, 0.0000, 0.0000]])
    >>> keep_likely(logits, top_k=1).softmax(-1)
    tensor([[1., 0., 0., 0.]])
    """
    if top_k is not None and top_k < logits.shape[-1]:
        least = logits.topk(top_k, dim=-1).values[..., -1:]
        logits = logits.masked_fill(logits < least, -torch.inf)
    if top_p < 1:
        likely, order = logits.softmax(-1).sort(dim=-1, descending=True, stable=True)
        before = likely.cumsum(-1) - likely
        dropped = torch.zeros_like(logits, dtype=torch.bool).scatter(-1, order, before >= top_p)
        logits = logits.masked_fill(dropped, -torch.inf)
    return logits


def pick(probabilities: Tensor, noise: Tensor) -> Tensor:
    """Token whose interval of the cumulative distribution holds a number from [0, 1).

    Args:
        probabilities: Shape (N, V).
        noise: Random numbers from [0, 1), shape (N,).

    Returns:
        Ids, shape (N,).

    >>> pick(torch.tensor([[0.5, 0.0, 0.5]] * 3), torch.tensor([0.0, 0.49, 0.5]))
    tensor([0, 0, 2])
    """
    reached = probabilities.cumsum(-1)
    total = reached[:, -1:]
    # Rounding may not lead behind the last token of any probability.
    place = torch.minimum(noise[:, None] * total, total.nextafter(torch.zeros_like(total)))
    return torch.searchsorted(reached, place, right=True).squeeze(1)


def noise(seed: int, stream: int, sample: int, count: int) -> NDArray[np.float64]:
    """Random numbers from [0, 1) for one text, independent of all other texts.

    Args:
        seed: Seed of the call.
        stream: Number of the prompt's random stream.
        sample: Which sample of it.
        count: How many numbers.

    >>> noise(0, 0, 0, 2).round(3)
    array([0.637, 0.27 ])
    """
    return np.random.default_rng([seed, stream, sample]).random(count)
