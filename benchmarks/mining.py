"""Cost of mining two models beside their forwards alone.

``python -m benchmarks.mining MODEL`` writes ``benchmarks/results/mining.md``. MODEL is a folder or
hub id of a causal language model; the other model of the pair is a copy with noise on its weights.
Texts are captions of the zoo, some of them joined. What is compared takes turns on one thread, in
seconds of the processor, so that other work on the machine counts little.
"""

import argparse
import time
from collections.abc import Callable
from statistics import median

import torch

from benchmarks.machine import describe, table, write
from benchmarks.search import hush
from fuse_lightning.decoding import ContrastiveDecoder, Stream
from fuse_lightning.decoding.forced import given_rows
from fuse_lightning.diffing.mined_texts import GivenText, survey_texts, two_halves
from fuse_lightning.diffing.mining import MiningOptions, mine
from fuse_lightning.diffing.token_survey import TokenSurvey
from fuse_lightning.models import CausalLM
from fuse_lightning.zoo.moods import mood_captions

JOINED = 6
"""Captions of a text."""
NOISE = 0.02
"""Noise on a weight matrix, as a share of its spread."""


class Nothing(TokenSurvey):
    """Survey that counts nothing, so that only the forwards are left."""

    def add(self, text: int, parts: object) -> None:
        """Leaves the text aside."""


def pair(model_id: str, dtype: str) -> ContrastiveDecoder:
    """A model, and a copy with noise on its weights."""
    models = [CausalLM(model_id, dtype=dtype) for _ in range(2)]
    for model in models:
        model.load("cpu")
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in models[1].module.parameters():
            noise = torch.randn(weight.shape, generator=draw)
            weight += (NOISE * weight.float().std() * noise).to(weight.dtype)
    return ContrastiveDecoder([Stream(model) for model in models])


def texts(decoder: ContrastiveDecoder, tokens: int) -> list[GivenText]:
    """Texts of so many tokens together, or a few more."""
    captions = [row["text"].capitalize() + "." for row in mood_captions()]
    found: list[GivenText] = []
    count = 0
    for start in range(0, len(captions), JOINED):
        text = " ".join(captions[start : start + JOINED])
        found.append(("", text))
        count += int(decoder.ensemble.model.encode([text], special=False).mask.sum())
        if count >= tokens:
            return found
    raise ValueError(f"all captions together have {count} tokens only")


def forwards(decoder: ContrastiveDecoder, given: list[GivenText], options: MiningOptions) -> None:
    """The forwards of :func:`mine`, in the same batches."""
    rows, ids = given_rows(decoder.ensemble, given)
    for half in two_halves(given, options.seed):
        survey = Nothing(len(half), len(decoder.ensemble.allowed), 0.1, 5)
        begins = [[row[number] for number in half] for row in rows]
        some = [ids[number] for number in half]
        survey_texts(decoder.ensemble, begins, some, survey, options.batch_tokens)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--tokens", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--dtype", default="float32")
    given = parser.parse_args()
    hush()
    torch.set_num_threads(1)
    decoder = pair(given.model, given.dtype)
    options = MiningOptions()
    read = texts(decoder, given.tokens)
    calls: dict[str, Callable[[], object]] = {
        "two forwards alone": lambda: forwards(decoder, read, options),
        "mining without topics": lambda: mine(decoder, read, MiningOptions(topics=0)),
        "mining": lambda: mine(decoder, read, options),
    }
    forwards(decoder, read[:4], options)
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(given.rounds):
        for name, call in calls.items():
            start = time.process_time()
            call()
            seconds[name].append(time.process_time() - start)
    first = median(seconds["two forwards alone"])
    lines = [
        [name, f"{median(each):.1f}", f"{median(each) / first:.3f}"]
        for name, each in seconds.items()
    ]
    config = decoder.ensemble.model.module.config
    weights = sum(each.numel() for each in decoder.ensemble.model.module.parameters())
    vocabulary = len(decoder.ensemble.allowed)
    write(
        "mining",
        f"# Mining beside the two forwards alone\n\n{describe()} One thread, CPU seconds; "
        f"medians over rounds in turns ({given.rounds}). Two models of "
        f"{weights / 1e6:.0f} million weights ({config.model_type}, {vocabulary} tokens), "
        f"{given.dtype}; {len(read)} texts of {given.tokens} tokens together.\n\n"
        + table(["what", "seconds", "ratio"], lines)
        + f"\n\nBy counting: the two forwards take {2 * weights / 1e6:.0f} million products of "
        "weights for each token. A survey goes over the two rows of the vocabulary some fifteen "
        "times, four of these with an exponential, and keeps nothing of that width for a "
        f"token: {15 * 2 * vocabulary / 1e6:.1f} million simple operations.\n",
    )


if __name__ == "__main__":
    main()
