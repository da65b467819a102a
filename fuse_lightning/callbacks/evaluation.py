"""Measures found prompts and floors, while Lightning validates or tests."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from torchmetrics import MeanMetric, Metric, SumMetric
from torchmetrics.text import SacreBLEUScore

from fuse_lightning.data.targets import Target
from fuse_lightning.errors import FuseError
from fuse_lightning.evaluation.stored import all_targets, matched, without
from fuse_lightning.evaluation.table import Figures, print_figures, write_figures
from fuse_lightning.evaluation.term_metrics import Gauge, captions, transfer
from fuse_lightning.metrics import Distinct, RougeL, words
from fuse_lightning.models import Classifier
from fuse_lightning.objectives import Objective
from fuse_lightning.results.run_folder import folder_of
from fuse_lightning.utilities.terminal import visible
from fuse_lightning.zoo.scenes import names_all
from fuse_lightning.zoo.vocabulary import COLORS, SHAPES

SHORTLIST = 4
"""Found prompts, and as many references, that the constant caption is chosen from."""


class Evaluation(Callback):
    """Scores the best prompt of each target, beside captions that cost no search.

    The floors are one constant caption for all targets (that with the best mean objective among a
    few found prompts and references), the captioner's if the search has one, and each target's
    first reference. Figures are logged, printed, and written to the run's log folder as
    ``evaluation.json`` and ``evaluation.csv``.

    Captions are compared with all references but the first, which is a floor itself; with the
    first where there is no other.

    Args:
        transfer: Ids of models that took no part in the search: CLIPs, causal language models,
            classifiers, and for texts sentence encoders.
        classifier: Id of a classifier that took no part in the search.
        printed: Whether to print the figures.
    """

    def __init__(
        self,
        transfer: list[str] | None = None,
        classifier: str | None = None,
        printed: bool = True,
    ) -> None:
        self.transfer = transfer or []
        self.classifier = classifier
        self.printed = printed
        self.figures: Figures = {}
        self.limit: int | float | None = None

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Finds the other models, before those of the search are loaded.

        Raises:
            FuseError: If one does not exist or cannot measure the targets' captions.
        """
        if [*map(type, trainer.callbacks)].count(type(self)) > 1:  # type: ignore[attr-defined]
            raise FuseError("trainer.callbacks hold two Evaluation; give one of them")
        if stage == "fit":
            # Lightning would validate before a search and behind it.
            self.limit, trainer.limit_val_batches = trainer.limit_val_batches, 0
        if stage not in ("validate", "test"):
            return
        self.objective: Objective = pl_module.objective  # type: ignore[assignment]
        ids = dict.fromkeys([*([self.classifier] if self.classifier else []), *self.transfer])
        self.others = [transfer(name, self.objective, all_targets(trainer)) for name in ids]
        if self.classifier and not isinstance(self.others[0].term.model, Classifier):
            raise FuseError(
                f"{self.classifier!r} is a {self.others[0].term.model.kind}, not a "
                f"{Classifier.kind}; give it as --transfer"
            )

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Lets the trainer validate again."""
        if self.limit is not None:
            trainer.limit_val_batches, self.limit = self.limit, None

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        """Lets the trainer validate again."""
        self.teardown(trainer, pl_module, "fit")

    # Lightning evaluates in inference mode, whose tensors a later search could not use.
    @torch.inference_mode(False)
    @torch.no_grad()
    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Loads the other models and chooses the constant caption."""
        self.targets, found = matched(trainer, pl_module)
        self.found = {name: results[0] for name, results in found.items()}
        self.missing = without(self.targets, found)
        own = [Gauge(self.objective, term, own=True) for term in self.objective.terms]
        self.gauges = {self.objective: own} | {gauge.objective: [gauge] for gauge in self.others}
        for objective in self.gauges:
            objective.load(pl_module.device)
        batches = trainer.val_dataloaders if trainer.validating else trainer.test_dataloaders
        self.constant = self._constant(batches, pl_module.device)
        known = [target for target in self.targets if target.id in self.found]
        sources = {
            "found": True,
            "constant": True,
            "captioner": pl_module.captioner is not None,
            "reference": any(target.references for target in known),
        }
        self.metrics = {
            source: self._metrics(source, known, pl_module.device)
            for source, there in sources.items()
            if there
        }

    on_test_start = on_validation_start

    def _metrics(
        self, source: str, targets: Sequence[Target], device: torch.device
    ) -> dict[str, Metric]:
        """New metrics of a source, the same on every device."""
        found: dict[str, Metric] = {"targets": SumMetric(), "objective": MeanMetric()}
        for gauge in chain.from_iterable(self.gauges.values()):
            found |= gauge.metrics()
        if any(_rivals(target, source) for target in targets):
            found |= {"bleu": SacreBLEUScore(lowercase=True), "rouge_l": RougeL()}
        if any(_objects(target) for target in targets):
            found["objects_right"] = MeanMetric()
        found |= {"distinct_1": Distinct(1), "distinct_2": Distinct(2)}
        found |= {"words": MeanMetric(), "tokens": MeanMetric()}
        if source == "found":
            found["seconds"] = MeanMetric()
        return {name: metric.to(device) for name, metric in found.items()}

    def _constant(self, batches: Any, device: torch.device) -> str:
        """The caption that does best for all targets, among a few."""
        found = [result.prompt for result in self.found.values()][:SHORTLIST]
        references = [target.references[0] for target in self.targets if target.references]
        texts = [*dict.fromkeys([*found, *references[:SHORTLIST]])]
        means = [MeanMetric().to(device) for _ in texts]
        share, size = batches.targets, batches.batch_size
        for start in range(0, len(share), size):
            targets = self._prepare([self.objective], share[start : start + size])
            for text, mean in zip(texts, means, strict=True):
                prompts = captions(self.objective, [text] * len(targets), range(len(targets)))
                losses = self.objective.scores.term_matrix(prompts)
                mean.update(self.objective.total(losses).to(device))
            for target in targets:
                target.release()
        return min(zip(texts, means, strict=True), key=lambda pair: float(pair[1].compute()))[0]

    def _prepare(self, objectives: Iterable[Objective], batch: Sequence[Target]) -> list[Target]:
        """Those targets of a batch that have a prompt, now known to the objectives."""
        targets = [target for target in batch if target.id in self.found]
        for objective in objectives if targets else ():
            objective.set_targets(targets)
            objective.begin_step([0 for _ in targets])
        return targets

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
        """Measures the captions of a batch's targets."""
        targets = self._prepare(self.gauges, batch.targets)
        for source, metrics in self.metrics.items():
            texts = [self._caption(source, pl_module, target) for target in targets]
            owners = [owner for owner, text in enumerate(texts) if text]
            self._update(source, metrics, targets, owners, [text for text in texts if text])

    on_test_batch_end = on_validation_batch_end

    def _caption(self, source: str, pl_module: Any, target: Target) -> str:
        """The caption of a target; "" for none."""
        match source:
            case "found":
                return self.found[target.id].prompt
            case "constant":
                return self.constant
            case "captioner":
                caption: str = pl_module.caption(target)
                return caption
        return next(iter(target.references), "")

    def _update(
        self,
        source: str,
        metrics: dict[str, Metric],
        targets: Sequence[Target],
        owners: Sequence[int],
        texts: Sequence[str],
    ) -> None:
        """Adds captions; also where there are none, so that all devices have the same states."""
        metrics["targets"].update(len(texts))
        for objective, gauges in self.gauges.items():
            prompts = captions(objective, texts, owners)
            losses = [gauge.update(metrics, prompts) for gauge in gauges]
            if objective is self.objective:
                totals = objective.total(torch.stack(losses, dim=1))
                metrics["objective"].update(totals.tolist())
                metrics["tokens"].update([len(state) for state in prompts.states])
        if "bleu" in metrics:
            rows = [
                (text, rivals)
                for text, owner in zip(texts, owners, strict=True)
                if (rivals := _rivals(targets[owner], source))
            ]
            for name in ("bleu", "rouge_l"):
                metrics[name].update([text for text, _ in rows], [rivals for _, rivals in rows])
        if "objects_right" in metrics:
            right = [
                names_all(text, objects)
                for text, owner in zip(texts, owners, strict=True)
                if (objects := _objects(targets[owner]))
            ]
            metrics["objects_right"].update([float(each) for each in right])
        metrics["distinct_1"].update(texts)
        metrics["distinct_2"].update(texts)
        metrics["words"].update([len(words(text)) for text in texts])
        if "seconds" in metrics:
            metrics["seconds"].update([self.found[targets[owner].id].seconds for owner in owners])

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Logs, prints and writes the figures."""
        self.figures = {
            source: {name: float(metric.compute()) for name, metric in metrics.items()}
            for source, metrics in self.metrics.items()
        }
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
        about = {
            "constant": self.constant,
            "without_prompt": self.missing,
            "transfer": [gauge.term.name for gauge in self.others],
        }
        write_figures(folder, self.figures, about)
        if self.printed:
            print_figures(self.figures)
            print(visible(f"constant: {self.constant}"))
            if self.missing:
                print(visible(f"no prompt yet: {', '.join(self.missing)}"))
            print(visible(f"wrote {folder / 'evaluation.json'} and evaluation.csv"))

    on_test_epoch_end = on_validation_epoch_end


def _rivals(target: Target, source: str) -> list[str]:
    """References that a caption is compared with: the first is itself a source of captions."""
    others = list(target.references[1:])
    return others if others or source == "reference" else list(target.references)


def _objects(target: Target) -> list[Mapping[str, str]]:
    """What a zoo scene holds; nothing for other pictures."""
    objects = target.metadata.get("objects")
    known = isinstance(objects, list) and all(
        isinstance(each, Mapping) and each.get("color") in COLORS and each.get("shape") in SHAPES
        for each in objects
    )
    return list(objects) if known and objects else []
