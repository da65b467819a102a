"""A search over whole texts: no model, no ids, a plain function as loss."""

import os
import signal
import sys

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint

from fuse_lightning.callbacks import PromptWriter
from fuse_lightning.data import TextTargets
from fuse_lightning.engine.meter import Work
from fuse_lightning.search import BeamSearch, Best, SearchModule
from fuse_lightning.search.distributed import PromptStrategy
from tests.optimizers.runs import Snapshots

LETTERS = "abcde "
WORDS = ["bead", "a cab", "dad bed", "ace", "deed cab", "cad", "ebb"]


def distance(text, wanted):
    """Letters that are other ones, and letters too many or too few."""
    other = sum(a != b for a, b in zip(text, wanted, strict=False))
    return float(other), float(abs(len(text) - len(wanted)))


def neighbours(text, generator, count):
    """Texts that differ from one in a letter, or by a letter at the end."""
    found = {}
    for _ in range(count):
        letter = LETTERS[int(torch.randint(len(LETTERS), (), generator=generator))]
        place = int(torch.randint(len(text) + 1, (), generator=generator))
        found[text[:place] + letter + text[place + 1 :]] = None
        found[text[:-1]] = None
    return [*found]


class Spelling(SearchModule[str]):
    """Finds a target's text letter by letter."""

    nothing_fits = "it has no letters"

    def __init__(self, count=3, start="a", **limits):
        super().__init__(**limits)
        self.count = count
        self.start = start
        self.letters = 0

    def start_states(self, places):
        for place in places:
            self.searches[place].own |= {"seen": 0}
        return [[self.start] for _ in places]

    def propose(self, states):
        return [
            [
                text
                for state in group
                for text in neighbours(state, self.searches[place].generator, self.count)
            ]
            for place, group in enumerate(states)
        ]

    def score(self, proposed):
        scored = []
        for place, texts in enumerate(proposed):
            search, wanted = self.searches[place], self.targets[place].text
            search.own["seen"] += len(texts)
            self.letters += len(texts) * len(wanted)
            for text in texts:
                search.evaluated.add(text)
            rows = [(text, distance(text, wanted)) for text in texts]
            scored.append([(sum(losses), text) for text, losses in rows])
            for text, losses in rows:
                if text:
                    self.keep(place, Best(sum(losses), [*losses], text, text.title(), search.step))
        return scored

    def spent(self):
        return Work(self.letters, 2.0 * self.letters)

    def loss_names(self):
        return ["letters", "length"]

    def check_state(self, state):
        if not isinstance(state, str):
            raise TypeError(f"{state!r} is no text")

    def take_back(self, search):
        if type(search.own["seen"]) is not int:
            raise TypeError("seen is no count")

    def own_identity(self, *, content):
        return {"start": self.start}


class Watch(Callback):
    """What each search keeps of its own, step by step; kills the process before a step."""

    def __init__(self, last=None):
        self.last = last
        self.seen = {}

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if self.last is not None and trainer.global_step == self.last:
            os.kill(os.getpid(), signal.SIGKILL)

    def on_train_batch_end(self, trainer, pl_module, *args):
        for search in pl_module.searches:
            self.seen[search.name, search.step] = search.own["seen"]


def run(folder, *callbacks, checkpoint=None, devices=1, words=WORDS, **options):
    """Fits, with a checkpoint at every step."""
    module = Spelling(**{"steps": 6, "seed": 3, "top": 2, **options})
    saver = ModelCheckpoint(folder / "checkpoints", every_n_train_steps=1, save_top_k=-1)
    snapshots = [Snapshots()] if devices == 1 else []
    trainer = L.Trainer(
        accelerator="cpu",
        devices=devices,
        strategy=PromptStrategy() if devices > 1 else "auto",
        max_epochs=1,
        callbacks=[BeamSearch(2), PromptWriter(), saver, *callbacks, *snapshots],
        default_root_dir=folder,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    data = TextTargets(words, batch_size=2)
    trainer.fit(module, data, ckpt_path=checkpoint)
    return module, trainer


if __name__ == "__main__":
    from pathlib import Path

    place, last, devices = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    run(place, Watch(None if last < 0 else last), devices=devices)
