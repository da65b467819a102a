"""Generation beside transformers' own: many rows, shared beginnings, samples, scoring after it.

``python -m benchmarks.generate`` writes ``benchmarks/results/generate.md``. Float32, the zoo's
GPT-2 and a GPT-2 of 12 layers with random weights; all that is compared takes turns. transformers
gets the same rows in one batch, padded on the left, and the attention that it chooses itself.
"""

import argparse
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from transformers import GenerationConfig

from benchmarks.machine import describe, table, write
from benchmarks.real_models import WORDS, build
from benchmarks.search import hush
from fuse_lightning.engine.attention import NAME, use
from fuse_lightning.engine.token_batch import pad
from fuse_lightning.engine.whole_decoding import left_padded, plain_generation
from fuse_lightning.models import CausalLM

NEW = 40
Prompts = list[tuple[int, ...]]


def prompts(model: CausalLM, count: int, shared: int, own: int, seed: int = 0) -> Prompts:
    """Random prompts that begin alike and end in up to so many tokens of their own."""
    rng = random.Random(seed)
    known = model.allowed_tokens().cpu().nonzero().flatten().tolist()
    first = rng.choices(known, k=shared)
    return [(*first, *rng.choices(known, k=rng.randint(own // 3, own))) for _ in range(count)]


def transformers_rows(model: CausalLM, rows: Prompts, samples: int = 1) -> list[tuple[int, ...]]:
    """What transformers writes behind the rows."""
    ids, mask = left_padded(model, rows)
    options: dict[str, Any] = {"max_new_tokens": NEW, "pad_token_id": model.pad_id}
    if samples > 1:
        options |= {"do_sample": True, "top_k": 0, "num_return_sequences": samples}
    use(model.module, "sdpa")
    with plain_generation(model.module), torch.no_grad():
        found = model.module.generate(
            input_ids=ids,
            attention_mask=mask.long(),
            generation_config=GenerationConfig(**options),
        )
    use(model.module, NAME)
    return [tuple(row[ids.shape[1] :]) for row in found.tolist()]


def own_rows(model: CausalLM, rows: Prompts, samples: int = 1) -> list[tuple[int, ...]]:
    """What the model writes behind the rows."""
    options = {"samples": samples, "temperature": 1.0} if samples > 1 else {}
    return model.generate(rows, NEW, stop_ids=(), **options).ids


def answers(model: CausalLM, rows: Prompts, cached: bool) -> torch.Tensor:
    """Writes a text behind each row and scores two answers behind each text."""
    found = model.generate(rows, NEW, stop_ids=(), cache=cached)
    first, second, *extractor = prompts(model, 1, 8, 3, seed=1)[0]
    longer = [
        (*row, *ids, *extractor, answer)
        for row, ids in zip(rows, found.ids, strict=True)
        for answer in (first, second)
    ]
    batch = pad(longer, None, model.pad_id)
    counted = batch.mask & (torch.arange(batch.ids.shape[1]) >= batch.mask.sum(1)[:, None] - 1)
    cache = found.cache if cached else None
    with torch.no_grad():
        nll = model.token_nll(batch.ids, counted, cache=cache)
    model.forget()
    return nll.sum(1)


def in_turns(
    rounds: int, device: torch.device, *calls: Callable[[], Any]
) -> tuple[list[float], list[Any]]:
    """Median seconds of each call, and what each returned last; the first round is not timed."""
    # A process on the CPU shares its cores with others; this one computes on one thread.
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    seconds: list[list[float]] = [[] for _ in calls]
    found: list[Any] = [None] * len(calls)
    for turn in range(rounds + 1):
        for place, call in enumerate(calls):
            start = clock()
            found[place] = call()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            if turn:
                seconds[place].append(clock() - start)
    return [median(times) for times in seconds], found


def section(model: CausalLM, name: str, rounds: int, cases: list[tuple[int, int, int]]) -> str:
    """A table of what is compared for one model.

    Args:
        model: The model.
        name: In the heading.
        rounds: How often each is timed.
        cases: Of each: how many prompts, how many tokens they share, how many samples.
    """
    lines = []
    for count, shared, samples in cases:
        rows = prompts(model, count, shared, 12)
        (theirs, ours), (expected, got) = in_turns(
            rounds,
            model.device,
            lambda rows=rows, samples=samples: transformers_rows(model, rows, samples),
            lambda rows=rows, samples=samples: own_rows(model, rows, samples),
        )
        same = sum(a == b for a, b in zip(expected, got, strict=True))
        lines.append(
            [
                f"{count} prompts x {samples}, {shared} tokens shared",
                f"{theirs:.2f}",
                f"{ours:.2f}",
                f"{ours / theirs:.2f}",
                "sampled" if samples > 1 else f"{same} of {len(got)}",
            ]
        )
    head = ["texts", "transformers, s", "generate, s", "ratio", "the same tokens"]
    rows = prompts(model, 32, 0, 12)
    (afresh, handed), (expected, got) = in_turns(
        rounds,
        model.device,
        lambda: answers(model, rows, cached=False),
        lambda: answers(model, rows, cached=True),
    )
    error = float((got - expected).abs().max() / expected.abs().max())
    return (
        f"## {name}\n\n{table(head, lines)}\n\nGenerating and then scoring two answers behind each "
        f"of 32 texts: afresh {afresh:.2f} s, keys and values handed over {handed:.2f} s "
        f"(ratio {handed / afresh:.2f}); likelihoods differ by {error:.0e} of the largest.\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu", help="such as cuda")
    parser.add_argument("--zoo", action="store_true", help="the zoo's model only, not written")
    options = parser.parse_args()
    hush()
    if options.device == "cpu":
        torch.set_num_threads(1)
    zoo = CausalLM("zoo/gpt2")
    zoo.load(options.device)
    parts = [section(zoo, "The zoo's GPT-2", options.rounds, [(16, 0, 1), (64, 0, 1), (64, 10, 1)])]
    if options.zoo:
        print(parts[0])
        return
    with tempfile.TemporaryDirectory() as name:
        build(Path(name), 12, WORDS)
        model = CausalLM(str(Path(name) / "gpt2"))
        model.load(options.device)
        cases = [(16, 0, 1), (64, 0, 1), (64, 100, 1), (8, 50, 8)]
        parts.append(section(model, "GPT-2 of 12 layers, width 768", options.rounds, cases))
    device = torch.cuda.get_device_name() if options.device.startswith("cuda") else "one thread"
    write(
        "generate" if options.device == "cpu" else "generate_device",
        f"# Generation beside transformers\n\n{describe()} On {device}, float32. {NEW} tokens "
        "behind every prompt, which ends in 4 to 12 tokens of its own. Medians of "
        f"{options.rounds} rounds in turns{', CPU seconds' if options.device == 'cpu' else ''}. "
        "transformers' `generate` reads the same rows in one batch, padded on the left.\n\n"
        + "\n".join(parts),
    )


if __name__ == "__main__":
    main()
