"""Strongest of several prompts, by the examples that choose."""

from collections.abc import Iterable


def strongest(figures: Iterable[tuple[float, float]]) -> int:
    """Number of the prompt with the highest accuracy.

    Of equal ones it is that with the lower loss, which is the surer one; else the first.

    Args:
        figures: Accuracy and mean loss of each prompt.

    >>> strongest([(0.5, 0.1), (0.9, 0.7), (0.9, 0.3), (0.9, 0.3)])
    2
    """
    ranks = [(accuracy, -loss) for accuracy, loss in figures]
    return ranks.index(max(ranks))
