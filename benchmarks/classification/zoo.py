"""Every optimizer on a task of the zoo, at equal evaluations, beside all floors."""

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from statistics import mean, stdev

from benchmarks.classification.pages import write_section
from benchmarks.classification.rows import all_rows
from benchmarks.classification.runs import Draw, judged, kept
from benchmarks.classification.tables import (
    Cells,
    compared,
    findings,
    floor_accuracies,
    verdicts,
)
from benchmarks.classification.tasks import Task
from benchmarks.machine import RESULTS

FIRST_SEED = 2000
"""Seeds of what is reported begin here. Layouts and options were tried with others."""


@dataclass(frozen=True)
class Plan:
    """Sizes of a comparison.

    Attributes:
        seeds: Number of draws of examples, each with a search of its own.
        shots: Train examples of each class, one table each; ``None`` for all that are left.
        select: Examples that choose.
        test: Examples that report.
        evaluations: Budget of a search, in pairs of a prompt and an example.
        examples: Examples of a step.
        length: Tokens of a prompt.
        swaps: Candidates of a step.
    """

    seeds: int = 5
    shots: tuple[int | None, ...] = (16, None)
    select: int = 96
    test: int = 400
    evaluations: int = 16384
    examples: int = 16
    length: int = 8
    swaps: int = 48


QUICK = Plan(1, (4,), 8, 20, 64, 4, 4, 6)


def run(
    task: Task, plan: Plan, keep: Path | None, only: Sequence[str] = (), *, write: bool = True
) -> None:
    """Compares all optimizers, and writes the section and the plot.

    Args:
        task: The task.
        plan: The sizes.
        keep: Folder of found verdicts, kept and taken up again.
        only: Beginnings of names of optimizers; empty for all.
        write: Whether to change the results page.
    """
    rows = all_rows(plan.evaluations, plan.examples, plan.length, plan.swaps)
    rows = {name: row for name, row in rows.items() if not only or name.startswith(tuple(only))}
    shared = {"max_evaluations": plan.evaluations, "examples_per_step": plan.examples}
    found: dict[str, Cells] = {}
    for shots in plan.shots:
        cells: dict[str, list[Mapping[str, object]]] = {name: [] for name in rows}
        for seed in range(FIRST_SEED, FIRST_SEED + plan.seeds):
            for name, row in rows.items():
                sizes = shots, plan.select, plan.test
                label = f"{task.name}-{shots or 'all'}-{name}-{seed}".replace(" ", "_")
                cell = kept(
                    keep and keep / "zoo" / f"{label}.json",
                    [sizes, *astuple(replace(plan, seeds=0, shots=())), *task.settings],
                    lambda row=row, sizes=sizes, seed=seed: judged(
                        row, Draw(task, sizes, seed), shared
                    ),
                )
                cells[name].append(cell)
                print(label, f"{cell['used']['seconds']:.0f} s", flush=True)
        found[f"{shots} train examples a class" if shots else "all train examples"] = cells
    parts = [
        f"Task `{task.name}` under `{task.model}`, layout `{task.layout}`. {plan.seeds} draws of "
        f"the examples ({plan.select} choose, {plan.test} report), each with a search of its own; "
        "figures are means ± standard deviations over these. All optimizers end after "
        f"{plan.evaluations} evaluations (pairs of a prompt and an example, those of the races "
        f"among them), read {plan.examples} examples a step, and have {plan.length} tokens "
        "(AutoDAN grows its own, Demonstrations shows examples), with options of their own at "
        "their defaults. Those that end before, can find no new prompt, or their steps end. "
        "Gradients are no evaluations: *positions* and *TFLOP* tell their price. *Better* counts "
        "verdicts against the floor that is strongest on the examples that choose."
    ]
    for name, cells in found.items():
        parts += [f"### With {name}", compared(cells), findings(cells, rows)]
    if write:
        plot(found)
        parts.append("![Test accuracy of optimizers and floors](classification.png)")
    write_section("Zoo", "\n\n".join(parts), keep=write)


def plot(found: Mapping[str, Cells]) -> None:
    """Mean test accuracy with its standard deviation over the seeds; floors as lines."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(
        1, len(found), figsize=(6 * len(found), 5), sharex=True, layout="constrained", squeeze=False
    )
    for axes, (name, cells) in zip(panels[0], found.items(), strict=True):
        names = [*cells][::-1]
        values = [[each.chosen.accuracy for each in verdicts(cells[row])] for row in names]
        sizes = [stdev(each) if len(each) > 1 else 0.0 for each in values]
        axes.errorbar([*map(mean, values)], names, xerr=sizes, fmt="o", capsize=3)
        for number, (floor, pairs) in enumerate(floor_accuracies(cells).items()):
            place = mean(test for test, _ in pairs)
            axes.axvline(place, ls="--", color=plt.get_cmap("Dark2")(number), label=floor)
        axes.set(title=f"with {name}", xlabel="test accuracy")
        axes.grid(alpha=0.3)
    lines, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(lines, labels, loc="outside lower center", ncols=len(labels), fontsize=8)
    figure.savefig(RESULTS / "classification.png", dpi=110)
