"""Findings of a search for prompts: where two models diverge, in words and with an interval."""

from __future__ import annotations

from collections.abc import Sequence

from scipy.stats import norm

from fuse_lightning.diffing.finding import Finding
from fuse_lightning.results.result import Result

UNITS = {"tv": "total variation per token", "centred_l1": "logits per token"}
"""Units of measures that are not in nats."""
LEVEL = 0.95


def prompt_findings(results: Sequence[Result], measure: str) -> list[Finding]:
    """Findings of the results of a ``DivergenceSearch``, one for each prompt.

    The effect is the divergence of fresh texts, with its normal interval; it has no sign, as a
    divergence says that two models differ, and not which has more of something.

    Args:
        results: The results, with their figures.
        measure: Divergence that was measured.

    >>> figures = {"divergence": 0.4, "standard_error": 0.1, "selecting_divergence": 0.5}
    >>> result = Result("any", "a picture of", [], -0.4, figures, 3, 0, 1.0, evaluations=90)
    >>> (found,) = prompt_findings([result], "js")
    >>> found.claim, round(found.low, 2), round(found.high, 2), found.looked
    ("behind 'a picture of' the models diverge by 0.4 nats per token", 0.2, 0.6, 90)
    """
    unit = UNITS.get(measure, "nats per token")
    apart = float(norm.ppf((1 + LEVEL) / 2))
    return [
        Finding(
            kind="prompt",
            claim=f"behind {result.prompt!r} the models diverge by {effect:.3g} {unit}",
            effect=effect,
            unit=unit,
            low=max(0.0, effect - apart * error),
            high=effect + apart * error,
            p=None,
            looked=result.evaluations,
            # Equal distributions have no divergence, whatever text is sampled.
            identical=0.0,
            examples=(result.prompt,),
            detail={"measure": measure, **result.losses, "step": result.step},
        )
        for result in results
        for effect, error in [(result.losses["divergence"], result.losses["standard_error"])]
    ]
