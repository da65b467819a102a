"""Reader of a run's folder for the report."""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TypeVar

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from fuse_lightning.errors import FuseError
from fuse_lightning.evaluation.table import FILE, Written, read_figures
from fuse_lightning.report.verdicts import Shown, read_shown
from fuse_lightning.results.result import Result, run_results
from fuse_lightning.results.run_folder import RunFolder
from fuse_lightning.utilities.regular import check_regular, read_text
from fuse_lightning.utilities.terminal import quoted

Content = TypeVar("Content")

logger = logging.getLogger(__name__)

KEEP = {"images": 0, "scalars": 0, "tensors": 1}
"""Setting by which TensorBoard keeps all points of a curve."""


@dataclass
class Run:
    """Content of a run's folder.

    Attributes:
        folder: Where.
        results: The prompts in the order of targets, best first.
        pictures: A PNG or JPEG of each target that has one, by its id as TensorBoard shows it.
        curves: Points (step, value) of each logged number, by name.
        config: The resolved YAML configuration, if there is one.
        evaluation: The figures of found prompts and floors, if they were measured.
        verdicts: What test examples say of found prompts, if there are some.
        weights: Weight of each term in the objective, by its name, as far as it is known.
        skipped: Reason for each target that was left out, by its id.
    """

    folder: Path
    results: list[Result]
    pictures: dict[str, bytes] = field(default_factory=dict)
    curves: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    config: str = ""
    evaluation: Written | None = None
    verdicts: list[Shown] = field(default_factory=list)
    weights: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)


def read_run(folder: Path) -> Run:
    """Reads a run, finished or not.

    Raises:
        FuseError: If the folder holds no prompts, a line of them is none, or a file cannot be read.
    """
    run = Run(folder, run_results(folder))
    config = folder / "config.yaml"
    if config.exists():
        run.config = _read(config, "config", partial(read_text, errors="replace"))
    evaluation = folder / FILE
    if evaluation.exists():
        run.evaluation = _figures(evaluation)
    run.verdicts = read_shown(folder)
    run.weights = _weights(folder)
    run.skipped = _skipped(folder / "skipped.jsonl")
    # A resumed run has several files of events; a later one repeats what came after its checkpoint.
    curves: dict[str, dict[int, float]] = {}
    # Over several devices the others write below.
    files = [sorted(folder.glob(f"{place}events.out.tfevents.*")) for place in ("", "rank*/")]
    for path in chain.from_iterable(files):
        _read(path, "events", check_regular)
        events = EventAccumulator(str(path), KEEP)
        try:
            events.Reload()
        # A sound record may hold what is no event.
        except Exception as error:
            logger.warning("events %s are broken (%s); the first ones are shown", path, error)
        for tag in events.Tags()["scalars"]:
            points = {event.step: event.value for event in events.Scalars(tag)}
            curves.setdefault(tag, {}).update(points)
        for tag in events.Tags()["images"]:
            run.pictures[tag.removeprefix("target/")] = events.Images(tag)[-1].encoded_image_string
    run.curves = {tag: sorted(points.items()) for tag, points in curves.items()}
    return run


def _weights(folder: Path) -> dict[str, str]:
    words = "weight of "
    known = RunFolder(folder).identity() or {}
    return {
        name.removeprefix(words): str(value).removesuffix(".0")
        for name, value in known.items()
        if name.startswith(words)
    }


def _skipped(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    found = {}
    for line in _read(path, "list of skipped targets", read_text).splitlines():
        try:
            row = json.loads(line)
            found[str(row["target"])] = str(row["reason"])
        # A run that was killed may have left half a line.
        except (KeyError, TypeError, ValueError):
            logger.warning("a line of %s is broken; it is not shown", quoted(path))
    return found


def _figures(path: Path) -> Written | None:
    text = _read(path, "evaluation", partial(read_text, errors="replace"))
    try:
        return read_figures(text)
    except ValueError as error:
        logger.warning("%s is broken (%s); it is not shown", quoted(path), error)
        return None


def _read(path: Path, what: str, read: Callable[[Path], Content]) -> Content:
    try:
        return read(path)
    except OSError as error:
        raise FuseError(
            f"{what} {quoted(path)} cannot be read: {error}; remove it from the run's folder"
        ) from error
