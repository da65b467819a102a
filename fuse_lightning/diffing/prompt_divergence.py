"""Divergence of two models behind a prompt, measured on texts that they write."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean, variance
from typing import Literal, get_args

from fuse_lightning.decoding.decoder import ContrastiveDecoder, Weights
from fuse_lightning.decoding.options import DecodingOptions
from fuse_lightning.decoding.scored_text import MEASURES, ScoredText
from fuse_lightning.errors import FuseError
from fuse_lightning.search.target_search import hash_seed
from fuse_lightning.utilities.processes import Team

Measure = Literal["kl", "reverse_kl", "js", "tv", "centred_l1"]
Policy = Literal["a", "b", "both"]
WRITERS: dict[str, tuple[Weights, ...]] = {
    "a": ((1.0, 0.0),),
    "b": ((0.0, 1.0),),
    "both": ((1.0, 0.0), (0.0, 1.0)),
}
"""Weights of the streams with which texts are written, by policy."""
DIGITS = 2**48
"""Numbers that a prompt may have for its random numbers."""


@dataclass(frozen=True)
class PromptDivergence:
    """Divergence of two models behind one prompt.

    Attributes:
        prompt: The prompt.
        mean: Mean over texts of the mean divergence per token (nats for "kl", "reverse_kl", "js").
        error: Standard error of the mean; NaN for a single text.
        texts: The texts; none where another device may have written them.
    """

    prompt: str
    mean: float
    error: float
    texts: tuple[ScoredText, ...]


@dataclass(frozen=True)
class DivergenceScorer:
    """Scorer of prompts by how far two models part in the texts behind them.

    A prompt's figure depends on the prompt, the seed and the number of samples, and not on the
    prompts that are scored beside it.

    Attributes:
        decoder: The two streams.
        measure: Divergence at each token, see :data:`MEASURES`.
        policy: Model that writes the texts: "a", "b", or "both" for half of them each.
        max_new_tokens: Most tokens of a text.
        temperature: Temperature of the writing; 1 samples from the models themselves.
        text_batch: Most texts that are written together.

    Raises:
        FuseError: If an option makes no sense.
    """

    decoder: ContrastiveDecoder
    measure: Measure = "js"
    policy: Policy = "both"
    max_new_tokens: int = 16
    temperature: float = 1.0
    text_batch: int = 64

    def __post_init__(self) -> None:
        check_scoring(self.measure, self.policy, self.temperature)

    def score(self, prompts: Sequence[str], samples: int, seed: int) -> dict[str, PromptDivergence]:
        """Figures of prompts, by prompt.

        Args:
            prompts: The prompts.
            samples: Texts behind each; an even number where both models write.
            seed: Seed of the texts.
        """
        variants = WRITERS[self.policy]
        distinct = [*dict.fromkeys(prompts)]
        options = DecodingOptions(
            max_new_tokens=self.max_new_tokens,
            temperature=self.temperature,
            samples=samples // len(variants),
            seed=seed,
            batch_size=self.text_batch,
        )
        # By its own number a prompt gets the same texts, whatever is scored beside it.
        numbers = [hash_seed(0, prompt) % DIGITS for prompt in distinct]
        found: dict[str, list[ScoredText]] = {prompt: [] for prompt in distinct}
        for text in self.decoder.write(distinct, options, weights=variants, numbers=numbers):
            found[text.prompt].append(text)
        return {prompt: self._figure(prompt, texts) for prompt, texts in found.items()}

    def score_together(
        self, team: Team, prompts: Sequence[str], samples: int, seed: int
    ) -> dict[str, PromptDivergence]:
        """Figures of prompts without their texts; each prompt is scored by one device of a team.

        Args:
            team: The devices; each must ask for the same prompts at the same point.
            prompts: The prompts.
            samples: Texts behind each; an even number where both models write.
            seed: Seed of the texts.
        """

        def some(mine: Sequence[str]) -> list[PromptDivergence]:
            # Other devices need no texts, which are large.
            return [replace(each, texts=()) for each in self.score(mine, samples, seed).values()]

        found = team.split(some, [*dict.fromkeys(prompts)])
        return {each.prompt: each for each in found}

    def _figure(self, prompt: str, texts: list[ScoredText]) -> PromptDivergence:
        texts.sort(key=lambda text: (-text.weights["A"], text.sample))
        strata: dict[float, list[float]] = {}
        for text in texts:
            strata.setdefault(text.weights["A"], []).append(text.divergence(self.measure))
        mean, error = stratified(list(strata.values()))
        return PromptDivergence(prompt, mean, error, tuple(texts))


def stratified(strata: Sequence[Sequence[float]]) -> tuple[float, float]:
    """Mean of the strata's means, and its standard error.

    Where a stratum has one value alone, the values are taken as one stratum, which gives no
    smaller error on average. The error of a single value is NaN.

    Args:
        strata: Values of each stratum, at least one in each, as many in each.

    >>> stratified([[1.0, 3.0], [5.0, 5.0]])
    (3.5, 0.5)
    >>> stratified([[2.0]])
    (2.0, nan)
    """
    mean = fmean(map(fmean, strata))
    values = [value for stratum in strata for value in stratum]
    if not all(map(math.isfinite, values)) or len(values) < 2:
        return mean, math.nan
    if min(map(len, strata)) < 2:
        return mean, math.sqrt(variance(values) / len(values))
    errors = sum(variance(stratum) / len(stratum) for stratum in strata)
    return mean, math.sqrt(errors) / len(strata)


def check_scoring(measure: str, policy: str, temperature: float) -> None:
    """Checks options of a scorer before a model is loaded.

    Raises:
        FuseError: If one makes no sense.
    """
    if measure not in MEASURES:
        raise FuseError(f"measure is {measure!r}; give one of {', '.join(MEASURES)}")
    if policy not in get_args(Policy):
        raise FuseError(f"policy is {policy!r}; give one of {', '.join(get_args(Policy))}")
    if not (math.isfinite(temperature) and temperature > 0):
        raise FuseError(f"temperature is {temperature}; texts are sampled: give a number above 0")


def check_samples(name: str, value: int, policy: str) -> None:
    """Checks a number of texts behind each prompt.

    Raises:
        FuseError: If it is too small, or odd where each of two models writes half of them.
    """
    if value < 2 or value % len(WRITERS[policy]):
        raise FuseError(
            f"{name} is {value}; give 2 or more texts for each prompt, and an even number with the "
            "policy both"
        )
