"""Claims of mining: tokens and topics as findings, measured on texts that did not choose them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from fuse_lightning.diffing.finding import Finding
from fuse_lightning.diffing.mean_effect import MeanEffect, mean_effect
from fuse_lightning.diffing.mining_examples import MiningExamples
from fuse_lightning.diffing.token_survey import Floats, TokenSurvey
from fuse_lightning.diffing.topics import Topic
from fuse_lightning.evaluation.paired import ALPHA, holm

PER = 1000
"""Tokens of text to which effects refer."""
UNIT = "expected uses per 1 000 tokens"
NAMED = 5
"""Most tokens of a topic that its claim names."""


class MiningClaims:
    """Findings of the tokens and topics that other texts chose.

    Args:
        survey: Survey of the texts that measure, which watched all tokens in question.
        examples: Examples from these texts.
        most: Most examples of a finding.
        first: Mean shift of each token in the texts that chose, shape (V,).
    """

    def __init__(
        self, survey: TokenSurvey, examples: MiningExamples, most: int, first: Floats
    ) -> None:
        self.survey = survey
        self.examples = examples
        self.most = most
        self.first = first
        self.names = examples.names()
        self.column = {token: place for place, token in enumerate(survey.watched.tolist())}

    def findings(self, tokens: Sequence[int], topics: Sequence[Topic]) -> list[Finding]:
        """A finding for each token and topic, with P values adjusted for all of them.

        Args:
            tokens: Ids of the tokens.
            topics: The topics.
        """
        measured = [self._token(token) for token in tokens]
        measured += [self._topic(topic) for topic in topics]
        values = holm([p for _, p in measured])
        return [
            replace(
                finding,
                p=value,
                looked=len(measured),
                claim=finding.claim if value < ALPHA else f"Not shown: {finding.claim}",
            )
            for (finding, _), value in zip(measured, values, strict=True)
        ]

    def _token(self, token: int) -> tuple[Finding, float]:
        """A token as a finding, and its P value alone."""
        effect = self._effect([token])
        detail = {"id": token, "token": self.names[token], **self._figures(token)}
        finding = self._finding("token", [token], self.names[token], effect, detail)
        return finding, effect.p

    def _topic(self, topic: Topic) -> tuple[Finding, float]:
        """A topic as a finding, and its P value alone.

        A topic has to say more than its first token: the rest of its tokens must move the same way.
        So its P value is the larger of those of the whole and of the rest.
        """
        effect = self._effect(topic.ids)
        rest = self._effect(topic.ids[1:])
        p = max(effect.p, rest.p) if effect.mean * rest.mean > 0 else 1.0
        detail = {
            "ids": [*topic.ids],
            "tokens": [self.names[token] for token in topic.ids],
            "without_the_first": rest._asdict(),
        }
        some = ", ".join(self.names[token] for token in topic.ids[:NAMED])
        rest_named = f" and {len(topic.ids) - NAMED} others" if len(topic.ids) > NAMED else ""
        named = f"the group {some}{rest_named}"
        return self._finding("topic", topic.ids, named, effect, detail), p

    def _effect(self, tokens: Sequence[int]) -> MeanEffect:
        """Mean effect of the tokens together."""
        columns = [self.column[token] for token in tokens]
        return mean_effect(PER * self.survey.watched_shift[:, columns].sum(1))

    def _finding(
        self,
        kind: Literal["token", "topic"],
        tokens: Sequence[int],
        named: str,
        effect: MeanEffect,
        detail: Mapping[str, Any],
    ) -> Finding:
        how = "likelier" if effect.mean > 0 else "less likely"
        columns = [self.column[token] for token in tokens]
        first = PER * float(self.first[[*tokens]].sum())
        return Finding(
            kind=kind,
            claim=f"A finds {named} {how} than B does: by {abs(effect.mean):.3g} {UNIT}.",
            effect=effect.mean,
            unit=UNIT,
            low=effect.low,
            high=effect.high,
            p=None,
            looked=0,
            # Of one and the same model all probabilities are equal.
            identical=0.0,
            examples=self.examples.places(columns, effect.mean, self.most),
            detail={**detail, "effect_when_chosen": first},
        )

    def _figures(self, token: int) -> dict[str, float | None]:
        """Further figures of a token: shares of positions, and nats."""
        survey = self.survey
        positions, plausible = int(survey.positions.sum()), int(survey.plausible[token])
        return {
            "plausible_share": plausible / positions,
            "positive_share": int(survey.positive[token]) / plausible if plausible else None,
            "log_ratio": float(survey.log_ratio[token]) / plausible if plausible else None,
            "top_share_a": int(survey.up[token]) / positions,
            "top_share_b": int(survey.down[token]) / positions,
        }
