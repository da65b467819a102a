"""Null control: how often a verdict says "better" where nothing is to be found."""

import tempfile
from collections import Counter
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.classification.pages import write_section
from benchmarks.classification.runs import Draw, Row, fit, kept, labeller
from benchmarks.classification.tables import WORDS
from benchmarks.classification.tasks import Task, shuffled
from benchmarks.machine import table
from fuse_lightning.evaluation.final import final_verdict
from fuse_lightning.evaluation.verdict import Comparison, Verdict
from fuse_lightning.optimizers import GCG
from fuse_lightning.search import HistorySearch

FIRST_SEED = 3000
"""Seeds of the labels, of the division and of the searches."""


@dataclass(frozen=True)
class Plan:
    """Sizes of the control.

    Attributes:
        searches: Number of searches, each with labels of its own.
        sizes: Train examples of each class, select examples, test examples.
        evaluations: Budget of a search.
        examples: Examples of a step.
        length: Tokens of a prompt.
        swaps: Candidates of a step.
    """

    searches: int = 40
    sizes: tuple[int, int, int] = (16, 64, 400)
    evaluations: int = 2048
    examples: int = 16
    length: int = 8
    swaps: int = 32


QUICK = Plan(2, (4, 8, 20), 64, 4, 4, 6)


def run(task: Task, plan: Plan, keep: Path | None, *, write: bool = True) -> None:
    """Counts verdicts on prompts for random labels, and on prompts that are floors themselves.

    Args:
        task: The task, whose labels are shuffled.
        plan: The sizes.
        keep: Folder of found verdicts, kept and taken up again.
        write: Whether to change the results page.
    """
    row = Row(
        GCG,
        {
            "batch_size": plan.swaps,
            "top_k": 64,
            "merge": 0,
            "gradient_samples": 0,
            "prompt_length": plan.length,
            "steps": 1000,
        },
        HistorySearch,
    )
    shared = {"max_evaluations": plan.evaluations, "examples_per_step": plan.examples}
    found, same = [], []
    for seed in range(FIRST_SEED, FIRST_SEED + plan.searches):
        draw = Draw(task, plan.sizes, seed, shuffled(task.rows(), seed))
        cell = kept(
            keep and keep / "null" / f"{task.name}-{seed}.json",
            [*astuple(replace(plan, searches=0)), *task.settings],
            lambda draw=draw: control(row, draw, shared),
        )
        found.append(Verdict.from_dict(cell["found"]))
        same += identical(Verdict.from_dict(cell["same"]))
        print("null", seed, found[-1].sentence, flush=True)
    pairs = [each for verdict in found for each in verdict.comparisons]
    lines = {
        "found prompt, strongest floor": Counter(verdict.word for verdict in found),
        "found prompt, each floor": Counter(each.word for each in pairs),
        "a floor's own text, that floor": Counter(each.word for each in same),
    }
    better = lines["found prompt, strongest floor"]["better"]
    write_section(
        "Null control",
        f"Labels of task `{task.name}` under `{task.model}` dealt out at random, anew for each of "
        f"{plan.searches} searches by GCG ({plan.evaluations} evaluations; "
        f"{plan.sizes[1]} examples choose, {plan.sizes[2]} report). A verdict is two-sided at 5 %, "
        'so that "better" is expected in at most 2.5 % of the searches against one floor. It was '
        f"said {better} times in {len(found)} against the strongest floor. The last line gives "
        "the texts of the floors as found prompts, each against the floor with the same text.\n\n"
        + table(
            ["verdict on", *WORDS],
            [[name, *(str(count[word]) for word in WORDS)] for name, count in lines.items()],
        ),
        keep=write,
    )


def control(row: Row, draw: Draw, shared: dict[str, Any]) -> dict[str, Any]:
    """Verdicts on the found prompt, and on the floors' own texts, as plain data."""
    with tempfile.TemporaryDirectory() as name:
        module = fit(row, draw, Path(name), shared)
        target, *_ = module.trainer.datamodule.targets
        options = draw.task.floors()
        best = module.results[0].prompt
        found = final_verdict(labeller(module), target, [best], options, 0).verdict
        texts = [*dict.fromkeys(floor.text for floor in found.floors)]
        same = final_verdict(labeller(module), target, texts, options, 0).verdict
    return {"found": found.to_dict(), "same": same.to_dict()}


def identical(verdict: Verdict) -> list[Comparison]:
    """Comparisons of a prompt with a floor of the same text."""
    texts = {each.name: each.text for each in (*verdict.candidates, *verdict.floors)}
    return [each for each in verdict.comparisons if texts[each.candidate] == texts[each.floor]]
