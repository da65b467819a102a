"""One published step of GReaTer: done plainly with transformers, and done by this package.

``python -m benchmarks.greater.step`` writes ``benchmarks/results/greater_step.md``: 32 questions of
60 tokens, a prompt of 16, chains of 128, 3 candidates, a network of 50 M random weights of Llama's
shape. Both take the same step, and what they find is compared. On a processor seconds are those of
the process, which others on the machine change little. A run needs about 4 minutes on one core.
"""

import argparse
import ctypes
import gc
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from benchmarks.engine import status
from benchmarks.greater import plain
from benchmarks.greater.ours import Ours
from benchmarks.greater.plain import Ids, Setting, Step
from benchmarks.greater.step_model import Sizes, build, target_of
from benchmarks.greater.step_work import PHASES, Work, counted, least, of_plain, total
from benchmarks.machine import describe, table, write
from benchmarks.search import hush
from fuse_lightning.models import CausalLM

QUICK = Sizes(2, 64, 1200, 900, 6, 8, 5, 2, 12)
NAMES = "plain", "package"


@dataclass
class Found:
    """What is measured on one device, in one type of numbers.

    Attributes:
        seconds: Of each step, plain and by the package, in turns.
        first: Seconds of the chains that the package writes once, before its first step.
        memory: Most memory that a step took beyond what was there, MB.
        same: Lines that compare what the two find.
        work: Work of a step by phase, predicted and measured.
    """

    seconds: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in NAMES})
    first: list[float] = field(default_factory=list)
    memory: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in NAMES})
    same: list[list[str]] = field(default_factory=list)
    work: dict[str, dict[str, Work]] = field(default_factory=dict)


def timed(device: torch.device, do: Callable[[], Any]) -> tuple[Any, float, float]:
    """What a call returns, its seconds, and the most memory that it took beyond what was there."""
    cuda = device.type == "cuda"
    clock = time.perf_counter if cuda else time.process_time
    if cuda:
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device) / 2**20
    else:
        gc.collect()
        # What was freed goes back to the system, so that it is seen when it is taken again.
        ctypes.CDLL(None).malloc_trim(0)
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")
        before = status("VmRSS")
    begin = clock()
    found = do()
    if cuda:
        torch.cuda.synchronize(device)
        peak = torch.cuda.max_memory_allocated(device) / 2**20
    seconds = clock() - begin
    return found, seconds, (peak if cuda else status("VmHWM")) - before


def compared(number: int, one: Step, other: Step, scores: list[list[float]]) -> list[str]:
    """Line on what the two find in one step.

    Args:
        number: Number of the step.
        one: The plain step.
        other: That of the package.
        scores: Scores of the shortlist by both.
    """
    chains = [*zip(one.chains, other.chains, strict=True)]
    for mine, theirs in zip(one.fresh, other.fresh, strict=True):
        chains += zip(mine, theirs, strict=True)
    same = sum(a == b for a, b in chains)
    finite = one.log_probs.isfinite()
    nearest = (one.log_probs.cpu() - other.log_probs.cpu())[finite.cpu()].abs().max()
    told = [str(number), f"{nearest:.0e}", yes(one.candidates == other.candidates)]
    if one.candidates == other.candidates:
        # One of them is known up to a constant.
        mine, theirs = (each.gradient.cpu() - each.gradient[-1].cpu() for each in (one, other))
        told.append(f"{float((mine - theirs).norm() / mine.norm()):.0e}")
    else:
        told.append("")
    told += [yes(one.shortlist == other.shortlist), f"{same} of {len(chains)}"]
    if one.shortlist == other.shortlist:
        gap = max(abs(a - b) / max(abs(a), 1e-9) for a, b in zip(*scores, strict=True))
        told.append(f"{gap:.0e}")
    else:
        told.append("")
    return [*told, yes(one.chosen == other.chosen)]


def yes(same: bool) -> str:
    """Word of a table."""
    return "the same" if same else "not the same"


def run(folder: Path, sizes: Sizes, device: str, dtype: str, rounds: int) -> Found:
    """Measures steps on a device, plainly and by the package in turns."""
    model = CausalLM(str(folder), dtype=dtype, device=device)  # type: ignore[arg-type]
    model.load(device)
    network = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype))
    network = network.to(device).eval().requires_grad_(False)
    found = Found()
    # The first steps of a process warm up and are not timed.
    warm = replace(sizes, questions=2, chain=4)
    for number in range(-1, rounds):
        own = warm if number < 0 else sizes
        target, text = target_of(model, own, number + 1)
        ours = Ours(model, target, own.chain)
        prompt = ours.objective.encode_prompt(text)
        setting = ours.setting(prompt, shortlist=own.candidates)
        position = (number * 5 + 2) % len(prompt)
        _, first, _ = timed(model.device, lambda ours=ours, prompt=prompt: ours.chains([prompt]))
        steps = {
            "plain": lambda setting=setting, prompt=prompt, position=position: plain.step(
                network, setting, prompt, position, Random(0)
            ),
            "package": lambda ours=ours, setting=setting, prompt=prompt, position=position: (
                ours.step(setting, prompt, position, Random(0))
            ),
        }
        results = {}
        for name in NAMES if number % 2 else NAMES[::-1]:
            results[name], seconds, memory = timed(model.device, steps[name])
            if number >= 0:
                found.seconds[name].append(seconds)
                found.memory[name].append(memory)
        if number < 0:
            continue
        found.first.append(first)
        one, (other, scores) = results["plain"], results["package"]
        both = [[each.score(setting) for each in one.judged], scores]
        found.same.append(compared(number + 1, one, other, both))
        if number == rounds - 1:
            found.work = works(model, network, (target, own.chain), setting, prompt, position, one)
    return found


def works(
    model: CausalLM,
    network: Any,
    given: tuple[Any, int],
    setting: Setting,
    prompt: Ids,
    position: int,
    step: Step,
) -> dict[str, dict[str, Work]]:
    """Work of a step by phase: predicted from its rows, and measured, of both."""
    ours = Ours(model, *given)
    prompts = [plain.swapped(prompt, position, token) for token in step.shortlist]

    def tried() -> None:
        for each in prompts:
            plain.judge(network, setting, each, plain.write_chains(network, setting, each))

    told, tokens = step.chains, step.candidates
    by_plain: list[Callable[[], object]] = [
        lambda: plain.write_chains(network, setting, prompt),
        lambda: plain.next_tokens(network, setting, prompt, position, told),
        lambda: plain.gradient(network, setting, prompt, position, told, tokens),
        tried,
    ]
    by_package: list[Callable[[], object]] = [
        lambda: ours.chains([prompt]),
        lambda: ours.next_tokens(setting, prompt, position),
        lambda: ours.gradient(prompt, position, tokens),
        lambda: ours.scores(prompts),
    ]
    model.forget()
    done = {
        name: {phase: counted(each, call) for phase, call in zip(PHASES, calls, strict=True)}
        for name, each, calls in (
            ("plain", network, by_plain),
            ("package", model.module, by_package),
        )
    }
    # Known from the step before.
    done["package"][PHASES[0]] = Work(0, 0, 0.0)
    return {
        "plain, predicted": of_plain(network, setting, prompt, position, step),
        "plain, measured": done["plain"],
        "package, the least": least(network, setting, prompt, position, step),
        "package, measured": done["package"],
    }


def page(found: dict[str, Found], sizes: Sizes, rounds: int) -> str:
    """The results page."""
    speed, same = [], []
    for name, each in found.items():
        one, other = (median(each.seconds[key]) for key in NAMES)
        speed.append(
            [
                name,
                f"{one:.2f}",
                f"{other:.2f}",
                f"{one / other:.1f}",
                f"{median(each.first):.2f}",
                *(f"{max(each.memory[key]):.0f}" for key in NAMES),
            ]
        )
        same += [[name, *line] for line in each.same]
    last = [*found.values()][-1]
    work = []
    for name, phases in last.work.items():
        for phase, each in {**phases, "*all*": total(phases.values())}.items():
            line = [f"{each.positions}", f"{each.outputs}", f"{each.flops / 1e12:.3f}"]
            work.append([name, phase, *line])
    setting = (
        f"{sizes.questions} questions of {sizes.question} tokens, a prompt of {sizes.prompt} "
        f"tokens, chains of {sizes.chain} tokens, {sizes.candidates} candidates; a network of "
        f"Llama's shape with {sizes.layers} layers of width {sizes.width} and random weights, "
        f"{sizes.tokens} tokens."
    )
    parts = [
        "# What a step of GReaTer costs",
        describe(),
        setting,
        "A step proposes tokens for one position from what questions agree on, takes the gradient "
        "of the answers' loss behind fixed chains, and tries the most promising candidates behind "
        "chains of their own. *Plain* does it as published, with transformers alone "
        "(`benchmarks/greater/plain.py`): chains are written in batches of 9, those of the prompt "
        "as it is anew in each step, and every phase reads whole rows with the logits of all "
        "positions. Weights are frozen, which the published code leaves out. *Package* is this "
        "package with `preset: code`. It knows the chains of the prompt from the step before; "
        "writing them once, before the first step, takes the seconds of *once*.",
        "## Seconds and memory",
        f"Medians of {rounds} steps in turns, each on questions and a prompt of its own. Seconds "
        "on a processor are those of the process. Memory is the most that a step took beyond what "
        "was there before.",
        table(
            [
                *("device and numbers", "plain, s", "package, s", "times faster", "once, s"),
                *("plain, MB", "package, MB"),
            ],
            speed,
        ),
        "## What both find",
        "Largest difference of the log-probabilities that proposals are made of (nats), relative "
        "differences of the gradient over the candidates and of the scores.",
        table(
            [
                *("device and numbers", "step", "log-probabilities", "candidates", "gradient"),
                *("shortlist", "equal chains", "scores", "chosen token"),
            ],
            same,
        ),
        "## Work",
        "Positions that go through the layers, those whose logits are computed, and operations of "
        "matrix products with weights and of attention, forward and backward. *Predicted* and "
        "*the least* are counted from the rows: of the plain step all tokens with their padding, "
        "of the package each distinct (prefix, token) pair once, and logits where they are asked "
        "for. Attention is not in these two.",
        table(["", "phase", "positions", "with logits", "TFLOP"], work),
    ]
    return "\n\n".join(parts) + "\n"


def main(args: list[str] | None = None) -> None:
    """Measures and writes the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", nargs="+", default=["float32"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="everything tiny; writes nothing")
    options = parser.parse_args(args)
    hush()
    torch.set_num_threads(options.threads)
    sizes = QUICK if options.quick else Sizes()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build(folder, sizes)
        found = {
            f"{options.device}, {dtype}": run(folder, sizes, options.device, dtype, options.rounds)
            for dtype in options.dtype
        }
    text = page(found, sizes, options.rounds)
    if options.quick:
        print(text)
    else:
        write("greater_step", text)


if __name__ == "__main__":
    main()
