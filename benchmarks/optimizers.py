"""Optimizers at equal compute: random continuations of a language model.

``python -m benchmarks.optimizers --model FOLDER --nanogcg PYTHON --keep FOLDER`` writes
``benchmarks/results/optimizers.md``. A target is ten random tokens, which no prompt makes likely by
its meaning: what counts is the optimizer alone. Every optimizer has the same budget of
floating-point operations, backward passes included, and begins with the same random prompt.

``PYTHON`` is that of an environment with nanogcg 0.3.0, transformers 4.47.1 and the same torch.
Settings are chosen with ``--tuning``, which draws other targets than those that are reported, and
``--options``, GCG's options as JSON, each a row of its own. Finished searches are kept.
"""

import argparse
import json
import random
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import lightning as L

from benchmarks.machine import describe, table, write
from benchmarks.search import hush
from fuse_lightning.callbacks import PromptTable
from fuse_lightning.data import TextTargets
from fuse_lightning.models import CausalLM
from fuse_lightning.objectives import Continuation, State
from fuse_lightning.optimizers import GCG, PEZ, PromptOptimizer, RandomSearch, SimplexDescent
from fuse_lightning.search import Frontier

LENGTH, LABEL = 20, 10
"""Tokens of prompt and target."""
REPORTED, TUNING = 0, 1_000
"""First seeds of the targets that are reported, and of those that settings are chosen by."""
STEPS = 100_000
"""Steps that no budget reaches."""
QUARTERS = (0.25, 0.5, 0.75, 1.0)
NOTHING = float("inf")
KINDS = {"random": "random words", "written": "words that the model has written"}
NANOGCG = "nanoGCG 0.3.0"

HEAD = [
    "optimizer",
    *(f"loss, {part:.0%} of the operations" for part in QUARTERS),
    *(f"loss, {part:.0%} of nanoGCG's seconds" for part in QUARTERS),
    "loss at the end",
    "operations until nanoGCG's last loss",
    "seconds",
    "scorings",
]
TEXT = """# Optimizers on random continuations

{machine}

{targets} targets of {label} tokens of each kind behind a prompt of {length} tokens of
`{model}`; loss is the mean negative log-likelihood of the target (nats, lower is better).
Seeds of the searches: {seeds}; all begin with the same random prompt. Every search has
{flops:.1e} operations, backward passes included, and takes the optimizer's default settings,
nanoGCG too; means over the searches. Seconds are those of the processor, one thread. No
setting was chosen by these targets.

"""

Way = Callable[..., PromptOptimizer]
PUBLISHED: dict[str, Any] = {"batch_size": 512, "top_k": 256, "merge": 0, "gradient_samples": 0}
WAYS: dict[str, Way] = {
    "GCG": GCG,
    "GCG, settings as published": partial(GCG, **PUBLISHED),
    "RandomSearch": RandomSearch,
    "PEZ": PEZ,
    "SimplexDescent": SimplexDescent,
}


@dataclass
class Task:
    """One search.

    Attributes:
        target: The text that shall follow.
        start: The prompt to begin with.
        seed: Seed of the search.
        flops: Budget of operations.
    """

    target: str
    start: str
    seed: int
    flops: float


@dataclass
class Curve:
    """Best loss after each step of a search.

    Attributes:
        points: Loss, operations and seconds of the processor until then.
        prompt: The best prompt.
    """

    points: list[tuple[float, float, float]]
    prompt: str

    def at(self, place: float, axis: int = 1) -> float:
        """The lowest loss within so many operations (axis 1) or seconds (axis 2)."""
        return min((point[0] for point in self.points if point[axis] <= place), default=NOTHING)

    def until(self, loss: float, axis: int = 2) -> float:
        """Seconds (axis 2) or operations (axis 1) until a loss is reached."""
        return next((point[axis] for point in self.points if point[0] <= loss), NOTHING)


def random_words(module: PromptOptimizer, count: int, seed: int) -> str:
    """Text of random allowed tokens that begin words, which is read back as just these."""
    rng = random.Random(seed)
    pieces = module.objective.primary.pieces
    allowed = module.allowed_ids.tolist()
    words = [token for token in allowed if pieces[token][:1] == " "]
    # A prompt begins without a space.
    first = [token for token in allowed if pieces[token].isalpha()]
    while True:
        state: State = (rng.choice(first), *rng.choices(words, k=count - 1))
        prompts = module.objective.prompts([state], [0])
        if prompts.canonical[0]:
            return prompts.texts[0]


def written(module: PromptOptimizer, seed: int) -> str:
    """Text that the model writes by its own probabilities, without its first word."""
    model = module.objective.primary
    assert isinstance(model, CausalLM)
    told = model.generate(
        [model.start_ids], LABEL + 1, temperature=1.0, samples=64, seed=seed, stop_ids=[]
    )
    for ids in told.ids:
        (text,) = model.decode([ids])
        first, _, rest = text.partition(" ")
        special = model.vocabulary.special_ids & {*ids}
        if first and not special and [*module.objective.encode_prompt(text)] == [*ids]:
            return rest
    raise SystemExit("the model writes nothing that is read back")


def tasks(
    model: str, first: int, count: int, seeds: Sequence[int], flops: float, kind: str = "random"
) -> Iterator[tuple[str, Task]]:
    """Names and tasks of all searches of one optimizer."""
    module = GCG([Continuation(model, label="a")])
    module.load()
    for seed in seeds:
        for number in range(first, first + count):
            if kind == "written":
                target = written(module, number)
            else:
                # The target is behind the prompt, and its first word too has a space.
                target = random_words(module, LABEL + 1, number).partition(" ")[2]
            start = random_words(module, LENGTH, 10_000 * (seed + 1) + number)
            yield f"{kind}-{number}-{seed}", Task(target, start, seed, flops)


def search(way: Way, model: str, task: Task, frontier: Frontier[State] | None = None) -> Curve:
    """Search by an optimizer of this package, by default with its own frontier."""
    terms = [Continuation(model, label=task.target)]
    module = way(
        terms, initial_prompt=task.start, steps=STEPS, max_flops=task.flops, seed=task.seed
    )
    module.load()
    points: list[tuple[float, float, float]] = []
    score = module.score
    before, begun = module.spent().flops, time.process_time()

    def noted(proposed: list[list[State]]) -> Any:
        found = score(proposed)
        (best,) = module.best
        if best is not None:
            spent = module.spent().flops - before
            points.append((best.loss, spent, time.process_time() - begun))
        return found

    module.score = noted  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as folder:
        trainer = L.Trainer(
            max_epochs=-1,
            accelerator="cpu",
            logger=False,
            callbacks=[PromptTable(enabled=False), *([frontier] if frontier else [])],
            default_root_dir=folder,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(module, TextTargets([task.target]))
    return Curve(points, module.results[0].prompt)


class NanoGCG:
    """nanoGCG in a process of its own.

    Args:
        python: Python of its environment.
        model: Folder of the model.
    """

    def __init__(self, python: str, model: str) -> None:
        worker = Path(__file__).with_name("optimizers_nanogcg.py")
        self.process = subprocess.Popen(
            [python, str(worker), model],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._line()

    def _line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        if not line:
            raise SystemExit("the process of nanoGCG ended early")
        return line

    def search(self, task: Task) -> Curve:
        """Search with its default settings."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(asdict(task)) + "\n")
        self.process.stdin.flush()
        return Curve(**json.loads(self._line()))

    def close(self) -> None:
        """Ends the process."""
        self.process.terminate()
        self.process.wait()


def kept(folder: Path, name: str, run: Callable[[], Curve]) -> Curve:
    """Curve of a search; one that was run before is read."""
    path = folder / f"{name.replace(' ', '_')}.json"
    if not path.exists():
        path.write_text(json.dumps(asdict(run())))
    return Curve(**json.loads(path.read_text()))


def rows(curves: dict[str, dict[str, Curve]], budget: float) -> Iterator[list[str]]:
    """Rows of the table; all optimizers by the searches that every one of them has finished."""
    common = set.intersection(*(set(found) for found in curves.values()))
    seconds = {
        name: fmean(found[task].points[-1][2] for task in common) for name, found in curves.items()
    }
    base = seconds.get(NANOGCG, max(seconds.values()))
    for name, found in curves.items():
        some = [found[task] for task in sorted(common)]
        theirs = [curves.get(NANOGCG, found)[task] for task in sorted(common)]
        level = fmean(curve.at(budget * 2) for curve in theirs)
        yield [
            name,
            *(f"{fmean(curve.at(part * budget) for curve in some):.2f}" for part in QUARTERS),
            *(f"{fmean(curve.at(part * base, 2) for curve in some):.2f}" for part in QUARTERS),
            f"{fmean(curve.at(budget * 2) for curve in some):.2f}",
            f"{reached(some, level, budget):.0%}",
            f"{seconds[name]:.0f}",
            f"{fmean(len(curve.points) for curve in some):.0f}",
        ]


def reached(curves: Sequence[Curve], level: float, budget: float) -> float:
    """Share of the budget after which the mean loss of searches is at most ``level``."""
    places = sorted(point[1] for curve in curves for point in curve.points)
    return next(
        (x / budget for x in places if fmean(curve.at(x) for curve in curves) <= level), NOTHING
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="folder of a causal language model")
    parser.add_argument("--nanogcg", help="Python of the environment of nanoGCG")
    parser.add_argument("--keep", required=True, type=Path, help="folder of finished searches")
    parser.add_argument("--targets", type=int, default=10)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--flops", type=float, default=8e11, help="budget of a search")
    parser.add_argument("--kinds", nargs="*", choices=KINDS, default=[*KINDS], help="of targets")
    parser.add_argument("--tuning", action="store_true", help="targets to choose settings by")
    parser.add_argument("--options", nargs="*", default=[], help="options of GCG, as JSON")
    parser.add_argument("--only", nargs="*", help="names of rows")
    parser.add_argument("--page", default="optimizers", help="name of the results")
    options = parser.parse_args()
    hush()
    options.keep.mkdir(parents=True, exist_ok=True)
    ways = WAYS | {f"GCG {given}": partial(GCG, **json.loads(given)) for given in options.options}
    ways = {name: ways[name] for name in options.only or ways if name in ways}
    first = TUNING if options.tuning else REPORTED
    sections = []
    with ExitStack() as stack:
        theirs = None
        if options.nanogcg:
            theirs = stack.enter_context(closing(NanoGCG(options.nanogcg, options.model)))
        for kind in options.kinds:
            given = options.targets, options.seeds, options.flops, kind
            found = run_all(
                options.keep, ways, theirs, options.model, [*tasks(options.model, first, *given)]
            )
            sections += [f"## Targets: {KINDS[kind]}", table(HEAD, [*rows(found, options.flops)])]
    page = "\n\n".join(sections) + "\n"
    if options.tuning:
        print(page)
        return
    head = TEXT.format(
        machine=describe(),
        model=Path(options.model).name,
        length=LENGTH,
        label=LABEL,
        targets=options.targets,
        seeds=", ".join(map(str, options.seeds)),
        flops=options.flops,
    )
    write(options.page, head + page)


def run_all(
    keep: Path,
    ways: dict[str, Way],
    theirs: NanoGCG | None,
    model: str,
    todo: Sequence[tuple[str, Task]],
) -> dict[str, dict[str, Curve]]:
    """Curves of all searches of all optimizers, by optimizer and task."""
    curves: dict[str, dict[str, Curve]] = {NANOGCG: {}} if theirs else {}
    curves |= {name: {} for name in ways}
    for name, task in todo:
        if theirs:
            run = partial(theirs.search, task)
            curves[NANOGCG][name] = kept(keep, f"nanoGCG-{name}", run)
        for label, way in ways.items():
            run = partial(search, way, model, task)
            file = re.sub(r"\W+", "_", label)
            curves[label][name] = kept(keep, f"{file}-{name}", run)
        last = {label: round(found[name].at(NOTHING), 2) for label, found in curves.items()}
        print(name, last, flush=True)
    return curves


if __name__ == "__main__":
    main()
