"""Mining: tokens and topics whose probability differs between two models over given texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fuse_lightning.decoding.decoder import ContrastiveDecoder
from fuse_lightning.decoding.forced import given_rows
from fuse_lightning.diffing.finding import Finding
from fuse_lightning.diffing.mined_texts import GivenText, survey_texts, two_halves
from fuse_lightning.diffing.mining_claims import MiningClaims
from fuse_lightning.diffing.mining_examples import MiningExamples
from fuse_lightning.diffing.token_survey import TokenSurvey
from fuse_lightning.diffing.topics import Topic, find_topics
from fuse_lightning.errors import FuseError
from fuse_lightning.evaluation.paired import ALPHA
from fuse_lightning.utilities.numbers import check_number


@dataclass(frozen=True)
class MiningOptions:
    """Options of mining.

    Attributes:
        tokens: Most tokens that are looked at in each direction.
        topics: Topics in each direction; 0 for none, ``None`` for the number with the least
            Bayesian information criterion.
        most_topics: Largest number of topics that is tried then.
        topic_tokens: Most tokens of a topic.
        alpha: Share of the likeliest token's probability that makes a token plausible.
        top: Most tokens of a position that count as moved most in each direction.
        examples: Most examples of a finding.
        seed: Seed of the two halves of the texts, and of the topics.
        batch_tokens: Most tokens that are read at once.

    Raises:
        FuseError: If a setting is out of range.
    """

    tokens: int = 20
    topics: int | None = None
    most_topics: int = 6
    topic_tokens: int = 10
    alpha: float = 0.1
    top: int = 5
    examples: int = 3
    seed: int = 0
    batch_tokens: int = 512

    def __post_init__(self) -> None:
        least = {
            "tokens": 1,
            "topics": 0,
            "most_topics": 1,
            "topic_tokens": 2,
            "top": 1,
            "examples": 0,
            "batch_tokens": 1,
        }
        for name, bound in least.items():
            if (value := getattr(self, name)) is not None:
                check_number(f"{name} of mining", value, bound)
        if not 0 < self.alpha <= 1:
            raise FuseError(f"alpha of mining is {self.alpha}; give a number above 0, at most 1")


@dataclass(frozen=True)
class Mining:
    """What mining found.

    Attributes:
        looked: Every token and topic that was looked at, the largest effect first.
        choosing: Number of texts that chose them.
        measuring: Number of texts that measured them.
        positions: Number of tokens of the measuring texts.
    """

    looked: tuple[Finding, ...]
    choosing: int
    measuring: int
    positions: int

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The differences that are shown, at the level of 5 % for all together."""
        return tuple(each for each in self.looked if each.p is not None and each.p < ALPHA)


def mine(
    decoder: ContrastiveDecoder, texts: Sequence[GivenText], options: MiningOptions | None = None
) -> Mining:
    """Tokens and topics whose probability differs between two models over given texts.

    Half of the texts choose what is looked at. The other half measures it, and all P values are
    adjusted for their number by Holm's method. The order of the texts does not matter.

    A token's effect is its expected uses by A less those by B: the sum of its probabilities over
    1 000 tokens of the texts, of which each text counts alike. Both models read the same texts, so
    nothing is sampled.

    Args:
        decoder: The streams; its pair is A and B.
        texts: A prompt, which may be empty, and the text behind it, for each. Several equal ones
            count once, and those without a token not at all.
        options: What is looked at.

    Raises:
        FuseError: If there are fewer than four different texts, or one is too long.

    References:
        Diff Mining (ICLR 2026), which counts the tokens whose logits moved most.
    """
    options = options or MiningOptions()
    ensemble = decoder.ensemble
    rows, ids = given_rows(ensemble, texts) if texts else ([], [])
    full = [number for number, row in enumerate(ids) if row]
    halves = two_halves([texts[number] for number in full], options.seed)

    def survey(half: Sequence[int], watched: Sequence[int] = ()) -> TokenSurvey:
        some = [full[number] for number in half]
        vocabulary = len(ensemble.allowed)
        found = TokenSurvey(len(half), vocabulary, options.alpha, options.top, watched)
        begins = [[row[number] for number in some] for row in rows]
        survey_texts(ensemble, begins, [ids[each] for each in some], found, options.batch_tokens)
        return found

    first = survey(halves[0])
    tokens = choose_tokens(first, options.tokens)
    topics = _topics(first, options)
    watched = sorted({*tokens, *(token for topic in topics for token in topic.ids)})
    second = survey(halves[1], watched)
    kept = [full[number] for number in halves[1]]
    examples = MiningExamples(
        ensemble.model, second, [texts[number] for number in kept], [ids[number] for number in kept]
    )
    claims = MiningClaims(second, examples, options.examples, first.shift / len(first.positions))
    looked = claims.findings(tokens, topics)
    order = sorted(looked, key=lambda finding: -abs(finding.effect))
    return Mining(tuple(order), len(halves[0]), len(kept), int(second.positions.sum()))


def choose_tokens(survey: TokenSurvey, count: int) -> list[int]:
    """Tokens whose probability moved most for sure, up to ``count`` in each direction.

    They are ranked by :meth:`~fuse_lightning.diffing.token_survey.TokenSurvey.sure_shift`.

    Args:
        survey: Survey of the texts that choose.
        count: Most tokens in each direction.
    """
    bound = survey.sure_shift()
    chosen: list[int] = []
    for direction in (1, -1):
        moved = np.flatnonzero(direction * survey.shift > 0)
        order = np.argsort(-bound[moved], kind="stable")
        chosen += moved[order][:count].tolist()
    return chosen


def _topics(survey: TokenSurvey, options: MiningOptions) -> list[Topic]:
    if options.topics == 0:
        return []
    sure = survey.sure_shift()
    mean = survey.shift / len(survey.positions)
    return [
        topic
        for direction, counts in ((1, survey.up_by_text), (-1, survey.down_by_text))
        for topic in find_topics(
            counts,
            # A shift that may be none groups nothing.
            np.where(sure > 0, direction * mean, 0),
            direction,
            options.topics,
            options.most_topics,
            options.topic_tokens,
            options.seed,
        )
    ]
