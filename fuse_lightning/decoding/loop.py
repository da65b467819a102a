"""Contrastive decoding as the loop of transformers' ``generate``, in place of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers.generation import GenerateDecoderOnlyOutput

from fuse_lightning.decoding.contrast import Contrast
from fuse_lightning.decoding.processor import as_streams, check_counts, expand, rows_of
from fuse_lightning.decoding.readers import Readers, StreamNetwork
from fuse_lightning.errors import FuseError


class ContrastiveLoop:
    """Loop of several networks for ``generate(custom_generate=...)``: greedy search and sampling.

    It writes what :class:`ContrastiveLogitsProcessor` writes. It reads a prompt once for all of
    its samples, and streams of one network together. Logits processors of ``generate`` see the
    scores of the contrast; where they forbid all that the mask keeps, the fallback stream decides.
    The network that runs ``generate`` is stream A.

    Args:
        others: The other networks, or their streams: B, C and so on.
        contrast: Rule that joins the streams.
        prompts: For each of the others the ids before each of the N texts, where it reads another
            prompt than A. ``None`` for those of A.
        own: How stream A reads; by default plainly.
        streamer: Streamer of transformers, which ``generate`` itself does not hand to a loop.

    Raises:
        FuseError: If the numbers of streams, weights and prompts differ.

    Example:
        .. code-block:: python

            loop = ContrastiveLoop([amateur], Contrast((1, -1), alpha=0.1))
            expert.generate(**inputs, custom_generate=loop, do_sample=True, top_k=0)
    """

    def __init__(
        self,
        others: Sequence[nn.Module | StreamNetwork],
        contrast: Contrast,
        *,
        prompts: Sequence[Sequence[Sequence[int]] | None] | None = None,
        own: StreamNetwork | None = None,
        streamer: Any = None,
    ) -> None:
        self.others = as_streams(others)
        check_counts(1, len(self.others), contrast, prompts)
        self.contrast = contrast
        self.prompts = prompts or [None] * len(self.others)
        self.own = own
        self.streamer = streamer

    @torch.no_grad()
    def __call__(
        self,
        model: nn.Module,
        input_ids: Tensor,
        logits_processor: Any,
        stopping_criteria: Any,
        generation_config: Any,
        **kwargs: Any,
    ) -> Tensor | GenerateDecoderOnlyOutput:
        """Ids of prompts and texts, as ``generate`` returns them.

        Raises:
            FuseError: If beams are asked for.
        """
        if (generation_config.num_beams or 1) > 1:
            raise FuseError(
                f"num_beams is {generation_config.num_beams}, and the loop of contrastive decoding "
                "has no beams; give a ContrastiveLogitsProcessor in place of custom_generate"
            )
        # Named in the signature, the mask would be taken from what generate itself prepares.
        own = rows_of(input_ids, kwargs.get("attention_mask"))
        rows = [own, *(expand(own if given is None else given, len(own)) for given in self.prompts)]
        readers = Readers([self.own or StreamNetwork(model), *self.others], rows)
        pad = generation_config._pad_token_tensor
        width = readers.logits()[0].shape[1]
        going = torch.ones(len(own), dtype=torch.bool, device=input_ids.device)
        all_scores = []
        if self.streamer is not None:
            self.streamer.put(input_ids.cpu())
        while True:
            log_probs = readers.log_probs().to(input_ids.device)
            found = self.contrast.scores(log_probs)
            scores = logits_processor(input_ids, _widened(found, width))
            dead = torch.isneginf(scores).all(-1, keepdim=True)
            if bool(dead.any()):
                base = _widened(log_probs[self.contrast.base], width)
                scores = torch.where(dead, logits_processor(input_ids, base), scores)
            if generation_config.output_scores:
                all_scores.append(scores)
            if generation_config.do_sample:
                tokens = torch.multinomial(scores.softmax(-1), 1).squeeze(1)
            else:
                tokens = scores.argmax(-1)
            if pad is not None:
                tokens = torch.where(going, tokens, pad.to(tokens.device))
            input_ids = torch.cat([input_ids, tokens[:, None]], 1)
            if self.streamer is not None:
                self.streamer.put(tokens.cpu())
            going &= ~stopping_criteria(input_ids, None)
            if not going.any():
                break
            readers.step(tokens)
        if self.streamer is not None:
            self.streamer.end()
        if not generation_config.return_dict_in_generate:
            return input_ids
        return GenerateDecoderOnlyOutput(
            sequences=input_ids, scores=tuple(all_scores) if all_scores else None
        )


def _widened(scores: Tensor, width: int) -> Tensor:
    """Scores of a wider head: minus infinity beyond the common vocabulary, shape (N, width)."""
    wide = scores.new_full((len(scores), width), -torch.inf)
    wide[:, : scores.shape[1]] = scores
    return wide
