"""The report of a run over a thousand scenes, in a headless Chromium.

``python -m benchmarks.report`` writes ``benchmarks/results/report.md``.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import yaml

from benchmarks.machine import describe, table, write
from fuse_lightning.cli.zoo import scenes
from tests.report.browser import CHROMIUM, Browser, browser

ROOT = Path(__file__).parents[1]
SEED = 90210
RUN = Path("logs", "search", "version_0")
PAINTED = "new Promise(done => requestAnimationFrame(() => setTimeout(done)))"
"""Until what a script has changed is on the screen."""


def search(folder: Path, count: int) -> float:
    """Searches with the quickstart's models, a small beam and few steps; seconds taken."""
    scenes(folder / "scenes", count, SEED)
    config = yaml.safe_load((ROOT / "configs" / "quickstart.yaml").read_text())
    config["model"]["init_args"].update(steps=6, batch_size=8, gradient_samples=2)
    config["data"]["init_args"].update(images="scenes", batch_size=16)
    beam = {"class_path": "BeamSearch", "init_args": {"beam_width": 2}}
    config["trainer"].update(accelerator="cpu", enable_progress_bar=False, callbacks=[beam])
    (folder / "run.yaml").write_text(yaml.safe_dump(config))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    begin = time.perf_counter()
    for words in (["fit", "--config", "run.yaml"], ["report", RUN]):
        subprocess.run(
            [sys.executable, ROOT / "cli.py", *words],
            cwd=folder,
            env=environment,
            check=True,
            stdout=subprocess.DEVNULL,
        )
    return time.perf_counter() - begin


def seconds(page: Browser, script: str) -> float:
    """Until what a script does is on the screen."""
    begin = time.perf_counter()
    page.run(f"({script}, {PAINTED})")
    return time.perf_counter() - begin


def look(path: Path) -> dict[str, float]:
    """Seconds until the page is painted, sorted, searched and scrolled to its end."""
    with tempfile.TemporaryDirectory() as profile, browser(Path(profile)) as page:
        begin = time.perf_counter()
        page.open(path)
        page.run(PAINTED)
        opened = time.perf_counter() - begin
        return {
            "opened": opened,
            "sorted by loss": seconds(
                page, "heads.find(h => h.textContent === 'loss').querySelector('button').click()"
            ),
            "searched": seconds(
                page, "search.value = 'star', search.dispatchEvent(new Event('input'))"
            ),
            "scrolled to its end": seconds(page, "scrollTo(0, document.body.scrollHeight)"),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--targets", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    if CHROMIUM is None:
        raise SystemExit("there is no Chromium on this machine; install one")
    with tempfile.TemporaryDirectory() as name:
        taken = search(Path(name), options.targets)
        path = Path(name) / RUN / "report.html"
        found = [look(path) for _ in range(options.repeats)]
        size = path.stat().st_size / 1e6
    rows = [[what, f"{median(each[what] for each in found):.2f}"] for what in found[0]]
    write(
        "report",
        "# The report of a thousand targets\n\n"
        f"{describe()}\n\n"
        f"{options.targets} scenes, 6 steps each, 16 at once on one thread: {taken:.0f} s with the "
        f"report, whose page has {size:.1f} MB. Headless Chromium, until what was asked for is on "
        f"the screen; medians of {options.repeats} browsers, each begun anew.\n\n"
        f"{table(['the page is', 'seconds'], rows)}\n",
    )


if __name__ == "__main__":
    main()
