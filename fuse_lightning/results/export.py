"""Results as lines of JSON and as rows of CSV."""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from itertools import chain

from fuse_lightning.results.result import Result
from fuse_lightning.utilities.terminal import visible

FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""First characters of a spreadsheet formula, wide forms included."""


def json_lines(results: Iterable[Result]) -> str:
    """JSON-lines text of results; control characters are escaped, so every value is exact."""
    rows = (json.dumps(result.to_dict(), ensure_ascii=False) for result in results)
    return "".join(f"{visible(row)}\n" for row in rows)


def csv_text(results: Sequence[Result], header: bool = True) -> str:
    """CSV text of results, a row each, with or without a header."""
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
    """Flat row of a result: a column for each term's loss, ids separated by spaces."""
    return {
        "target": safe_cell(result.target),
        "rank": result.rank,
        "prompt": safe_cell(result.prompt),
        "loss": result.loss,
        **{f"loss_{visible(name)}": loss for name, loss in result.losses.items()},
        "step": result.step,
        "seed": result.seed,
        "seconds": result.seconds,
        "evaluations": result.evaluations,
        "tokens": result.tokens,
        "flops": result.flops,
        "finished": result.finished,
        "ids": " ".join(map(str, result.ids)),
        "digest": result.digest,
        "source": safe_cell(result.source),
        "schema": result.schema,
    }


def safe_cell(text: str) -> str:
    """Text that a spreadsheet shows as it is and does not compute.

    >>> safe_cell("=1+1"), safe_cell("a red house")
    ("'=1+1", 'a red house')
    """
    shown = visible(text)
    return f"'{shown}" if shown.lstrip().startswith(FORMULA) else shown
