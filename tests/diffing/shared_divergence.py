"""One search for divergent prompts over several devices, as a program."""

import json
import os
import signal
import sys
from pathlib import Path

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint

from fuse_lightning.callbacks import PromptWriter
from fuse_lightning.diffing import (
    DivergencePrompts,
    DivergenceSearch,
    Grader,
    GradientProposer,
    ModelProposer,
    PromptBank,
    Proposer,
    TemplateMutation,
)
from fuse_lightning.diffing.prompt_divergence import DivergenceScorer
from fuse_lightning.search.distributed import PromptStrategy
from tests.diffing.pairs import options
from tests.precision import NORMAL, use_double

SEEDS = ["a red house", "the sea", "hello", "two small stars", "a picture of"]


class Asked(Proposer):
    """Proposer that counts how often it is asked, as one that costs money would."""

    def __init__(self):
        self.times = 0

    def propose(self, examples, count, generator):
        self.times += 1
        return [
            f"{entry.prompt} asked {float(torch.rand((), generator=generator)):.3f}"
            for entry in examples[:count]
        ]


class Length(Grader):
    """Grader that counts the prompts that it is given."""

    def __init__(self):
        self.prompts = 0

    def grade(self, prompts):
        self.prompts += len(prompts)
        return [float(-len(prompt)) for prompt in prompts]


class Watch(Callback):
    """What this device scores and keeps; kills the process before a step."""

    def __init__(self, folder, last, patch):
        self.folder, self.last = folder, last
        self.scored, self.kept = [], []
        whole = DivergenceScorer.score

        def score(scorer, prompts, samples, seed):
            self.scored += [[prompt, samples] for prompt in prompts]
            return whole(scorer, prompts, samples, seed)

        patch.setattr(DivergenceScorer, "score", score)

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == self.last:
            os.kill(os.getpid(), signal.SIGKILL)

    def on_train_batch_end(self, trainer, pl_module, *args):
        self.kept.append(
            [
                [[best.prompt, best.loss] for best in search.kept]
                + [search.generator.get_state().sum().item(), own["refused"], own["entries"]]
                for search, own in zip(pl_module.searches, pl_module.frontier.own, strict=True)
            ]
        )

    def on_fit_end(self, trainer, pl_module):
        *_, asked = pl_module.proposers
        told = {"scored": self.scored, "kept": self.kept, "asked": asked.times}
        place = self.folder / f"rank-{trainer.global_rank}.json"
        place.write_text(json.dumps(told | {"graded": pl_module.grader.prompts}))


def run(folder, model, devices=1, last=-1, checkpoint=None):
    """A search with a checkpoint at every step, in float64."""
    with pytest.MonkeyPatch.context() as patch:
        use_double(patch)
        watch = Watch(folder, last, patch)
        module = DivergenceSearch(
            *options(model, temperature=2.0),
            proposers=[
                TemplateMutation(),
                ModelProposer(),
                GradientProposer(4, 4, tokens="any"),
                Asked(),
            ],
            samples=4,
            final_samples=6,
            max_new_tokens=3,
            batch_size=8,
            grader=Length(),
            steps=4,
            top=5,
            seed=1,
        )
        module.goes_on = checkpoint is not None
        saver = ModelCheckpoint(folder / "checkpoints", every_n_train_steps=1, save_top_k=-1)
        trainer = L.Trainer(
            accelerator="cpu",
            devices=devices,
            strategy=PromptStrategy() if devices > 1 else "auto",
            max_epochs=1,
            callbacks=[PromptBank(grade_weight=0.1), PromptWriter(), saver, watch],
            default_root_dir=folder,
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
        )
        trainer.fit(module, DivergencePrompts(SEEDS), ckpt_path=checkpoint)
    torch.set_default_dtype(NORMAL)
    return module


if __name__ == "__main__":
    place, model, devices, last, saved = sys.argv[1:]
    run(Path(place), model, int(devices), int(last), None if saved == "-" else saved)
