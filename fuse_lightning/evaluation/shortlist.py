"""Reading of several prompts on the same test examples: rank tiers, and the best one's accuracy."""

from itertools import combinations

import numpy as np
import torch

from fuse_lightning.errors import FuseError
from fuse_lightning.evaluation.paired import ALPHA, holm, mcnemar, wins_and_losses

REPEATS = 200
"""Random halvings of the test examples over which a cross-fitted accuracy is a mean."""


def rank_tiers(right: torch.Tensor, alpha: float = ALPHA) -> list[int]:
    """Tiers of prompts that the examples cannot rank among themselves.

    Tier 1 holds all prompts that McNemar's exact test cannot tell from the most accurate one. The
    most accurate of the others begins tier 2, and so on. Which prompt is the most accurate is read
    from the same examples, so any two may meet in a test: Holm's method adjusts over all pairs.

    Args:
        right: Whether each prompt is right on each example, shape ``(N, E)``.
        alpha: Share of cases in which equal prompts may be told apart.

    Returns:
        Tier of each prompt, from 1; lower is better.

    >>> good, bad = [True] * 20, [False] * 20
    >>> rank_tiers(torch.tensor([bad, good, [True] * 18 + [False] * 2]))
    [2, 1, 1]
    """
    pairs = [*combinations(range(len(right)), 2)]
    values = holm([mcnemar(*wins_and_losses(right[a], right[b])) for a, b in pairs])
    told = {frozenset(pair) for pair, value in zip(pairs, values, strict=True) if value <= alpha}
    counts = right.sum(1).tolist()
    left = sorted(range(len(right)), key=lambda prompt: -counts[prompt])
    tiers = [0] * len(right)
    tier = 0
    while left:
        tier += 1
        best = left[0]
        for prompt in left:
            tiers[prompt] = 0 if frozenset((best, prompt)) in told else tier
        left = [prompt for prompt in left if not tiers[prompt]]
    return tiers


def cross_fitted(right: torch.Tensor, repeats: int = REPEATS, seed: int = 0) -> float:
    """Accuracy to expect of the prompt that does best on the test examples.

    The highest of several accuracies is too high: it was chosen for being high. Here one random
    half of the examples chooses, the other half reports, and both change places; the mean over
    many halvings has no such bias (after SIREN, arXiv 2605.05973).

    Args:
        right: Whether each prompt is right on each example, shape ``(N, E)``.
        repeats: Number of halvings.
        seed: Seed of the halvings.

    Returns:
        The mean accuracy, from 0 to 1.

    Raises:
        FuseError: If there are fewer than two examples.

    >>> right = torch.tensor([[True, True, False, False], [False, False, True, True]])
    >>> f"{cross_fitted(right, repeats=2000):.1f}, and not {right.double().mean(1).max():.1f}"
    '0.3, and not 0.5'
    """
    examples = right.shape[1]
    if examples < 2:
        raise FuseError(f"{examples} test examples cannot be halved; give at least 2")
    values = right.cpu().numpy()
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(repeats):
        order = generator.permutation(examples)
        halves = order[: examples // 2], order[examples // 2 :]
        for chooses, reports in (halves, halves[::-1]):
            best = values[:, chooses].sum(1).argmax()
            found.append(values[best, reports].mean())
    return float(np.mean(found))
