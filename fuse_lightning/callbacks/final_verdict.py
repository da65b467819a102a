"""Verdict on found prompts at the end of a search, and while Lightning tests."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from textwrap import wrap
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger

from fuse_lightning.callbacks.no_verdict import no_verdict
from fuse_lightning.callbacks.objectives import objective_of
from fuse_lightning.callbacks.transfer import TransferModels
from fuse_lightning.data.targets import Target
from fuse_lightning.errors import FuseError
from fuse_lightning.evaluation.answerer import Answerer
from fuse_lightning.evaluation.answering import answerer_of, answers_with
from fuse_lightning.evaluation.final import Judged, final_verdict
from fuse_lightning.evaluation.floor_options import FloorOptions
from fuse_lightning.evaluation.readings import after
from fuse_lightning.evaluation.stored import all_targets
from fuse_lightning.evaluation.term_metrics import transfer
from fuse_lightning.evaluation.verdict import Verdict
from fuse_lightning.evaluation.verdict_files import (
    EXAMPLES,
    FILE,
    Pair,
    known_verdicts,
    write_verdicts,
)
from fuse_lightning.evaluation.verdict_table import expectations, print_verdict
from fuse_lightning.models import CausalLM, Seq2SeqLM
from fuse_lightning.models.auto import auto_model
from fuse_lightning.results.result import Result
from fuse_lightning.results.run_folder import folder_of
from fuse_lightning.search import SearchModule, search_of
from fuse_lightning.utilities.terminal import printable, say, visible

WIDTH = 100
"""Characters of a line in TensorBoard, which breaks no lines."""


class FinalVerdict(Callback):
    """Callback that says whether found prompts are better than prompts that cost nothing.

    It speaks of targets with test examples that have right answers, classes of texts or answers
    to questions, which no search reads. The short list, up to
    ``top`` prompts of a target, is frozen by then. Its figures are printed, shown in TensorBoard
    and written to the run's folder as ``verdict.json``; the answers to single examples as
    ``verdict-examples.jsonl``. ``fuse report`` shows both.

    A search that was cut short with its run, and can go on, has no verdict at the run's end: who
    went on after it would choose by the test examples. ``fuse test`` and ``Trainer.test`` judge its
    prompts as they are. Where the test examples have judged earlier prompts of the run, the
    verdict says how often they were read, and what was said then.

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
        self.known: dict[Pair, Verdict] = {}
        """Verdicts that the run's folder held before."""

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Checks the other models before a search, and not behind it.

        Raises:
            FuseError: If one does not exist, or gives no answers.
        """
        for name in self.transfer if stage in ("fit", "test") and self.enabled else ():
            model = auto_model(name)
            if not isinstance(model, CausalLM | Seq2SeqLM):
                raise FuseError(
                    f"{name!r} is a {model.kind}, which gives no answers; give transfer of "
                    "FinalVerdict language models"
                )

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Judges the prompts of searches that have just ended, and names those that have not."""
        self._judge(trainer, pl_module, ended=True)

    def on_test_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Judges stored prompts."""
        self._judge(trainer, pl_module)

    @torch.inference_mode(False)
    @torch.no_grad()
    def _judge(
        self, trainer: L.Trainer, pl_module: L.LightningModule, *, ended: bool = False
    ) -> None:
        module = search_of(pl_module)
        found: dict[str, list[Result]] = {}
        for result in module.results:
            found.setdefault(result.target, []).append(result)
        if not self.enabled or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        targets = [each for each in all_targets(trainer) if each.test and each.id in found]
        folder = folder_of(trainer)
        if ended:
            cut = [each.id for each in targets if not found[each.id][0].finished]
            targets = [each for each in targets if each.id not in cut]
            self._tell_cut(trainer, module, cut)
        if not targets:
            return
        if trainer.is_global_zero:
            self.judged = {target.id: {} for target in targets}
            self.known = known_verdicts(folder)
            try:
                for name in self._models(trainer):
                    self._ask(name, pl_module, targets, found)
                    write_verdicts(folder, self.judged)
            # Also where a disk is full, or somebody interrupts a slow model.
            finally:
                self._show(trainer)
            print(visible(f"wrote {folder / FILE} and {EXAMPLES}"))
        trainer.strategy.barrier()

    def _tell_cut(
        self, trainer: L.Trainer, module: SearchModule[Any], targets: Sequence[str]
    ) -> None:
        """Says of targets whose search can go on that no test example was read."""
        answers = answerer_of(getattr(module, "objective", None)) is not None
        if targets and trainer.is_global_zero and (answers or self._models(trainer)[1:]):
            say(printable(no_verdict(targets, module, folder_of(trainer))))

    def _models(self, trainer: L.Trainer) -> list[str | None]:
        """The search's own model, as ``None``, and the ids of the others."""
        callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
        more = [each for each in callbacks if isinstance(each, TransferModels)]
        ids = [*self.transfer, *(name for each in more for name in each.models)]
        return [None, *dict.fromkeys(ids)]

    def _ask(
        self,
        name: str | None,
        pl_module: L.LightningModule,
        targets: Sequence[Target],
        found: Mapping[str, Sequence[Result]],
    ) -> None:
        """Judges all targets under one model; another one that cannot be asked is left out."""
        search = objective_of(pl_module, type(self).__name__)
        if name is None:
            if (own := answerer_of(search)) is not None:
                self._judge_all(own, pl_module, targets, found)
            return
        try:
            other = transfer(name, search, targets)
            if (answerer := answers_with(other.objective, other.term)) is not None:
                other.objective.load(pl_module.device)
                self._judge_all(answerer, pl_module, targets, found)
                other.term.model.unload()
        # What is known of the others must not be lost for it.
        except FuseError as error:
            say(visible(f"no verdict under {name}: {error}"), error=True)

    def _judge_all(
        self,
        answerer: Answerer,
        pl_module: L.LightningModule,
        targets: Sequence[Target],
        found: Mapping[str, Sequence[Result]],
    ) -> None:
        seed = search_of(pl_module).seed
        for target in targets:
            prompts = [result.prompt for result in found[target.id]]
            with torch.autocast(pl_module.device.type, enabled=False):
                options = with_start(self.floors, pl_module)
                judged = final_verdict(answerer, target, prompts, options, seed)
            model = answerer.term.model.model_id
            cut = not found[target.id][0].finished
            told = after(judged.verdict, self.known.get((target.id, model)), cut=cut)
            self.judged[target.id][model] = replace(judged, verdict=told)

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


def with_start(options: FloorOptions, module: L.LightningModule) -> FloorOptions:
    """Options of floors, with the text that a search begins with, if they have no other prompt."""
    start: object = getattr(module, "initial_prompt", "")
    if options.initial is not None or not isinstance(start, str) or not start.strip():
        return options
    return replace(options, initial=start.strip())
