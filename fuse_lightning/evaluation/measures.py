"""Measures of the text of prompts that need no model."""

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
    """One prompt of one target, as an evaluation judges it.

    Attributes:
        target: The target.
        source: Where the prompt comes from: "found", or the name of a floor.
        text: The prompt.
        tokens: Its length in tokens of the primary.
        result: What the search wrote of it; ``None`` for a floor's prompt.
    """

    target: Target
    source: str
    text: str
    tokens: int = 0
    result: Result | None = None


class Measure(ABC):
    """One figure of an evaluation, computed from the text of prompts for each of their sources.

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
        """Whether a target's prompt from a source can be measured; by default any can.

        Where no target's can, the source has no such figure.
        """
        return True

    @abstractmethod
    def update(self, metric: Metric, prompts: Sequence[JudgedPrompt]) -> None:
        """Adds the prompts of a batch.

        Args:
            metric: What :meth:`metric` gave.
            prompts: Those that the measure applies to. There may be none: devices that have no
                prompts must have the same states as others.
        """


class Bleu(Measure):
    """sacreBLEU of up to four words over all prompts, in lower case, in [0, 1].

    >>> target = Target("a", references=["a red star", "one big red star on blue"])
    >>> measure = Bleu()
    >>> metric = measure.metric()
    >>> measure.update(metric, [JudgedPrompt(target, "found", "one big red star on blue")])
    >>> metric.compute()
    tensor(1.)
    """

    name = "bleu"

    def metric(self) -> Metric:
        """The metric of torchmetrics."""
        return SacreBLEUScore(lowercase=True)

    def applies(self, target: Target, source: str) -> bool:
        """Whether the target has a reference that is not itself the prompt."""
        return bool(rivals(target, source))

    def update(self, metric: Metric, prompts: Sequence[JudgedPrompt]) -> None:
        """Adds prompts beside their references."""
        metric.update(
            [each.text for each in prompts],
            [rivals(each.target, each.source) for each in prompts],
        )


class Rouge(Bleu):
    """ROUGE-L F-measure against the nearest reference, mean over prompts, in [0, 1]."""

    name = "rouge_l"

    def metric(self) -> Metric:
        """A mean F-measure."""
        return RougeL()


class DistinctGrams(Measure):
    """Distinct n-grams of words of all prompts, over their number.

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
    """Mean length of prompts in words."""

    name = "words"

    def metric(self) -> Metric:
        """A mean length."""
        return Mean("words")

    def update(self, metric: Metric, prompts: Sequence[JudgedPrompt]) -> None:
        """Adds prompts."""
        metric.update([len(words(each.text)) for each in prompts])


class Tokens(Measure):
    """Mean length of prompts in tokens of the primary."""

    name = "tokens"

    def metric(self) -> Metric:
        """A mean length."""
        return Mean("tokens")

    def update(self, metric: Metric, prompts: Sequence[JudgedPrompt]) -> None:
        """Adds prompts."""
        metric.update([each.tokens for each in prompts])


class Seconds(Measure):
    """Mean wall time of the search of a target."""

    name = "seconds"

    def metric(self) -> Metric:
        """A mean time."""
        return MeanCost("seconds")

    def applies(self, target: Target, source: str) -> bool:
        """Whether the prompt was searched for."""
        return source == FOUND

    def update(self, metric: Metric, prompts: Sequence[JudgedPrompt]) -> None:
        """Adds found prompts."""
        metric.update([each.result.seconds for each in prompts if each.result is not None])


def rivals(target: Target, source: str) -> list[str]:
    """References that a prompt is compared with: the first is itself a floor.

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
    """Every measure of an evaluation: first of prompt and target, then of the prompt alone.

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
