"""One checkpoint of several devices, each with searches of its own.

Lightning alone would write the state of one.
"""

from typing import Any

from fuse_lightning.errors import FuseError
from fuse_lightning.strategy import gather

LOADER = "combined_loader"


def add_ranks(checkpoint: dict[str, Any], module: dict[str, Any], search: dict[str, Any]) -> None:
    """Adds what the other devices know; every process must ask at the same point.

    Args:
        checkpoint: What Lightning writes.
        module: This device's state of the optimizer.
        search: This device's state of the search strategy.
    """
    loader = _loop(checkpoint).get(LOADER)
    states = gather({"module": module, "search": search, "loader": loader})
    if len(states) > 1:
        checkpoint["ranks"] = states


def take_rank(checkpoint: dict[str, Any], rank: int, world_size: int, search: str) -> None:
    """Leaves a device's own part of a checkpoint.

    Args:
        checkpoint: What Lightning read.
        rank: The device.
        world_size: How many there are.
        search: Key of the search strategy's state among those of callbacks.

    Raises:
        FuseError: If another number of devices wrote it.
    """
    states = checkpoint.get("ranks", [None])
    if len(states) != world_size:
        raise FuseError(
            f"the checkpoint was written by {len(states)} processes, but there are "
            f"{world_size}; resume with as many"
        )
    if (state := states[rank]) is not None:
        checkpoint["state_dict"]["_extra_state"] = state["module"]
        checkpoint["callbacks"][search] = state["search"]
        _loop(checkpoint)[LOADER] = state["loader"]


def join_results(checkpoint: dict[str, Any]) -> None:
    """Leaves the results of all devices, to be read; there is nothing to resume."""
    own = checkpoint["state_dict"]["_extra_state"]
    parts = [state["module"] for state in checkpoint.get("ranks", [])] or [own]
    rows = [row for part in parts for row in part["results"]]
    own["results"] = [*{(row["target"], row["rank"]): row for row in rows}.values()]


def _loop(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """Where a checkpoint keeps the position of the loader."""
    loop: dict[str, Any] = checkpoint["loops"]["fit_loop"]["state_dict"]
    return loop
