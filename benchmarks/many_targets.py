"""A run over very many small targets: memory, time and checkpoints as targets are done.

``python -m benchmarks.many_targets`` writes ``benchmarks/results/many_targets.md``. The process
computes on one thread.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import lightning as L
import yaml
from lightning.pytorch.callbacks import Callback

from benchmarks.machine import describe, table, write
from benchmarks.runs import PAGE, ROOT
from fuse_lightning.zoo.scenes import sample_sentence

TOGETHER = 8


class Milestones(Callback):
    """Notes time, memory and the size of the last checkpoint whenever so many more are done.

    Args:
        path: The file to write.
        every: Targets from one note to the next.
    """

    def __init__(self, path: str, every: int) -> None:
        self.path = path
        self.every = every
        self.notes: list[dict[str, float]] = []

    def on_train_start(self, trainer: L.Trainer, pl_module: Any) -> None:
        """Starts the clock, once models are loaded."""
        self.begin = time.perf_counter()

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, *args: Any) -> None:
        """Notes what there is if it is time."""
        done = len(pl_module.results)
        if done < self.every * (len(self.notes) + 1):
            return
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        files = Path(trainer.log_dir).glob("checkpoints/*.ckpt")
        size = max((file.stat().st_size for file in files), default=0)
        note = {"done": done, "seconds": time.perf_counter() - self.begin}
        self.notes.append({**note, "memory": pages * PAGE / 1e6, "checkpoint": size / 1e3})
        Path(self.path).write_text(json.dumps(self.notes))


def config(texts: Path, notes: Path, every: int) -> dict[str, Any]:
    """One step of GCG for every text of a file."""
    term = {"class_path": "TextSimilarity", "init_args": {"model": "zoo/clip"}}
    search = {"steps": 1, "batch_size": 4, "top_k": 4, "merge": 0, "prompt_length": 2}
    search |= {"terms": [term]}
    meter = {
        "class_path": "benchmarks.many_targets.Milestones",
        "init_args": {"path": str(notes), "every": every},
    }
    return {
        "model": {"class_path": "GCG", "init_args": search},
        "data": {
            "class_path": "TextTargets",
            "init_args": {"texts": str(texts), "batch_size": TOGETHER},
        },
        "trainer": {"accelerator": "cpu", "enable_progress_bar": False, "callbacks": [meter]},
    }


def run(count: int, every: int) -> list[dict[str, float]]:
    """The notes of a run over so many texts."""
    with tempfile.TemporaryDirectory() as name:
        folder, rng = Path(name), random.Random(0)
        texts = [f"{sample_sentence(rng)[0]}, number {index}" for index in range(count)]
        (folder / "texts.txt").write_text("\n".join(texts))
        options = config(folder / "texts.txt", folder / "notes.json", every)
        (folder / "run.yaml").write_text(yaml.safe_dump(options))
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        subprocess.run(
            [sys.executable, ROOT / "cli.py", "fit", "--config", "run.yaml"],
            cwd=folder,
            env=environment,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        found: list[dict[str, float]] = json.loads((folder / "notes.json").read_text())
        return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--targets", type=int, default=10_000)
    parser.add_argument("--every", type=int, default=1_000)
    options = parser.parse_args()
    notes = run(options.targets, options.every)
    rows, before = [], 0.0
    for note in notes:
        seconds = note["seconds"] - before
        before = note["seconds"]
        numbers = (f"{seconds:.1f}", f"{note['memory']:.0f}", f"{note['checkpoint']:.1f}")
        rows.append([f"{note['done']:.0f}", *numbers])
    head = ["targets done", f"seconds for the last {options.every}", "resident memory, MB"]
    write(
        "many_targets",
        f"# A run over very many small targets\n\n{describe()}\n\n{options.targets} texts, one "
        f"step of GCG each, 4 candidates of 2 tokens, {TOGETHER} texts at once, a checkpoint at "
        f"every eighth step.\n\n{table([*head, 'checkpoint, kB'], rows)}\n",
    )


if __name__ == "__main__":
    main()
