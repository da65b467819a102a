"""Checkpoints of searches on one device or several, in one file.

A checkpoint holds the searches under way by the id of their target, and results that are in no
file yet. So it is small however many targets are done, and it goes on with another batch size,
another number of devices or other limits.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning as L
import torch
from packaging.version import Version

from fuse_lightning.errors import FuseError
from fuse_lightning.results.result import Result, read_targets, result_files
from fuse_lightning.results.run_folder import RunFolder
from fuse_lightning.utilities.processes import gather
from fuse_lightning.utilities.regular import open_regular

EXTRA = "_extra_state"
KEYS = ("callbacks", "epoch", "global_step", "pytorch-lightning_version", "run", "state_dict")
"""Parts of a checkpoint that a search reads; all others are made anew."""
LARGEST = 2**30
"""Most bytes of a checkpoint that is read."""
MALFORMED = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""Errors about a state with a form or values that no search writes."""


def unreadable(path: object = None) -> FuseError:
    """Error about a file that is no checkpoint of a search."""
    name = "" if path is None else f"{str(path)!r} "
    return FuseError(
        f"checkpoint {name}cannot be read; give a file that a search of this version has written"
    )


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Reads a checkpoint and checks its form.

    Raises:
        FuseError: If it is none.
    """
    try:
        with open_regular(path, LARGEST) as file:
            checkpoint = torch.load(file, weights_only=True, map_location="cpu")
        check(checkpoint)
    # Foreign bytes make the unpickler raise anything.
    except Exception as error:
        raise unreadable(path) from error
    found: dict[str, Any] = checkpoint
    return found


def check(checkpoint: Any) -> None:
    """Checks the form of a checkpoint.

    Raises:
        KeyError, TypeError, ValueError: If a part of it is missing or of another kind.
    """
    state = checkpoint["state_dict"][EXTRA]
    if len(checkpoint["state_dict"]) > 1:
        raise ValueError("it holds weights")
    step = checkpoint["global_step"]
    if type(step) is not int or not 0 <= step < 2**62:
        raise TypeError("global_step is no count")
    Version(checkpoint["pytorch-lightning_version"])
    for part, kind in (
        (checkpoint["run"], str),
        (checkpoint["loops"], dict),
        (checkpoint["callbacks"], dict),
        (state["identity"], dict),
        (state["searches"], dict),
        (state["results"], list),
        (state.get("counts", []), list),
    ):
        if not isinstance(part, kind):
            raise TypeError(f"{part!r} is no {kind.__name__}")
    for text in (*state["identity"], *state["identity"].values(), *state["searches"]):
        if not isinstance(text, str):
            raise TypeError(f"{text!r} is no text")
    for row in state["results"]:
        Result.from_dict(row)
    for counts in state.get("counts", []):
        for name, count in counts.items():
            if not isinstance(name, str) or type(count) is not int or count < 0:
                raise TypeError(f"{name!r}: {count!r} is no count")


def joined(states: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Joined state of all devices; of a search that several share, that of the first counts."""
    rows = {(row["target"], row["rank"]): row for state in states for row in state["results"]}
    searches: dict[str, Any] = {}
    for state in states:
        searches |= {name: each for name, each in state["searches"].items() if name not in searches}
    counts = [each for state in states for each in state.get("counts", [])]
    return {**states[0], "results": [*rows.values()], "searches": searches, "counts": counts}


def summed(counts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    """Sum of the counts of several devices, by name.

    >>> summed([{"calls": 2}, {"calls": 3, "tokens": 1}])
    {'calls': 5, 'tokens': 1}
    """
    return dict(sum(map(Counter, counts), Counter()))


def complete(checkpoint: dict[str, Any], run: Path) -> None:
    """Adds the state of all other devices to a checkpoint; all must call it together.

    Args:
        checkpoint: The checkpoint that Lightning is about to write.
        run: The run's folder.
    """
    state = checkpoint["state_dict"][EXTRA]
    checkpoint["state_dict"][EXTRA] = joined(gather(state))
    checkpoint["run"] = str(run.resolve())


def reduce_to_search(checkpoint: dict[str, Any], trainer: L.Trainer, optimizer: Any) -> None:
    """Keeps a search's own part of a checkpoint; Lightning's counts start again.

    Only the count of steps goes on: the loader begins with what is left to do.

    Args:
        checkpoint: The checkpoint that Lightning has read.
        trainer: The trainer that goes on.
        optimizer: State of a step optimizer that has done nothing.
    """
    step = checkpoint["global_step"]
    for key in [*checkpoint]:
        if key not in KEYS:
            del checkpoint[key]
    loop = zeroed(trainer.fit_loop.state_dict())
    done = {"ready": step, "completed": step}
    loop["epoch_loop.manual_optimization.optim_step_progress"]["total"] |= done
    loop["epoch_loop.state_dict"]["_batches_that_stepped"] = step
    known = {each.state_key: each for each in trainer.callbacks}  # type: ignore[attr-defined]
    checkpoint |= {
        "loops": {"fit_loop": loop},
        "optimizer_states": [optimizer],
        "lr_schedulers": [],
        "callbacks": {
            key: state
            for key, state in checkpoint["callbacks"].items()
            # How much time a run may take is counted anew.
            if key in known and key != "Timer" and _alike(state, known[key].state_dict())
        },
    }


def zeroed(counts: Any) -> Any:
    """Copy of containers with every number 0 and every flag off."""
    if isinstance(counts, dict):
        return {key: zeroed(value) for key, value in counts.items() if key != "combined_loader"}
    return type(counts)() if isinstance(counts, int | float) else counts


def _alike(state: Any, own: Mapping[str, Any]) -> bool:
    """Whether a callback's state has the form that the callback writes."""
    if not isinstance(state, dict) or state.keys() != own.keys():
        return False
    return all(
        value is None or own[key] is None or isinstance(state[key], type(own[key]))
        for key, value in state.items()
    )


def results_of(checkpoint: Mapping[str, Any]) -> list[Result]:
    """Results of a checkpoint: its own and those in its run's files.

    Where another search has written into the run's folder since, that one's are left out.
    """
    state = checkpoint["state_dict"][EXTRA]
    run = RunFolder(Path(checkpoint["run"]))
    own: dict[str, list[Result]] = {}
    for row in state["results"]:
        own.setdefault(row["target"], []).append(Result.from_dict(row))
    same = run.identity() == state["identity"]
    found = (read_targets(result_files(run.path)) if same else {}) | own
    return [result for rows in found.values() for result in rows]
