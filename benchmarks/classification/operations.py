"""Every optimizer on a task of the zoo, at equal floating-point operations."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.classification.asked import Asked
from benchmarks.classification.pages import around, spread, write_section
from benchmarks.classification.rows import MANY, all_rows
from benchmarks.classification.runs import Draw, Row, fit, kept
from benchmarks.classification.tasks import Task
from benchmarks.machine import table
from fuse_lightning.data import LabelledExamples
from fuse_lightning.evaluation.answers import Labeller
from fuse_lightning.objectives import Objective
from fuse_lightning.optimizers import GCG, AutoDAN, GReaTer, PromptOptimizer, SimplexDescent
from fuse_lightning.optimizers.racing import Racing
from fuse_lightning.search import BeamSearch, HistorySearch

FIRST_SEED = 8000
"""Seeds of what is reported begin here. Options were tried with others."""
PARTS = (0.25, 0.5, 1.0)
"""Shares of the operations after which the best prompt is judged."""
TURNS = 1.4
"""Evaluations that FluentPrompt makes in 1e8 operations, from which the steps of its noise come."""


@dataclass(frozen=True)
class Plan:
    """Sizes of a comparison.

    Attributes:
        seeds: Number of draws of examples, each with a search of its own.
        shots: Train examples of each class.
        select: Examples that choose.
        test: Examples that report.
        flops: Budget of a search, in floating-point operations, those of gradients included.
        examples: Examples of a step.
        length: Tokens of a prompt.
        swaps: Candidates of a step.
    """

    seeds: int = 3
    shots: int = 16
    select: int = 96
    test: int = 400
    flops: float = 2e11
    examples: int = 16
    length: int = 8
    swaps: int = 48


QUICK = Plan(1, 4, 8, 20, 1e9, 4, 4, 6)
BAR = "the best stock instruction"


def rows(plan: Plan) -> dict[str, Row]:
    """The optimizers, of which only GReaTer asks the examples as questions."""
    evaluations = max(2 * plan.examples, round(TURNS * plan.flops / 1e8))
    found = all_rows(evaluations, plan.examples, plan.length, plan.swaps)
    for name in ("PEZ", "AutoPrompt-SGD"):
        found[name] = replace(found[name], options=found[name].options | {"steps": MANY})
    size = {"prompt_length": plan.length, "steps": MANY}
    growing = {"batch_size": max(2, plan.swaps // 4), "max_length": plan.length, "steps": MANY}
    return {
        **{name: row for name, row in found.items() if name not in ("PEZ with fluency", "AutoDAN")},
        "GCG, smoothed, merge 8": Row(
            GCG, size | {"batch_size": plan.swaps, "top_k": 64, "merge": 8}, HistorySearch
        ),
        "SimplexDescent": Row(SimplexDescent, size | {"racing": Racing(entrants=1)}),
        "AutoDAN": Row(AutoDAN, growing, lambda: BeamSearch(4)),
        "AutoDAN, revise 2": Row(AutoDAN, growing | {"revise": 2}, lambda: BeamSearch(4)),
        "GReaTer": Row(GReaTer, size | {"max_length": plan.length, "starts": [], "settled": None}),
    }


def run(
    task: Task, plan: Plan, keep: Path | None, only: Sequence[str] = (), *, write: bool = True
) -> None:
    """Compares all optimizers, and writes the section.

    Args:
        task: The task.
        plan: The sizes.
        keep: Folder of what was found, kept and taken up again.
        only: Beginnings of names of optimizers; empty for all.
        write: Whether to change the results page.
    """
    asked = Asked(**vars(task))
    cells: dict[str, list[Mapping[str, Any]]] = {}
    for name, row in rows(plan).items():
        if only and not name.startswith(tuple(only)):
            continue
        if row.kind is GReaTer and not asked.places[1]:
            # A question without words before its answer is asked by words of the package's own.
            continue
        for seed in range(FIRST_SEED, FIRST_SEED + plan.seeds):
            sizes = plan.shots, plan.select, plan.test
            told = Draw(asked if row.kind is GReaTer else task, sizes, seed)
            label = f"{task.name}-{name}-{seed}".replace(" ", "_")
            cell = kept(
                keep and keep / "operations" / f"{label}.json",
                [*astuple(replace(plan, seeds=0)), *task.settings],
                lambda row=row, told=told: judged(task, row, told, plan),
            )
            cells.setdefault(name, []).append(cell)
            print(label, cell["loss"], cell["prompt"], flush=True)
    text = (
        f"Task `{task.name}` under `{task.model}`, layout `{task.layout}`. {plan.seeds} draws of "
        f"the examples ({plan.shots} a class train, {plan.select} choose, {plan.test} report), "
        "each with a search of its own; figures are means over these, ± standard deviations. "
        "*Loss* is the mean cross-entropy of the right class on the examples that report, in nats "
        "(lower is better), of the prompt that the examples which choose prefer until then. All "
        f"searches end after {plan.flops:.1e} floating-point operations, gradients and races "
        f"included, read {plan.examples} examples a step, and begin with {plan.length} random "
        "tokens; AutoDAN grows as many, Demonstrations shows 4 examples. GReaTer has the same loss "
        "as the answer to a question without a chain, and no instructions to begin with. A search "
        "that can find no new prompt ends before. No setting was chosen by these draws."
    )
    write_section("Zoo, equal operations", f"{text}\n\n{compared(cells)}", keep=write)


def judged(task: Task, row: Row, draw: Draw, plan: Plan) -> dict[str, Any]:
    """Losses and accuracies of a search's prompts on the examples that report, as plain data."""
    points: list[tuple[float, str]] = []
    shared = {"max_flops": plan.flops, "examples_per_step": plan.examples}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        module = fit(replace(row, kind=followed(row.kind, points)), draw, folder, shared)
        (result,) = module.results
        points.append((result.flops, result.prompt))
        prompts = [best_until(points, part * plan.flops) for part in PARTS[:-1]]
        told = reported(task, draw, folder, [*prompts, result.prompt])
    return told | {
        "prompt": result.prompt,
        **{key: getattr(result, key) for key in ("evaluations", "flops", "seconds")},
    }


def followed(
    kind: Callable[..., PromptOptimizer], points: list[tuple[float, str]]
) -> Callable[..., PromptOptimizer]:
    """An optimizer that notes its best prompt after each scoring, with the operations until then.

    Args:
        kind: Its class.
        points: Where they are noted.
    """

    def build(*args: Any, **options: Any) -> PromptOptimizer:
        module = kind(*args, **options)
        score = module.score

        def noted(proposed: list[list[Any]]) -> Any:
            found = score(proposed)
            (best,) = module.best
            if best is not None:
                points.append((module.spent().flops, best.prompt))
            return found

        module.score = noted  # type: ignore[method-assign]
        return module

    return build


def best_until(points: Sequence[tuple[float, str]], place: float) -> str:
    """The best prompt within so many operations; the empty one where there was none.

    >>> best_until([(1.0, "a"), (3.0, "b")], 2.0)
    'a'
    """
    return next((prompt for flops, prompt in reversed(points) if flops <= place), "")


def reported(task: Task, draw: Draw, folder: Path, prompts: list[str]) -> dict[str, Any]:
    """Loss and accuracy on the examples that report: of prompts, and of a stock instruction."""
    term = task.term()
    objective = Objective([term])
    objective.load()
    labeller = Labeller(objective, term)
    data: LabelledExamples = task.data(folder, draw.sizes, draw.seed)
    data.prepare_data()
    data.setup("fit")
    (target,) = data.targets
    labeller.give(target)
    assert task.stock
    losses = labeller.replies(task.stock, target.choosing).loss.mean(1)
    prompts = [*prompts, task.stock[int(losses.argmin())]]
    tested = target.tested()
    labeller.give(tested)
    found = labeller.replies(prompts, range(len(tested.examples)))
    *loss, stock_loss = found.loss.mean(1).tolist()
    *right, stock_right = found.right.double().mean(1).tolist()
    return {"loss": loss, "right": right, "stock": (stock_loss, stock_right)}


def compared(cells: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """A table with a line for each optimizer, and one for the best stock instruction."""
    head = [
        "optimizer",
        *(f"loss, {part:.0%} of the operations" for part in PARTS),
        *("accuracy at the end, %", "TFLOP", "evaluations", "s"),
    ]
    lines = []
    for name, found in sorted(cells.items(), key=lambda cell: mean(last(cell[1], "loss"))):
        columns = [*zip(*(cell["loss"] for cell in found), strict=True)]
        lines.append(
            [
                name,
                *(around([*values], 3) for values in columns),
                spread(last(found, "right")),
                f"{mean(cell['flops'] for cell in found) / 1e12:.2f}",
                f"{mean(cell['evaluations'] for cell in found):.0f}",
                f"{mean(cell['seconds'] for cell in found):.0f}",
            ]
        )
    some = next(iter(cells.values()))
    loss, right = zip(*(cell["stock"] for cell in some), strict=True)
    blank = [""] * (len(PARTS) - 1)
    lines.append([f"*{BAR}*", *blank, around([*loss], 3), spread([*right]), "-", "-", "-"])
    return table(head, lines)


def last(cells: Sequence[Mapping[str, Any]], key: str) -> list[float]:
    """What each search has at its end."""
    return [cell[key][-1] for cell in cells]
