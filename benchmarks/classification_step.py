"""Cost of scoring one step of classification prompts, beside arithmetic and lm-eval.

``python -m benchmarks.classification_step`` writes
``benchmarks/results/classification_step.md``: 128 candidates x 32 examples x 2 labels in float32 on
a GPT-2 of 12 layers with random weights. The same rows of ids are scored by lm-evaluation-harness
in turns, if it is installed (``pip install lm-eval``, or in a folder of its own that ``--lm-eval``
names). Seconds are those of the processor, which others on the machine change little.
"""

import argparse
import gc
import sys
import tempfile
import time
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import GPT2Config, GPT2LMHeadModel

from benchmarks.classification_rows import (
    CANDIDATES,
    CASES,
    EXAMPLES,
    PROMPT,
    TEXT,
    Case,
    Step,
    counting,
)
from benchmarks.engine import status
from benchmarks.machine import describe, table, write
from benchmarks.real_models import build
from benchmarks.search import hush
from fuse_lightning.models import CausalLM

WORDS = 40_000
BATCH = 64
"""Rows of one forward of lm-eval; its ``auto`` ends at the same number."""
PART = 4
"""Prompts that lm-eval reads; it shares nothing between prompts, so that more take as much each."""
TIMED = (0, 3, 6, 7)
"""Numbers of the cases whose seconds are measured."""


@dataclass
class Figures:
    """Seconds of the engine, of lm-eval, and of the arithmetic alone, in turns."""

    engine: list[float] = field(default_factory=list)
    harness: list[float] = field(default_factory=list)
    floor: list[float] = field(default_factory=list)


def narrow(folder: Path) -> CausalLM:
    """A model with the same tokens that reads rows fast; how many positions is the same."""
    source, target = folder / "gpt2", folder / "narrow"
    config = GPT2Config.from_pretrained(source, n_layer=1, n_embd=16, n_head=2)
    GPT2LMHeadModel(config).save_pretrained(target)
    for file in source.glob("*.json"):
        if file.name not in ("config.json", "generation_config.json"):
            (target / file.name).write_bytes(file.read_bytes())
    model = CausalLM(str(target))
    model.load()
    return model


def arithmetic(small: CausalLM, model: CausalLM) -> str:
    """Table of what a step reads in each layout, and of what must be read."""
    lines, lm = [], harness(small)
    for case in CASES:
        step = Step(small, case, CANDIDATES)
        with counting(small) as scored:
            step.score()
        needed, rows = step.distinct(), len(step.term.rows)
        one = Step(small, case, 1)
        one.score()
        floor = one.distinct()
        with counting(small) as derived:
            one.gradient()
        times = ""
        if lm is not None:
            with counting(small) as theirs:
                lm._loglikelihood_tokens(requests_of(step), disable_tqdm=True)
            times = f"{CANDIDATES / PART * theirs.flops(model) / scored.flops(model):.1f}"
        lines.append(
            [
                case.name,
                f"{rows}",
                f"{sum(len(a) + len(b) - 1 for a, b in step.rows())}",
                f"{needed.layers}",
                f"{scored.layers} ({scored.layers / needed.layers:.2f})",
                f"{scored.head} ({scored.head / needed.head:.2f})",
                f"{scored.flops(model) / needed.flops(model):.2f}",
                times,
                f"{derived.layers} ({derived.layers / floor.layers:.2f})",
            ]
        )
    head = [
        "layout",
        "rows",
        "tokens of the rows",
        "distinct pairs",
        "positions read",
        "positions with logits",
        "arithmetic, times the least",
        "arithmetic of lm-eval, times the engine's",
        "gradient of one prompt: positions read",
    ]
    return table(head, lines)


def harness(model: CausalLM) -> Any:
    """lm-evaluation-harness around the same network; ``None`` where it is not installed."""
    try:
        from lm_eval.models.huggingface import HFLM
    except ImportError:
        return None
    return HFLM(pretrained=model.module, tokenizer=model.tokenizer, batch_size=BATCH)


def product_seconds(flops: float) -> float:
    """Seconds of so many operations in large matrix products."""
    a, weight = torch.randn(2, 2048, 2048)
    begun = time.process_time()
    F.linear(a, weight)
    return flops * (time.process_time() - begun) / (2 * 2048**3)


def requests_of(step: Step) -> list[tuple[tuple[str, str], list[int], list[int]]]:
    """Rows of the first prompts, as lm-eval takes them."""
    rows = step.rows()[: PART * EXAMPLES * 2]
    return [(("", ""), before, label) for before, label in rows]


def compare(model: CausalLM, lm: Any, case: Case, candidates: int, rounds: int) -> list[str]:
    """Line of the seconds of a case."""
    step, found = Step(model, case, candidates), Figures()
    other: Tensor | None = None
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")
    before = status("VmRSS")
    found.engine.append(step.score())
    peak = status("VmHWM") - before
    needed, requests = step.distinct(), requests_of(step)
    for number in range(rounds):
        found.floor.append(product_seconds(needed.flops(model)))
        if number:
            found.engine.append(step.score())
        if lm is not None:
            begun = time.process_time()
            told = lm._loglikelihood_tokens(requests, disable_tqdm=True)
            seconds = time.process_time() - begun
            found.harness.append(seconds * candidates / min(PART, candidates))
            other = -torch.tensor([value for value, _ in told])
    reading, nll = step.term.rows, step.term.nll
    own, floor = median(found.engine), median(found.floor)
    line = [
        case.name,
        f"{candidates} x {EXAMPLES} x 2",
        f"{own:.2f}",
        f"{own / floor:.1f}",
        f"{peak:.0f}",
    ]
    if other is None:
        return [*line, "", "", "", ""]
    theirs = median(found.harness)
    some = slice(len(other))
    reading, nll = reading[some], nll[some]
    right = [float(step.term.correct(values, reading).mean()) for values in (nll, other)]
    difference = float((nll - other).abs().max() / other.abs().max())
    return [
        *line,
        f"{theirs:.2f}",
        f"{theirs / own:.1f}",
        f"{right[0]:.4f} / {right[1]:.4f}",
        f"{difference:.0e}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument(
        "--candidates", type=int, nargs=len(TIMED), default=[CANDIDATES] * len(TIMED)
    )
    parser.add_argument("--lm-eval", help="folder that holds lm-eval, behind the installed ones")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    if options.lm_eval:
        sys.path.append(options.lm_eval)
    hush()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build(folder, 12, WORDS)
        model = CausalLM(str(folder / "gpt2"))
        model.load()
        counts = arithmetic(narrow(folder), model)
        lm = harness(model)
        lines = [
            compare(model, lm, CASES[number], count, options.rounds)
            for number, count in zip(TIMED, options.candidates, strict=True)
        ]
    told = "is not installed here (`pip install lm-eval`), so its columns are empty"
    if lm is not None:
        told = (
            f"is version {version('lm-eval')}, with {BATCH} rows a forward on the same network and "
            "the same ids. It computes rows that differ in a last token alone once, too, and the "
            f"logits of all positions. It reads the rows of {PART} of the prompts, and its seconds "
            "are multiplied by how many times more there are"
        )
    head = [
        "layout",
        "candidates x examples x labels",
        "engine, s",
        "times the floor",
        "peak memory of scoring, MB",
        "lm-eval, s",
        "times the engine's",
        "accuracy, engine / lm-eval",
        "largest difference of a row's log-likelihood, relative",
    ]
    write(
        "classification_step",
        f"# What scoring a step of classification prompts costs\n\n{describe()} "
        f"Threads: {torch.get_num_threads()}; float32. {CANDIDATES} prompts of {PROMPT} tokens, "
        f"{EXAMPLES} examples of {TEXT} tokens, 2 labels, a GPT-2 of 12 layers of width 768 with "
        "random weights. Unless said otherwise, labels are one token, and prompts differ from one "
        "prompt in one token.\n\n## Arithmetic\n\nThe least is that of each distinct (prefix, "
        "token) pair once, and of logits where a token of a label is asked for. A gradient needs "
        f"no more pairs than a scoring of the same prompt.\n\n{counts}\n\n## Seconds\n\nSeconds "
        f"of the processor, medians of {options.rounds} scorings in turns. The "
        f"floor is the time of the least arithmetic in large "
        f"matrix products, measured in the same turns. lm-eval {told}.\n\n{table(head, lines)}\n",
    )


if __name__ == "__main__":
    main()
