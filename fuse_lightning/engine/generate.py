"""Generation: texts that a language model writes behind prompts, greedily or by sampling.

Every prompt is read once, however many samples are written behind it, and what several prompts
begin with in common is read once for all of them. Texts that end leave their batch. What is
written does not depend on which texts are written together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from fuse_lightning.engine.decoding import Decoder
from fuse_lightning.engine.network import LanguageNetwork
from fuse_lightning.engine.prefixes import Row
from fuse_lightning.engine.row_cache import RowCache
from fuse_lightning.engine.sampling import Sampling
from fuse_lightning.engine.whole_decoding import write_whole
from fuse_lightning.engine.writing import Ended, Limits, Writing
from fuse_lightning.errors import FuseError


@dataclass
class Generation:
    """Generated texts, ordered by prompt.

    Attributes:
        ids: Ids of each text, without its prompt.
        log_probs: Log-probability of each of these tokens by the model itself, before temperature,
            top-k and top-p (nats).
        ended: How each ended: "stop" with a stop id or a stop text, "length" with the last allowed
            token, "full" at the model's longest input. Of a text that given ids follow it is how
            the part before these ended.
        firsts: Number of tokens of each text before the ids that follow it; all where none do.
        cache: Keys and values of prompts and texts, if they were to be kept, else an empty one.
    """

    ids: list[Row]
    log_probs: list[list[float]]
    ended: list[Ended]
    firsts: list[int]
    cache: RowCache


@torch.no_grad()
def generate(
    model: LanguageNetwork,
    prompts: Sequence[Row],
    limits: Limits,
    sampling: Sampling,
    samples: int = 1,
    seed: int = 0,
    streams: Sequence[int] | None = None,
    keep: bool = False,
) -> Generation:
    """See :meth:`CausalLM.generate`."""
    _check(limits, sampling, samples, seed)
    _check_prompts(model, prompts, limits, streams)
    streams = range(len(prompts)) if streams is None else streams
    if sampling.greedy:
        # Equal prompts get equal texts.
        first: dict[Row, int] = {}
        of = [first.setdefault(prompt, len(first)) for prompt in prompts]
        written, numbers = [*first], [(number, 0) for number in range(len(first))]
    else:
        written = [prompt for prompt in prompts for _ in range(samples)]
        numbers = [(stream, sample) for stream in streams for sample in range(samples)]
        of = [*range(len(written))]
    writing = Writing(written, limits, sampling, model.vocab_size, seed, numbers)
    shares = model.shares
    cache = RowCache(model.budget.tokens if keep and shares else 0, model.reduced)
    model.remembered.generated.add(cache)
    decoder = Decoder(model, writing, cache if keep and shares else None)
    going = [*range(len(written))]
    while going:
        if shares:
            turn = torch.inf if model.turn is None else model.turn
            # Rotations of all rows follow the longest, so short and long ones stay apart.
            for long in (False, True):
                if some := [n for n in going if (len(writing.texts[n]) > turn) == long]:
                    decoder.write(some)
        else:
            write_whole(model, writing, going)
        going = [number for number in going if writing.texts[number].ended is None]
    texts = [writing.texts[number] for number in of]
    lengths = [len(text.ids) if limits.keep else text.kept for text in texts]
    return Generation(
        [tuple(text.ids[:length]) for text, length in zip(texts, lengths, strict=True)],
        [text.log_probs[:length] for text, length in zip(texts, lengths, strict=True)],
        [text.cut or text.ended or "length" for text in texts],
        [
            length if text.first is None else text.first
            for text, length in zip(texts, lengths, strict=True)
        ],
        cache,
    )


def _check(limits: Limits, sampling: Sampling, samples: int, seed: int) -> None:
    """Checks the options, before anything is read."""
    if limits.new < 1:
        raise FuseError(f"max_new_tokens is {limits.new}; give 1 or more")
    if limits.more < 0:
        raise FuseError(f"then_tokens is {limits.more}; give 0 or more")
    if samples < 1:
        raise FuseError(f"samples is {samples}; give 1 or more")
    if samples > 1 and sampling.greedy:
        raise FuseError(
            f"samples is {samples} with temperature 0, which writes the same text each time; "
            "give a temperature above 0"
        )
    if seed < 0:
        raise FuseError(f"seed is {seed}; give 0 or more")


def _check_prompts(
    model: LanguageNetwork, prompts: Sequence[Row], limits: Limits, streams: Sequence[int] | None
) -> None:
    """Checks that each prompt leaves room for a token."""
    if streams is not None and (len(streams) != len(prompts) or min(streams, default=0) < 0):
        raise FuseError(
            f"streams has {len(streams)} numbers for {len(prompts)} prompts, the least of them "
            f"{min(streams, default=0)}; give one of 0 or more for each"
        )
    for number, prompt in enumerate(prompts):
        if not prompt:
            raise FuseError(
                f"prompt {number} has no tokens; give {model.model_id!r} at least one to begin with"
            )
        if len(prompt) >= limits.longest - limits.reserved:
            raise FuseError(
                f"prompt {number} has {len(prompt)} tokens, which leaves no room in the "
                f"{limits.longest} that {model.model_id!r} reads; give a shorter one"
            )
        if not 0 <= min(prompt) <= max(prompt) < model.vocab_size:
            raise FuseError(
                f"prompt {number} holds an id that {model.model_id!r} has no token for; "
                f"give ids from 0 to {model.vocab_size - 1}"
            )
