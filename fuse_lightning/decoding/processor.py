"""Contrastive decoding as a logits processor of transformers' own ``generate``."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from transformers import LogitsProcessor

from fuse_lightning.decoding.contrast import Contrast, log_softmax_common
from fuse_lightning.decoding.readers import Readers, Row, StreamNetwork
from fuse_lightning.errors import FuseError


class ContrastiveLogitsProcessor(LogitsProcessor):  # type: ignore[misc]
    """Logits processor that joins the scores of ``generate`` with those of other networks.

    The network that runs ``generate`` is stream A; the others are B, C and so on. Each keeps its
    own keys and values, which follow beams and several samples of a prompt. It serves greedy
    search, sampling, beams and streamers. Assisted decoding is refused, as it calls a processor
    for texts that it takes back.

    Make a new one for each call of ``generate``. Sampling takes only the 50 likeliest tokens
    unless ``top_k=0`` is given. Settings such as ``min_new_tokens`` or ``repetition_penalty``
    change the scores of A before this processor sees them; to have them behind it, give them as
    processors of their own after this one. What they forbid before it is forbidden to all streams.

    Args:
        others: The other networks, or their streams.
        contrast: Rule that joins the streams.
        attention_mask: Mask that ``generate`` gets, shape (N, T); without it all ids are tokens.
        prompts: For each of the others the ids before each of the N texts, where it reads another
            prompt than A. ``None`` for those of A.
        temperature: Divisor of the logits of A.

    Raises:
        FuseError: If the numbers of streams, weights and prompts differ.

    Example:
        .. code-block:: python

            inputs = tokenizer(["The capital of France is"], return_tensors="pt")
            processor = ContrastiveLogitsProcessor([amateur], Contrast((1, -1), alpha=0.1))
            expert.generate(**inputs, logits_processor=[processor], do_sample=True, top_k=0)
    """

    def __init__(
        self,
        others: Sequence[nn.Module | StreamNetwork],
        contrast: Contrast,
        *,
        attention_mask: Tensor | None = None,
        prompts: Sequence[Sequence[Sequence[int]] | None] | None = None,
        temperature: float = 1.0,
    ) -> None:
        self.streams = as_streams(others)
        self.temperature = temperature
        check_counts(len(self.own(torch.empty(0))), len(self.streams), contrast, prompts)
        self.contrast = contrast
        self.attention_mask = attention_mask
        self.prompts = prompts or [None] * len(self.streams)
        self.rebuilds = 0
        """How many times all rows were read anew, the first time included."""
        self.log_probs: Tensor | None = None
        """Log-probabilities by each stream at the latest call (nats), shape (S, N, V)."""
        self._readers: Readers | None = None
        self._begun: Tensor | None = None
        self._ids = torch.empty(0, 0)
        self._prompt = torch.empty(0)

    @torch.no_grad()
    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Scores of the contrast, shape (N, W); minus infinity beyond the common vocabulary."""
        self._follow(input_ids)
        assert self._readers is not None
        logits = [*self.own(scores), *self._readers.logits()]
        # Forbidden tokens are so to all streams: else a mask might keep nothing else.
        width = min(each.shape[-1] for each in logits)
        never = torch.isneginf(scores[:, :width])
        allowed = [
            each[:, :width].masked_fill(never.to(each.device), -torch.inf) for each in logits
        ]
        self.log_probs = log_softmax_common(allowed)
        found = self.contrast.scores(self.log_probs)
        joined = scores.new_full(scores.shape, -torch.inf)
        joined[:, : found.shape[1]] = found
        # Where A is taken off, what is impossible to it would be the best.
        return joined.masked_fill(torch.isneginf(scores), -torch.inf)

    def own(self, scores: Tensor) -> list[Tensor]:
        """Logits of the streams that ``generate`` itself reads: A alone."""
        return [scores / self.temperature]

    def _follow(self, ids: Tensor) -> None:
        """Brings the readers to the rows that ``generate`` now has."""
        before, self._ids = self._ids, ids
        if self._readers is None:
            self._begun = ids
        elif ids.shape == (len(before), before.shape[1] + 1):
            head = ids[:, :-1]
            if torch.equal(head, before):
                self._readers.step(ids[:, -1])
                return
            # Beams: a row goes on from any row with the same ids so far, whose keys are equal. Rows
            # of another prompt may look alike to A, and not to the other streams.
            same = (head[:, None] == before).all(-1) & (self._prompt[:, None] == self._prompt)
            if bool(same.any(1).all()):
                self._readers.select(same.long().argmax(1))
                self._readers.step(ids[:, -1])
                return
        assert self._begun is not None
        if not torch.equal(ids, self._begun):
            raise FuseError(
                "a ContrastiveLogitsProcessor followed one call of generate and met another text; "
                "make a new one for each call, and leave assisted decoding out"
            )
        self.rebuilds += 1
        own = rows_of(self._begun, self.attention_mask)
        rows = [expand(own if given is None else given, len(ids)) for given in self.prompts]
        numbers: dict[tuple[Row, ...], int] = {}
        of = [numbers.setdefault(each, len(numbers)) for each in zip(own, *rows, strict=True)]
        self._prompt = torch.tensor(of, device=ids.device)
        self._readers = Readers(self.streams, rows)


def as_streams(networks: Sequence[nn.Module | StreamNetwork]) -> list[StreamNetwork]:
    """Streams of networks that are given plainly."""
    return [each if isinstance(each, StreamNetwork) else StreamNetwork(each) for each in networks]


def check_counts(
    own: int,
    others: int,
    contrast: Contrast,
    prompts: Sequence[Sequence[Sequence[int]] | None] | None,
) -> None:
    """Checks that there is a weight for each stream, and prompts for each of the others.

    Raises:
        FuseError: If the numbers differ.
    """
    if own + others != len(contrast.weights):
        raise FuseError(
            f"there are {own + others} streams, the generating one included, and "
            f"{len(contrast.weights)} weights; give one weight for each stream"
        )
    if prompts is not None and len(prompts) != others:
        raise FuseError(
            f"prompts are given for {len(prompts)} streams, and there are {others} beside the "
            "generating one; give them, or none, for each of these"
        )


def rows_of(ids: Tensor, mask: Tensor | None) -> list[Row]:
    """Rows without padding, in the order of ``ids``, shape (N, T).

    Args:
        ids: Ids of N rows; several in a row may belong to one prompt.
        mask: True for tokens, shape (P, T), for each of P prompts; ``None`` if all are tokens.
    """
    if mask is None:
        return [tuple(row) for row in ids.tolist()]
    seen = expand(mask.bool().tolist(), len(ids))
    return [
        tuple(token for token, some in zip(row, there, strict=True) if some)
        for row, there in zip(ids.tolist(), seen, strict=True)
    ]


def expand(given: Sequence[Sequence[int]], count: int) -> list[Row]:
    """Rows of prompts, repeated for several samples or beams of each.

    Raises:
        FuseError: If the count is no multiple of the number of prompts.

    >>> expand([[1], [2]], 4)
    [(1,), (1,), (2,), (2,)]
    """
    times, rest = divmod(count, max(len(given), 1))
    if rest or not times:
        raise FuseError(
            f"prompts or a mask are given for {len(given)} rows, and generate has {count}; give "
            "them for each prompt"
        )
    return [tuple(row) for row in given for _ in range(times)]
