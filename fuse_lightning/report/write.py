"""Writer of a run's report: one HTML page and one Parquet table."""

import base64
import io
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from statistics import fmean
from typing import Any

from markupsafe import Markup

from fuse_lightning.data.images import read_image
from fuse_lightning.errors import FuseError
from fuse_lightning.evaluation.sentence import chance, percent, points, spaced
from fuse_lightning.evaluation.table import names, shown, title
from fuse_lightning.metrics import About
from fuse_lightning.report.curves import HEIGHT, WIDTH, curves_of
from fuse_lightning.report.run import Run, read_run
from fuse_lightning.report.templates import environment_of_pages, own_file
from fuse_lightning.report.verdicts import (
    BAR,
    KINDS,
    MOST_CHAIN,
    MOST_OPEN,
    MOST_ROWS,
    MOST_VERDICTS,
    PAIRS,
    SIGNS,
    shortened,
)
from fuse_lightning.utilities.files import replace_file
from fuse_lightning.utilities.terminal import visible

PICTURE = 144, 96
"""Largest width and height of a picture on the page; the file has twice as many pixels."""


def report(run: Path, out: Path | None = None) -> None:
    """Writes ``report.html`` and ``prompts.parquet`` of a run.

    The page needs no network and no other file: pictures are in it, as are the loss curves. All
    text in it is escaped, whatever a prompt or a file name says, and its browser is told to run no
    other script than the page's own.

    Args:
        run: The run's folder, such as logs/search/version_0.
        out: Folder to write into, by default the run's own.

    Raises:
        FuseError: If there is no run, or the folder cannot be written.
    """
    found = read_run(run)
    folder = out or run
    path = folder / "report.html"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        replace_file(path, page(found))
        path = folder / "prompts.parquet"
        replace_file(path, table(found))
    except OSError as error:
        raise FuseError(
            f"{str(path)!r} cannot be written ({error.strerror or error}); make room there, or "
            "give another folder as --out"
        ) from error
    print(visible(f"wrote {folder / 'report.html'} and {path}"))


def page(run: Run) -> str:
    """HTML page of a run."""
    environment = environment_of_pages()
    environment.filters |= _filters()
    terms = _terms(run)
    pictures = {name: _thumbnail(data) for name, data in run.pictures.items()}
    return environment.get_template("report.html.jinja").render(
        name=visible("/".join(run.folder.resolve().parts[-3:])),
        results={
            target: [*rows] for target, rows in groupby(run.results, key=lambda row: row.target)
        },
        count=len(run.results),
        ranked=any(result.rank != 1 for result in run.results),
        terms=terms,
        weights=run.weights,
        means=_means(run, terms),
        skipped=run.skipped,
        counted=any(result.evaluations or result.tokens for result in run.results),
        pictures={name: picture for name, picture in pictures.items() if picture is not None},
        curves=curves_of(run, terms),
        size=(WIDTH, HEIGHT),
        config=run.config,
        figures=_figures(run),
        verdicts=run.verdicts,
        signs=SIGNS,
        kinds=KINDS,
        pairs=PAIRS,
        bar_size=BAR,
        most={
            "rows": MOST_ROWS,
            "verdicts": MOST_VERDICTS,
            "open": MOST_OPEN,
            "chain": MOST_CHAIN,
        },
        style=own_file("report.css"),
        script=own_file("report.js"),
    )


def _filters() -> dict[str, Callable[[Any], str]]:
    """Functions that the template writes texts and figures with."""
    numbers = {"chance": _chance, "percent": percent, "points": points, "spaced": spaced}
    return {"shortened": shortened, "breakable": _breakable, **numbers}


def _breakable(name: str) -> str:
    """A name that may go on in the next line behind an underscore."""
    return Markup("_<wbr>").join(name.split("_"))


def _chance(p: float) -> str:
    """A P value as a cell of a column that is named p."""
    return chance(p).removeprefix("p ").removeprefix("= ")


@dataclass
class FigureTable:
    """Table of an evaluation for the page.

    Attributes:
        sources: Titles of the columns: where prompts come from.
        rows: Title, unit and cells of each figure.
        notes: Notes about floors, by name.
    """

    sources: list[str]
    rows: list[tuple[str, str, list[str]]]
    notes: dict[str, str]


def _figures(run: Run) -> FigureTable | None:
    """Table of figures; ``None`` without an evaluation."""
    if run.evaluation is None:
        return None
    figures, measures = run.evaluation.figures, run.evaluation.measures
    rows = []
    for name in names(figures):
        about = measures.get(name, About())
        cells = [shown(row.get(name), about) for row in figures.values()]
        rows.append((title(name, about), about.unit, cells))
    return FigureTable([*figures], rows, run.evaluation.notes)


def _means(run: Run, terms: Sequence[str]) -> dict[str, float]:
    """Means of the best prompts of all targets; empty for a single target."""
    best = [result for result in run.results if result.rank == 1]
    if len(best) < 2:
        return {}
    columns = {"loss": [result.loss for result in best]}
    columns |= {
        f"loss {name}": [result.losses[name] for result in best if name in result.losses]
        for name in terms
    }
    for name in ("step", "seconds", "evaluations", "tokens", "flops"):
        columns[name] = [getattr(result, name) for result in best]
    return {name: fmean(values) if values else math.nan for name, values in columns.items()}


def _terms(run: Run) -> list[str]:
    """Names of all terms, in the order of their first occurrence in the results."""
    return [*dict.fromkeys(name for result in run.results for name in result.losses)]


@dataclass
class Picture:
    """Picture of the page, with its displayed size."""

    url: str
    width: int
    height: int


def _thumbnail(data: bytes) -> Picture | None:
    """Small JPEG of a picture; ``None`` if it is broken or too large."""
    try:
        image = read_image(data)
    except FuseError:
        return None
    small = io.BytesIO()
    image.thumbnail((2 * PICTURE[0], 2 * PICTURE[1]))
    image.save(small, "JPEG", quality=80)
    url = f"data:image/jpeg;base64,{base64.b64encode(small.getvalue()).decode()}"
    image.thumbnail(PICTURE)
    return Picture(url, *image.size)


def table(run: Run) -> bytes:
    """Parquet table of all results, with a column for each term's loss and the exact text."""
    from datasets import Dataset, disable_progress_bars

    disable_progress_bars()
    terms = _terms(run)
    rows = [
        {**result.to_dict(), "losses": json.dumps(result.losses)}
        | {name: _utf8(getattr(result, name)) for name in ("target", "prompt", "source")}
        | {f"loss_{_utf8(name)}": result.losses.get(name) for name in terms}
        for result in run.results
    ]
    buffer = io.BytesIO()
    Dataset.from_list(rows).to_parquet(buffer)
    return buffer.getvalue()


def _utf8(text: str) -> str:
    """The text with escapes for bytes of file names that are no UTF-8."""
    return text.encode(errors="backslashreplace").decode()
