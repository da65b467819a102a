"""GReaTer on a small real chat model, with its verdict against what costs nothing.

``python -m benchmarks.greater.real --model FOLDER --keep FOLDER`` writes
``benchmarks/results/greater_real.md``: two tables of questions, whose instruction must be found.
FOLDER is a small chat model such as SmolLM2-135M-Instruct. A search is kept as soon as it is done,
and a run that was killed goes on; ``--tasks`` and ``--seeds`` divide it among processes.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.classification.pages import spread
from benchmarks.classification.runs import kept
from benchmarks.classification.tables import STOCK as BEST_STOCK
from benchmarks.classification.tables import against, counts
from benchmarks.greater.searches import Plan, Row, Task, judged
from benchmarks.greater.tables import DEFAULT, STOCK, read_table
from benchmarks.machine import describe, table, write
from benchmarks.search import hush
from fuse_lightning.evaluation.verdict import Verdict
from fuse_lightning.models import CausalLM
from fuse_lightning.optimizers.constraints import Constraints
from fuse_lightning.optimizers.racing import Racing

ABSENT = (
    "Real language model: skipped. Give --model the folder or id of a small chat model, such as "
    "HuggingFaceTB/SmolLM2-135M-Instruct (a GGUF file does)."
)
FIRST_SEED = 8000
"""Seeds of what is reported begin here; options were tried with those from 9000."""
CHAIN = 24
SIZES = {"capital": (30, 45, 105), "antonym": (32, 48, 120)}
"""Questions of each part, by table: those of the steps, those that choose, those that report."""
INITIAL = "the initial prompt"
SHARED = {
    "constraints": Constraints(tokens="words"),
    "racing": Racing(entrants=2, block=15),
    "examples_per_step": 12,
    "shortlist": 4,
}
"""Options of all searches but the published ones: plain words, and few chains a step."""
SCREEN = {"screen": 16, "screen_examples": 6, "gradient_pool": 16}
ROWS = {
    "GReaTer": Row({**SHARED, **SCREEN, "starts": None}),
    "from the start alone": Row({**SHARED, **SCREEN}),
    "published code": Row({"preset": "code"}, {"preset": "code"}),
    "no gradient": Row({**SHARED, "rank_by": "random", "gradient_pool": 0}),
}
"""Ways to search."""
PARTS = ("accuracy", "select")
"""Shares of a prompt's right answers: on the questions that report, and on those that choose."""


def task_of(name: str, chain: int = CHAIN) -> Task:
    """A table as a task.

    Args:
        name: ``capital`` or ``antonym``.
        chain: Most tokens of a chain.
    """
    rows = [{"question": each.question, "answer": [*each.right]} for each in read_table(name)]
    data = {"answer": "word", "closed": True}
    return Task(name, rows, {"max_chain_tokens": chain}, data, STOCK[name])


def section(name: str, found: Mapping[str, Sequence[Mapping[str, Any]]], plan: Plan) -> str:
    """Section of a task."""
    lines, prompts = [], []
    for row, cells in found.items():
        told = [Verdict.from_dict(cell["verdict"]) for cell in cells]
        lines.append(
            [
                row,
                spread([each.chosen.accuracy for each in told]),
                spread([each.chosen.select for each in told]),
                counts([against(each, INITIAL) for each in told]),
                counts([against(each, BEST_STOCK) for each in told]),
                counts([each.word for each in told]),
                spread_of(cells, "evaluations"),
                spread_of(cells, "seconds"),
            ]
        )
        for cell, each in zip(cells, told, strict=True):
            seed = str(cell["seed"])
            prompts.append([row, seed, f"`{cell['prompt']}`", f"{100 * each.chosen.accuracy:.1f}"])
    floors: dict[str, list[Any]] = {}
    for cells in found.values():
        for cell in cells:
            for floor in Verdict.from_dict(cell["verdict"]).floors:
                floors.setdefault(floor.name, []).append(floor)
    for floor_name, some in floors.items():
        accuracy, select = (spread([getattr(f, key) for f in some]) for key in PARTS)
        lines.append([f"*{floor_name}*", accuracy, select, *["-"] * 5])
    texts = "; ".join(sorted({f"`{floor.text}`" for floor in floors.get(BEST_STOCK, [])}))
    return "\n\n".join(
        [
            f"## Task {name}",
            f"{plan.train} questions that steps read, {plan.select} that choose, {plan.test} that "
            "report.",
            table(
                [
                    *("prompt", "test accuracy, %", "on select, %"),
                    *("than the start", "than the best by hand", "than the strongest floor"),
                    *("evaluations", "s"),
                ],
                lines,
            ),
            table(["search", "seed", "found prompt", "test accuracy, %"], prompts),
            f"Best by hand on the questions that choose: {texts}.",
        ]
    )


def spread_of(cells: Sequence[Mapping[str, Any]], key: str) -> str:
    """Mean of what searches have used."""
    return f"{sum(cell['used'][key] for cell in cells) / len(cells):.0f}"


def run(
    model: CausalLM,
    name: str,
    tasks: Sequence[str],
    rows: Sequence[str],
    seeds: Sequence[int],
    plan: Plan,
    sizes: Mapping[str, tuple[int, int, int]],
    keep: Path | None,
    *,
    search: bool = True,
) -> str:
    """Searches what is not kept yet; the results page.

    Args:
        model: The loaded model.
        name: Its name.
        tasks: Names of tables.
        rows: Names of the ways to search.
        seeds: Seeds of the division of the questions and of the searches.
        plan: Steps and budget of a search.
        sizes: Questions of each part, by table.
        keep: Folder of what was found.
        search: Whether to search what is not kept yet; else it is left out.
    """
    within = f" or {plan.seconds:.0f} seconds" if plan.seconds else ""
    parts = [
        f"# Reasoning prompts for {name}",
        describe(str(model.device)),
        f"`{name}`, chat template, prompt behind the question, greedy chains of at most {CHAIN} "
        f"tokens. Searches begin with the published start, `{DEFAULT}`, and end after {plan.steps} "
        f"steps{within}; {len(seeds)} draws of the questions. Figures are means ± standard "
        "deviations; columns of words count *better / not shown / worse*, each at 5 % two-sided. "
        "No test question of these draws was looked at before.",
    ]
    for task_name in tasks:
        task, own = task_of(task_name), sizes[task_name]
        of = replace(plan, train=own[0], select=own[1], test=own[2])
        found: dict[str, list[Mapping[str, Any]]] = {}
        for row in rows:
            for seed in seeds:
                label = f"{task_name}-{row}-{seed}".replace(" ", "_")
                path = keep and keep / "real" / f"{label}.json"
                if not search and not (path and path.exists()):
                    print(label, "is not there", flush=True)
                    continue
                cell = kept(
                    path,
                    [name, model.dtype, asdict(of), asdict(ROWS[row]), dict(task.term)],
                    lambda task=task, row=row, of=of, seed=seed: judged(
                        *(model, task, ROWS[row], DEFAULT, of, seed), follow=False, draws=3
                    ),
                )
                print(label, cell["verdict"]["sentence"], flush=True)
                found.setdefault(row, []).append({**cell, "seed": seed})
        if found:
            parts.append(section(task_name, found, of))
    return "\n\n".join(parts) + "\n"


def main(args: list[str] | None = None) -> None:
    """Runs what is not kept yet, and writes the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="", help="id or folder of the model")
    parser.add_argument("--tasks", nargs="+", choices=[*SIZES], default=[*SIZES])
    parser.add_argument("--rows", nargs="+", choices=[*ROWS], default=["GReaTer"])
    parser.add_argument(
        "--seeds", nargs="+", type=int, default=[*range(FIRST_SEED, FIRST_SEED + 3)]
    )
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--seconds", type=float, help="most seconds of a search")
    parser.add_argument("--keep", type=Path, help="folder of results: kept, and taken up again")
    parser.add_argument("--batch", type=int, default=8192, help="token positions of a forward")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--no-search", action="store_true", help="the page of what is kept")
    parser.add_argument("--no-page", action="store_true", help="search, and leave the page")
    parser.add_argument("--quick", action="store_true", help="everything tiny; writes nothing")
    options = parser.parse_args(args)
    if not options.model:
        print(ABSENT, flush=True)
        return
    hush()
    torch.set_num_threads(options.threads)
    model = CausalLM(options.model, dtype=options.dtype, device=options.device)
    model.load(options.device)
    sizes, steps = SIZES, options.steps
    if options.quick:
        sizes, steps = dict.fromkeys(SIZES, (4, 4, 6)), 1
    text = run(
        model,
        Path(options.model).name,
        options.tasks,
        options.rows,
        options.seeds[:1] if options.quick else options.seeds,
        Plan(0, 0, 0, steps, None, options.seconds, options.batch),
        sizes,
        options.keep,
        search=not options.no_search,
    )
    if options.quick or options.no_page:
        print(text)
    else:
        write("greater_real", text)


if __name__ == "__main__":
    main()
