"""Prompts on which two models diverge: what each proposer finds, at equal numbers of prompts.

``python -m benchmarks.divergence_search`` writes ``benchmarks/results/divergence_search.md``. The
pair is ``zoo/mood-plain`` and ``zoo/gpt2``. What is reported are fresh texts' divergences.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev

import lightning as L

from benchmarks.machine import describe, table, write
from benchmarks.search import hush
from fuse_lightning import (
    DivergencePrompts,
    DivergenceSearch,
    GradientProposer,
    ModelProposer,
    PromptBank,
    PromptTable,
    Proposer,
    RandomProposer,
    StreamOptions,
    TemplateMutation,
)
from fuse_lightning.diffing.likeness import ngram_vectors
from fuse_lightning.zoo.moods import mood_captions

PAIR = StreamOptions("zoo/mood-plain"), StreamOptions("zoo/gpt2")
SEEDS = [
    "a picture of",
    "photo of a red circle",
    "two small stars",
    "a landscape",
    "view of a green field",
    "image of three large squares",
]
HELD_OUT = 64
"""Random captions, cut at a random word, that no search sees."""
PROPOSERS: dict[str, Callable[[], list[Proposer]]] = {
    "random texts of the models": lambda: [RandomProposer()],
    "changes of words": lambda: [TemplateMutation()],
    "texts of the amplified difference": lambda: [ModelProposer()],
    "gradient": lambda: [GradientProposer()],
    "changes, difference and gradient": lambda: [
        TemplateMutation(),
        ModelProposer(),
        GradientProposer(),
    ],
}


@dataclass
class Figures:
    """Figures of one search.

    Attributes:
        fresh: Mean divergence of the reported prompts in fresh texts.
        selecting: The same by the texts that selected them.
        apart: Mean distance of two of the reported prompts.
        scored: Prompts that were scored.
        seconds: Wall time.
    """

    fresh: float
    selecting: float
    apart: float
    scored: int
    seconds: float


def searched(proposers: list[Proposer], seed: int, options: argparse.Namespace) -> Figures:
    """Figures of a search with some proposers."""
    begin = time.perf_counter()
    module = DivergenceSearch(
        *PAIR,
        proposers=proposers,
        samples=options.samples,
        final_samples=64,
        max_new_tokens=options.tokens,
        batch_size=options.batch,
        # Steps of few new prompts are made up for, so that all score as many.
        steps=4 * options.steps,
        max_evaluations=options.batch * (options.steps - 1),
        seed=seed,
    )
    with tempfile.TemporaryDirectory() as folder:
        trainer = L.Trainer(
            accelerator="cpu",
            max_epochs=1,
            callbacks=[PromptBank(duplicate_cosine=0.8), PromptTable(enabled=False)],
            default_root_dir=folder,
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
        )
        trainer.fit(module, DivergencePrompts(SEEDS))
    vectors = ngram_vectors([each.prompt for each in module.results])
    count = len(vectors)
    distances = 1 - vectors @ vectors.T
    return Figures(
        fmean(each.losses["divergence"] for each in module.results),
        fmean(each.losses["selecting_divergence"] for each in module.results),
        float(distances.sum()) / (count * (count - 1)),
        module.results[0].evaluations,
        time.perf_counter() - begin,
    )


def held_out(seed: int, options: argparse.Namespace) -> float:
    """Mean divergence behind random captions that are cut at a random word."""
    module = DivergenceSearch(*PAIR, max_new_tokens=options.tokens)
    module.load()
    captions = [row["text"].split() for row in mood_captions(HELD_OUT, seed=1000 + seed)]
    prompts = [" ".join(text[: 1 + n % len(text)]) for n, text in enumerate(captions)]
    found = module.scorer.score(prompts, 8, seed)
    return fmean(figure.mean for figure in found.values())


def spread(values: list[float]) -> str:
    """Mean and standard deviation of values."""
    return f"{fmean(values):.3f} ± {stdev(values):.3f}"


def main() -> None:
    """Runs all searches and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--batch", type=int, default=24)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=6)
    options = parser.parse_args()
    hush()
    controls = [held_out(seed, options) for seed in range(options.seeds)]
    rows = [["random held-out captions", spread(controls), "1.0", "", "", "", "", ""]]
    baseline = 0.0
    for name, make in PROPOSERS.items():
        found = [searched(make(), seed, options) for seed in range(options.seeds)]
        mean = fmean(each.fresh for each in found)
        # The random proposals come first.
        baseline = baseline or mean
        rows.append(
            [
                name,
                spread([each.fresh for each in found]),
                f"{mean / fmean(controls):.1f}",
                f"{mean / baseline:.1f}",
                spread([each.selecting for each in found]),
                spread([each.apart for each in found]),
                f"{fmean(each.scored for each in found):.0f}",
                f"{fmean(each.seconds for each in found):.0f}",
            ]
        )
        print(rows[-1], flush=True)
    titles = ["proposer", "divergence", "times held-out captions"]
    titles += [
        "times random texts",
        "by the selecting texts",
        "distance of prompts",
        "prompts scored",
        "seconds",
    ]
    about = (
        f"`zoo/mood-plain` against `zoo/gpt2`; {options.seeds} seeds, mean ± standard deviation; "
        f"the 10 reported prompts of each search. The divergence is the Jensen-Shannon divergence "
        f"in nats per token of {options.tokens} tokens that both models write in halves: 64 fresh "
        f"texts behind each prompt, which selected nothing. {options.samples} texts select. "
        "The distance is 1 minus the cosine of hashed character n-grams."
    )
    head = f"# Prompts on which two models diverge\n\n{describe()} {about}\n\n"
    write(Path(__file__).stem, f"{head}{table(titles, rows)}\n")


if __name__ == "__main__":
    main()
