"""Judging of prompts by the class probabilities of their answers to test examples."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torchmetrics.functional.classification import (
    multiclass_calibration_error,
    multiclass_confusion_matrix,
)

from fuse_lightning.errors import FuseError
from fuse_lightning.evaluation.deciding import Marked, check_short_list, decide
from fuse_lightning.evaluation.paired import ALPHA
from fuse_lightning.evaluation.verdict import Verdict

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


def judge(
    candidates: Sequence[Answers],
    floors: Sequence[Answers],
    labels: Tensor,
    classes: Sequence[str],
    seed: int = 0,
    alpha: float = ALPHA,
) -> Verdict:
    """Verdict on a short list of prompts against floors, by class probabilities.

    See :func:`~fuse_lightning.evaluation.deciding.decide`.

    Args:
        candidates: The short list, as the examples that choose rank it.
        floors: Prompts that cost nothing.
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
    check_short_list(candidates, floors)
    _check_labels(labels, classes)
    labels = labels.detach().cpu()
    ours, theirs = (
        [marked_by_class(each, labels, len(classes)) for each in some]
        for some in (candidates, floors)
    )
    return decide(ours, theirs, classes, seed=seed, alpha=alpha)


def _check_labels(labels: Tensor, classes: Sequence[str]) -> None:
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


def marked_by_class(answers: Answers, labels: Tensor, classes: int) -> Marked:
    """Answers marked right where the likeliest class is the right one, with their figures.

    Args:
        answers: The answers.
        labels: Number of the right class of each example, shape ``(E,)``, on the CPU.
        classes: Number of classes.

    Raises:
        FuseError: If they are not label probabilities of the examples.

    >>> told = Answers("found", "mood:", torch.tensor([[0.9, 0.1], [0.8, 0.2]]), 0.9)
    >>> marked = marked_by_class(told, torch.tensor([0, 1]), 2)
    >>> marked.right, marked.confusion
    (tensor([ True, False]), ((1, 0), (1, 0)))
    """
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
    shares = values / total
    entropy = -shares[torch.arange(len(labels)), labels].log().mean().item()
    confusion = multiclass_confusion_matrix(likeliest, labels, classes)
    return Marked(
        name=answers.name,
        text=answers.text,
        right=likeliest == labels,
        select=answers.select,
        select_loss=answers.select_loss,
        cross_entropy=entropy if entropy < torch.inf else None,
        calibration_error=multiclass_calibration_error(shares, labels, classes).item(),
        confusion=tuple(tuple(row) for row in confusion.tolist()),
    )
