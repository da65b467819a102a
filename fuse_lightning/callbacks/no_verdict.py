"""Line about searches that were cut short, and have no verdict yet."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fuse_lightning.search import SearchModule

MOST = 3
"""Most targets that the line names."""


def no_verdict(targets: Sequence[str], module: SearchModule[Any], folder: Path) -> str:
    """Line that says why there is no verdict, when it comes, and how to have one now.

    Args:
        targets: Ids of the targets whose search was cut short.
        module: Their search.
        folder: The run's folder.
    """
    named = ", ".join(map(repr, targets[:MOST]))
    if len(targets) > MOST:
        named += f" and {len(targets) - MOST} more"
    steps = {search.name: search.step for search in module.searches}
    when = "was cut short"
    if len(targets) == 1 and targets[0] in steps:
        when = f"ended after {steps[targets[0]]} of {module.steps} steps"
    now = "Trainer.test"
    if (folder / "config.yaml").is_file():
        now = f"fuse test --run {shlex.quote(str(folder))}"
    whose = "the search" if len(targets) == 1 else "each search"
    return (
        f"no verdict yet on {named}: {whose} {when}, and no test example was read; the verdict "
        f"comes when a search has ended, or now with: {now}"
    )
