"""Evaluation of found prompts beside floors, while Lightning validates or tests."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback

from fuse_lightning.callbacks.generated import GeneratedPictures
from fuse_lightning.callbacks.objectives import objective_of
from fuse_lightning.callbacks.transfer import TransferModels
from fuse_lightning.data.targets import Target
from fuse_lightning.errors import FuseError
from fuse_lightning.evaluation.floors import Floor, FloorSetting, all_floors
from fuse_lightning.evaluation.measures import FOUND, Measure, all_measures
from fuse_lightning.evaluation.sources import SourceFigures, give_targets, mean_losses
from fuse_lightning.evaluation.stored import all_targets, matched, without
from fuse_lightning.evaluation.table import Figures, print_figures, write_figures
from fuse_lightning.evaluation.term_metrics import TermMetrics, transfer
from fuse_lightning.models import Classifier
from fuse_lightning.results.run_folder import folder_of
from fuse_lightning.search import search_of
from fuse_lightning.utilities.stops import no_stop
from fuse_lightning.utilities.terminal import visible


class Evaluation(Callback):
    """Callback that measures the best prompt of each target beside floors, which cost no search.

    The package's floors are one constant prompt for all targets (that with the best mean
    objective among a few found prompts and references), the caption of the search's captioner
    if it has one, and each target's first reference. Figures are logged, printed, and written to
    the run's log folder as ``evaluation.json`` and ``evaluation.csv``. They come from the terms of
    the search, from other models, and from measures of the text.

    Prompts are compared with all references but the first, which is a floor itself; with the
    first where there is no other.

    A data module brings measures and floors for its own targets by methods ``measures()`` and
    ``floors()`` that give lists.

    Args:
        transfer: Ids of models that took no part in the search: CLIPs, causal language models,
            classifiers, and for texts sentence encoders.
        classifier: Id of a classifier that took no part in the search.
        printed: Whether to print the figures.
        measures: Measures beside those of the package.
        floors: Floors beside those of the package.
    """

    def __init__(
        self,
        transfer: list[str] | None = None,
        classifier: str | None = None,
        printed: bool = True,
        measures: list[Measure] | None = None,
        floors: list[Floor] | None = None,
    ) -> None:
        self.transfer = transfer or []
        self.classifier = classifier
        self.printed = printed
        self.measures = measures or []
        self.floors = floors or []
        self.figures: Figures = {}
        self.limit: int | float | None = None

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Makes the measuring models, before those of the search are loaded.

        Raises:
            FuseError: If one does not exist or cannot measure the targets' prompts, or measures
                or floors have equal names.
        """
        if [*map(type, _callbacks(trainer))].count(type(self)) > 1:
            raise FuseError("trainer.callbacks hold two Evaluation; give one of them")
        if stage == "fit":
            # Lightning would validate before a search and behind it.
            self.limit, trainer.limit_val_batches = trainer.limit_val_batches, 0
        if stage not in ("validate", "test"):
            return
        targets = all_targets(trainer)
        self.objective = objective_of(pl_module, type(self).__name__)
        pictures = [each for each in _callbacks(trainer) if isinstance(each, GeneratedPictures)]
        made = [measure for each in pictures for measure in each.measures(self.objective)]
        self._pictures = pictures
        self._measures = all_measures([*_brought(trainer, "measures"), *self.measures, *made])
        self._floors = all_floors([*_brought(trainer, "floors"), *self.floors])
        classifier, ids = self._models(trainer)
        self.others = [
            transfer(name, self.objective, targets, Classifier if name == classifier else None)
            for name in ids
        ]

    def _models(self, trainer: L.Trainer) -> tuple[str | None, list[str]]:
        """The models that measure: the classifier, and all that took no part in the search."""
        more = [each for each in _callbacks(trainer) if isinstance(each, TransferModels)]
        classifier = next((each.classifier for each in more if each.classifier), self.classifier)
        ids = [*self.transfer, *(name for each in more for name in each.models)]
        return classifier, [*dict.fromkeys([classifier, *ids] if classifier else ids)]

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Restores the trainer's validation loop."""
        if self.limit is not None:
            trainer.limit_val_batches, self.limit = self.limit, None

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        """Restores the trainer's validation loop."""
        self.teardown(trainer, pl_module, "fit")

    # Lightning evaluates in inference mode, whose tensors a later search could not use.
    @torch.inference_mode(False)
    @torch.no_grad()
    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Loads the other models and prepares the floors."""
        search = search_of(pl_module)
        targets, results = matched(all_targets(trainer), search.results)
        self.found = {name: rows[0] for name, rows in results.items()}
        self.missing = without(targets, results)
        own = [TermMetrics(self.objective, term, own=True) for term in self.objective.terms]
        self.terms = [*own, *self.others]
        self.objectives = [*dict.fromkeys(term.objective for term in self.terms)]
        for objective in self.objectives:
            objective.load(pl_module.device)
        loader: Any = trainer.val_dataloaders if trainer.validating else trainer.test_dataloaders
        setting = FloorSetting(
            targets,
            self.found,
            search.captions(),
            lambda texts: self._mean_losses(loader, texts, pl_module.device),
        )
        self.offered = [floor for floor in self._floors if floor.offered(setting)]
        for floor in self.offered:
            floor.prepare(setting)
        prompts: dict[str, Callable[[Target], str | None]] = {
            FOUND: lambda target: self.found[target.id].prompt
        }
        prompts |= {floor.name: floor.prompt for floor in self.offered}
        self.sources = [
            SourceFigures(
                name,
                prompt,
                self.objective,
                self.terms,
                self._measures,
                self._known(targets),
                self.found,
                pl_module.device,
            )
            for name, prompt in prompts.items()
        ]

    on_test_start = on_validation_start

    def _mean_losses(self, loader: Any, texts: Sequence[str], device: torch.device) -> list[float]:
        share, size = loader.targets, loader.batch_size
        batches = [self._known(share[at : at + size]) for at in range(0, len(share), size)]
        return mean_losses(self.objective, batches, texts, device)

    def _known(self, targets: Iterable[Target]) -> list[Target]:
        """Targets of a batch that have a prompt."""
        return [target for target in targets if target.id in self.found]

    @no_stop
    @torch.inference_mode(False)
    @torch.no_grad()
    def on_validation_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Measures the prompts of a batch's targets."""
        targets = self._known(batch.targets)
        # What chose a prompt does not report it.
        asked = [target.tested() if target.test else target for target in targets]
        for objective in self.objectives if targets else ():
            give_targets(objective, asked)
        for source in self.sources:
            source.update(targets)

    on_test_batch_end = on_validation_batch_end

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Logs, prints and writes the figures."""
        self.figures = {source.source: source.compute() for source in self.sources}
        stage = "val" if trainer.validating else "test"
        for source, row in self.figures.items():
            pl_module.log_dict(
                {f"{stage}/{source}/{name}": value for name, value in row.items()},
                sync_dist=True,
                batch_size=1,
            )
        folder = folder_of(trainer)
        if not trainer.is_global_zero:
            return
        floors = {floor.name: text for floor in self.offered if (text := floor.about()) is not None}
        measures = {name: about for each in self.sources for name, about in each.about().items()}
        told = [line for each in self._pictures if (line := each.about())]
        about = {
            **floors,
            **({"generated": "; ".join(told)} if told else {}),
            "without_prompt": self.missing,
            "transfer": [each.term.name for each in self.others],
        }
        write_figures(folder, self.figures, measures, about)
        if self.printed:
            print_figures(self.figures, measures, "; ".join(told) or None)
            remarks = {floor.name: floor.remark() for floor in self.offered}
            for name, text in floors.items():
                remark = f" ({remarks[name]})" if remarks[name] else ""
                print(visible(f"{name}: {text}{remark}"))
            for each in self._pictures:
                if line := each.undrawn(self.figures):
                    print(visible(line))
            if self.missing:
                print(visible(f"no prompt yet: {', '.join(self.missing)}"))
            print(visible(f"wrote {folder / 'evaluation.json'} and evaluation.csv"))

    on_test_epoch_end = on_validation_epoch_end


def _callbacks(trainer: L.Trainer) -> list[Callback]:
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    return callbacks


def _brought(trainer: L.Trainer, what: str) -> list[Any]:
    """Measures or floors of the data module for its own targets.

    Raises:
        FuseError: If it brings no list.
    """
    data: Any = trainer.datamodule  # type: ignore[attr-defined]
    brings = getattr(data, what, None)
    found: Any = [] if brings is None else brings()
    if not isinstance(found, Sequence) or isinstance(found, str):
        raise FuseError(f"{type(data).__name__}.{what} gives {found!r}; return a list of them")
    return [*found]
