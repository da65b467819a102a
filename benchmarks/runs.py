"""Whole runs over many pictures: several devices, what a run costs beside its search, memory.

``python -m benchmarks.runs`` writes ``benchmarks/results/runs.md``. Every process computes on one
thread.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import lightning as L
import yaml
from lightning.pytorch.callbacks import Callback

from benchmarks.machine import describe, table, write
from benchmarks.real_models import build
from fuse_lightning.cli.zoo import scenes

ROOT = Path(__file__).parents[1]
SEED = 90210
PAGE = os.sysconf("SC_PAGE_SIZE")


class Meter(Callback):
    """Writes what a process has done: seconds in all, of which in the search, and its memory.

    Args:
        folder: Where to write ``meter-RANK.json``.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.search = 0.0
        self.memory: list[tuple[int, float]] = []

    def on_train_start(self, trainer: L.Trainer, pl_module: Any) -> None:
        """Starts the clock, once models are loaded; times proposing and scoring from now on."""
        move = pl_module._move

        def timed(states: Any) -> Any:
            begin = time.perf_counter()
            count = move(states)
            self.search += time.perf_counter() - begin
            return count

        pl_module._move = timed
        self.begin = time.perf_counter()

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, *args: Any) -> None:
        """Notes resident memory, MB, against targets done."""
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        self.memory.append((len(pl_module.results), pages * PAGE / 1e6))

    def on_train_end(self, trainer: L.Trainer, pl_module: Any) -> None:
        """Writes the file."""
        found = {
            "seconds": time.perf_counter() - self.begin,
            "search": self.search,
            "memory": self.memory,
        }
        path = Path(self.folder) / f"meter-{trainer.global_rank}.json"
        path.write_text(json.dumps(found))


def measure(
    pictures: Path, devices: int, name: str = "quickstart", together: int = 8, **options: Any
) -> list[dict[str, Any]]:
    """Runs ``fuse fit`` with a configuration of the package; what each process has measured."""
    config = yaml.safe_load((ROOT / "configs" / f"{name}.yaml").read_text())
    config["model"]["init_args"].update(options)
    config["data"]["init_args"] = {"images": str(pictures), "batch_size": together}
    with tempfile.TemporaryDirectory() as folder:
        meter = {"class_path": "benchmarks.runs.Meter", "init_args": {"folder": folder}}
        config["trainer"]["callbacks"].append(meter)
        config["trainer"].update(accelerator="cpu", devices=devices, enable_progress_bar=False)
        path = Path(folder, "run.yaml")
        path.write_text(yaml.safe_dump(config))
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        subprocess.run(
            [sys.executable, ROOT / "cli.py", "fit", "--config", path],
            cwd=folder,
            env=environment,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        return [json.loads(file.read_text()) for file in sorted(Path(folder).glob("meter-*.json"))]


def several_devices(folder: Path, count: int, repeats: int) -> str:
    """Targets per second on one and on two devices, in turns."""
    rates: dict[int, list[float]] = {1: [], 2: []}
    shares = []
    for _ in range(repeats):
        for devices, found in rates.items():
            meters = measure(folder, devices)
            found.append(count / max(meter["seconds"] for meter in meters))
            if devices == 1:
                shares.append(1 - meters[0]["search"] / meters[0]["seconds"])
    one, two = median(rates[1]), median(rates[2])
    rows = [
        ["1 process", f"{one:.2f}", "1.00"],
        ["2 processes", f"{two:.2f}", f"{two / one:.2f}"],
    ]
    runs = f"median of {repeats} runs in turns" if repeats > 1 else "one run of each"
    return (
        f"{count} scenes, settings of `configs/quickstart.yaml`, 8 targets at once; one thread a "
        f"process, {runs}, from the first step to the last result.\n\n"
        f"{table(['devices', 'targets per second', 'ratio'], rows)}\n\n"
        f"Beside proposing and scoring a run spends {median(shares):.1%} of its time: the loop, "
        "logs, result files, checkpoints, reading pictures.\n"
    )


def real_sizes(folder: Path) -> str:
    """What a run costs beside its search where models are as large as real ones."""
    models, pictures = folder / "models", folder / "pictures"
    build(models, layers=12)
    scenes(pictures, 2, SEED)
    terms = [
        {"class_path": "Fluency", "init_args": {"model": str(models / "gpt2")}},
        {"class_path": "ImageSimilarity", "init_args": {"model": str(models / "clip")}},
    ]
    (meter,) = measure(pictures, 1, "caption_image", together=1, terms=terms, steps=6)
    share = 1 - meter["search"] / meter["seconds"]
    return (
        "A GPT-2 and the text tower of a CLIP of real sizes (12 layers of width 768 and 512) with "
        "random weights, settings of `configs/caption_image.yaml`, 2 pictures one after the other, "
        "6 steps each, a checkpoint after each: a step takes "
        f"{meter['search'] / len(meter['memory']):.1f} s, {share:.1%} of the run's time is spent "
        "beside.\n"
    )


def flat_memory(folder: Path, count: int) -> str:
    """Resident memory as targets come and go."""
    (meter,) = measure(folder, 1, steps=6, batch_size=8, gradient_samples=2)
    places = [count // 10, count // 4, count // 2, count]
    rows = [
        [str(place), f"{next(size for done, size in meter['memory'] if done >= place):.0f}"]
        for place in places
    ]
    return (
        f"{count} scenes, 6 steps each.\n\n{table(['targets done', 'resident memory, MB'], rows)}\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--targets", type=int, default=48, help="for the speed of devices")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--many", type=int, default=500, help="targets for the memory")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        few, many = Path(name, "few"), Path(name, "many")
        scenes(few, options.targets, SEED)
        scenes(many, options.many, SEED)
        parts = [
            several_devices(few, options.targets, options.repeats),
            real_sizes(Path(name)),
            flat_memory(many, options.many),
        ]
    write("runs", "\n".join(["# Whole runs over many pictures\n", describe() + "\n", *parts]))


if __name__ == "__main__":
    main()
