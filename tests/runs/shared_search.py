"""One task over several devices, as a program: a search whose targets hold examples."""

import json
import os
import signal
import sys
from pathlib import Path

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint

from fuse_lightning.callbacks import FinalVerdict, Headroom, PortablePrompts, PromptWriter
from fuse_lightning.objectives import Classification, Reasoning
from fuse_lightning.objectives.chains import ChainWriter
from fuse_lightning.objectives.example_scores import ExampleScores
from fuse_lightning.optimizers import GReaTer
from fuse_lightning.search.distributed import PromptStrategy
from tests.optimizers.example_sets import FRONTIERS, Given, search
from tests.optimizers.plain_greater import target, term
from tests.precision import NORMAL, use_double


class Watch(Callback):
    """What this device reads and keeps; kills the process before a step."""

    def __init__(self, folder, last, patch):
        self.folder, self.last = folder, last
        self.read, self.differentiated, self.kept, self.chains = [], 0, [], []
        whole, write = ExampleScores._read, ChainWriter._chains

        def noted(scores, prompts, wanted):
            self.read += [[prompts.owners[row], *prompts.states[row], n] for row, n in wanted]
            return whole(scores, prompts, wanted)

        def written(writer, asked, *given):
            self.chains += [[*each.head, *each.extractor] for each in asked]
            return write(writer, asked, *given)

        patch.setattr(ExampleScores, "_read", noted)
        patch.setattr(ChainWriter, "_chains", written)
        for kind in (Classification, Reasoning):
            patch.setattr(kind, "loss", self.counted(kind.loss))

    def counted(self, loss):
        """A loss that also counts the rows that are differentiated."""

        def call(term, reading, embeds=None):
            self.differentiated += 0 if embeds is None else len(reading)
            return loss(term, reading, embeds)

        return call

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == self.last:
            os.kill(os.getpid(), signal.SIGKILL)

    def on_train_batch_end(self, trainer, pl_module, *args):
        self.kept.append([[list(best.state) for best in each.kept] for each in pl_module.searches])

    def on_fit_end(self, trainer, pl_module):
        told = {name: getattr(self, name) for name in ("read", "differentiated", "kept", "chains")}
        place = self.folder / f"rank-{trainer.global_rank}.json"
        place.write_text(json.dumps(told | {"steps": trainer.global_step}))


def run(folder, name, frontier, devices=1, last=-1, checkpoint=None, check=False, **options):
    """A search with a checkpoint at every step, in float64."""
    with pytest.MonkeyPatch.context() as patch:
        use_double(patch)
        watch = Watch(folder, last, patch)
        if os.environ.get("FUSE_TEST_ROUNDING") and os.environ.get("LOCAL_RANK", "0") != "0":
            round_otherwise(patch)
        module, data = built(name, options)
        saver = ModelCheckpoint(folder / "checkpoints", every_n_train_steps=1, save_top_k=-1)
        beside = FinalVerdict(enabled=False), PortablePrompts(enabled=False)
        quiet = *beside, Headroom(enabled=check)
        trainer = L.Trainer(
            accelerator="cpu",
            devices=devices,
            strategy=PromptStrategy() if devices > 1 else "auto",
            max_epochs=1,
            callbacks=[FRONTIERS[frontier](), PromptWriter(), saver, watch, *quiet],
            default_root_dir=folder,
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
        )
        trainer.fit(module, data, ckpt_path=checkpoint)
    torch.set_default_dtype(NORMAL)
    return module


def built(name, options):
    """A search and its targets."""
    if name != "greater":
        return search(name, examples_per_step=3, **options), Given(batch_size=2)
    given = {"steps": 5, "top": 2, "seed": 1, "progressive": 3, "screen": 8, "max_length": 4}
    module = GReaTer(
        [term("zoo/gpt2", max_chain_tokens=4, judge="labels")],
        starts=["a red star", "two dogs"],
        **{**given, **options},
    )
    # None of their questions is the same, so that every chain is asked for once.
    targets = [target(4, name="one"), target(3, select=3, name="two", first=4)]
    return module, Given(targets, batch_size=2)


def round_otherwise(patch):
    """As a device of another kind: losses and gradients differ, more than by rounding."""
    for kind in (Classification, Reasoning):
        loss = kind.loss
        patch.setattr(kind, "loss", lambda *given, loss=loss: 1.01 * loss(*given) + 0.01)


if __name__ == "__main__":
    place, kind, frontier, devices, last, saved = sys.argv[1:7]
    options = json.loads(sys.argv[7])
    goes_on = None if saved == "-" else saved
    run(Path(place), kind, frontier, int(devices), int(last), goes_on, **options)
