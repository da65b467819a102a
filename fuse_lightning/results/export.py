"""Results as lines of JSON and as rows of CSV."""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from itertools import chain

from fuse_lightning.results.result import Result
from fuse_lightning.utilities.terminal import visible

FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What a spreadsheet takes for the beginning of a formula, in its wide forms too."""


def json_lines(results: Iterable[Result]) -> str:
    """A line of JSON for each result, the exact text without controls."""
    rows = (json.dumps(result.to_dict(), ensure_ascii=False) for result in results)
    return "".join(f"{visible(row)}\n" for row in rows)


def csv_text(results: Sequence[Result], header: bool = True) -> str:
    """A row of CSV for each result, behind a header."""
    rows = [csv_row(result) for result in results]
    stream = io.StringIO()
    columns = dict.fromkeys(chain.from_iterable(rows))
    # Quotes keep a text in one cell, whatever a spreadsheet takes for a separator.
    writer = csv.DictWriter(
        stream, columns, restval="", lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC
    )
    if rows and header:
        writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def csv_row(result: Result) -> dict[str, str | float | int]:
    """A result as one flat row: a column for each term's loss, ids separated by spaces."""
    return {
        "target": safe_cell(result.target),
        "rank": result.rank,
        "prompt": safe_cell(result.prompt),
        "loss": result.loss,
        **{f"loss_{visible(name)}": loss for name, loss in result.losses.items()},
        "step": result.step,
        "seed": result.seed,
        "seconds": result.seconds,
        "finished": result.finished,
        "ids": " ".join(map(str, result.ids)),
        "digest": result.digest,
        "source": safe_cell(result.source),
    }


def safe_cell(text: str) -> str:
    """A text that a spreadsheet shows and does not compute."""
    shown = visible(text)
    return f"'{shown}" if shown.lstrip().startswith(FORMULA) else shown
