"""The report itself."""

import base64
import json
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from fuse_lightning.errors import FuseError
from fuse_lightning.report.run import Run, read_run

WIDTH, HEIGHT, PAD = 320, 120, 8


def report(run: Path, out: Path | None = None) -> None:
    """Writes ``report.html`` and ``prompts.parquet`` of a run.

    The page needs no network and no other file: pictures are in it, as are the loss curves. All
    text in it is escaped, whatever a prompt or a file name says.

    Args:
        run: The run's folder, such as logs/search/version_0.
        out: Folder to write into, by default the run's own.

    Raises:
        FuseError: If there is no run, or the folder cannot be written.
    """
    found = read_run(run)
    folder = out or run
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.html").write_text(page(found), encoding="utf-8")
    _parquet(found, folder / "prompts.parquet")
    print(f"wrote {folder / 'report.html'} and {folder / 'prompts.parquet'}")


def page(run: Run) -> str:
    """The page of a run."""
    environment = Environment(
        loader=PackageLoader("fuse_lightning.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    terms = list(run.results[0].losses)
    curves = {
        tag.removeprefix("train/"): curve(points)
        for tag, points in run.curves.items()
        if tag.startswith("train/") and len(points) > 1
    }
    return environment.get_template("report.html.jinja").render(
        name="/".join(run.folder.resolve().parts[-3:]),
        results=run.results,
        terms=terms,
        targets=len({result.target for result in run.results}),
        pictures={name: _data_url(data) for name, data in run.pictures.items()},
        curves=curves,
        size=(WIDTH, HEIGHT),
        config=run.config,
    )


def curve(points: Sequence[tuple[int, float]]) -> dict[str, str]:
    """Points of an SVG polyline, and the numbers at its ends."""
    steps, values = zip(*points, strict=True)
    low, high = min(values), max(values)
    across = (WIDTH - 2 * PAD) / max(1, steps[-1] - steps[0])
    up = (HEIGHT - 2 * PAD) / (high - low or 1.0)
    line = " ".join(
        f"{PAD + (step - steps[0]) * across:.1f},{HEIGHT - PAD - (value - low) * up:.1f}"
        for step, value in points
    )
    return {"line": line, "low": f"{low:.3g}", "high": f"{high:.3g}", "last": f"{values[-1]:.4g}"}


def _data_url(data: bytes) -> str:
    kind = "png" if data.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def _parquet(run: Run, path: Path) -> None:
    from datasets import Dataset, disable_progress_bars

    disable_progress_bars()
    rows = [
        {**result.to_dict(), "losses": json.dumps(result.losses)}
        | {f"loss_{name}": loss for name, loss in result.losses.items()}
        for result in run.results
    ]
    try:
        Dataset.from_list(rows).to_parquet(str(path))
    except OSError as error:
        raise FuseError(f"{str(path)!r} cannot be written: {error}") from error
