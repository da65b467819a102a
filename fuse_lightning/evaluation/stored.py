"""Matching of a search's results with the targets of the data."""

from collections.abc import Iterable

import lightning as L

from fuse_lightning.data import Target, TargetDataModule
from fuse_lightning.errors import FuseError
from fuse_lightning.results.result import Result


def all_targets(trainer: L.Trainer) -> list[Target]:
    """Targets of all devices, in order.

    Raises:
        FuseError: If the trainer has no data module of targets.
    """
    data: object = trainer.datamodule  # type: ignore[attr-defined]
    if data is None:
        raise FuseError("the trainer has no data module; give it to validate, test or predict")
    if not isinstance(data, TargetDataModule):
        raise FuseError(
            f"the trainer's data module is {type(data).__name__}, which has no targets; give a "
            "TargetDataModule"
        )
    return data.targets


def matched(
    targets: list[Target], results: Iterable[Result]
) -> tuple[list[Target], dict[str, list[Result]]]:
    """Targets with results, and their results, best first.

    Raises:
        FuseError: If there is no result, or one of a target that the data does not have, or that
            has other content now.
    """
    found: dict[str, list[Result]] = {}
    for result in results:
        found.setdefault(result.target, []).append(result)
    if not found:
        raise FuseError(
            "there are no prompts yet; give --run FOLDER of a run, or --ckpt_path of its last "
            "checkpoint"
        )
    known = {target.id: target for target in targets}
    if unknown := [name for name in found if name not in known]:
        raise FuseError(
            f"there is a prompt for target {unknown[0]!r}, which the data does not have; give the "
            "data that the run searched"
        )
    # Earlier versions wrote no digest.
    changed = [
        name
        for name, rows in found.items()
        if any(row.digest not in ("", known[name].digest) for row in rows)
    ]
    if changed:
        raise FuseError(
            f"the content of target {changed[0]!r} is not what its prompt was found for "
            f"({len(changed)} of {len(found)} such); give the data that the run searched, or "
            "search anew"
        )
    return targets, found


def without(targets: list[Target], found: dict[str, list[Result]]) -> list[str]:
    """Ids of the targets without a prompt."""
    return [target.id for target in targets if target.id not in found]
