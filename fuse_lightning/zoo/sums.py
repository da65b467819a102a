"""Questions of the reasoning language as the table that comes with the package."""

import csv
import io

from fuse_lightning.zoo.reasoning import COUNT, reasoning_questions


def sums_file(count: int = COUNT, seed: int = 0) -> str:
    r"""Questions as the text of a CSV file with the columns question and label.

    Args:
        count: Number of questions.
        seed: Seed of the questions.

    >>> print(sums_file(1), end="")
    question,label
    tom has 8 cups . he makes 1 . he makes 1 .,10
    """
    out = io.StringIO()
    writer = csv.DictWriter(out, ("question", "label"), lineterminator="\n")
    writer.writeheader()
    writer.writerows(reasoning_questions(count, seed))
    return out.getvalue()
