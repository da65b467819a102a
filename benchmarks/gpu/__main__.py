"""Times on one card, in one command: steps, scoring, classification and decoding.

``python -m benchmarks.gpu`` writes ``benchmarks/results/gpu.md``: a step of AutoDAN and of GCG
(nanoGCG beside it, where ``--nanogcg`` names the Python of an environment that has it), candidates
scored a second, a step of classification prompts, and decoding, in float32 and bfloat16, with and
without ``torch.compile``. Beside the seconds stands the share of the card's rate of matrix products
of the same type, which is measured too.

``--device cpu --quick`` tries all of it on a processor with tiny models, and writes nothing: its
seconds, rates and shares say nothing of a card.
"""

import argparse
import gc
import tempfile
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.engine import Setting, product_rate
from benchmarks.gpu.card import Card
from benchmarks.gpu.parts import QUICK, Machine, Sizes, Way, agreement
from benchmarks.machine import table, write
from benchmarks.real_models import build
from benchmarks.search import hush
from fuse_lightning.models.options import DType

DTYPES: tuple[DType, ...] = ("float32", "bfloat16")
GCG_CASE = 2
"""Number of the engine's case that nanoGCG takes too."""
STEPS = [
    "step",
    "models",
    "seconds a step",
    "proposing, s",
    "share of the matrix rate",
    "scoring, s",
    "candidates a second",
    "share of the matrix rate",
    "peak memory, MB",
]
CLASSIFICATION = [
    "models",
    "scoring, s",
    "candidates a second",
    "share of the matrix rate",
    "peak memory, MB",
    "gradient, s",
]
DECODING = [
    "models",
    "writing, s",
    "tokens a second",
    "share of the matrix rate",
    "peak memory, MB",
    "transformers, s",
]


def page(card: Card, folder: Path, sizes: Sizes, compiled: bool, nanogcg: str | None) -> str:
    """Measures all parts; the text of the page."""
    size = 8192 if card.is_gpu else 1024
    rates = {
        dtype: product_rate(Setting(folder, str(card.device)), size, getattr(torch, dtype))
        for dtype in DTYPES
    }
    ways = [
        Way(dtype, compiles, rates[dtype])
        for dtype in DTYPES
        for compiles in ((False, True) if compiled else (False,))
    ]
    steps, labels, texts = [], [], []
    losses: dict[str, dict[str, dict[tuple[int, ...], float]]] = {}
    for way in ways:
        machine = Machine(folder, card, way, sizes)
        for number in sizes.cases:
            case = machine.setting.cases()[number]
            line, told = machine.steps(case)
            steps.append(line)
            losses.setdefault(case.name, {})[way.name] = told
            if nanogcg and number == GCG_CASE and not way.compiled:
                steps.append(machine.nanogcg(nanogcg, case))
        labels.append(machine.classification())
        texts.append(machine.decoding())
        # The next models find the memory free.
        del machine
        gc.collect()
    products = ", ".join(f"{rate / 1e12:.3g} in {dtype}" for dtype, rate in rates.items())
    return "\n\n".join(
        [
            "# Times on one card" if card.is_gpu else "# A trial on a processor",
            f"{card.told()} GPT-2 and the text tower of a CLIP, {sizes.layers} layers of width 768 "
            f"and 512, random weights, attention by SDPA. Medians of {sizes.rounds} rounds after "
            "one that does not count; the device has done all its work before a clock is read. "
            f"The matrix rate is that of a product of two {size} x {size} matrices, 10^12 "
            f"operations a second: {products}. Operations are counted by the engine's meters. "
            "Peak memory is that of all tensors, weights included.",
            "" if card.is_gpu else "Memory, seconds, rates and shares of a card need a card.",
            "## Steps",
            table(STEPS, steps),
            "## The same losses in other types",
            "Losses of the prompts that a step begins with, beside those in float32.",
            agreement(losses),
            "## Classification",
            f"{sizes.candidates} prompts x 32 examples x 2 labels.",
            table(CLASSIFICATION, labels),
            "## Decoding",
            f"{sizes.texts} texts of 40 tokens.",
            table(DECODING, texts),
        ]
    ).replace("\n\n\n\n", "\n\n")


def main(args: list[str] | None = None) -> None:
    """Measures, and writes or prints the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--quick", action="store_true", help="everything tiny; writes nothing")
    parser.add_argument("--layers", type=int, help="of both models, 12 by default")
    parser.add_argument("--rounds", type=int, help="timed rounds, 5 by default")
    parser.add_argument("--plain", action="store_true", help="without torch.compile")
    parser.add_argument("--nanogcg", help="Python of an environment with nanoGCG")
    options = parser.parse_args(args)
    hush()
    card = Card(options.device)
    sizes = QUICK if options.quick else Sizes()
    sizes = replace(
        sizes,
        layers=options.layers or sizes.layers,
        rounds=options.rounds or sizes.rounds,
    )
    compiled = not (options.plain or options.quick)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build(folder, sizes.layers, sizes.words)
        text = page(card, folder, sizes, compiled, options.nanogcg)
    if card.is_gpu and not options.quick:
        write("gpu", text + "\n")
    else:
        print(text)


if __name__ == "__main__":
    main()
