"""Which targets a run has."""

from typing import Any

import lightning as L


def target_ids(trainer: L.Trainer) -> list[str] | None:
    """Ids of all targets, in order; ``None`` where no data module tells."""
    data: Any = getattr(trainer, "datamodule", None)
    targets = getattr(data, "targets", None)
    return None if targets is None else [target.id for target in targets]
