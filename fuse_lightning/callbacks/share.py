"""Which targets a run has."""

from typing import Any

import lightning as L


def target_ids(trainer: L.Trainer) -> list[str] | None:
    """Ids of all targets, in order; ``None`` where no data module tells."""
    data: Any = getattr(trainer, "datamodule", None)
    targets = getattr(data, "targets", None)
    return None if targets is None else [target.id for target in targets]


def own_ids(trainer: L.Trainer) -> list[str] | None:
    """Ids of the targets whose results are this device's to keep."""
    known, ids = known_ids(trainer), target_ids(trainer) or []
    if not known:
        return known
    finished = known[len(ids) :] if trainer.is_global_zero else []
    return [*ids[trainer.global_rank :: trainer.world_size], *finished]


def known_ids(trainer: L.Trainer) -> list[str] | None:
    """The same, and those that are left out because they are finished."""
    ids = target_ids(trainer)
    data: Any = getattr(trainer, "datamodule", None)
    return ids and [*ids, *sorted(getattr(data, "finished", ()))]
