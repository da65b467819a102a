"""Judging of prompts by their answers to test examples."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torchmetrics.functional.classification import (
    multiclass_calibration_error,
    multiclass_confusion_matrix,
)

from fuse_lightning.errors import FuseError
from fuse_lightning.evaluation.intervals import accuracy_interval, difference_interval
from fuse_lightning.evaluation.paired import (
    ALPHA,
    holm,
    mcnemar,
    needed_examples,
    wins_and_losses,
)
from fuse_lightning.evaluation.sentence import sentence
from fuse_lightning.evaluation.shortlist import cross_fitted, rank_tiers
from fuse_lightning.evaluation.verdict import Comparison, PromptScore, Verdict, Word
from fuse_lightning.utilities.numbers import check_number

ROUNDING = 0.02
"""Largest distance of a sum of probabilities from 1 that 16-bit numbers explain."""


@dataclass(frozen=True, eq=False)
class Answers:
    """A prompt's answers to the test examples.

    Attributes:
        name: Name of the prompt in a sentence such as "better than the text alone".
        text: The prompt.
        probabilities: Label probabilities, shape ``(E, C)``; the answer is the likeliest label,
            the first of equally likely ones.
        select: Accuracy on the examples that choose.
        select_loss: Mean cross-entropy there, in nats; of equally accurate floors the one with
            the lower loss is the stronger.
    """

    name: str
    text: str
    probabilities: Tensor
    select: float
    select_loss: float = 0.0


@dataclass(frozen=True, eq=False)
class _Judged:
    """Checked answers: float64 probabilities on the CPU, likeliest labels, which are right."""

    answers: Answers
    probabilities: Tensor
    labels: Tensor
    right: Tensor


def judge(
    candidates: Sequence[Answers],
    floors: Sequence[Answers],
    labels: Tensor,
    classes: Sequence[str],
    seed: int = 0,
    alpha: float = ALPHA,
) -> Verdict:
    """Verdict on a short list of prompts against floors.

    What the verdict speaks of, the first candidate and the strongest floor, is chosen before any
    test example is read.

    Args:
        candidates: The short list, as the examples that choose rank it.
        floors: Prompts that cost nothing. The strongest is the one with the highest accuracy on
            the examples that choose; of equal ones that with the lower loss there, or the first.
        labels: Number of the right class of each test example, shape ``(E,)``.
        classes: Names of the classes.
        seed: Seed of the random halves behind the cross-fitted accuracy.
        alpha: Level of the tests, for both directions together.

    Raises:
        FuseError: If something is missing, or the answers are not to the same examples.

    >>> right, half = torch.eye(2).repeat(20, 1), torch.tensor([[0.7, 0.3]]).repeat(40, 1)
    >>> labels = torch.tensor([0, 1]).repeat(20)
    >>> found, empty = Answers("found", "mood:", right, 0.9), Answers("no prompt", "", half, 0.5)
    >>> print(judge([found], [empty], labels, ["bad", "good"]).sentence)
    better than no prompt: 100.0 % against 50.0 % of 40 test examples (+50.0 points, 95 % interval
    +35.2 to +64.8, p < 0.001)
    """
    check_number("alpha", alpha, 0, 1)
    _check_task(candidates, floors, labels, classes)
    labels = labels.detach().cpu()
    judged = [_judged(each, labels, len(classes)) for each in (*candidates, *floors)]
    right = torch.stack([each.right for each in judged])
    tiers = rank_tiers(right, alpha)
    scores = [_score(each, labels, tier) for each, tier in zip(judged, tiers, strict=True)]
    count = len(candidates)
    comparisons = [
        each for floor in judged[count:] for each in _against(judged[:count], floor, alpha)
    ]
    strongest = max(floors, key=lambda floor: (floor.select, -floor.select_loss))
    pair = candidates[0].name, strongest.name
    headline = next(each for each in comparisons if (each.candidate, each.floor) == pair)
    examples = len(labels)
    return Verdict(
        word=headline.word,
        against=strongest.name,
        sentence=sentence(
            headline,
            scores[0].accuracy,
            scores[count + floors.index(strongest)].accuracy,
            examples,
            same_text=candidates[0].text == strongest.text,
        ),
        examples=examples,
        labels=tuple(classes),
        candidates=tuple(scores[:count]),
        floors=tuple(scores[count:]),
        comparisons=tuple(comparisons),
        best=max(score.accuracy for score in scores[:count]),
        cross_fitted=cross_fitted(right[:count], seed=seed) if examples > 1 else None,
        alpha=alpha,
    )


def _check_task(
    candidates: Sequence[Answers],
    floors: Sequence[Answers],
    labels: Tensor,
    classes: Sequence[str],
) -> None:
    for name, given in (("candidate", candidates), ("floor", floors)):
        if not given:
            raise FuseError(f"a verdict has no {name}; give at least 1")
    if len(classes) < 2:
        raise FuseError(f"a verdict has {len(classes)} classes; give at least 2")
    if labels.ndim != 1 or not len(labels):
        raise FuseError(
            f"a verdict has labels of shape {tuple(labels.shape)}; give one for each test example, "
            "and at least 1"
        )
    if labels.is_floating_point() or not 0 <= labels.min() <= labels.max() < len(classes):
        raise FuseError(
            f"a verdict has labels from {labels.min()} to {labels.max()}; give numbers of the "
            f"{len(classes)} classes, from 0"
        )
    names = [each.name for each in (*candidates, *floors)]
    if twice := [name for name in names if names.count(name) > 1]:
        raise FuseError(f"two prompts of a verdict have the name {twice[0]!r}; give each its own")


def _judged(answers: Answers, labels: Tensor, classes: int) -> _Judged:
    """Checked answers.

    Raises:
        FuseError: If they are not label probabilities of the examples.
    """
    check_number(f"the accuracy of {answers.name!r} on select", answers.select, 0, 1)
    values = answers.probabilities.detach().double().cpu()
    if values.shape != (len(labels), classes):
        raise FuseError(
            f"the probabilities of {answers.name!r} have shape {tuple(values.shape)}; give those "
            f"of {len(labels)} examples and {classes} labels"
        )
    total = values.sum(1, keepdim=True)
    # NaN is in no range.
    if not ((values >= 0).all() and ((total - 1).abs() <= ROUNDING).all()):
        raise FuseError(
            f"{answers.name!r} has answers that are no probabilities; give numbers of at least 0 "
            "that sum to 1 over the labels"
        )
    # NumPy promises the first of equal ones.
    likeliest = torch.from_numpy(values.numpy().argmax(1))
    return _Judged(answers, values / total, likeliest, likeliest == labels)


def _score(judged: _Judged, labels: Tensor, tier: int) -> PromptScore:
    examples, classes = judged.probabilities.shape
    count = int(judged.right.sum())
    low, high = accuracy_interval(count, examples)
    entropy = -judged.probabilities[torch.arange(examples), labels].log().mean().item()
    error = multiclass_calibration_error(judged.probabilities, labels, classes)
    confusion = multiclass_confusion_matrix(judged.labels, labels, classes)
    return PromptScore(
        name=judged.answers.name,
        text=judged.answers.text,
        accuracy=count / examples,
        low=low,
        high=high,
        select=judged.answers.select,
        cross_entropy=entropy if entropy < torch.inf else None,
        calibration_error=error.item(),
        confusion=tuple(tuple(row) for row in confusion.tolist()),
        tier=tier,
    )


def _against(candidates: Sequence[_Judged], floor: _Judged, alpha: float) -> list[Comparison]:
    """Comparisons of the candidates with one floor, adjusted for their number."""
    pairs = [wins_and_losses(each.right, floor.right) for each in candidates]
    values = [mcnemar(*pair) for pair in pairs]
    examples = len(floor.right)
    found = []
    rows = zip(candidates, pairs, values, holm(values), strict=True)
    for candidate, (wins, losses), p, adjusted in rows:
        low, high = difference_interval(wins, losses, examples)
        same = candidate.answers.text == floor.answers.text
        found.append(
            Comparison(
                candidate=candidate.answers.name,
                floor=floor.answers.name,
                wins=wins,
                losses=losses,
                difference=(wins - losses) / examples,
                low=low,
                high=high,
                p=p,
                adjusted=adjusted,
                word=_word(wins - losses, adjusted <= alpha, same),
                needed=needed_examples(wins, losses, examples, alpha / len(candidates)),
            )
        )
    return found


def _word(lead: int, shown: bool, same: bool) -> Word:
    if not shown:
        return "not shown"
    if lead < 0:
        return "worse"
    # A prompt is not better than itself, whatever a model's rounding says.
    return "not shown" if same else "better"
