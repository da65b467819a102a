"""Finding: one difference of two models, with its size, its interval and its control."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Kind = Literal["text", "word", "topic", "token", "prompt"]
"""Kind of a difference: of written texts, of probabilities (words, groups of tokens, tokens), or of
prompts."""


@dataclass(frozen=True)
class Finding:
    """One difference of two models A and B.

    What chose the difference among others took no part in its figures.

    Attributes:
        kind: What differs.
        claim: The difference in one plain sentence.
        effect: Its size; positive where A has more of it.
        unit: Unit of the effect.
        low: Lower end of the 95 % interval of the effect.
        high: Upper end.
        p: Probability of an effect at least as large without a difference, adjusted for all that
            were looked at; ``None`` where nothing was tested.
        looked: How many differences were looked at.
        identical: The same measure on a pair of identical models.
        examples: Texts that show it.
        detail: Further figures, as JSON can hold them.
    """

    kind: Kind
    claim: str
    effect: float
    unit: str
    low: float
    high: float
    p: float | None
    looked: int
    identical: float
    examples: tuple[str, ...] = ()
    detail: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The finding as an object that JSON can hold."""
        return asdict(self)
