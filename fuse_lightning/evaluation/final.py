"""Verdict on the found prompts of a labelled target, with its floors."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fuse_lightning.data.targets import Target
from fuse_lightning.evaluation.answers import Labeller
from fuse_lightning.evaluation.calibration import calibrated
from fuse_lightning.evaluation.judging import Answers, judge
from fuse_lightning.evaluation.labelled_floors import FloorOptions, Offer, floor_offers
from fuse_lightning.evaluation.verdict import Verdict


@dataclass(frozen=True)
class Chosen:
    """Prompt that the examples which choose have chosen.

    Attributes:
        offer: The floor, or the found prompt.
        text: The prompt.
        select: Its accuracy on these examples; higher is better.
        select_loss: Its mean cross-entropy on these examples, in nats; lower is better.
        reference: Its probabilities of the classes on these examples, shape (E, C).
        place: Its number among the prompts that were offered.
        right: Whether each prompt that was offered answers each of these examples rightly,
            shape (N, E).
        judges: Whether each of these examples judges each prompt, shape (N, E).
    """

    offer: Offer
    text: str
    select: float
    select_loss: float
    reference: Tensor
    place: int
    right: Tensor
    judges: Tensor


@dataclass(frozen=True)
class Judged:
    """Verdict on the prompts of a target, and the answers behind it.

    Attributes:
        verdict: The verdict.
        examples: For each test example the ``example`` itself, the ``answers`` of the chosen prompt
            and of the strongest floor, and with each the ``probabilities`` of the right label.
    """

    verdict: Verdict
    examples: list[dict[str, Any]]


def chosen_floors(
    labeller: Labeller, target: Target, options: FloorOptions, seed: int
) -> list[Chosen]:
    """Best prompt of each floor by the examples of a target that choose.

    Args:
        labeller: Labeller by the term that judges.
        target: The target, whose test examples are not read.
        options: Options of the floors.
        seed: Seed of the draws of demonstrations.
    """
    labeller.give(target)
    return [_best(offer, target) for offer in floor_offers(labeller, target, options, seed)]


def _best(offer: Offer, target: Target) -> Chosen:
    numbers = target.choosing
    offer.labeller.give(target)
    found = offer.labeller.probabilities(offer.texts, numbers)
    answers = calibrated(found, found) if offer.calibrated else found
    labels = offer.labeller.right(numbers)
    right = answers.argmax(2) == labels
    judges = offer.judges(target)
    counts = judges.sum(1).clamp_min(1)
    shares = ((right & judges).sum(1).double() / counts).tolist()
    # Of equally good ones the surer one.
    logs = answers[:, torch.arange(len(numbers)), labels].clamp_min(1e-30).log()
    sure = ((logs * judges).sum(1) / counts).tolist()
    place = max(range(len(shares)), key=lambda n: (shares[n], sure[n]))
    text, share = offer.texts[place], shares[place]
    return Chosen(offer, text, share, -sure[place], found[place], place, right, judges)


def final_verdict(
    labeller: Labeller, target: Target, prompts: Sequence[str], options: FloorOptions, seed: int
) -> Judged:
    """Verdict on a short list of found prompts, by the test examples of a target.

    Floors are chosen by the examples that choose, before any test example is read.

    Args:
        labeller: Labeller by the term that judges.
        target: The target.
        prompts: The short list, best first.
        options: Options of the floors.
        seed: Seed of all random draws.

    Raises:
        FuseError: If there are no test examples.
    """
    floors = chosen_floors(labeller, target, options, seed)
    found = [
        _best(Offer(f"prompt {n}", [text], labeller), target) for n, text in enumerate(prompts, 1)
    ]
    tested = target.tested()
    numbers = range(len(tested.examples))
    answers = {}
    for each in (*found, *floors):
        each.offer.labeller.give(tested)
        told = each.offer.labeller.probabilities([each.text], numbers)[0]
        answers[each.offer.name] = Answers(
            each.offer.name,
            each.text,
            calibrated(told, each.reference) if each.offer.calibrated else told,
            each.select,
            each.select_loss,
        )
    labeller.give(tested)
    classes = labeller.term.batch[0].verbalizers.classes
    right = labeller.right(numbers)
    verdict = judge(
        [answers[each.offer.name] for each in found],
        [answers[each.offer.name] for each in floors],
        right,
        classes,
        seed,
    )
    sides = [answers[name] for name in (verdict.chosen.name, verdict.against)]
    rows = [
        {
            "example": dict(example),
            "answers": [classes[int(side.probabilities[n].argmax())] for side in sides],
            "probabilities": [float(side.probabilities[n, right[n]]) for side in sides],
        }
        for n, example in enumerate(tested.examples)
    ]
    return Judged(verdict, rows)
