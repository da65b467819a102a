"""Figures of one source of prompts, such as the search or a floor."""

import logging
import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torchmetrics import Metric

from fuse_lightning.data.targets import Target
from fuse_lightning.errors import FuseError
from fuse_lightning.evaluation.measures import FOUND, JudgedPrompt, Measure
from fuse_lightning.evaluation.term_metrics import TermMetrics, as_prompts
from fuse_lightning.metrics import About, Count, MeanCost, describe
from fuse_lightning.objectives import Objective
from fuse_lightning.results.result import Result

logger = logging.getLogger(__name__)

TARGETS, OBJECTIVE = "targets", "objective"


class SourceFigures:
    """Metrics of the prompts of one source, such as the search or a floor.

    Args:
        source: Name of the source.
        prompt: The source's prompt of a target, which may be empty; ``None`` for none.
        search: The search's objective.
        terms: The metrics of its terms, and of models that took no part.
        measures: Measures of the text alone.
        targets: Targets that are measured, over all devices: each device has the same metrics.
        found: Best result of each of them, by target id.
        device: Device of the metrics.

    Raises:
        FuseError: If two figures have the same name.
    """

    def __init__(
        self,
        source: str,
        prompt: Callable[[Target], str | None],
        search: Objective,
        terms: Sequence[TermMetrics],
        measures: Sequence[Measure],
        targets: Sequence[Target],
        found: Mapping[str, Result],
        device: torch.device,
    ) -> None:
        self.source = source
        self.prompt = prompt
        self.search = search
        self.found = found if source == FOUND else {}
        self.count = Count(TARGETS).to(device)
        self.objective = MeanCost().to(device)
        self.terms = [(term, _on(device, term.metrics())) for term in terms]
        self.measures = [
            (measure, _metric(measure).to(device))
            for measure in measures
            if any(measure.applies(target, source) for target in targets)
        ]
        pairs: list[tuple[str, Metric]] = [(TARGETS, self.count), (OBJECTIVE, self.objective)]
        pairs += [
            (t.figure(short), metric) for t, own in self.terms for short, metric in own.items()
        ]
        pairs += [(measure.name, metric) for measure, metric in self.measures]
        self.metrics: dict[str, Metric] = {}
        for name, metric in pairs:
            if name in self.metrics:
                raise FuseError(
                    f"two figures have the name {name!r}; give the term or the measure another"
                )
            self.metrics[name] = metric

    def update(self, targets: Sequence[Target]) -> None:
        """Adds the prompts of a batch of targets that the objectives were given.

        Comes also where there are none, so that all devices have the same states.
        """
        prompts = [(owner, self._text(target)) for owner, target in enumerate(targets)]
        owners = [owner for owner, text in prompts if text is not None]
        texts = [text for _, text in prompts if text is not None]
        self.count.update(len(texts))
        read = {term.objective: as_prompts(term.objective, texts, owners) for term, _ in self.terms}
        losses = {term: term.update(metrics, read[term.objective]) for term, metrics in self.terms}
        own = [losses[term] for term in losses if term.objective is self.search]
        self.objective.update(self.search.total(torch.stack(own, dim=1)))
        states = read[self.search].states
        judged = [
            JudgedPrompt(target, self.source, text, len(state), self.found.get(target.id))
            for target, text, state in zip(
                [targets[owner] for owner in owners], texts, states, strict=True
            )
        ]
        for measure, metric in self.measures:
            measure.update(
                metric, [each for each in judged if measure.applies(each.target, self.source)]
            )

    def _text(self, target: Target) -> str | None:
        """The source's prompt of a target.

        Raises:
            FuseError: If it is no text.
        """
        text: object = self.prompt(target)
        try:
            if text is None:
                return None
            if isinstance(text, str):
                text.encode()
                return text
        except UnicodeEncodeError:
            pass
        raise FuseError(
            f"floor {self.source!r} gives target {target.id!r} the prompt {text!r}, which is no "
            "text; return a text, or None for no prompt"
        )

    def compute(self) -> dict[str, float]:
        """Every figure over all devices, which must call it together; nan for no values."""
        count = float(self.count.compute())
        if not count:
            return dict.fromkeys(self.metrics, math.nan) | {TARGETS: count}
        return {name: _number(name, metric) for name, metric in self.metrics.items()}

    def about(self) -> dict[str, About]:
        """Direction, unit and digits of every figure."""
        return {name: describe(metric) for name, metric in self.metrics.items()}


def _on(device: torch.device, metrics: dict[str, Metric]) -> dict[str, Metric]:
    return {short: metric.to(device) for short, metric in metrics.items()}


def _number(name: str, metric: Metric) -> float:
    # Hours of measuring are not lost for one of many figures.
    try:
        value = metric.compute()
    except Exception as error:
        logger.warning("%s is left out: its metric raises %r", name, error)
        return math.nan
    try:
        return float(value)
    except (RuntimeError, TypeError, ValueError):
        logger.warning("%s is left out: its metric computes %r, which is no number", name, value)
        return math.nan


def _metric(measure: Measure) -> Metric:
    metric: object = measure.metric()
    if not isinstance(metric, Metric):
        raise FuseError(
            f"{type(measure).__name__}.metric returns {metric!r}; return a metric of torchmetrics"
        )
    return metric


def mean_losses(
    search: Objective,
    batches: Sequence[Sequence[Target]],
    texts: Sequence[str],
    device: torch.device,
) -> list[float]:
    """Mean objective of each text, as the prompt of every target of all devices.

    Pictures that were read for it are let go.

    Args:
        search: The objective.
        batches: This device's targets, in batches.
        texts: Texts, equal on every device.
        device: Device of the means.
    """
    means = [MeanCost().to(device) for _ in texts]
    for targets in filter(None, batches):
        give_targets(search, targets)
        for text, mean in zip(texts, means, strict=True):
            prompts = as_prompts(search, [text] * len(targets), range(len(targets)))
            mean.update(search.total(search.scores.term_matrix(prompts)))
        for target in targets:
            target.release()
    return [float(mean.compute()) for mean in means]


def give_targets(objective: Objective, targets: Sequence[Target]) -> None:
    """Gives an objective the targets of a batch, as in the first step of a search."""
    objective.set_targets(targets)
    objective.begin_step([0 for _ in targets])
