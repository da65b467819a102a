"""Prompts that make a language model classify: optimizers, floors, null control and races.

``python -m benchmarks.classification zoo operations real null racing --keep FOLDER`` writes
``benchmarks/results/classification.md`` and a plot, one section after the other. A run that was
killed goes on from what FOLDER keeps. ``--quick`` runs everything tiny, and writes nothing.

Processor time of one core, about: zoo 40 minutes, operations 6, null 6, racing 3. Each search of
real may take 2e13 operations, some 10 minutes, and its verdict a few more; there are 16 of them.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.classification import null, operations, race_sets, racing, real, zoo
from benchmarks.classification.tasks import ZOO
from benchmarks.search import hush

PARTS = ("zoo", "operations", "real", "null", "racing")


def main(args: list[str] | None = None) -> None:
    """Runs the parts that were asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "parts",
        nargs="*",
        choices=[*PARTS, []],
        metavar="PART",
        help=f"some of {', '.join(PARTS)}; by default all",
    )
    parser.add_argument("--task", choices=[*ZOO], default="moods", help="task of the zoo")
    parser.add_argument(
        "--only", nargs="*", default=[], help="zoo and operations: beginnings of names of rows"
    )
    parser.add_argument("--seeds", type=int, help="zoo, operations and real: draws")
    parser.add_argument("--evaluations", type=int, help="zoo: budget of a search")
    parser.add_argument("--flops", type=float, help="operations and real: budget of a search")
    parser.add_argument("--first-seed", type=int, default=real.FIRST_SEED, help="real: first draw")
    parser.add_argument("--model", default="", help="real: id or folder of the model")
    parser.add_argument("--texts", type=Path, default=Path("bbcnews"), help="real: BBC news")
    parser.add_argument("--keep", type=Path, help="folder of results: kept, and taken up again")
    parser.add_argument("--quick", action="store_true", help="everything tiny; writes nothing")
    options = parser.parse_args(args)
    hush()
    torch.set_num_threads(1)
    task, keep, quick = ZOO[options.task], options.keep, options.quick
    for part in options.parts or PARTS:
        begin = time.perf_counter()
        if part == "zoo":
            plan = zoo.QUICK if quick else zoo.Plan()
            plan = replace(
                plan,
                seeds=options.seeds or plan.seeds,
                evaluations=options.evaluations or plan.evaluations,
            )
            zoo.run(task, plan, keep, options.only, write=not quick)
        elif part == "operations":
            equal = operations.QUICK if quick else operations.Plan()
            equal = replace(
                equal,
                seeds=options.seeds or equal.seeds,
                flops=options.flops or equal.flops,
            )
            operations.run(task, equal, keep, options.only, write=not quick)
        elif part == "real":
            sizes = real.QUICK if quick else real.FULL
            sizes = replace(
                sizes,
                seeds=options.seeds or sizes.seeds,
                flops=options.flops or sizes.flops,
            )
            first = options.first_seed
            real.run(options.model, options.texts, sizes, keep, first, write=not quick)
        elif part == "null":
            null.run(task, null.QUICK if quick else null.Plan(), keep, write=not quick)
        else:
            plan_ = race_sets.QUICK if quick else race_sets.Plan()
            racing.run(task, plan_, keep, write=not quick)
        print(f"{part}: {time.perf_counter() - begin:.0f} s", flush=True)


if __name__ == "__main__":
    main()
