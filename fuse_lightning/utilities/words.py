"""Names made of words: snake case of class names, numbers behind equal names."""

import itertools
import re
from collections.abc import Sequence

BOUNDARY = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def snake_case(name: str) -> str:
    """A class name in lower case, its words joined by underscores.

    >>> snake_case("ImageSimilarity"), snake_case("KLDivergence")
    ('image_similarity', 'kl_divergence')
    """
    return BOUNDARY.sub("_", name).lower()


def distinct_names(names: Sequence[str]) -> list[str]:
    """The names, each one that stands earlier in the list with a number behind it.

    >>> distinct_names(["fluency", "sentiment", "fluency", "fluency"])
    ['fluency', 'sentiment', 'fluency_2', 'fluency_3']
    """
    told = list(names)
    for place, name in enumerate(names):
        if name in told[:place]:
            others = {*told[:place], *told[place + 1 :]}
            told[place] = next(
                numbered
                for number in itertools.count(2)
                if (numbered := f"{name}_{number}") not in others
            )
    return told
