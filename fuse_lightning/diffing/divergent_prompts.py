"""Prompts on which two models part, found by a search and measured beside the given prompts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import lightning as L
import numpy as np
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from scipy.stats import norm

from fuse_lightning.callbacks import PromptTable, PromptWriter
from fuse_lightning.data import Target, TargetDataModule
from fuse_lightning.decoding.contrast import Contrast
from fuse_lightning.decoding.decoder import ContrastiveDecoder
from fuse_lightning.decoding.opening import StreamOptions
from fuse_lightning.diffing.divergence_search import DivergenceSearch
from fuse_lightning.diffing.finding import Finding
from fuse_lightning.diffing.phases import Phases
from fuse_lightning.diffing.prompt_bank import PromptBank
from fuse_lightning.diffing.prompt_finding import prompt_findings
from fuse_lightning.diffing.proposals import Proposals
from fuse_lightning.errors import FuseError
from fuse_lightning.evaluation.paired import holm
from fuse_lightning.search.rank_checkpoints import read_checkpoint
from fuse_lightning.utilities.terminal import quoted

FRESH = 32
"""Fresh texts behind each prompt that is told, and behind each of those it is compared with."""

LONGEST_TEXT = 16
"""Most tokens of a text of the search."""
CHECKPOINTS = "checkpoints"
"""Folder of the search's checkpoints in that of the comparison."""


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
    max_new_tokens: int = LONGEST_TEXT,
    top: int = 5,
    folder: Path | None = None,
    phases: Phases | None = None,
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
        folder: Folder in which the search leaves its bank and a checkpoint behind each step. A
            search of as many steps whose checkpoint lies there goes on. ``None`` for a temporary
            one.
        phases: Listener to the steps of the search.

    Returns:
        The findings, most divergent first, and the number of prompts that were scored.
    """
    ensemble = decoder.ensemble
    streams = [ensemble.streams[ensemble.names.index(name)] for name in ensemble.pair]
    begins, held_out = _halves(prompts, seed)
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
    with TemporaryDirectory() if folder is None else nullcontext(folder) as place:
        # A search of other steps ends at another one, and would not go on.
        saver = ModelCheckpoint(
            Path(place, CHECKPOINTS), f"prompts-{steps}-{{step}}", every_n_train_steps=1
        )
        last, done = _last_checkpoint(Path(place, CHECKPOINTS), f"prompts-{steps}-*.ckpt")
        listener = phases or Phases()
        listener.begin("prompts", steps, done)
        trainer = L.Trainer(
            max_epochs=1,
            devices=1,
            accelerator="cpu" if streams[0].model.device.type == "cpu" else "auto",
            logger=False,
            callbacks=[
                PromptBank(),
                PromptTable(enabled=False),
                PromptWriter(enabled=False),
                _Steps(listener),
                *([] if folder is None else [saver]),
            ],
            default_root_dir=place,
            enable_checkpointing=folder is not None,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
        )
        trainer.fit(search, _Begins(begins), ckpt_path=last)
    others = search.scorer.score(held_out, FRESH, search.seed + 1)
    means = [each.mean for each in others.values()]
    usual = math.fsum(means) / len(means)
    spread = math.fsum((mean - usual) ** 2 for mean in means) / max(1, len(means) - 1)
    error = math.sqrt(spread / len(means))
    found = prompt_findings(search.results, search.measure)
    looked = max((each.looked for each in found), default=0)
    return _shown(found, usual, error, alpha), looked


def check_begins(decoder: ContrastiveDecoder, prompts: Sequence[str], seed: int) -> None:
    """Checks that a search can begin with the prompts that :func:`divergent_prompts` draws.

    Args:
        decoder: The decoder of the streams.
        prompts: The given prompts.
        seed: Seed of the search.

    Raises:
        FuseError: If one is blank, or leaves no room for a text.
    """
    proposals = Proposals(decoder.ensemble, None, room=LONGEST_TEXT, longest=0)
    for prompt in _halves(prompts, seed)[0]:
        if not proposals.fits(prompt):
            raise FuseError(
                f"the prompt {quoted(prompt[:60])} cannot begin a search for prompts: it is blank, "
                f"or leaves no room for a text of {LONGEST_TEXT} tokens; give another one, or set "
                "search to 0"
            )


class _Steps(Callback):
    """Callback that tells a listener of each step."""

    def __init__(self, listener: Phases) -> None:
        self.listener = listener

    def on_train_batch_end(self, *args: Any, **kwargs: Any) -> None:
        self.listener.advance()


def _halves(prompts: Sequence[str], seed: int) -> tuple[list[str], list[str]]:
    """Prompts that begin the search, and those that it does not see."""
    order = np.random.default_rng([seed, 4]).permutation(len(prompts))
    return [prompts[at] for at in order[::2]], [prompts[at] for at in order[1::2]]


def _last_checkpoint(folder: Path, names: str) -> tuple[Path | None, int]:
    """The whole checkpoint with the most steps, and their number."""
    steps: dict[Path, int] = {}
    for path in folder.glob(names):
        # A kill may leave one that is cut short.
        with suppress(FuseError):
            steps[path] = read_checkpoint(path)["global_step"]
    last = max(steps, key=lambda path: steps[path], default=None)
    return last, 0 if last is None else steps[last]


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
