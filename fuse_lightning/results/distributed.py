"""Collection of results from all processes of a run."""

from typing import Any

import lightning as L

from fuse_lightning.results.result import Result
from fuse_lightning.utilities.processes import gather


def gathered(results: list[Result], trainer: L.Trainer) -> list[Result]:
    """Results of all processes, each once, in the order of the targets."""
    # A checkpoint written after a fit holds the results of all devices on each.
    found = {(row.target, row.rank): row for share in gather(results) for row in share}.values()
    data: Any = trainer.datamodule  # type: ignore[attr-defined]
    places = {target.id: place for place, target in enumerate(data.targets if data else [])}
    return sorted(found, key=lambda result: places.get(result.target, len(places)))
