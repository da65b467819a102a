"""Published methods of decoding as contrasts of streams."""

from fuse_lightning.decoding.contrast import Contrast


def contrastive(beta: float | None = None, alpha: float = 0.1) -> Contrast:
    """Contrastive decoding of an expert A and an amateur B.

    Args:
        beta: ``None`` for the difference A - B of arXiv 2210.15097; else (1 + beta) A - beta B of
            arXiv 2309.09117, which advises 0.5.
        alpha: Least probability by the expert, as a share of its likeliest token's.

    >>> contrastive().weights, contrastive(0.5).weights
    ((1.0, -1.0), (1.5, -0.5))
    """
    return Contrast((1.0, -1.0) if beta is None else (1 + beta, -beta), alpha=alpha)


def guidance(scale: float) -> Contrast:
    """Classifier-free guidance of a model with its prompt (A) and without it (B), arXiv 2306.17806.

    Args:
        scale: Strength; 1 is A alone.

    >>> guidance(1.5).weights
    (1.5, -0.5)
    """
    return Contrast((scale, 1 - scale))


def context_aware(amount: float = 0.5) -> Contrast:
    """Context-aware decoding of a text with its context (A) and without it (B).

    Source: arXiv 2305.14739.

    Args:
        amount: Strength; 0 is A alone.
    """
    return Contrast((1 + amount, -amount))


def proxy(amount: float = 1.0) -> Contrast:
    """Proxy tuning: a model A moved by what tuning did to a small one, B before and C after.

    Source: arXiv 2401.08565; as DExperts arXiv 2105.03023.

    Args:
        amount: Strength; 0 is A alone.

    >>> proxy().weights
    (1.0, -1.0, 1.0)
    """
    return Contrast((1.0, -amount, amount))


def amplification(amount: float = 1.0) -> Contrast:
    """Amplified change of a model: after (A) plus ``amount`` times the step from before (B).

    Args:
        amount: Strength; 0 is A alone, -1 is B alone.
    """
    return Contrast((1 + amount, -amount))


def layers(alpha: float = 0.1) -> Contrast:
    """Decoding by contrasting layers: the last layer A against an early one B, arXiv 2309.03883.

    The published candidates for B are those of
    :func:`~fuse_lightning.decoding.early_layers.early_layers`.

    Args:
        alpha: Least probability by the last layer, as a share of its likeliest token's.
    """
    return Contrast((1.0, -1.0), alpha=alpha)


def residual(least: float = 0.01) -> Contrast:
    """Residual of A over B: samples in proportion to max(0, p_A - p_B).

    Args:
        least: Where the total variation of the two is less, A alone decides.
    """
    return Contrast((1.0, -1.0), mode="residual", least=least)


PRESETS = {
    "contrastive": contrastive,
    "guidance": guidance,
    "context_aware": context_aware,
    "proxy": proxy,
    "amplification": amplification,
    "layers": layers,
    "residual": residual,
}
"""Presets by name."""
