"""Contrast: scores of the next token from the log-probabilities of several streams."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from torch import Tensor

from fuse_lightning.decoding.divergences import divergences
from fuse_lightning.errors import FuseError
from fuse_lightning.utilities.option_names import option

Mode = Literal["weighted", "residual"]
GateKind = Literal["cosine", "tv", "js"]
NAMES = "ABCDEFGH"
"""Names of streams, in order."""
DEFAULTS: dict[str, float] = {"cosine": 10.0, "tv": 0.1, "js": 0.1}
"""Strength or threshold of each kind of gate."""
LARGEST = 1e6
"""Largest weight: scores of larger ones might be no numbers."""
IMPOSSIBLE = -1e4
"""Log-probability in place of minus infinity in streams that are subtracted."""


@dataclass(frozen=True)
class Contrast:
    r"""Rule that turns the log-probabilities of S streams into scores of the next token.

    Streams are named by letters, in order: A, B, C. Let :math:`\ell_i` be the log-probabilities of
    stream i, and :math:`p_i` its probabilities.

    In the mode "weighted" a token's score is :math:`\sum_i w_i \ell_i`. So it is a difference of
    logits up to a constant of the row. In the mode "residual" it is the logarithm of
    :math:`\max(0, \sum_i w_i p_i)`; with the weights 1 and -1 the result is the part of A that B
    lacks. Where at most ``least`` of it is left within the mask, the fallback stream decides.

    Tokens outside the mask get minus infinity. The mask keeps tokens that one stream finds
    plausible; of several masks all must keep a token.

    A gate falls back to one stream where two of them agree. With ``gate="cosine"`` the share of
    the fallback is :math:`\exp(-k (1 - c))`, for the cosine c of the two rows of probabilities
    and ``k = gate_at``. With "tv" or "js" the fallback decides alone where that divergence is below
    ``gate_at``. In the mode "weighted" shares apply to log-probabilities, in "residual" to
    probabilities.

    Attributes:
        weights: Weight of each stream.
        mode: How streams are joined.
        alpha: Mask: least probability of a token, as a share of the likeliest one's.
        top_p: Mask: only the likeliest tokens that have this probability together; 1 for all.
        top_k: Mask: only so many of the likeliest tokens, and those that equal the last of them.
        mask_from: Stream that masks ask; by default the one of the largest weight.
        keep: Fewest tokens that ``alpha`` and ``top_p`` keep.
        gate: What the gate compares by; ``None`` for no gate.
        gate_at: Strength (cosine) or threshold (total variation, or nats) of the gate; by default
            10, 0.1 and 0.1.
        gate_between: The two streams that the gate compares; by default those of the largest and
            of the smallest weight.
        fallback: Stream of the gate and of the mode "residual"; by default the one of the largest
            weight.
        least: Mass of the mode "residual" up to which the fallback decides.

    Raises:
        FuseError: If a setting makes no sense.
    """

    weights: tuple[float, ...]
    mode: Mode = "weighted"
    alpha: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    mask_from: str | None = None
    keep: int = 1
    gate: GateKind | None = None
    gate_at: float | None = None
    gate_between: tuple[str, str] | None = None
    fallback: str | None = None
    least: float = 0.01

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", tuple(map(float, self.weights)))
        if not 1 <= len(self.weights) <= len(NAMES):
            raise FuseError(
                f"{option('weights')} has {len(self.weights)} numbers; give one for each stream, "
                f"from 1 to {len(NAMES)}"
            )
        if not all(abs(weight) <= LARGEST for weight in self.weights):
            raise FuseError(
                f"{option('weights')} is {self.weights}; give finite numbers, from -{LARGEST:g} to "
                f"{LARGEST:g}"
            )
        if self.mode not in get_args(Mode):
            raise FuseError(
                f"{option('mode')} is {self.mode!r}; give {' or '.join(get_args(Mode))}"
            )
        if self.mode == "residual" and max(self.weights) <= 0:
            raise FuseError(
                f"weights of the mode residual are {self.weights}; give at least one above 0"
            )
        for name in ("alpha", "top_p"):
            value = getattr(self, name)
            if value is not None and not 0 < value <= 1:
                raise FuseError(f"{name} of the mask is {value}; give a number above 0, at most 1")
        for name in ("top_k", "keep"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise FuseError(f"{name} of the mask is {value}; give 1 or more")
        if self.gate is not None and self.gate not in get_args(GateKind):
            raise FuseError(
                f"{option('gate')} is {self.gate!r}; give one of {', '.join(get_args(GateKind))}"
            )
        for name in ("gate_at", "least"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise FuseError(f"{option(name)} is {value}; give 0 or more")
        if self.gate_between is not None and len(self.gate_between) != 2:
            raise FuseError(
                f"{option('gate_between')} has {len(self.gate_between)} name(s); give the names of "
                "two streams"
            )
        for name in (self.mask_from, self.fallback, *(self.gate_between or ())):
            self._index(name)

    def _index(self, name: str | None) -> int:
        """Number of a stream by its name; by default of the largest weight."""
        if name is None:
            return self.weights.index(max(self.weights))
        known = NAMES[: len(self.weights)]
        if len(name) != 1 or name.upper() not in known:
            raise FuseError(f"there is no stream {name!r}; give one of {', '.join(known)}")
        return known.index(name.upper())

    @property
    def base(self) -> int:
        """Number of the fallback stream."""
        return self._index(self.fallback)

    @property
    def _gated(self) -> tuple[int, int]:
        """Numbers of the two streams that the gate compares."""
        names = self.gate_between or (None, NAMES[self.weights.index(min(self.weights))])
        return self._index(names[0]), self._index(names[1])

    def with_weights(self, weights: Sequence[float]) -> Contrast:
        """The rule with other weights, and with its own streams of mask, gate and fallback.

        >>> Contrast((1, -1), alpha=0.1).with_weights((0, 1)).mask_from
        'A'
        """
        first, second = self._gated
        return replace(
            self,
            weights=tuple(weights),
            mask_from=NAMES[self._index(self.mask_from)],
            gate_between=(NAMES[first], NAMES[second]),
            fallback=NAMES[self.base],
        )

    def scores(self, log_probs: Tensor, weights: Tensor | None = None) -> Tensor:
        """Scores of the next token; higher is better.

        They are not normalised: a softmax gives probabilities.

        Args:
            log_probs: Log-probabilities by each stream (nats), shape (S, N, V).
            weights: Weights for each row, shape (S, N), in place of :attr:`weights`, which still
                name the streams of mask, gate and fallback.

        Returns:
            Shape (N, V), minus infinity for tokens outside the mask.

        >>> rows = torch.tensor([[[0.6, 0.3, 0.1]], [[0.8, 0.1, 0.1]]]).log()
        >>> Contrast((1, -1), alpha=0.2).scores(rows).exp().round(decimals=2)
        tensor([[0.7500, 3.0000, 0.0000]])
        """
        if len(log_probs) != len(self.weights):
            raise FuseError(
                f"there are {len(log_probs)} streams and {len(self.weights)} weights; give one "
                "weight for each stream"
            )
        given = log_probs.new_tensor(self.weights)[:, None] if weights is None else weights
        base = log_probs[self.base]
        share = self._share(log_probs)
        kept = self.plausible(log_probs)
        if self.mode == "residual":
            scores = self._residual(log_probs, given, base, share, kept)
        else:
            scores = weighted(log_probs, given)
            if share is not None:
                scores = _mixed(scores, base, share)
        return scores if kept is None else scores.masked_fill(~kept, -torch.inf)

    def _residual(
        self,
        log_probs: Tensor,
        weights: Tensor,
        base: Tensor,
        share: Tensor | None,
        kept: Tensor | None,
    ) -> Tensor:
        mass = (weights[..., None] * log_probs.exp()).sum(0)
        # What the mask drops cannot be written: without a fallback nothing might be left.
        usable = mass if kept is None else mass.where(kept, 0)
        left = usable.clamp(min=0).sum(-1, keepdim=True)
        if share is not None:
            mass = (1 - share) * mass + share * base.exp()
        scores = mass.clamp(min=0).log()
        return torch.where(left <= self.least, base, scores)

    def plausible(self, log_probs: Tensor) -> Tensor | None:
        """Whether the mask keeps each token, shape (N, V); ``None`` without a mask.

        Args:
            log_probs: Log-probabilities by each stream (nats), shape (S, N, V).
        """
        asked = log_probs[self._index(self.mask_from)]
        masks: list[Tensor] = []
        if self.alpha is not None:
            most = asked.max(-1, keepdim=True).values + math.log(self.alpha)
            if self.keep > 1:
                kept = min(self.keep, asked.shape[-1])
                most = torch.minimum(most, asked.topk(kept, dim=-1).values[..., -1:])
            masks.append(asked >= most)
        if self.top_k is not None:
            count = min(self.top_k, asked.shape[-1])
            masks.append(asked >= asked.topk(count, dim=-1).values[..., -1:])
        # All tokens have probability 1 together, but for rounding.
        if self.top_p is not None and self.top_p < 1:
            likely, order = asked.sort(dim=-1, descending=True, stable=True)
            likely = likely.exp()
            first = likely.cumsum(-1) - likely < self.top_p
            first[..., : self.keep] = True
            masks.append(torch.zeros_like(first).scatter(-1, order, first))
        if not masks:
            return None
        joint: Tensor = torch.stack(masks).all(0)
        return joint

    def _share(self, log_probs: Tensor) -> Tensor | None:
        """Share of the fallback in each row, shape (N, 1); ``None`` without a gate."""
        if self.gate is None:
            return None
        strength = DEFAULTS[self.gate] if self.gate_at is None else self.gate_at
        first, second = (log_probs[number] for number in self._gated)
        if self.gate == "cosine":
            cosine = torch.cosine_similarity(first.exp(), second.exp(), dim=-1)
            # By rounding the cosine of equal rows may be above 1.
            return torch.exp(-strength * (1 - cosine).clamp(min=0))[:, None]
        found: Tensor = getattr(divergences(first, second), self.gate)
        return (found < strength).to(log_probs.dtype)[:, None]


def weighted(log_probs: Tensor, weights: Tensor) -> Tensor:
    """Weighted sum of log-probabilities.

    A token that a stream of positive weight finds impossible stays impossible. In the others
    minus infinity counts as :data:`IMPOSSIBLE`.

    Args:
        log_probs: Shape (S, N, V).
        weights: Shape (S, N) or (S, 1).

    Returns:
        Shape (N, V).
    """
    if log_probs.amin() > IMPOSSIBLE:
        return _sum(log_probs, weights)
    scores = _sum(log_probs.clamp(min=IMPOSSIBLE), weights)
    impossible = torch.isneginf(log_probs) & (weights[..., None] > 0)
    return scores.masked_fill(impossible.any(0), -torch.inf)


def _sum(log_probs: Tensor, weights: Tensor) -> Tensor:
    scores = log_probs[0] * weights[0, :, None]
    for rows, weight in zip(log_probs[1:], weights[1:], strict=True):
        scores.addcmul_(rows, weight[:, None])
    return scores


def _mixed(scores: Tensor, base: Tensor, share: Tensor) -> Tensor:
    """Scores and log-probabilities of the fallback by its share, without 0 times infinity."""
    mixed = (1 - share) * scores + share * base
    return torch.where(share == 0, scores, torch.where(share == 1, base, mixed))


def log_softmax_common(logits: Sequence[Tensor]) -> Tensor:
    """Log-probabilities (nats) of the tokens that all streams have, in float32.

    Heads may be wider than the vocabulary, and of different widths.

    Args:
        logits: Next-token logits by each stream, each of shape (N, W) for its own W.

    Returns:
        Shape (S, N, V) for the smallest W, on the device of the first.

    Raises:
        FuseError: If a stream gives logits that are no numbers.
    """
    width = min(each.shape[-1] for each in logits)
    device = logits[0].device
    rows = [each[..., :width] for each in logits]
    exact = [row.to(torch.promote_types(row.dtype, torch.float32)) for row in rows]
    found = torch.stack([each.log_softmax(-1).to(device, non_blocking=True) for each in exact])
    # One number that is NaN, or infinite, makes all least ones NaN.
    if found.amin().isnan():
        wrong = NAMES[int(found.isnan().flatten(1).any(1).nonzero()[0])]
        raise FuseError(
            f"stream {wrong} gives logits that are no numbers; check its weights, and give a wider "
            "dtype, a larger temperature, or a smaller amount of what is mixed in"
        )
    return found
