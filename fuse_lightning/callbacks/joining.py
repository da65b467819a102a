"""Joined prompt: one prompt out of the best prompts of all targets."""

import logging
from collections.abc import Sequence
from dataclasses import replace

import lightning as L
from lightning.pytorch.callbacks import Callback

from fuse_lightning.callbacks.objectives import objective_of
from fuse_lightning.callbacks.table import print_results
from fuse_lightning.data.targets import Target
from fuse_lightning.errors import FuseError
from fuse_lightning.objectives import Objective
from fuse_lightning.results.export import json_lines
from fuse_lightning.results.result import Result
from fuse_lightning.results.run_folder import folder_of
from fuse_lightning.search import search_of
from fuse_lightning.search.lightning_glue import data_of
from fuse_lightning.utilities.files import replace_file

logger = logging.getLogger(__name__)


class JoinedPrompt(Callback):
    """Joined prompt of all targets, made and scored for each of them at the end of a run.

    Prints the result and writes it to ``joined.jsonl`` in the run's folder, one line a target. A
    prompt that a model cannot read as a whole is named in a warning, and not written.
    """

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Joins the best prompts, scores, prints and writes the result.

        Raises:
            FuseError: If the search has no objective.
        """
        found, data = search_of(pl_module).results, data_of(trainer)
        if not (trainer.is_global_zero and found and data):
            return
        objective = objective_of(pl_module, type(self).__name__)
        try:
            results = joined(objective, found, data.targets)
        except FuseError as error:
            logger.warning("%s", error)
            return
        print_results(results)
        folder = folder_of(trainer)
        replace_file(folder / "joined.jsonl", json_lines(results))


def joined(
    objective: Objective, results: Sequence[Result], targets: Sequence[Target]
) -> list[Result]:
    """Result of the joined prompt for each target.

    Args:
        objective: The objective that the prompts were found for.
        results: The prompts.
        targets: The targets that they were found for.

    Returns:
        A result of rank 0 for each target that a prompt was found for.

    Raises:
        FuseError: If a model does not read that many tokens.
    """
    best = {result.target: result for result in results if result.rank == 1}
    found = [target for target in targets if target.id in best]
    state = objective.encode_prompt(", ".join(best[target.id].prompt for target in found))
    prompts = objective.prompts([state] * len(found), range(len(found)))
    objective.check_length(prompts, f"the joined prompt of {len(found)} targets")
    objective.set_targets(found)
    losses = objective.losses(prompts)
    return [
        replace(
            best[target.id],
            prompt=text,
            ids=list(state),
            loss=total,
            losses=dict(zip((term.name for term in objective.terms), row, strict=True)),
            rank=0,
        )
        for target, text, total, row in zip(
            found, prompts.texts, objective.total(losses).tolist(), losses.tolist(), strict=True
        )
    ]
