"""Search for prompts on which two models diverge."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from fuse_lightning.decoding.decoder import ContrastiveDecoder
from fuse_lightning.decoding.opening import StreamOptions
from fuse_lightning.diffing.bank_search import BankSearch
from fuse_lightning.diffing.grader import Grader
from fuse_lightning.diffing.prompt_bank import BankEntry
from fuse_lightning.diffing.prompt_divergence import (
    DivergenceScorer,
    Measure,
    Policy,
    PromptDivergence,
    check_samples,
    check_scoring,
)
from fuse_lightning.diffing.proposals import Collected, Proposal, Proposals, seed_texts
from fuse_lightning.diffing.proposer import Proposer
from fuse_lightning.diffing.template_mutation import TemplateMutation
from fuse_lightning.diffing.written_prompts import ModelProposer
from fuse_lightning.errors import FuseError
from fuse_lightning.models import FrozenModel, SentenceEncoder
from fuse_lightning.search import Best, Scored, TargetSearch
from fuse_lightning.search.target_search import hash_seed
from fuse_lightning.utilities.identity import Identity
from fuse_lightning.utilities.terminal import quoted

logger = logging.getLogger(__name__)

LOSSES = ("divergence", "standard_error", "selecting_divergence")
SEED = "seed"
"""Proposer of the seed prompts, in the bank."""


class DivergenceSearch(BankSearch):
    """Search for prompts behind which two models A and B diverge.

    A prompt's loss is minus the mean divergence per token of texts that A and B write behind it.
    Each step draws examples from the bank (a :class:`PromptBank`), lets the proposers make new
    prompts of them, drops near-duplicates, and scores the rest.

    The best of many noisy figures is too high. So the prompts that are reported are measured once
    more, by fresh texts that selected nothing, and that figure is the result: ``divergence`` with
    its ``standard_error``; ``loss`` is minus the divergence. The figure that selected the prompt
    is ``selecting_divergence``. Prompts stand in the order in which they were selected.

    Args:
        a: Stream A.
        b: Stream B, with the tokenizer of A.
        proposers: Proposers, which share each step alike; by default changes of words and texts of
            the amplified difference.
        measure: Divergence at each token: "js", "kl" for KL(A || B), "reverse_kl", "tv" or
            "centred_l1".
        policy: Model that writes the texts: "a", "b", or "both" for half of them each.
        samples: Texts behind each prompt that select it.
        final_samples: Fresh texts behind each reported prompt.
        max_new_tokens: Most tokens of a text.
        temperature: Temperature of the writing; 1 samples from the models themselves.
        batch_size: Prompts that are scored in each step.
        max_prompt_tokens: Most tokens of a proposed prompt.
        text_batch: Most texts that are written together.
        encoder: Sentence encoder whose vectors say how alike prompts are; ``None`` for hashed
            character n-grams.
        grader: Grader of prompts, whose grade counts by ``grade_weight`` of the bank.
        steps: Most steps for each target.
        patience: End a target after so many steps without a better prompt; ``None`` for never.
        stop_loss: End a target once its loss is at most this; ``None`` for never.
        max_evaluations: Budget of a target: prompts that are scored.
        max_tokens: Budget of positions that models read.
        max_seconds: Budget of wall time.
        max_flops: Budget of the models' floating-point operations.
        top: Prompts reported for each target, best first.
        seed: Seed of the search; each target has a random stream of its own.

    Raises:
        FuseError: If an option is out of its range.
    """

    nothing_fits = "no prompt had a finite divergence; give other seed prompts, or measure js"

    def __init__(
        self,
        a: StreamOptions,
        b: StreamOptions,
        proposers: list[Proposer] | None = None,
        measure: Measure = "js",
        policy: Policy = "both",
        samples: int = 4,
        final_samples: int = 32,
        max_new_tokens: int = 16,
        temperature: float = 1.0,
        batch_size: int = 16,
        max_prompt_tokens: int = 48,
        text_batch: int = 64,
        encoder: str | None = None,
        grader: Grader | None = None,
        steps: int = 20,
        patience: int | None = None,
        stop_loss: float | None = None,
        max_evaluations: int | None = None,
        max_tokens: int | None = None,
        max_seconds: float | None = None,
        max_flops: float | None = None,
        top: int = 10,
        seed: int = 0,
    ) -> None:
        budgets = max_evaluations, max_tokens, max_seconds, max_flops
        super().__init__(steps, patience, stop_loss, *budgets, top, seed)
        check_scoring(measure, policy, temperature)
        for name, value in (("samples", samples), ("final_samples", final_samples)):
            check_samples(name, value, policy)
        for name, value in (
            ("max_new_tokens", max_new_tokens),
            ("batch_size", batch_size),
            ("max_prompt_tokens", max_prompt_tokens),
            ("text_batch", text_batch),
        ):
            if value < 1:
                raise FuseError(f"{name} is {value}; it must be at least 1")
        if proposers == []:
            raise FuseError("proposers is empty; give at least one, or leave it out")
        self.a = a
        self.b = b
        self.proposers = proposers or [TemplateMutation(), ModelProposer()]
        self.measure: Measure = measure
        self.policy: Policy = policy
        self.samples = samples
        self.final_samples = final_samples
        self.max_new_tokens = max_new_tokens
        self.temperature = temperature
        self.batch_size = batch_size
        self.max_prompt_tokens = max_prompt_tokens
        self.text_batch = text_batch
        self.encoder = None if encoder is None else SentenceEncoder(encoder)
        self.grader = grader
        self.proposed = {}

    # Set-up

    def load_parts(self, decoder: ContrastiveDecoder, device: torch.device | str) -> None:
        """Loads the encoder, and gives the streams to what uses them."""
        streams = decoder.ensemble.streams
        if self.encoder is not None:
            self.encoder.load(device)
        for proposer in self.proposers:
            proposer.load(streams)
        if self.grader is not None:
            self.grader.load(streams)
        self.proposals = Proposals(
            decoder.ensemble, self.encoder, self.max_new_tokens, self.max_prompt_tokens
        )
        self.scorer = DivergenceScorer(
            decoder,
            self.measure,
            self.policy,
            self.max_new_tokens,
            self.temperature,
            self.text_batch,
        )

    def own_identity(self, *, content: bool) -> Identity:
        """Identity of the streams, and of how a divergence is measured."""
        how = ("measure", "policy", "max_new_tokens", "temperature")
        encoder = "n-grams" if self.encoder is None else self.encoder.model_id
        found = {name: repr(getattr(self, name)) for name in how} | {"encoder": encoder}
        return super().own_identity(content=content) | found

    def loss_names(self) -> list[str]:
        """Names of a prompt's figures."""
        return [*LOSSES]

    def settings(self) -> dict[str, Any]:
        """The models and the proposers."""
        names = ", ".join(type(each).__name__ for each in self.proposers)
        return super().settings() | {"proposers": names}

    def models(self) -> list[FrozenModel]:
        """The models of the streams, and the encoder."""
        return [*super().models(), *([self.encoder] if self.encoder else [])]

    # Candidates

    def start_states(self, places: Sequence[int]) -> list[list[str]]:
        """Seed prompts of each target, without near-duplicates.

        Raises:
            FuseError: If a stream cannot read one.
        """
        limit = self.bank.duplicate_cosine
        return [self.proposals.seeds(seed_texts(self.targets[place]), limit) for place in places]

    def collected(self, place: int) -> Collected:
        """New prompts of a target by the proposers."""
        generator = self.searches[place].generator
        for each in self.proposers:
            each.seeds = seed_texts(self.targets[place])
        return self.proposals.collect(
            self.proposers,
            self.bank.drawn(place, generator),
            self.bank.filter(place),
            self.batch_size,
            generator,
        )

    def score(self, proposed: list[list[str]]) -> list[list[Scored[str]]]:
        """Minus the divergence behind each prompt; all are recorded in the bank."""
        prompts = [*dict.fromkeys(prompt for group in proposed for prompt in group)]
        if not prompts:
            return [[] for _ in proposed]
        seed = self._seed("select")
        measured = self.scorer.score_together(self.team, prompts, self.samples, seed)
        values = [math.nan] * len(prompts)
        if self.grader is not None and self.team.leads:
            values = self.grader.grade(prompts)
        grades = dict(zip(prompts, self.team.first(values), strict=True))
        return [
            self._record(place, [measured[prompt] for prompt in group], grades)
            for place, group in enumerate(proposed)
        ]

    def _record(
        self, place: int, measured: Sequence[PromptDivergence], grades: Mapping[str, float]
    ) -> list[Scored[str]]:
        search = self.searches[place]
        for each in measured:
            search.evaluated.add(each.prompt)
        finite = [each for each in measured if math.isfinite(each.mean)]
        left = [each.prompt for each in measured if not math.isfinite(each.mean)]
        if left and self.team.leads:
            logger.warning(
                "%d prompts have no finite divergence by %s and are left out, such as %s",
                len(left),
                self.measure,
                quoted(left[0]),
            )
        origins = self._origins(place, [each.prompt for each in finite])
        entries = [
            BankEntry(
                each.prompt,
                each.mean,
                each.error,
                grades[each.prompt],
                search.step,
                origin.proposer,
            )
            for each, origin in zip(finite, origins, strict=True)
        ]
        self.bank.record(place, entries, [origin.vector for origin in origins])
        for each in finite:
            losses = [each.mean, each.error, each.mean]
            self.keep(place, Best(-each.mean, losses, each.prompt, each.prompt, search.step))
        return [(-each.mean, each.prompt) for each in finite]

    def _origins(self, place: int, prompts: Sequence[str]) -> list[Proposal]:
        """Proposals of prompts; what nobody proposed is a seed prompt."""
        seeds = [prompt for prompt in prompts if (place, prompt) not in self.proposed]
        vectors = self.proposals.vectors(seeds)
        known = {
            prompt: Proposal(prompt, SEED, vector)
            for prompt, vector in zip(seeds, vectors, strict=True)
        }
        return [known.get(prompt) or self.proposed[place, prompt] for prompt in prompts]

    def reported(self, search: TargetSearch[str]) -> list[Best[str]]:
        """The best prompts with figures of fresh texts, which selected nothing."""
        prompts = [best.prompt for best in search.kept]
        seed = self._seed("report")
        fresh = self.scorer.score_together(self.team, prompts, self.final_samples, seed)
        return [
            replace(
                best,
                loss=-fresh[best.prompt].mean,
                losses=[fresh[best.prompt].mean, fresh[best.prompt].error, -best.loss],
            )
            for best in search.kept
        ]

    def _seed(self, use: str) -> int:
        """Seed of texts for one use."""
        return hash_seed(self.seed, use)
