"""Measures of the text of prompts, which need no model."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from torchmetrics import Metric
from torchmetrics.text import SacreBLEUScore

from fuse_lightning.data.targets import Target
from fuse_lightning.evaluation.names import check_names
from fuse_lightning.metrics import Distinct, Mean, MeanCost, RougeL, words
from fuse_lightning.results.result import Result
from fuse_lightning.utilities.plugins import registered

FOUND = "found"
"""Name of the source of the prompts that the search found."""
REFERENCE = "reference"
"""Name of the floor that gives each target its first reference."""


@dataclass(frozen=True)
class JudgedPrompt:
    """One prompt of one target, ready to be measured.

    Attributes:
        target: The target.
        source: Source of the prompt: "found", or the name of a floor.
        text: The prompt.
        tokens: Its length in tokens of the primary.
        result: The search's result; ``None`` for a floor's prompt.
    """

    target: Target
    source: str
    text: str
    tokens: int = 0
    result: Result | None = None


class Measure(ABC):
    """Base of measures: one figure, computed from the text of the prompts of each source.

    A subclass gives a name and a metric and updates it. Where it is given to ``Evaluation``, or
    by a data module's method ``measures``, its figure is logged, printed, written and reported.

    Attributes:
        name: Name of the figure.
    """

    name: str

    @abstractmethod
    def metric(self) -> Metric:
        """A new metric, which computes one number.

        Its ``higher_is_better`` says the direction, an attribute ``unit`` the unit.
        """

    def applies(self, target: Target, source: str) -> bool:
        """Whether the prompt of a target from a source can be measured; by default it can.

        Where no target's can, the source has no such figure.
        """
        return True

    @abstractmethod
    def update(self, metric: Metric, prompts: Sequence[JudgedPrompt]) -> None:
        """Adds the prompts of a batch.

        Args:
            metric: A metric from :meth:`metric`.
            prompts: Those that the measure applies to. There may be none: devices that have no
                prompts must have the same states as others.
        """


class Bleu(Measure):
    """Measure: sacreBLEU of up to four words over all prompts, in lower case, in [0, 1].

    >>> target = Target("a", references=["a red star", "one big red star on blue"])
    >>> measure = Bleu()
    >>> metric = measure.metric()
    >>> measure.update(metric, [JudgedPrompt(target, "found", "one big red star on blue")])
    >>> metric.compute()
    tensor(1.)
    """

    name = "bleu"

    def metric(self) -> Metric:
        """BLEU metric of torchmetrics."""
        return SacreBLEUScore(lowercase=True)

    def applies(self, target: Target, source: str) -> bool:
        """Whether the target has a reference besides the prompt itself."""
        return bool(rivals(target, source))

    def update(self, metric: Metric, prompts: Sequence[JudgedPrompt]) -> None:
        """Adds prompts with their references."""
        metric.update(
            [each.text for each in prompts],
            [rivals(each.target, each.source) for each in prompts],
        )


class Rouge(Bleu):
    """Measure: ROUGE-L F-measure against the nearest reference, mean over prompts, in [0, 1]."""

    name = "rouge_l"

    def metric(self) -> Metric:
        """A mean F-measure."""
        return RougeL()


class DistinctGrams(Measure):
    """Measure: number of distinct word n-grams of all prompts over the number of all n-grams.

    Args:
        n: Words of an n-gram.
    """

    def __init__(self, n: int) -> None:
        self.n = n
        self.name = f"distinct_{n}"

    def metric(self) -> Metric:
        """A share of distinct n-grams."""
        return Distinct(self.n)

    def update(self, metric: Metric, prompts: Sequence[JudgedPrompt]) -> None:
        """Adds prompts."""
        metric.update([each.text for each in prompts])


class Words(Measure):
    """Measure: mean length of prompts in words."""

    name = "words"

    def metric(self) -> Metric:
        """A mean length."""
        return Mean("words")

    def update(self, metric: Metric, prompts: Sequence[JudgedPrompt]) -> None:
        """Adds prompts."""
        metric.update([len(words(each.text)) for each in prompts])


class Tokens(Measure):
    """Measure: mean length of prompts in tokens of the primary."""

    name = "tokens"

    def metric(self) -> Metric:
        """A mean length."""
        return Mean("tokens")

    def update(self, metric: Metric, prompts: Sequence[JudgedPrompt]) -> None:
        """Adds prompts."""
        metric.update([each.tokens for each in prompts])


class Seconds(Measure):
    """Measure: mean wall time of the search of a target."""

    name = "seconds"

    def metric(self) -> Metric:
        """A mean time."""
        return MeanCost("seconds")

    def applies(self, target: Target, source: str) -> bool:
        """Whether the prompt was found by the search."""
        return source == FOUND

    def update(self, metric: Metric, prompts: Sequence[JudgedPrompt]) -> None:
        """Adds found prompts."""
        metric.update([each.result.seconds for each in prompts if each.result is not None])


def rivals(target: Target, source: str) -> list[str]:
    """References that a prompt is compared with; the first reference is a floor itself.

    >>> target = Target("a", references=["first", "second"])
    >>> rivals(target, "found")
    ['second']
    >>> rivals(Target("a", references=["only"]), "found")
    ['only']
    >>> rivals(Target("a", references=["only"]), "reference")
    []
    """
    others = list(target.references[1:])
    return others if others or source == REFERENCE else list(target.references)


def all_measures(own: Sequence[Measure]) -> list[Measure]:
    """Every measure of an evaluation: first those that compare with the target.

    Args:
        own: Measures of a user or of a data module, which come beside those of the package.

    Raises:
        FuseError: If one is none, or two have the same name.
    """
    more: list[Measure] = [kind() for kind in registered("measure")]
    about = [Bleu(), Rouge(), *more, *own]
    alone = [DistinctGrams(1), DistinctGrams(2), Words(), Tokens(), Seconds()]
    measures = [*about, *alone]
    check_names(Measure, measures)
    return measures
