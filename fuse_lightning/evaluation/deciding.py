"""Verdict from answers that are marked right or wrong."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

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
from fuse_lightning.evaluation.strongest import strongest
from fuse_lightning.evaluation.verdict import (
    ChainScore,
    ChainSettings,
    Comparison,
    PromptScore,
    ReadingScore,
    Verdict,
    Way,
    Word,
)
from fuse_lightning.utilities.numbers import check_number


@dataclass(frozen=True, eq=False)
class Marked:
    """A prompt's answers to the test examples, each right or wrong.

    Attributes:
        name: Name of the prompt in a sentence such as "better than the text alone".
        text: The prompt.
        right: Whether each answer is right, shape ``(E,)``.
        select: Accuracy on the examples that choose.
        select_loss: Mean loss there, in nats; of equally accurate floors the one with the lower
            loss is the stronger.
        cross_entropy: Mean of minus the log probability of the right answer, in nats; lower is
            better. ``None`` where it is infinite.
        calibration_error: See :class:`PromptScore`.
        confusion: See :class:`PromptScore`.
        readings: By each way to read a chain, whether each answer is right, shape ``(E,)``.
        chains: Figures of the chains; ``None`` where there are none.
    """

    name: str
    text: str
    right: Tensor
    select: float
    select_loss: float = 0.0
    cross_entropy: float | None = None
    calibration_error: float | None = None
    confusion: tuple[tuple[int, ...], ...] = ()
    readings: tuple[tuple[Way, Tensor], ...] = ()
    chains: ChainScore | None = None


def decide(
    candidates: Sequence[Marked],
    floors: Sequence[Marked],
    classes: Sequence[str] = (),
    chains: ChainSettings | None = None,
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
        classes: Names of the classes, in the order of the confusions; empty for other answers.
        chains: How chains were written and read; ``None`` where there are none.
        seed: Seed of the random halves behind the cross-fitted accuracy.
        alpha: Level of the tests, for both directions together.

    Raises:
        FuseError: If something is missing, or the answers are not to the same examples.

    >>> always, half = torch.ones(40, dtype=torch.bool), torch.arange(40) < 20
    >>> found, empty = Marked("found", "Think.", always, 0.9), Marked("no prompt", "", half, 0.5)
    >>> decide([found], [empty]).word, decide([empty], [found]).word
    ('better', 'worse')
    """
    _check(candidates, floors, alpha)
    marked = [*candidates, *floors]
    right = torch.stack([each.right.detach().cpu() for each in marked])
    tiers = rank_tiers(right, alpha)
    scores = [_score(each, tier) for each, tier in zip(marked, tiers, strict=True)]
    count, examples = len(candidates), right.shape[1]
    comparisons = [each for floor in floors for each in _against(candidates, floor, alpha)]
    place = strongest((floor.select, floor.select_loss) for floor in floors)
    against = floors[place]
    pair = candidates[0].name, against.name
    headline = next(each for each in comparisons if (each.candidate, each.floor) == pair)
    ours, theirs = scores[0], scores[count + place]
    return Verdict(
        word=headline.word,
        against=against.name,
        sentence=sentence(
            headline,
            ours.accuracy,
            theirs.accuracy,
            examples,
            same_text=candidates[0].text == against.text,
            ways=[
                (one.by, one.accuracy, other.accuracy)
                for one, other in zip(ours.readings, theirs.readings, strict=True)
            ],
            by=chains.measure if chains else None,
        ),
        examples=examples,
        labels=tuple(classes),
        candidates=tuple(scores[:count]),
        floors=tuple(scores[count:]),
        comparisons=tuple(comparisons),
        best=max(score.accuracy for score in scores[:count]),
        cross_fitted=cross_fitted(right[:count], seed=seed) if examples > 1 else None,
        alpha=alpha,
        chains=chains,
    )


def check_short_list(candidates: Sequence[object], floors: Sequence[object]) -> None:
    """Checks that there are prompts and floors.

    Raises:
        FuseError: If there is none.
    """
    for name, given in (("candidate", candidates), ("floor", floors)):
        if not given:
            raise FuseError(f"a verdict has no {name}; give at least 1")


def _check(candidates: Sequence[Marked], floors: Sequence[Marked], alpha: float) -> None:
    check_number("alpha", alpha, 0, 1)
    check_short_list(candidates, floors)
    marked = [*candidates, *floors]
    names = [each.name for each in marked]
    if twice := [name for name in names if names.count(name) > 1]:
        raise FuseError(f"two prompts of a verdict have the name {twice[0]!r}; give each its own")
    examples = len(marked[0].right)
    if not examples:
        raise FuseError("a verdict has no test example; give at least 1")
    for each in marked:
        check_number(f"the accuracy of {each.name!r} on select", each.select, 0, 1)
        if each.right.shape != (examples,) or each.right.dtype != torch.bool:
            raise FuseError(
                f"the answers of {each.name!r} have shape {tuple(each.right.shape)} and type "
                f"{each.right.dtype}; give true or false for each of {examples} examples"
            )


def _score(marked: Marked, tier: int) -> PromptScore:
    accuracy, low, high = _share(marked.right)
    return PromptScore(
        name=marked.name,
        text=marked.text,
        accuracy=accuracy,
        low=low,
        high=high,
        select=marked.select,
        cross_entropy=marked.cross_entropy,
        calibration_error=marked.calibration_error,
        confusion=marked.confusion,
        tier=tier,
        readings=tuple(ReadingScore(by, *_share(right)) for by, right in marked.readings),
        chains=marked.chains,
    )


def _share(right: Tensor) -> tuple[float, float, float]:
    """Share of right answers, and its interval."""
    count, examples = int(right.sum()), len(right)
    return count / examples, *accuracy_interval(count, examples)


def _against(candidates: Sequence[Marked], floor: Marked, alpha: float) -> list[Comparison]:
    """Comparisons of the candidates with one floor, adjusted for their number."""
    pairs = [wins_and_losses(each.right, floor.right) for each in candidates]
    values = [mcnemar(*pair) for pair in pairs]
    examples = len(floor.right)
    found = []
    rows = zip(candidates, pairs, values, holm(values), strict=True)
    for candidate, (wins, losses), p, adjusted in rows:
        low, high = difference_interval(wins, losses, examples)
        same = candidate.text == floor.text
        found.append(
            Comparison(
                candidate=candidate.name,
                floor=floor.name,
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
