"""Whether a step and a search find the same on a processor and on another device.

``python -m benchmarks.greater.device --device cuda`` prints a table and writes nothing. Numbers are
in float32 on both. Chains may part where two tokens are nearly equally likely.
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path
from random import Random

import torch

from benchmarks.greater import zoo
from benchmarks.greater.ours import Ours
from benchmarks.greater.searches import Plan, Row, fit
from benchmarks.greater.step import compared
from benchmarks.greater.step_model import Sizes, build, target_of
from benchmarks.machine import describe, table
from benchmarks.search import hush
from fuse_lightning.models import CausalLM

SIZES = Sizes(layers=4, width=256, tokens=4000, words=6000, questions=16, chain=32)
SEARCH = Plan(16, 16, 16, 20)
QUICK = (
    replace(SIZES, layers=1, width=64, tokens=1200, words=900, questions=4, chain=4),
    Plan(4, 4, 4, 2),
)


def steps(folder: Path, sizes: Sizes, device: str, rounds: int) -> list[list[str]]:
    """Lines that compare steps on a processor with those on the device."""
    models = {}
    for place in ("cpu", device):
        models[place] = CausalLM(str(folder), device=place)
        models[place].load(place)
    lines = []
    for number in range(rounds):
        found = []
        for model in (models["cpu"], models[device]):
            target, text = target_of(model, sizes, number)
            ours = Ours(model, target, sizes.chain)
            prompt = ours.objective.encode_prompt(text)
            setting = ours.setting(prompt, shortlist=sizes.candidates)
            found.append(ours.step(setting, prompt, number % len(prompt), Random(0)))
        (one, scores), (other, more) = found
        lines.append(compared(number + 1, one, other, [scores, more]))
    return lines


def searches(plan: Plan, device: str) -> list[list[str]]:
    """Lines with the best prompts of the same search on both."""
    lines = []
    for place in ("cpu", device):
        model, task = CausalLM(zoo.MODEL, device=place), zoo.task_of(200)
        model.load(place)
        with tempfile.TemporaryDirectory() as folder:
            module = fit(model, task, Row(), zoo.STARTS["neutral"], plan, 0, Path(folder))
        result = module.results[0]
        lines.append([place, f"`{result.prompt}`", f"{result.loss:.5f}", str(result.evaluations)])
    return lines


def main(args: list[str] | None = None) -> None:
    """Compares, and prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="everything tiny")
    options = parser.parse_args(args)
    hush()
    sizes, plan = QUICK if options.quick else (SIZES, SEARCH)
    if options.device.startswith("cuda"):
        torch.backends.cuda.matmul.allow_tf32 = False
    with tempfile.TemporaryDirectory() as name:
        build(Path(name), sizes)
        lines = steps(Path(name), sizes, options.device, options.rounds)
    head = ["step", "log-probabilities", "candidates", "gradient", "shortlist", "equal chains"]
    print(describe(options.device), flush=True)
    print(f"\n{table([*head, 'scores', 'chosen token'], lines)}\n", flush=True)
    print(table(["device", "found prompt", "loss", "evaluations"], searches(plan, options.device)))


if __name__ == "__main__":
    main()
