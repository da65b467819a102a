"""Exit code of a finished run, and its last lines: what is missing, and where the prompts are."""

import json
import os
import shlex
from collections.abc import Mapping
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Timer

from fuse_lightning.data import TargetDataModule
from fuse_lightning.results.result import NO_PROMPT
from fuse_lightning.results.run_folder import folder_of
from fuse_lightning.search import SearchModule
from fuse_lightning.utilities.processes import gather
from fuse_lightning.utilities.terminal import visible


def ending(
    trainer: L.Trainer, module: SearchModule[Any], data: TargetDataModule
) -> tuple[int, str]:
    """Exit code of a finished run, and the line about targets without a prompt.

    Targets that cannot be read, and that the user told to skip, do not make a run fail. Those
    that were never searched do, and those for which no prompt was found.

    Args:
        trainer: The trainer; all its processes ask together.
        module: Its optimizer, with ``results`` of all processes.
        data: Its data module.

    Returns:
        0 if every target has a prompt, otherwise 1; and the line, empty if nothing is left.
    """
    ended = {result.target: result.finished for result in module.results}
    reasons = _skipped(trainer, data)
    missing = [
        target.id
        for target in data.targets
        if target.id not in ended and reasons.get(target.id, NO_PROMPT).startswith(NO_PROMPT)
    ]
    limit, change = _limit(trainer)
    remedy = _remedy(trainer, change)
    if trainer.fast_dev_run:  # type: ignore[attr-defined]
        return 0, ""
    if missing:
        first = missing[0]
        why = f"the run ended before they were searched{limit}{remedy}"
        if first in reasons:
            why = reasons[first]
        return 1, visible(
            f"{len(missing)} of {len(data.targets)} targets have no prompt, the first is "
            f"{first!r}: {why}"
        )
    if short := sum(not finished for finished in ended.values()):
        return 0, visible(f"{short} of {len(ended)} searches were cut short{limit}{remedy}")
    return 0, ""


def whereabouts(trainer: L.Trainer) -> str:
    """Line that says where a run wrote its prompts, and how to look at them; empty if nowhere.

    All processes of a run ask together.
    """
    prompts = folder_of(trainer) / "prompts.csv"
    if trainer.fast_dev_run or not prompts.is_file():  # type: ignore[attr-defined]
        return ""
    folder = os.path.relpath(prompts.parent)
    if folder.startswith(os.pardir):
        folder = str(prompts.parent)
    file = visible(os.path.join(folder, prompts.name))
    return f"prompts are in {file}; a page of them: fuse report {visible(shlex.quote(folder))}"


def _skipped(trainer: L.Trainer, data: TargetDataModule) -> Mapping[str, str]:
    """Reasons of skipped targets by id, including those from before a resume."""
    reasons: dict[str, str] = {}
    try:
        for line in (folder_of(trainer) / "skipped.jsonl").read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            reasons[row["target"]] = row["reason"]
    # Others may have written it; without it a target counts as one without a prompt.
    except (KeyError, OSError, TypeError, ValueError):
        pass
    for share in gather(data.skipped):
        reasons |= share
    return reasons


def _limit(trainer: L.Trainer) -> tuple[str, str]:
    """The limit of the trainer that ended the run, and the option that lifts it."""
    if trainer.max_epochs == 0:
        return " (trainer.max_epochs is 0)", " --trainer.max_epochs=1"
    if 0 <= trainer.max_steps <= trainer.global_step:
        return f" (trainer.max_steps is {trainer.max_steps})", " --trainer.max_steps=-1"
    timers = [each for each in trainer.callbacks if isinstance(each, Timer)]  # type: ignore[attr-defined]
    if any((left := timer.time_remaining()) is not None and left <= 0 for timer in timers):
        return " (trainer.max_time is over)", ""
    return "", ""


def _remedy(trainer: L.Trainer, change: str) -> str:
    folder = folder_of(trainer)
    if not (folder / "config.yaml").is_file():
        return ""
    return f"; go on with: fuse fit --resume {shlex.quote(str(folder))}{change}"
