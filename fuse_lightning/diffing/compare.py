"""Texts of two models, and of their amplified difference, behind the same prompts."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace

from fuse_lightning.decoding.contrast import NAMES, Contrast
from fuse_lightning.decoding.decoder import ContrastiveDecoder, Key, Weights
from fuse_lightning.decoding.options import DecodingOptions
from fuse_lightning.decoding.scored_text import ScoredText
from fuse_lightning.diffing.paired_texts import Group, PairedTexts, check_different
from fuse_lightning.errors import FuseError
from fuse_lightning.utilities.numbers import check_number
from fuse_lightning.utilities.option_names import option


def compare(
    decoder: ContrastiveDecoder,
    prompts: Sequence[str],
    options: DecodingOptions | None = None,
    *,
    amount: float | None = 1.0,
    fresh: bool = True,
    seen: Callable[[ScoredText], None] = lambda _: None,
    known: Sequence[ScoredText] = (),
) -> PairedTexts:
    """Texts of A, of B, of amplified A, and fresh texts of A, written in shared batches.

    A and B are the two streams that the decoder compares. Its contrast is not used: A and B write
    as they are, without a mask.

    Args:
        decoder: The decoder of the two streams.
        prompts: The prompts, all different.
        options: How texts are written, with the samples behind each prompt and the seed; by
            default four samples. The temperature is above 0.
        amount: Strength a of the amplified texts, whose scores are A + a (A - B); ``None`` for no
            such texts.
        fresh: Whether as many fresh texts of A are written, for a pair of identical models.
        seen: Function that gets each text as it is written, with what both say of its tokens.
        known: Texts that an earlier call with the same models and options has written. They are
            not written again, and ``seen`` does not get them.

    Raises:
        FuseError: If an option makes no sense, a prompt comes twice or is too long, or a known text
            is none of the comparison's.
    """
    options = options or DecodingOptions(samples=4)
    check_different(prompts)
    if options.sampling.greedy:
        raise FuseError(
            f"{option('temperature')} is {options.temperature}, and rates are those of sampled "
            "texts; give a number above 0"
        )
    variants = _variants(decoder, amount)
    several = options.samples * (2 if fresh else 1)
    # Only A writes more than the samples that were asked for.
    more: frozenset[Key] = frozenset(
        (prompt, sample, weights)
        for prompt in range(len(prompts))
        for sample in range(options.samples, several)
        for weights in variants[1:]
    )
    if not belong(known, decoder, prompts, options, amount=amount, fresh=fresh):
        raise FuseError(
            "known holds a text twice, or one of another comparison; give texts of the same "
            "models, prompts and options"
        )
    plain = copy.copy(decoder)
    plain.contrast = Contrast(variants[0])
    written: dict[Weights, dict[tuple[int, int], str]] = defaultdict(dict)

    def keep(text: ScoredText) -> None:
        number, sample, weights = _key(text)
        written[weights][number, sample] = text.text

    for text in known:
        keep(text)
    for text in plain.write(
        prompts,
        replace(options, samples=several),
        weights=variants,
        done=more,
        known=frozenset(map(_key, known)),
    ):
        seen(text)
        keep(text)

    def texts(weights: Weights, first: int = 0) -> tuple[Group, ...]:
        samples = range(first, first + options.samples)
        some = written[weights]
        return tuple(tuple(some[n, sample] for sample in samples) for n in range(len(prompts)))

    return PairedTexts(
        tuple(prompts),
        a=texts(variants[0]),
        b=texts(variants[1]),
        amplified=texts(variants[2]) if amount is not None else (),
        fresh=texts(variants[0], options.samples) if fresh else (),
    )


def belong(
    texts: Sequence[ScoredText],
    decoder: ContrastiveDecoder,
    prompts: Sequence[str],
    options: DecodingOptions,
    *,
    amount: float | None = 1.0,
    fresh: bool = True,
) -> bool:
    """Whether texts may be those of :func:`compare` with the same arguments, each once.

    Args:
        texts: The texts, maybe not all of them.
        decoder: The decoder of the two streams.
        prompts: The prompts.
        options: How texts are written.
        amount: Strength of the amplified texts, or ``None``.
        fresh: Whether fresh texts of A are among them.
    """
    first, *others = _variants(decoder, amount)
    most = dict.fromkeys(others, options.samples) | {first: options.samples * (2 if fresh else 1)}
    return len({*map(_key, texts)}) == len(texts) and all(
        0 <= text.prompt_number < len(prompts)
        and text.prompt == prompts[text.prompt_number]
        and text.pair == decoder.ensemble.pair
        and 0 <= text.sample < most.get((*text.weights.values(),), 0)
        for text in texts
    )


def _key(text: ScoredText) -> Key:
    return text.prompt_number, text.sample, (*text.weights.values(),)


def _variants(decoder: ContrastiveDecoder, amount: float | None) -> list[Weights]:
    """Weights of A, of B, and of amplified A."""
    found = [_weights(decoder, 1.0, 0.0), _weights(decoder, 0.0, 1.0)]
    if amount is not None:
        check_number("amount", amount, 0)
        if not amount:
            raise FuseError(
                f"{option('amount')} is 0, which is A alone; give a number above 0, or None"
            )
        found.append(_weights(decoder, 1 + amount, -amount))
    return found


def _weights(decoder: ContrastiveDecoder, a: float, b: float) -> Weights:
    """Weights of all streams, 0 for those that are not compared."""
    ensemble = decoder.ensemble
    given = dict(zip(ensemble.pair, (a, b), strict=True))
    return tuple(given.get(name, 0.0) for name in NAMES[: len(ensemble.streams)])
