"""One published step of GReaTer: done plainly with transformers, and done by this package.

``python -m benchmarks.greater.step`` writes ``benchmarks/results/greater_step.md``: 32 questions of
60 tokens, a prompt of 16, chains of 128, 3 candidates, a network of 50 M random weights of Llama's
shape. Both take the same step, and what they find is compared. On a processor seconds are those of
the process, which others on the machine change little. A round needs about 3 minutes of one core,
and counting what was read as long again. With ``--keep FOLDER`` the page also shows what was
measured there before on other devices.
"""

import argparse
import ctypes
import gc
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from random import Random
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from benchmarks.classification.runs import kept
from benchmarks.engine import status
from benchmarks.greater import plain
from benchmarks.greater.ours import Ours
from benchmarks.greater.plain import Ids, Setting, Step
from benchmarks.greater.step_model import Sizes, build, target_of
from benchmarks.greater.step_page import NAMES, Found, page
from benchmarks.greater.step_work import PHASES, Work, counted, least, of_plain
from benchmarks.machine import describe, write
from benchmarks.search import hush
from fuse_lightning.models import CausalLM

QUICK = Sizes(2, 64, 1200, 900, 6, 8, 5, 2, 12)


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
    found = Found(describe(device))
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


def main(args: list[str] | None = None) -> None:
    """Measures what is not kept yet, and writes the page on all that is."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", nargs="+", default=["float32"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="folder of results, those of other devices too")
    parser.add_argument("--quick", action="store_true", help="everything tiny; writes nothing")
    options = parser.parse_args(args)
    hush()
    torch.set_num_threads(options.threads)
    sizes, keep = QUICK if options.quick else Sizes(), options.keep and options.keep / "step"
    found: dict[str, Found] = {}
    with tempfile.TemporaryDirectory() as name:
        build(Path(name), sizes)
        for dtype in options.dtype:
            key = f"{options.device}, {dtype}"
            cell = kept(
                keep and keep / f"{key.replace(', ', '-')}.json",
                asdict(sizes),
                lambda dtype=dtype: asdict(
                    run(Path(name), sizes, options.device, dtype, options.rounds)
                ),
            )
            found[key] = Found.from_dict(cell)
    for path in sorted(keep.glob("*.json")) if keep else ():
        found |= {
            path.stem.replace("-", ", "): Found.from_dict(kept(path, asdict(sizes), lambda: None))
        }
    text = page(dict(sorted(found.items())), sizes)
    if options.quick:
        print(text)
    else:
        write("greater_step", text)


if __name__ == "__main__":
    main()
