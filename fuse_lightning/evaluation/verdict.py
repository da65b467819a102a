"""Verdict on prompts: what it says, and how it is kept in a file."""

import json
import math
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

Word = Literal["better", "not shown", "worse"]
"""What the test examples say of a prompt against a floor."""
Way = Literal["read", "parse", "labels"]
"""Way to read the answer of a chain: the first answer that the model writes behind the extractor,
the last answer in the chain itself, or the likeliest label of the label set."""


@dataclass(frozen=True)
class ReadingScore:
    """Accuracy of a prompt by one way to read the answers of its chains.

    Attributes:
        by: The way.
        accuracy: Share of the test examples answered rightly; higher is better.
        low: Lowest accuracy of its 95 % interval.
        high: Highest accuracy of its 95 % interval.
    """

    by: Way
    accuracy: float
    low: float
    high: float


@dataclass(frozen=True)
class ChainScore:
    """Figures of the chains that a prompt makes a model write.

    Attributes:
        readable: Share of the first chains that hold an answer.
        written: Share of the first chains behind which the model writes an answer.
        cut: Share of the first chains that were cut at a limit of tokens.
        right: Share of right answers over all chains of all examples; that of the first chains
            alone is the accuracy.
    """

    readable: float
    written: float
    cut: float
    right: float


@dataclass(frozen=True)
class ChainSettings:
    """Settings by which chains were written and read.

    Attributes:
        measure: Way to read answers that the accuracy speaks of.
        chains: Number of chains for each prompt and example, of which the first one counts.
        temperature: Temperature of the chains; 0 for the likeliest token each time.
        seed: Seed of the chains, which matters above temperature 0.
        max_chain_tokens: Tokens at which a chain is cut.
    """

    measure: Way
    chains: int
    temperature: float
    seed: int
    max_chain_tokens: int


@dataclass(frozen=True)
class PromptScore:
    """Figures of one prompt, or of one floor, on the test examples.

    Attributes:
        name: Name, such as "the text alone".
        text: The prompt.
        accuracy: Share of the test examples answered rightly; higher is better.
        low: Lowest accuracy of its 95 % interval.
        high: Highest accuracy of its 95 % interval.
        select: Accuracy on the examples that choose.
        cross_entropy: Mean of minus the log probability of the right label, in nats; lower is
            better. ``None`` where it is infinite, as a right label has probability 0.
        calibration_error: Expected calibration error, from 0 to 1; lower is better. ``None`` where
            answers are no classes.
        confusion: Number of examples by right label (rows) and answer (columns); empty where
            answers are no classes.
        tier: Rank tier among all prompts and floors, from 1; lower is better.
        readings: Accuracy by each way to read chains; empty where there are none.
        chains: Figures of the chains; ``None`` where there are none.
    """

    name: str
    text: str
    accuracy: float
    low: float
    high: float
    select: float
    cross_entropy: float | None
    calibration_error: float | None
    confusion: tuple[tuple[int, ...], ...]
    tier: int
    readings: tuple[ReadingScore, ...] = ()
    chains: ChainScore | None = None


@dataclass(frozen=True)
class Comparison:
    """A candidate against a floor, on the same test examples.

    Attributes:
        candidate: Name of the candidate.
        floor: Name of the floor.
        wins: Number of examples that only the candidate answers rightly.
        losses: Number of examples that only the floor answers rightly.
        difference: Accuracy of the candidate less that of the floor.
        low: Lowest difference of its 95 % interval, which is of this comparison alone.
        high: Highest difference of its 95 % interval.
        p: P value of McNemar's exact test.
        adjusted: The P value adjusted for the number of candidates, by Holm's method.
        word: What the adjusted P value says.
        needed: Number of examples that would show a difference of this size in 8 of 10 cases;
            ``None`` where there is no difference.
    """

    candidate: str
    floor: str
    wins: int
    losses: int
    difference: float
    low: float
    high: float
    p: float
    adjusted: float
    word: Word
    needed: int | None


@dataclass(frozen=True)
class Verdict:
    """Whether the chosen prompt is better than prompts that cost nothing.

    Attributes:
        word: What is said of the chosen prompt against the strongest floor.
        against: Name of the strongest floor: the one that is best on the examples that choose.
        sentence: The same in a sentence, with its figures.
        examples: Number of test examples.
        labels: Names of the classes, in the order of the confusion matrices; empty where answers
            are no classes.
        candidates: The short list, as the examples that choose rank it; the first is the chosen
            one.
        floors: The floors.
        comparisons: Each candidate against each floor.
        best: Highest accuracy of the short list on the test examples. It is too high, as it was
            chosen for being high.
        cross_fitted: Accuracy to expect of the prompt that does best on the test examples;
            ``None`` for a single example.
        alpha: Level of the tests.
        chains: How chains were written and read; ``None`` where there are none.
        earlier: Sentences of earlier verdicts on other prompts of the same run, by the same test
            examples; empty where these were read once.
    """

    word: Word
    against: str
    sentence: str
    examples: int
    labels: tuple[str, ...]
    candidates: tuple[PromptScore, ...]
    floors: tuple[PromptScore, ...]
    comparisons: tuple[Comparison, ...]
    best: float
    cross_fitted: float | None
    alpha: float
    chains: ChainSettings | None = None
    earlier: tuple[str, ...] = ()

    @property
    def chosen(self) -> PromptScore:
        """The first of the short list. No test example chose it, so its accuracy is fair."""
        return self.candidates[0]

    @property
    def strongest(self) -> PromptScore:
        """The strongest floor."""
        return next(floor for floor in self.floors if floor.name == self.against)

    @property
    def headline(self) -> Comparison:
        """The chosen prompt against the strongest floor."""
        pair = self.chosen.name, self.against
        return next(each for each in self.comparisons if (each.candidate, each.floor) == pair)

    @property
    def optimism(self) -> float:
        """Accuracy of the chosen prompt where it was chosen, less that on the test examples."""
        return self.chosen.select - self.chosen.accuracy

    def to_dict(self) -> dict[str, Any]:
        """Plain data for a JSON file."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Any) -> "Verdict":
        """Verdict from the plain data of :meth:`to_dict`.

        Raises:
            ValueError: If the data is no verdict; names the entry that is wrong.
        """
        verdict: Verdict = _read(cls, data, "verdict")
        if not verdict.candidates:
            raise ValueError("verdict.candidates is empty")
        for score in (*verdict.candidates, *verdict.floors):
            _check_confusion(score, verdict)
            _check_readings(score, verdict)
        pairs = {(each.candidate, each.floor): each.word for each in verdict.comparisons}
        wanted = {(one.name, floor.name) for one in verdict.candidates for floor in verdict.floors}
        if set(pairs) != wanted:
            raise ValueError("verdict.comparisons are not of each candidate with each floor")
        if pairs.get((verdict.chosen.name, verdict.against)) != verdict.word:
            raise ValueError(
                f"verdict.word is {verdict.word!r}, which no comparison of the first candidate "
                f"with {verdict.against!r} says"
            )
        return verdict


def _check_readings(score: PromptScore, verdict: Verdict) -> None:
    ways = [each.by for each in score.readings]
    if ways != [each.by for each in verdict.chosen.readings]:
        raise ValueError(f"verdict has other ways to read {score.name!r} than the first candidate")
    settings = verdict.chains
    known = score.chains is None if settings is None else settings.measure in ways
    if not known or (settings and score.chains is None):
        raise ValueError(f"verdict has chains of {score.name!r} that are none of its own")


def _check_confusion(score: PromptScore, verdict: Verdict) -> None:
    classes = len(verdict.labels)
    if not classes and not score.confusion:
        return
    sizes = [classes, *map(len, score.confusion)]
    numbers = [number for row in score.confusion for number in row]
    if sizes != [classes] * (classes + 1) or min(numbers, default=0) < 0:
        raise ValueError(f"verdict has a confusion of {score.name!r} that is none of its labels")
    if sum(numbers) != verdict.examples:
        raise ValueError(
            f"verdict has a confusion of {score.name!r} of other examples than its own"
        )


def read_verdict(text: str) -> Verdict:
    """Reads a verdict from the text of a JSON file.

    Raises:
        ValueError: If it is none.

    >>> read_verdict('{"word": "good"}')
    Traceback (most recent call last):
    ValueError: verdict.word is 'good'; it must be one of better, not shown, worse
    """
    try:
        return Verdict.from_dict(json.loads(text))
    except RecursionError as error:
        raise ValueError("it holds no verdict: it is too deep") from error


def _read(kind: Any, value: Any, where: str) -> Any:
    """A value of a type: a dataclass, a tuple of equal kinds, words to choose from or a scalar."""
    if is_dataclass(kind):
        return _read_fields(kind, value, where)
    arguments = get_args(kind)
    if get_origin(kind) is Literal:
        if value not in arguments:
            raise ValueError(f"{where} is {value!r}; it must be one of {', '.join(arguments)}")
        return value
    if get_origin(kind) is tuple:
        if not isinstance(value, list | tuple):
            raise ValueError(f"{where} is {value!r}; it must be a list")
        return tuple(_read(arguments[0], each, f"{where}[{i}]") for i, each in enumerate(value))
    if get_origin(kind) is UnionType:
        return None if value is None else _read(arguments[0], value, where)
    allowed = int | float if kind is float else kind
    if isinstance(value, bool) or not isinstance(value, allowed):
        raise ValueError(f"{where} is {value!r}; it must be of type {kind.__name__}")
    if kind is float and not math.isfinite(value):
        raise ValueError(f"{where} is {value}; it must be finite")
    return kind(value)


def _read_fields(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, Mapping):
        raise ValueError(f"{where} is {value!r}; it must be an object with fields")
    hints = get_type_hints(kind)
    found = {}
    for field in fields(kind):
        name = field.name
        if name in value:
            found[name] = _read(hints[name], value[name], f"{where}.{name}")
        # Verdicts on classes may have no chains, and older files no earlier verdicts.
        elif field.default is MISSING:
            raise ValueError(f"{where}.{name} is missing")
    return kind(**found)
