"""Verdict on found prompts at the end of a search, and while Lightning tests."""

from collections.abc import Mapping, Sequence
from itertools import chain
from textwrap import wrap
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger

from fuse_lightning.callbacks.objectives import objective_of
from fuse_lightning.callbacks.transfer import TransferModels
from fuse_lightning.data.targets import Target
from fuse_lightning.evaluation.answers import Labeller
from fuse_lightning.evaluation.final import Judged, final_verdict
from fuse_lightning.evaluation.labelled_floors import FloorOptions
from fuse_lightning.evaluation.stored import all_targets
from fuse_lightning.evaluation.term_metrics import transfer
from fuse_lightning.evaluation.verdict import Verdict
from fuse_lightning.evaluation.verdict_files import EXAMPLES, FILE, write_verdicts
from fuse_lightning.evaluation.verdict_table import expectations, print_verdict
from fuse_lightning.objectives import Classification, Objective
from fuse_lightning.results.result import Result
from fuse_lightning.results.run_folder import folder_of
from fuse_lightning.search import search_of
from fuse_lightning.utilities.terminal import printable, say, visible

WIDTH = 100
"""Characters of a line in TensorBoard, which breaks no lines."""


class FinalVerdict(Callback):
    """Callback that says whether found prompts are better than prompts that cost nothing.

    It speaks of targets with labelled test examples, which no search reads. The short list, up to
    ``top`` prompts of a target, is frozen by then. Its figures are printed, shown in TensorBoard
    and written to the run's folder as ``verdict.json``; the answers to single examples as
    ``verdict-examples.jsonl``. ``fuse report`` shows both.

    Args:
        floors: Options of the prompts that cost nothing.
        transfer: Ids of other models, causal or with encoder and decoder, that are asked, too.
        enabled: Whether to judge at all.
    """

    def __init__(
        self,
        floors: FloorOptions | None = None,
        transfer: list[str] | None = None,
        enabled: bool = True,
    ) -> None:
        self.floors = floors or FloorOptions()
        self.transfer = transfer or []
        self.enabled = enabled
        self.judged: dict[str, dict[str, Judged]] = {}
        """Verdicts by target and model."""

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Judges the prompts of a search that has just ended."""
        self._judge(trainer, pl_module)

    def on_test_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Judges stored prompts."""
        self._judge(trainer, pl_module)

    @torch.inference_mode(False)
    @torch.no_grad()
    def _judge(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        found: dict[str, list[Result]] = {}
        for result in search_of(pl_module).results:
            found.setdefault(result.target, []).append(result)
        targets = [each for each in all_targets(trainer) if each.test and each.id in found]
        if not targets or not self.enabled or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        folder = folder_of(trainer)
        if trainer.is_global_zero:
            self.judged = self._verdicts(trainer, pl_module, targets, found)
            self._show(trainer)
            write_verdicts(folder, self.judged)
            print(visible(f"wrote {folder / FILE} and {EXAMPLES}"))
        trainer.strategy.barrier()

    def _verdicts(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        targets: Sequence[Target],
        found: Mapping[str, Sequence[Result]],
    ) -> dict[str, dict[str, Judged]]:
        objective = objective_of(pl_module, type(self).__name__)
        seed = search_of(pl_module).seed
        verdicts: dict[str, dict[str, Judged]] = {target.id: {} for target in targets}
        for labeller in self._labellers(trainer, objective, targets, pl_module.device):
            for target in targets:
                prompts = [result.prompt for result in found[target.id]]
                with torch.autocast(pl_module.device.type, enabled=False):
                    judged = final_verdict(labeller, target, prompts, self.floors, seed)
                verdicts[target.id][labeller.term.model.model_id] = judged
        return verdicts

    def _labellers(
        self,
        trainer: L.Trainer,
        objective: Objective,
        targets: Sequence[Target],
        device: torch.device,
    ) -> Any:
        """Labellers of the search's own model, then of the others, each loaded when it is due."""
        own = next((term for term in objective.terms if isinstance(term, Classification)), None)
        if own is None:
            return
        yield Labeller(objective, own)
        callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
        more = [each for each in callbacks if isinstance(each, TransferModels)]
        ids = [*self.transfer, *(name for each in more for name in each.models)]
        for name in dict.fromkeys(ids):
            other = transfer(name, objective, targets)
            if isinstance(other.term, Classification):
                other.objective.load(device)
                yield Labeller(other.objective, other.term)
                other.term.model.unload()

    def _show(self, trainer: L.Trainer) -> None:
        boards = [
            each.experiment for each in trainer.loggers if isinstance(each, TensorBoardLogger)
        ]
        for target, verdicts in self.judged.items():
            for model, judged in verdicts.items():
                say(printable(f"verdict on the prompts of {target} under {model}:"))
                print_verdict(judged.verdict)
                for board in boards:
                    text = board_text(judged.verdict)
                    name = visible(f"verdict/{target}/{model}")
                    board.add_text(name, text, trainer.global_step)
                    board.flush()


def board_text(verdict: Verdict) -> str:
    """Verdict as a text for TensorBoard: the sentence, the chosen prompt, what to expect of it."""
    lines = [
        *wrap(visible(verdict.sentence), WIDTH),
        "",
        visible(f"{verdict.chosen.name}: {verdict.chosen.text}"),
        "",
        *chain.from_iterable(wrap(visible(line), WIDTH) for line in expectations(verdict)),
    ]
    # TensorBoard reads markdown: an indented line is shown as it is.
    return "\n".join(f"    {line}" for line in lines)
