"""Prompts on which two models part, found by a search and measured beside the given prompts."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from dataclasses import replace

import lightning as L
import numpy as np
from scipy.stats import norm

from fuse_lightning.callbacks import PromptTable, PromptWriter
from fuse_lightning.data import Target, TargetDataModule
from fuse_lightning.decoding.contrast import Contrast
from fuse_lightning.decoding.decoder import ContrastiveDecoder
from fuse_lightning.decoding.opening import StreamOptions
from fuse_lightning.diffing.divergence_search import DivergenceSearch
from fuse_lightning.diffing.finding import Finding
from fuse_lightning.diffing.prompt_bank import PromptBank
from fuse_lightning.diffing.prompt_finding import prompt_findings
from fuse_lightning.evaluation.paired import holm

FRESH = 32
"""Fresh texts behind each prompt that is told, and behind each of those it is compared with."""


class _Begins(TargetDataModule):
    """Data module of prompts as they are: one that is also the name of a file is no file.

    Args:
        prompts: The prompts.
    """

    def __init__(self, prompts: Sequence[str]) -> None:
        super().__init__()
        self.prompts = prompts

    def all_targets(self) -> list[Target]:
        """The one target, with the prompts as its examples."""
        return [Target("divergence", examples=[{"text": prompt} for prompt in self.prompts])]


def divergent_prompts(
    decoder: ContrastiveDecoder,
    prompts: Sequence[str],
    steps: int,
    *,
    seed: int = 0,
    alpha: float = 0.05,
    max_new_tokens: int = 16,
    top: int = 5,
) -> tuple[list[Finding], int]:
    """Prompts behind which two models diverge more than behind the given ones.

    Half of the given prompts, drawn by the seed, begin a :class:`DivergenceSearch`. What it finds
    is scored by fresh texts, and so is the other half, which the search has not seen. A finding's
    divergence is larger than the mean of that half by more than chance, after Holm's adjustment.

    Args:
        decoder: The decoder of A and B, the two streams that it compares.
        prompts: The given prompts, at least two.
        steps: Steps of the search.
        seed: Seed of the search and of all texts.
        alpha: Share of comparisons of identical models that may have a finding.
        max_new_tokens: Most tokens of a text.
        top: Most findings.

    Returns:
        The findings, most divergent first, and the number of prompts that were scored.
    """
    ensemble = decoder.ensemble
    streams = [ensemble.streams[ensemble.names.index(name)] for name in ensemble.pair]
    order = np.random.default_rng([seed, 4]).permutation(len(prompts))
    begins, held_out = ([prompts[at] for at in order[start::2]] for start in (0, 1))
    first, second = (StreamOptions(stream.model.model_id) for stream in streams)
    search = DivergenceSearch(
        first,
        second,
        steps=steps,
        top=top,
        seed=seed,
        max_new_tokens=max_new_tokens,
        final_samples=FRESH,
    )
    # The models are loaded already, each as its stream reads it.
    pair = ContrastiveDecoder(streams, Contrast((1, 0)), top=0)
    search.load_parts(pair, streams[0].model.device)
    search.decoder = pair
    with tempfile.TemporaryDirectory() as folder:
        trainer = L.Trainer(
            max_epochs=1,
            devices=1,
            accelerator="cpu" if streams[0].model.device.type == "cpu" else "auto",
            logger=False,
            callbacks=[PromptBank(), PromptTable(enabled=False), PromptWriter(enabled=False)],
            default_root_dir=folder,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
        )
        trainer.fit(search, _Begins(begins))
    others = search.scorer.score(held_out, FRESH, search.seed + 1)
    means = [each.mean for each in others.values()]
    usual = math.fsum(means) / len(means)
    spread = math.fsum((mean - usual) ** 2 for mean in means) / max(1, len(means) - 1)
    error = math.sqrt(spread / len(means))
    found = prompt_findings(search.results, search.measure)
    looked = max((each.looked for each in found), default=0)
    return _shown(found, usual, error, alpha), looked


def _shown(found: Sequence[Finding], usual: float, error: float, alpha: float) -> list[Finding]:
    """Findings whose divergence is larger than the usual one by more than chance."""
    p = [
        float(norm.sf(apart / wide)) if (wide := math.hypot(_error(each), error)) else 1.0
        for each in found
        for apart in [each.effect - usual]
    ]
    told = [
        replace(
            each,
            claim=f"{each.claim}; behind held-out prompts by {usual:.3g}",
            p=adjusted,
            detail={**each.detail, "held_out": usual, "held_out_error": error},
        )
        for each, adjusted in zip(found, holm(p), strict=True)
        if adjusted <= alpha
    ]
    return sorted(told, key=lambda each: -each.effect)


def _error(finding: Finding) -> float:
    return float(finding.detail["standard_error"])
