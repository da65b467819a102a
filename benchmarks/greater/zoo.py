"""GReaTer and its ablations on the zoo's reasoner, from a neutral prompt and from a trap.

``python -m benchmarks.greater.zoo --keep FOLDER`` writes ``benchmarks/results/greater_zoo.md``. A
search is kept as soon as it is done, and a run that was killed goes on. ``--quick`` runs everything
tiny, and writes nothing.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from statistics import mean, median
from typing import Any

import torch

from benchmarks.classification.pages import spread
from benchmarks.classification.runs import kept
from benchmarks.classification.tables import counts
from benchmarks.greater.searches import Plan, Row, Task, judged, reached
from benchmarks.machine import describe, table, write
from benchmarks.search import hush
from fuse_lightning.evaluation.verdict import Verdict
from fuse_lightning.models import CausalLM
from fuse_lightning.zoo import reasoning

MODEL = "zoo/reasoner"
FIRST_SEED = 4000
"""Seeds of what is reported begin here. Options were tried with others."""
NEAR = 0.05
"""A prompt is as good as the best known one within so much accuracy."""
SCREEN = 12
OWN = "GReaTer"
"""The package's own way to search, whose searches also measure the instructions beside it."""
FULL = Plan(32, 64, 400, 400, 8192)
QUICK = Plan(6, 8, 20, 3, 200)
STARTS = {"neutral": reasoning.NEUTRAL, "trap": reasoning.TRAP}
ROWS = {
    OWN: Row(),
    "published code": Row({"preset": "code"}, {"preset": "code"}),
    "paper": Row({"preset": "paper"}, {"preset": "paper"}),
    "gradient at the current token": Row({"gradient_samples": 0}),
    "no gradient, by likelihood": Row({"rank_by": "likelihood", "gradient_pool": 0}),
    "no gradient, at random": Row({"rank_by": "random", "gradient_pool": 0}),
    "with a screen": Row({"screen": SCREEN}),
    "no reasoning": Row({}, {"max_chain_tokens": 1}),
    "no verification": Row({"screen": SCREEN, "verify": False}),
}
"""Ways to search, the package's own first; the others change what their name says."""


def task_of(count: int = reasoning.COUNT) -> Task:
    """Questions of the reasoning language."""
    rows = [
        {"question": each["question"], "answer": each["label"]}
        for each in reasoning.reasoning_questions(count)
    ]
    return Task(
        "sums",
        rows,
        {"layout": reasoning.LAYOUT, "max_chain_tokens": reasoning.MAX_CHAIN},
        {"answer": "number", "closed": True, "extractor": reasoning.EXTRACTOR},
        reasoning.STOCK,
    )


def line(name: str, start: str, cells: Sequence[Mapping[str, Any]]) -> list[str]:
    """Line of the table on some searches."""
    told = [Verdict.from_dict(cell["verdict"]) for cell in cells]
    bars = [cell["known"][reasoning.BEST] - NEAR for cell in cells]
    ends = [reached(cell["curve"], bar) for cell, bar in zip(cells, bars, strict=True)]
    there = [end for end in ends if end is not None]
    return [
        name,
        start,
        spread([each.chosen.accuracy for each in told]),
        f"{len(there)} of {len(cells)}",
        f"{median(there):.0f}" if there else "-",
        counts([each.word for each in told]),
        f"{mean(cell['used']['evaluations'] for cell in cells):.0f}",
        f"{mean(cell['used']['flops'] for cell in cells) / 1e12:.3f}",
        f"{mean(cell['used']['seconds'] for cell in cells):.0f}",
    ]


def run(plan: Plan, seeds: int, keep: Path | None, only: Sequence[str] = ()) -> str:
    """Searches what is not kept yet; the results page.

    Args:
        plan: The sizes.
        seeds: Number of draws of the questions, each with searches of its own.
        keep: Folder of what was found.
        only: Names of rows; empty for all.
    """
    task, model = task_of(), CausalLM(MODEL)
    model.load()
    lines: list[list[str]] = []
    # The questions are the same for all rows.
    fixed = [*STARTS.values(), *reasoning.STOCK]
    known: list[Mapping[str, float]] = []
    for name, row in ROWS.items():
        for start, text in STARTS.items() if not only or name in only else ():
            cells = []
            for seed in range(FIRST_SEED, FIRST_SEED + seeds):
                label = f"{start}-{name}-{seed}".replace(" ", "_").replace(",", "")
                cell = kept(
                    keep and keep / "zoo" / f"{label}.json",
                    [asdict(plan), asdict(row), text, dict(task.term), dict(task.data)],
                    lambda row=row, text=text, seed=seed, name=name: judged(
                        *(model, task, row, text, plan, seed),
                        known=[reasoning.BEST, *(fixed if name == OWN else ())],
                    ),
                )
                print(label, cell["verdict"]["sentence"], flush=True)
                cells.append(cell)
            lines.append(line(name, start, cells))
            known += [cell["known"] for cell in cells if name == OWN]
    stock = max(reasoning.STOCK, key=lambda text: mean(each[text] for each in known))
    shown = {
        "the best known instruction": reasoning.BEST,
        "the best stock instruction": stock,
        **{f"the {name} start": text for name, text in STARTS.items()},
    }
    most = f"{plan.evaluations} evaluations" if plan.evaluations else f"{plan.steps} steps"
    parts = [
        "# Reasoning prompts for the zoo's reasoner",
        describe(),
        f"`{MODEL}`, questions of the zoo's reasoning language: {plan.train} that steps read, "
        f"{plan.select} that choose, {plan.test} that report; {seeds} draws of them, each with a "
        f"search of its own. Figures are means ± standard deviations. A search ends after {most} "
        "(pairs of a prompt and a question behind fresh chains, those of races among them). *Near "
        f"the best known* counts searches whose best prompt is within {100 * NEAR:.0f} points of "
        "the best known instruction on the test questions, and *evaluations until then* is their "
        "median. *Better* counts verdicts against the floor that is strongest on the questions "
        "that choose; floors are the start, stock instructions and demonstrations among others.",
        table(
            ["instruction", "", "test accuracy, %"],
            [
                [name, f"`{text}`", spread([each[text] for each in known])]
                for name, text in shown.items()
            ],
        ),
        table(
            [
                *("search", "start", "test accuracy, %", "near the best known"),
                *("evaluations until then", "better / not shown / worse"),
                *("evaluations", "TFLOP", "s"),
            ],
            lines,
        ),
        "*Published code* and *paper* are the presets of these names, of the optimizer and of the "
        "term. *No reasoning* cuts chains after one token while it searches. *No verification* "
        f"takes the best of {SCREEN} candidates over the chains of the prompt as it is. Each other "
        "row changes one option of the package's own.",
    ]
    return "\n\n".join(parts) + "\n"


def main(args: list[str] | None = None) -> None:
    """Runs what is not kept yet, and writes the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--evaluations", type=int, help="budget of a search")
    parser.add_argument("--only", nargs="*", default=[], help="names of rows")
    parser.add_argument("--keep", type=Path, help="folder of results: kept, and taken up again")
    parser.add_argument("--quick", action="store_true", help="everything tiny; writes nothing")
    options = parser.parse_args(args)
    hush()
    torch.set_num_threads(1)
    plan = QUICK if options.quick else FULL
    plan = replace(plan, evaluations=options.evaluations or plan.evaluations)
    text = run(plan, 1 if options.quick else options.seeds, options.keep, options.only)
    if options.quick:
        print(text)
    else:
        write("greater_zoo", text)


if __name__ == "__main__":
    main()
