"""How well predictors rank single-token swaps by the loss of answers, over fixed and fresh chains.

``python -m benchmarks.greater.fidelity --model FOLDER --keep FOLDER`` writes
``benchmarks/results/greater_fidelity.md``. FOLDER is a small chat model of Llama's shape, such as
SmolLM2-135M-Instruct. A position is kept as soon as it is done, and a run that was killed goes on.
A position of 20 candidates and 8 questions takes some 4 minutes of one core, and seconds of a GPU.
"""

import argparse
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
from scipy.stats import spearmanr
from transformers import AutoModelForCausalLM, AutoTokenizer

from benchmarks.classification.runs import kept
from benchmarks.greater import plain
from benchmarks.greater.chat import as_setting, ids_of
from benchmarks.greater.plain import Ids, Setting
from benchmarks.greater.predictors import Position
from benchmarks.greater.tables import read_table
from benchmarks.machine import describe, table, write
from benchmarks.search import hush
from fuse_lightning.engine.damping import damped

ABSENT = (
    "Fidelity: skipped. Give --model the folder or id of a small chat model of Llama's shape, such "
    "as HuggingFaceTB/SmolLM2-135M-Instruct."
)
PROMPTS = {
    "capital": {
        "tuning": ["Which city is the seat of its government?", "Give the main city here."],
        "report": [
            "Name the city of this country.",
            "Which city is the capital?",
            "Tell me where the government of this place sits.",
        ],
    },
    "antonym": {
        "tuning": ["Give a word that is not like this.", "Find the reverse of the word."],
        "report": [
            "Name a word of another meaning.",
            "What is the opposite of this word?",
            "Tell me a word that says the contrary.",
        ],
    },
}
"""Prompts by table: those by which predictors are chosen, and those that report."""
PARTS = ("tuning", "report")
GAMMAS = (0.75, 0.5)
SAMPLES = (4, 8)
EXACT = "exact, chains of the prompt as it is"
RECALL = 5
"""Candidates that count as the best."""


@dataclass(frozen=True)
class Plan:
    """Sizes of the comparison.

    Attributes:
        questions: Questions of a position, drawn anew for each prompt.
        candidates: Tokens that are tried; half of them are among the likeliest of the model.
        likely: How many count as its likeliest.
        positions: Positions of a prompt, at even distances; all if it has fewer.
        chain: Most tokens of a chain.
        batch: Rows of one forward.
    """

    questions: int = 8
    candidates: int = 20
    likely: int = 60
    positions: int = 6
    chain: int = 32
    batch: int = 16


QUICK = Plan(questions=2, candidates=8, likely=10, positions=2, chain=4)


def candidates(
    setting: Setting, log_probs: torch.Tensor, current: int, plan: Plan, rng: random.Random
) -> list[int]:
    """Tokens that are tried: half from the model's likeliest, half from all that are allowed."""
    ranked = log_probs.mean(0).cpu().masked_fill(~setting.allowed, -torch.inf)
    ranked[current] = -torch.inf
    likely = ranked.topk(plan.likely).indices.tolist()
    found = rng.sample(likely, plan.candidates // 2)
    rest = setting.allowed.clone()
    rest[[current, *found]] = False
    return found + rng.sample(rest.nonzero().squeeze(1).tolist(), plan.candidates - len(found))


def standard(values: torch.Tensor) -> torch.Tensor:
    """Values with mean 0 and standard deviation 1."""
    return (values - values.mean()) / values.std().clamp(min=1e-9)


def position_of(
    model: Any, setting: Setting, prompt: Ids, place: int, plan: Plan, seed: str
) -> dict[str, Any]:
    """Predictions and exact losses at one position, as plain data."""
    rng = random.Random(seed)
    chains = plain.write_chains(model, setting, prompt)
    log_probs = plain.next_tokens(model, setting, prompt, place, chains)
    tried = candidates(setting, log_probs, prompt[place], plan, rng)
    here = Position(model, setting, prompt, place, chains, tried)
    told = {"gradient at the current token": here.gradient([prompt[place]])}
    for samples in SAMPLES:
        told[f"smoothed, {samples} random tokens"] = here.smoothed(samples, rng)
    for gamma in GAMMAS:
        with damped(gamma):
            told[f"damped residual gradient, {gamma}"] = here.gradient([prompt[place]])
    told["the model's own probability"] = here.likelihood(log_probs)
    told[f"smoothed, {SAMPLES[-1]}, and probability"] = standard(
        told[f"smoothed, {SAMPLES[-1]} random tokens"]
    ) + standard(told["the model's own probability"])
    fixed = here.exact([chains] * len(tried))
    fresh_chains = here.fresh()
    fresh = here.exact(fresh_chains)
    same = [a == b for own in fresh_chains for a, b in zip(own, chains, strict=True)]
    return {
        "predicted": {name: values.tolist() for name, values in told.items()},
        "fixed": fixed.tolist(),
        "fresh": fresh.tolist(),
        "same": mean(map(float, same)),
    }


def measures(predicted: Sequence[float], exact: Sequence[float]) -> tuple[float, float]:
    """Spearman's rank correlation, and the share of the best that are among those predicted best.

    >>> measures([1.0, 2, 3, 4, 5, 6], [1.0, 2, 3, 4, 5, 60])
    (1.0, 1.0)
    """
    rho = float(spearmanr(predicted, exact).statistic)
    best, found = (
        {*sorted(range(len(values)), key=values.__getitem__)[:RECALL]}
        for values in (exact, predicted)
    )
    return rho, len(best & found) / len(best)


def with_error(values: Sequence[float]) -> str:
    """Mean and standard error.

    >>> with_error([0.1, 0.3])
    '0.20 (0.10)'
    """
    error = f" ({stdev(values) / len(values) ** 0.5:.2f})" if len(values) > 1 else ""
    return f"{mean(values):.2f}{error}"


def lines_of(cells: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Lines of the table of some positions."""
    lines = []
    for name in [*cells[0]["predicted"], EXACT]:
        line = [name]
        for exact in ("fixed", "fresh"):
            if name == EXACT and exact == "fixed":
                line += ["", ""]
                continue
            pairs = [
                measures(cell["fixed"] if name == EXACT else cell["predicted"][name], cell[exact])
                for cell in cells
            ]
            line += [with_error([pair[0] for pair in pairs]), with_error([p[1] for p in pairs])]
        lines.append(line)
    return lines


def cells_of(
    model: Any,
    build: Callable[[str, random.Random], Setting],
    read: Callable[[str], Ids],
    plan: Plan,
    keep: Path | None,
    name: str,
    tasks: Sequence[str] = (*PROMPTS,),
    wanted: Sequence[str] = PARTS,
) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """Positions of all prompts, by table and part.

    Args:
        model: A causal language model of transformers.
        build: Questions of a table as ids.
        read: Ids of a prompt.
        plan: The sizes.
        keep: Folder of what was found.
        name: Name of the model, which what is kept depends on.
        tasks: Names of tables.
        wanted: Parts that are measured.
    """
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for task in tasks:
        for part in wanted:
            texts = PROMPTS[task][part]
            for text in texts:
                prompt = read(text)
                setting = build(task, random.Random(f"{task} {part} {text}"))
                every = max(1.0, len(prompt) / plan.positions)
                places = sorted({int(number * every) for number in range(plan.positions)})
                for place in [each for each in places if each < len(prompt)]:
                    label = f"{task}-{part}-{text}-{place}".replace(" ", "_")
                    cell = kept(
                        keep and keep / "fidelity" / f"{label}.json",
                        [name, asdict(plan) | {"batch": 0}, text, place],
                        lambda setting=setting, prompt=prompt, place=place, label=label: (
                            position_of(model, setting, prompt, place, plan, label)
                        ),
                    )
                    found.setdefault((task, part), []).append(cell)
                    print(label, json.dumps(measures(cell["fixed"], cell["fresh"])), flush=True)
    return found


def page(
    found: dict[tuple[str, str], list[dict[str, Any]]], name: str, plan: Plan, where: str
) -> str:
    """The results page, with the machine that it was measured on."""
    head = ["predictor", "rank correlation, fixed", "recall", "rank correlation, fresh", "recall"]
    parts = [
        "# Which single-token swaps make a model reason to right answers: how well it is predicted",
        where,
        f"`{name}`, one position of a prompt at a time, {plan.candidates} candidates (half of them "
        f"from the model's {plan.likely} likeliest, half at random), {plan.questions} questions. "
        "The loss is the mean cross-entropy of the right answer behind chain and extractor. Over "
        "*fixed* chains it is measured behind those that the prompt as it is makes the model "
        "write; *fresh* ones are written for each candidate, up to "
        f"{plan.chain} tokens. Rank correlation is Spearman's, and recall the share of the best "
        f"{RECALL} candidates among the {RECALL} predicted best (chance "
        f"{RECALL / plan.candidates:.2f}); means over positions, with standard errors. *Smoothed* "
        "gradients are averaged over random tokens at the position; *damped* ones take less of "
        "each residual branch (arXiv 2405.20778). The last line is a screen without gradients.",
    ]
    for part, what in (
        ("report", "Reported: prompts and questions that nothing was chosen by"),
        ("tuning", "Prompts and questions for choosing between predictors"),
    ):
        cells = [cell for (_, own), some in found.items() if own == part for cell in some]
        if not cells:
            continue
        survive = mean(cell["same"] for cell in cells)
        parts += [f"## {what}", f"{len(cells)} positions; {survive:.0%} of chains stay the same."]
        parts.append(table(head, lines_of(cells)))
        for (task, own), some in found.items():
            if own == part == "report":
                parts += [f"### Task {task}, {len(some)} positions", table(head, lines_of(some))]
    return "\n\n".join(parts) + "\n"


def main(args: list[str] | None = None) -> None:
    """Measures what is not kept yet, and writes the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="", help="id or folder of the model")
    parser.add_argument("--keep", type=Path, help="folder of results: kept, and taken up again")
    parser.add_argument("--tasks", nargs="+", choices=[*PROMPTS], default=[*PROMPTS])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--questions", type=int)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="everything tiny; writes nothing")
    options = parser.parse_args(args)
    if not options.model:
        print(ABSENT, flush=True)
        return
    hush()
    torch.set_num_threads(options.threads)
    own = {name: value for name in ("questions", "batch") if (value := getattr(options, name))}
    plan = Plan(**{**asdict(QUICK if options.quick else Plan()), **own})
    tokenizer = AutoTokenizer.from_pretrained(options.model)
    model = AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.float32)
    model = model.to(options.device).eval().requires_grad_(False)

    def build(task: str, rng: random.Random) -> Setting:
        questions = rng.sample(read_table(task), plan.questions)
        return as_setting(
            tokenizer,
            questions,
            model.config.vocab_size,
            [tokenizer.eos_token_id],
            chain_tokens=plan.chain,
            batch=plan.batch,
            temperature=1.0,
            fluency=0.0,
        )

    name = Path(options.model).name
    found = cells_of(
        model,
        build,
        lambda text: ids_of(tokenizer, f" {text}"),
        plan,
        options.keep,
        name,
        options.tasks,
        options.parts,
    )
    text = page(found, name, plan, describe(options.device))
    if options.quick:
        print(text)
    else:
        write("greater_fidelity", text)


if __name__ == "__main__":
    main()
