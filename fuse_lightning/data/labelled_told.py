"""Line about what was read of a source of labelled examples, for the user to check."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence

from lightning.pytorch.utilities import rank_zero_only

from fuse_lightning.data.labelled_columns import LABEL, Chosen
from fuse_lightning.data.labelled_splits import Pool
from fuse_lightning.utilities.terminal import visible

logger = logging.getLogger(__name__)

MOST = 8
"""Most classes that the line names."""


def told(
    name: str,
    chosen: Chosen,
    words: Mapping[str, Sequence[str]],
    splits: Mapping[str, Pool],
    left_out: Mapping[str, int],
) -> str:
    """One line: the columns, the classes with words and counts, and what was left out.

    Args:
        name: Name of the source.
        chosen: Columns that were read.
        words: Words of each class.
        splits: Examples of each split.
        left_out: Number of left-out rows by the reason.

    >>> told(
    ...     "a.csv",
    ...     Chosen({"text": "x"}, "y", guessed=["y"]),
    ...     {"0": ["bad"], "1": ["good", "fine"]},
    ...     {"train": {"a": {"text": "a", "label": "0"}, "b": {"text": "b", "label": "1"}}},
    ...     {"repeated": 3, "unused": 0},
    ... )
    "a.csv: {text} is column x, the class is column y (guessed); train: 0 ('bad') 1, 1 ('good', \
'fine') 1; left out: 3 repeated"
    """
    counts = {
        split: Counter(example[LABEL] for example in pool.values())
        for split, pool in splits.items()
        if pool
    }
    fields = [f"{{{field}}} is {_column(each, chosen)}" for field, each in chosen.fields.items()]
    classes = [
        f"{each} ({', '.join(map(repr, words[each]))}) "
        + "/".join(str(count[each]) for count in counts.values())
        for each in [*words][:MOST]
    ]
    more = [f"{len(words) - MOST} more classes"] if len(words) > MOST else []
    parts = [
        f"{name}: {', '.join(fields)}, the class is {_column(chosen.label, chosen)}",
        f"{'/'.join(counts)}: {', '.join([*classes, *more])}",
    ]
    if out := [f"{count} {reason}" for reason, count in left_out.items() if count]:
        parts.append(f"left out: {', '.join(out)}")
    return "; ".join(parts)


def _column(name: str, chosen: Chosen) -> str:
    return f"column {name}{' (guessed)' if name in chosen.guessed else ''}"


@rank_zero_only
def warn(line: str) -> None:
    """Warns of examples that are left out, once for all devices."""
    logger.warning("%s", visible(line))
