"""Files of verdicts in a run's folder: the verdicts, and the answers to single examples."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from fuse_lightning.errors import FuseError
from fuse_lightning.evaluation.final import Judged
from fuse_lightning.evaluation.verdict import Verdict
from fuse_lightning.utilities.files import replace_file
from fuse_lightning.utilities.regular import read_text
from fuse_lightning.utilities.terminal import quoted, visible

FILE, EXAMPLES = "verdict.json", "verdict-examples.jsonl"
_BROKEN = AttributeError, KeyError, OverflowError, RecursionError, TypeError, ValueError
"""What reading a line of another shape raises."""
Pair = tuple[str, str]
"""A target, and the model that judges its prompts."""
Part = TypeVar("Part")


@dataclass(frozen=True)
class Answered:
    """A test example with the answers of the chosen prompt and of the strongest floor.

    Attributes:
        example: Its texts by field, without the right answer.
        label: Its right answer, or class.
        answers: What the prompt answers, and what the floor does; empty for no answer.
        probabilities: Probability of the right answer with each.
        right: Whether each answer is right.
        chains: Chain with each; ``None`` where answers need none.
    """

    example: Mapping[str, Any]
    label: str
    answers: tuple[str, str]
    probabilities: tuple[float, float]
    right: tuple[bool, bool]
    chains: tuple[str, str] | None = None


def write_verdicts(folder: Path, judged: Mapping[str, Mapping[str, Judged]]) -> None:
    """Writes ``verdict.json`` and ``verdict-examples.jsonl``.

    Of what an earlier test has written stay the verdicts on other targets, and those of other
    models on the same prompts.

    Args:
        folder: Where.
        judged: Verdicts by target and model.

    Raises:
        FuseError: If one cannot be written.
    """
    kept = _earlier(folder, judged)
    whole = {
        target: kept.get(target, {})
        | {model: each.verdict.to_dict() for model, each in judged.get(target, {}).items()}
        for target in {**kept, **judged}
    }
    rows = [
        *_earlier_rows(folder / EXAMPLES, kept),
        *(
            {"target": target, "model": model, **row}
            for target, verdicts in judged.items()
            for model, each in verdicts.items()
            for row in each.examples
        ),
    ]
    lines = [visible(line) for line in json.dumps(whole, indent=2, ensure_ascii=False).split("\n")]
    _write(folder / FILE, "".join(f"{line}\n" for line in lines))
    text = "".join(f"{visible(json.dumps(row, ensure_ascii=False))}\n" for row in rows)
    _write(folder / EXAMPLES, text)


def _earlier(
    folder: Path, judged: Mapping[str, Mapping[str, Judged]]
) -> dict[str, dict[str, dict[str, Any]]]:
    """Verdicts of a file on targets, or under models, that are not judged now.

    Of a target that is judged now they must be on the same prompts.
    """
    kept: dict[str, dict[str, dict[str, Any]]] = {}
    for (target, model), verdict in known_verdicts(folder).items():
        now = judged.get(target, {})
        texts = [[one.text for one in each.verdict.candidates] for each in now.values()]
        same = [one.text for one in verdict.candidates] in texts
        if target not in judged or (model not in now and same):
            kept.setdefault(target, {})[model] = verdict.to_dict()
    return kept


def known_verdicts(folder: Path) -> dict[Pair, Verdict]:
    """Verdicts in a run's folder; none where there is no whole file of them."""
    path = folder / FILE
    if not path.is_file():
        return {}
    try:
        return read_verdicts(read_text(path))[0]
    except (OSError, ValueError):
        return {}


def _earlier_rows(
    path: Path, kept: Mapping[str, Mapping[str, dict[str, Any]]]
) -> list[dict[str, Any]]:
    """Rows of a file of answers that belong to kept verdicts."""
    if not kept or not path.is_file():
        return []
    try:
        rows = [json.loads(line) for line in read_text(path).splitlines()]
        return [row for row in rows if row["model"] in kept.get(row["target"], {})]
    except (OSError, *_BROKEN):
        return []


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, text)
    except OSError as error:
        raise FuseError(
            f"{quoted(path)} cannot be written ({error.strerror or error}); make room or allow "
            "writing there, then run: fuse test --run FOLDER"
        ) from error


def read_verdicts(text: str) -> tuple[dict[Pair, Verdict], dict[Pair, str]]:
    """Reads the content of ``verdict.json``.

    Returns:
        The verdicts, and the reasons why other entries are none.

    Raises:
        ValueError: If it holds no verdicts at all.

    >>> read_verdicts('{"moods": {"gpt2": 3}}')
    ({}, {('moods', 'gpt2'): 'verdict is 3; it must be an object with fields'})
    """
    try:
        whole = json.loads(text)
        entries = [
            ((target, model), data)
            for target, verdicts in whole.items()
            for model, data in verdicts.items()
        ]
    except (AttributeError, RecursionError) as error:
        raise ValueError("it holds no verdicts by target and model") from error
    found, broken = {}, {}
    for pair, data in entries:
        try:
            found[pair] = Verdict.from_dict(data)
        except (OverflowError, ValueError) as error:
            broken[pair] = str(error)
    return found, broken


def read_examples(text: str) -> dict[Pair, list[Answered]]:
    """Reads the content of ``verdict-examples.jsonl``.

    Raises:
        ValueError: If a line holds no answers; names the line.

    >>> read_examples("{}")
    Traceback (most recent call last):
    ValueError: line 1 holds no answers
    """
    found: dict[Pair, list[Answered]] = {}
    for number, line in enumerate(text.removesuffix("\n").split("\n"), start=1):
        try:
            row = json.loads(line)
            pair = _text(row["target"]), _text(row["model"])
            found.setdefault(pair, []).append(_answered(row))
        except _BROKEN as error:
            raise ValueError(f"line {number} holds no answers") from error
    return found


def check_examples(verdict: Verdict, rows: Sequence[Answered]) -> None:
    """Checks that answers to single examples are those behind a verdict.

    Raises:
        ValueError: If they are not.
    """
    rights = [row.right for row in rows]
    told = len(rows), rights.count((True, False)), rights.count((False, True))
    headline = verdict.headline
    known = not verdict.labels or all(
        {row.label, *row.answers} <= {*verdict.labels} for row in rows
    )
    known = known and all((row.chains is None) == (verdict.chains is None) for row in rows)
    if not known or told != (verdict.examples, headline.wins, headline.losses):
        raise ValueError("it holds other answers than those behind the verdict")


def _answered(row: Any) -> Answered:
    example = dict(row["example"])
    label = _text(example.pop("label"))
    (ours, theirs), (sure, floor_sure) = row["answers"], row["probabilities"]
    probabilities = float(sure), float(floor_sure)
    if not all(math.isfinite(each) for each in probabilities):
        raise ValueError("a probability is no number")
    answers = _text(ours), _text(theirs)
    right = answers[0] == label, answers[1] == label
    chains = None
    if "chains" in row:
        right, chains = _pair(row["right"], bool), _pair(row["chains"], str)
    return Answered(example, label, answers, probabilities, right, chains)


def _pair(values: Any, kind: type[Part]) -> tuple[Part, Part]:
    """What belongs to the prompt, and to the floor."""
    ours, theirs = values
    if not (isinstance(ours, kind) and isinstance(theirs, kind)):
        raise TypeError(f"{values!r} holds no {kind.__name__}")
    return ours, theirs


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value
