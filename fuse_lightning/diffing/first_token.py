"""Divergence of two streams at the first token behind a prompt, and its gradient."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Literal

import torch
from torch import Tensor

from fuse_lightning.decoding.ensemble import Ensemble
from fuse_lightning.decoding.forced import forced_logits
from fuse_lightning.decoding.reader import adapters_off
from fuse_lightning.decoding.readers import Row
from fuse_lightning.decoding.stream import Stream
from fuse_lightning.engine.devices import to_device
from fuse_lightning.errors import FuseError

FirstMeasure = Literal["kl", "reverse_kl", "js"]


def smooth_divergence(a: Tensor, b: Tensor, measure: FirstMeasure = "kl") -> Tensor:
    """Divergence of distributions by a formula that has a gradient everywhere, shape (N,).

    Args:
        a: Finite log-probabilities (nats) by A, shape (N, V).
        b: The same by B.
        measure: "kl" for KL(A || B), "reverse_kl" for KL(B || A), or "js"; in nats.

    >>> a, b = torch.tensor([[0.5, 0.5]]).log(), torch.tensor([[0.25, 0.75]]).log()
    >>> smooth_divergence(a, b).round(decimals=4)
    tensor([0.1438])
    """
    if measure == "kl":
        return (a.exp() * (a - b)).sum(-1)
    if measure == "reverse_kl":
        return (b.exp() * (b - a)).sum(-1)
    middle = torch.logaddexp(a, b) - math.log(2)
    return ((a.exp() * (a - middle)).sum(-1) + (b.exp() * (b - middle)).sum(-1)) / 2


class FirstToken:
    """Divergence of the distributions of the first token behind prompts.

    Only tokens count that both streams know.

    Args:
        ensemble: The two streams, of whole models.
        measure: The divergence.

    Raises:
        FuseError: If a stream is a layer of a model.
    """

    def __init__(self, ensemble: Ensemble, measure: FirstMeasure = "kl") -> None:
        for name, stream in zip(ensemble.names, ensemble.streams, strict=True):
            if stream.layers:
                raise FuseError(
                    f"stream {name} takes early layers, which have no gradient here; leave its "
                    "layers out, or the GradientProposer"
                )
        self.ensemble = ensemble
        self.measure = measure
        self.known = ensemble.allowed.nonzero().squeeze(1)
        """Ids that both streams know, in order."""

    @torch.no_grad()
    def divergences(self, prompts: Sequence[str]) -> Tensor:
        """Divergence behind each prompt (nats), shape (N,), on the CPU.

        Args:
            prompts: The prompts, at least one.
        """
        streams = self.ensemble.streams
        # What stands at the place of the first token does not matter.
        any_token: list[Row] = [(0,)] * len(prompts)
        rows = [self._log_probs(forced_logits(s, s.rows(prompts), any_token)) for s in streams]
        return self._between(*rows).cpu()

    def gradient(self, prompt: str) -> tuple[Row, Tensor] | None:
        """Ids at the end of a prompt, and the gradient of the divergence by which token is where.

        Behind a prefix or in a chat a stream may read the first word as another token, which then
        is none of the ids.

        Args:
            prompt: The prompt.

        Returns:
            The last n ids of the prompt as it is alone, and shape (n, V): the change of the
            divergence (nats), to first order, for each share of a token at each place. ``None``
            where a stream reads the whole prompt as other ids.
        """
        batch = self.ensemble.model.encode([prompt], special=False)
        whole: Row = tuple(batch.ids[0][batch.mask[0]].tolist())
        rows = [stream.rows([prompt])[0] for stream in self.ensemble.streams]
        ends = (whole[start:] for start in range(len(whole)))
        ids = next((end for end in ends if all(place_of(row, end) is not None for row in rows)), ())
        if not ids:
            return None
        places = [place_of(row, ids) or 0 for row in rows]
        with torch.enable_grad():
            shares = torch.zeros(len(ids), len(self.ensemble.allowed))
            shares[torch.arange(len(ids)), list(ids)] = 1
            shares.requires_grad_()
            found = self.at(shares, rows, places)
            (gradient,) = torch.autograd.grad(found, shares)
        return ids, gradient

    def at(self, shares: Tensor, rows: Sequence[Row], places: Sequence[int]) -> Tensor:
        """Divergence behind a prompt whose embeddings are mixed of those of tokens.

        Args:
            shares: Share of each token at each place of the prompt, shape (n, V), on the CPU.
            rows: The row that each stream reads.
            places: Where the prompt begins in each row.

        Returns:
            A number.
        """
        pairs = zip(self.ensemble.streams, rows, places, strict=True)
        return self._between(*(self._mixed(shares, *each) for each in pairs)).squeeze(0).cpu()

    def _mixed(self, shares: Tensor, stream: Stream, row: Row, place: int) -> Tensor:
        """Log-probabilities by one stream, shape (1, number of known tokens)."""
        model = stream.model
        ids = torch.tensor([row], device=model.device)
        last = torch.zeros(1, len(row), dtype=torch.bool)
        last[0, -1] = True
        with nullcontext() if stream.adapted else adapters_off(model.module):
            # An adapter may change the embeddings, too.
            table = model.embed(torch.arange(shares.shape[1], device=model.device))
            own = model.embed(ids)
            mixed = shares.to(device=table.device, dtype=table.dtype) @ table
            end = place + len(shares)
            embeds = torch.cat([own[:, :place], mixed[None], own[:, end:]], 1)
            mask = torch.ones_like(ids, dtype=torch.bool)
            logits = model.logits_at(last, ids, mask, embeds)
        return self._log_probs(logits / stream.temperature)

    def _log_probs(self, logits: Tensor) -> Tensor:
        return logits[:, to_device(self.known, logits.device)].log_softmax(-1)

    def _between(self, a: Tensor, b: Tensor) -> Tensor:
        return smooth_divergence(a, b.to(a.device), self.measure)


def place_of(row: Row, ids: Row) -> int | None:
    """Place where ids stand in a row, the last one; ``None`` where they do not.

    >>> place_of((5, 1, 2, 1, 2, 3), (1, 2)), place_of((5, 1), (2,))
    (3, None)
    """
    starts = range(len(row) - len(ids), -1, -1)
    return next((at for at in starts if row[at : at + len(ids)] == ids), None)
