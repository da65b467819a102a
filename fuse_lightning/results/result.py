"""Result of a search for one target, and the files that hold results."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from fuse_lightning.errors import FuseError
from fuse_lightning.utilities.regular import read_regular
from fuse_lightning.utilities.terminal import quoted

LARGEST = 2**32
"""Largest file of results, in bytes."""
TEXTS = "texts.jsonl"
"""Texts that ``fuse decode`` writes."""
SCHEMA = 2
"""Version of the fields of a result: it rises when one is added, removed or changes its meaning.

Version 1 had no field of that name, and began without ``digest``, ``source`` and the counts.
"""
NO_PROMPT = "no prompt was found for target"
"""Beginning of the reason why a target that was searched has no prompt."""


@dataclass(frozen=True)
class Result:
    """Prompt found for a target, with its losses.

    Attributes:
        target: Id of the target.
        prompt: Text of the prompt.
        ids: Token ids of the prompt in the primary tokenizer.
        loss: Value of the objective; lower is better.
        losses: Loss of each term, unweighted.
        step: Step of the target's search in which it was found, from 1; 0 for a given start.
        seed: Seed of the run.
        seconds: Wall time of the target's steps; a step's time is shared equally by its batch.
        rank: 1 for the best prompt of the target, 2 for the next.
        finished: Whether its search came to its end, and was not cut short with the run.
        digest: SHA-256 of the target's content, in hex; empty where it is not known.
        source: Origin of the target: a path from ``data.root`` or an address, a table and its row,
            a text, or the name of a picture in memory; empty where it is not known.
        evaluations: Number of prompts that were scored for the target; where it has examples, of
            pairs of a prompt and an example. Each counts once, however often it was asked for.
        tokens: Positions that the models read for the target, padding included; a step's are
            shared equally by its batch, as seconds are.
        flops: Floating-point operations of the models for the target, backward passes included.
        curve: Steps of the target's search after which the best loss was another one, each with
            this loss; empty for all ranks but the first.
        schema: Version of these fields.

    >>> result = Result("a.png", "a red star", [5, 7], 1.5, {"fluency": 1.5}, 3, 0, 0.2)
    >>> Result.from_dict(result.to_dict()) == result
    True
    """

    target: str
    prompt: str
    ids: list[int]
    loss: float
    losses: dict[str, float]
    step: int
    seed: int
    seconds: float
    rank: int = 1
    finished: bool = True
    digest: str = ""
    source: str = ""
    evaluations: int = 0
    tokens: int = 0
    flops: float = 0.0
    curve: list[tuple[int, float]] = field(default_factory=list)
    schema: int = SCHEMA

    def to_dict(self) -> dict[str, Any]:
        """Dictionary of plain values, for JSON and checkpoints."""
        return asdict(self) | {"curve": [[*point] for point in self.curve]}

    @classmethod
    def from_dict(cls, values: Any) -> "Result":
        """Result from a dictionary that :meth:`to_dict` made, also in an earlier version.

        Raises:
            FuseError: If it is of a later version.
            TypeError: If a value is missing or of another type.
        """
        if not isinstance(values, dict):
            raise TypeError("it is no object")
        version = values.get("schema", 1)
        if isinstance(version, int) and version > SCHEMA:
            raise FuseError(
                f"schema {version} is that of a newer fuse-lightning, and this one reads up to "
                f"{SCHEMA}; install the newer one"
            )
        # Earlier fields mean the same, and what is new has a default.
        # JSON has no tuples.
        curve = [tuple(point) for point in values.get("curve", [])]
        found = cls(**values | {"schema": SCHEMA, "curve": curve})
        for each in fields(cls):
            if not _is(getattr(found, each.name), each.type):
                raise TypeError(f"{each.name} is {getattr(found, each.name)!r}")
        return found


def _is(value: Any, kind: Any) -> bool:
    """Whether a JSON value has the type of a result's field."""
    if kind == list[int]:
        return isinstance(value, list) and all(_is(item, int) for item in value)
    if kind == dict[str, float]:
        return isinstance(value, dict) and all(_is(item, float) for item in value.values())
    if kind == list[tuple[int, float]]:
        points = isinstance(value, list) and all(len(point) == 2 for point in value)
        return points and all(_is(step, int) and _is(loss, float) for step, loss in value)
    if kind in (str, bool):
        return isinstance(value, kind)
    # Larger numbers fit no table.
    whole = isinstance(value, int) and abs(value) < 2**63
    return whole or (kind is float and isinstance(value, float))


def read_results(path: Path) -> list[Result]:
    """Reads a ``prompts.jsonl``; an unfinished last line is left out.

    Raises:
        FuseError: If the file cannot be read, another line is no result, or one is of a newer
            version.
    """
    try:
        lines = read_regular(path, LARGEST).split(b"\n")
    except OSError as error:
        raise FuseError(
            f"results {quoted(path)} cannot be read: {error}; give prompts.jsonl of a run"
        ) from error
    results = []
    for number, line in enumerate(lines, start=1):
        try:
            if line.strip():
                results.append(Result.from_dict(json.loads(line.decode("utf-8"))))
        except FuseError as error:
            raise FuseError(f"line {number} of {str(path)!r} cannot be read: {error}") from error
        except (RecursionError, TypeError, ValueError) as error:
            if number < len(lines):
                remedy = "give prompts.jsonl" if path.suffix == ".csv" else "remove the line"
                raise FuseError(f"line {number} of {str(path)!r} is no result; {remedy}") from error
    return results


def result_files(folder: Path) -> list[Path]:
    """Files of a run's results: the joined file, then the newer files of single devices."""
    whole = folder / "prompts.jsonl"
    return [*([whole] if whole.is_file() else []), *sorted(folder.glob("prompts-rank*.jsonl"))]


def read_targets(paths: Iterable[Path]) -> dict[str, list[Result]]:
    """Results by target, best first; later files replace targets of earlier ones."""
    found: dict[str, list[Result]] = {}
    for path in paths:
        rows: dict[str, list[Result]] = {}
        for result in read_results(path):
            rows.setdefault(result.target, []).append(result)
        found |= rows
    return found


def run_results(folder: Path) -> list[Result]:
    """Results in the folder of a run, finished or not, by target and best first.

    Raises:
        FuseError: If the folder holds no prompts.
    """
    results = [result for rows in read_targets(result_files(folder)).values() for result in rows]
    if not results and (folder / TEXTS).is_file():
        raise FuseError(
            f"{str(folder)!r} holds texts of fuse decode, whose page is report.html in it; give "
            "the folder of a search, such as logs/search/version_0"
        )
    if not results:
        raise FuseError(
            f"{str(folder)!r} holds no prompts.jsonl with results; give the folder of a run, such "
            "as logs/search/version_0"
        )
    return results
