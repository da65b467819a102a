"""Verdict on the found prompts of a target with answers, with its floors."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from fuse_lightning.data.targets import Target
from fuse_lightning.evaluation.answerer import Answerer, Replies
from fuse_lightning.evaluation.answers import Labeller
from fuse_lightning.evaluation.deciding import decide
from fuse_lightning.evaluation.floor_options import FloorOptions
from fuse_lightning.evaluation.labelled_floors import floor_offers
from fuse_lightning.evaluation.offers import Offer
from fuse_lightning.evaluation.reasoner import Reasoner
from fuse_lightning.evaluation.reasoning_floors import reasoning_offers
from fuse_lightning.evaluation.strongest import strongest
from fuse_lightning.evaluation.verdict import Verdict


@dataclass(frozen=True)
class Chosen:
    """Prompt that the examples which choose have chosen.

    Attributes:
        offer: The floor, or the found prompt.
        text: The prompt.
        select: Its accuracy on these examples; higher is better.
        select_loss: Its mean loss on these examples, in nats; lower is better.
        reference: Its answers to these examples, not calibrated.
        place: Its number among the prompts that were offered.
        right: Whether each prompt that was offered answers each of these examples rightly,
            shape (N, E).
        judges: Whether each of these examples judges each prompt, shape (N, E).
    """

    offer: Offer
    text: str
    select: float
    select_loss: float
    reference: Replies
    place: int
    right: Tensor
    judges: Tensor


@dataclass(frozen=True)
class Judged:
    """Verdict on the prompts of a target, and the answers behind it.

    Attributes:
        verdict: The verdict.
        examples: For each test example the ``example`` itself, the ``answers`` of the chosen prompt
            and of the strongest floor, and with each the ``probabilities`` of the right one; of
            reasoning also the ``chains``, and whether each answer is ``right``.
    """

    verdict: Verdict
    examples: list[dict[str, Any]]


def chosen_floors(
    answerer: Answerer, target: Target, options: FloorOptions, seed: int
) -> list[Chosen]:
    """Best prompt of each floor by the examples of a target that choose.

    Args:
        answerer: What answers, by the term that judges.
        target: The target, whose test examples are not read.
        options: Options of the floors.
        seed: Seed of the draws of demonstrations.
    """
    answerer.give(target)
    return [_best(offer, target) for offer in _offers(answerer, target, options, seed)]


def _offers(answerer: Answerer, target: Target, options: FloorOptions, seed: int) -> list[Offer]:
    if isinstance(answerer, Labeller):
        return floor_offers(answerer, target, options, seed)
    assert isinstance(answerer, Reasoner), type(answerer).__name__
    return reasoning_offers(answerer, target, options, seed)


def _best(offer: Offer, target: Target) -> Chosen:
    numbers = target.choosing
    offer.answerer.give(target)
    found = offer.answerer.replies(offer.texts, numbers)
    answers = offer.adjusted(found, found)
    right = answers.right
    judges = offer.judges(target)
    counts = judges.sum(1).clamp_min(1)
    shares = ((right & judges).sum(1).double() / counts).tolist()
    # Of equally good ones the surer one. An example that does not judge may have an infinite loss.
    losses = (answers.loss.masked_fill(~judges, 0).sum(1) / counts).tolist()
    place = strongest(zip(shares, losses, strict=True))
    text, share = offer.texts[place], shares[place]
    return Chosen(offer, text, share, losses[place], found.only(place), place, right, judges)


def final_verdict(
    answerer: Answerer, target: Target, prompts: Sequence[str], options: FloorOptions, seed: int
) -> Judged:
    """Verdict on a short list of found prompts, by the test examples of a target.

    Floors are chosen by the examples that choose, before any test example is read.

    Args:
        answerer: What answers, by the term that judges.
        target: The target.
        prompts: The short list, best first.
        options: Options of the floors.
        seed: Seed of all random draws.

    Raises:
        FuseError: If there are no test examples.
    """
    floors = chosen_floors(answerer, target, options, seed)
    found = [
        _best(Offer(f"prompt {n}", [text], answerer), target) for n, text in enumerate(prompts, 1)
    ]
    tested = target.tested()
    numbers = range(len(tested.examples))
    replies: dict[str, Replies] = {}
    for each in (*found, *floors):
        each.offer.answerer.give(tested)
        told = each.offer.answerer.replies([each.text], numbers)
        replies[each.offer.name] = each.offer.adjusted(told, each.reference)
    answerer.give(tested)
    ours, theirs = (
        [
            replies[each.offer.name].marked(
                each.offer.name, each.text, each.select, each.select_loss
            )
            for each in some
        ]
        for some in (found, floors)
    )
    verdict = decide(ours, theirs, answerer.classes, answerer.settings, seed)
    sides = [replies[name] for name in (verdict.chosen.name, verdict.against)]
    rows = []
    for n, example in enumerate(tested.examples):
        told_of = [side.shown(n) for side in sides]
        both = {name: [one[name] for one in told_of] for name in told_of[0]}
        rows.append({"example": dict(example), **both})
    return Judged(verdict, rows)
