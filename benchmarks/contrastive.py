"""Cost of contrastive decoding beside one model's plain generation.

``python -m benchmarks.contrastive`` writes ``benchmarks/results/contrastive.md``. The models have
the shape of GPT-2 small and random weights. All that is compared takes turns. What is counted
first, in products of a weight with a number, is what the result should be near.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import (
    GenerationConfig,
    GPT2Config,
    GPT2LMHeadModel,
    LogitsProcessorList,
    PreTrainedTokenizerFast,
)

from benchmarks.machine import describe, table, write
from benchmarks.search import hush
from fuse_lightning.decoding import (
    Contrast,
    ContrastiveDecoder,
    ContrastiveLogitsProcessor,
    ContrastiveLoop,
    DecodingOptions,
    Stream,
)
from fuse_lightning.models import CausalLM

NEW, BATCH, PROMPT = 64, 8, 16
Case = Callable[[], Any]


def networks(count: int, device: str) -> list[CausalLM]:
    """Models of the shape of GPT-2 small with one tokenizer, each with weights of its own."""
    config = GPT2Config(eos_token_id=50256, bos_token_id=50256)
    vocab = {f"w{index}": index for index in range(config.vocab_size - 1)}
    tokenizer = Tokenizer(WordLevel({**vocab, "<|end|>": config.vocab_size - 1}, unk_token="w0"))
    tokenizer.pre_tokenizer = Whitespace()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>")
    found = []
    for seed in range(count):
        torch.manual_seed(seed)
        found.append(CausalLM(GPT2LMHeadModel(config), tokenizer=fast, start="none"))
        found[-1].load(device)
    return found


def prompts() -> list[str]:
    """Prompts of equal lengths."""
    draw = torch.Generator().manual_seed(0)
    ids = torch.randint(50_000, (BATCH, PROMPT), generator=draw)
    return [" ".join(f"w{index}" for index in row) for row in ids.tolist()]


def settings() -> GenerationConfig:
    """Greedy search that writes every text to its last allowed token."""
    return GenerationConfig(
        max_new_tokens=NEW, min_new_tokens=NEW, do_sample=False, pad_token_id=0, eos_token_id=50256
    )


def uncached(models: list[CausalLM], contrast: Contrast, ids: torch.Tensor) -> None:
    """The published way: both models read all of every text again for each token."""
    with torch.no_grad():
        for _ in range(NEW):
            rows = torch.stack(
                [model.module(ids).logits[:, -1].log_softmax(-1) for model in models]
            )
            ids = torch.cat([ids, contrast.scores(rows).argmax(-1)[:, None]], 1)


def cases(models: list[CausalLM], whole: bool) -> Iterator[tuple[str, str, Case]]:
    """What is compared: its name, its predicted ratio, and a call of it."""
    a, b, c = models
    texts = prompts()
    ids = torch.stack([torch.tensor(row) for row in Stream(a).rows(texts)]).to(a.device)
    given = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    two, three = Contrast((2, -1), alpha=0.1), Contrast((1, -1, 1))
    greedy = DecodingOptions(temperature=0, max_new_tokens=NEW)

    def generate(**options: Any) -> Case:
        return lambda: a.module.generate(**given, generation_config=settings(), **options)

    def decode(streams: list[Any], contrast: Contrast) -> Case:
        decoder = ContrastiveDecoder(streams, contrast)
        return lambda: [*decoder.write(texts, greedy)]

    def processor() -> Any:
        made = LogitsProcessorList([ContrastiveLogitsProcessor([b.module], two)])
        return a.module.generate(**given, generation_config=settings(), logits_processor=made)

    yield "one model, transformers' generate", "1", generate()
    yield "two models, decoder, all recorded", "2", decode([a, b], two)
    yield "two models, logits processor, nothing recorded", "2", processor
    loop = ContrastiveLoop([b.module], two)
    yield "two models, loop, nothing recorded", "2", generate(custom_generate=loop)
    yield "three models, decoder, all recorded", "3", decode([a, b, c], three)
    yield (
        "one model with and without a prefix of 4 tokens, decoder, all recorded",
        "1 to 2",
        decode([a, Stream(a, prefix="w1 w2 w3 w4 ")], two),
    )
    yield (
        "layer 6 of one model, decoder, all recorded",
        "1.3",
        decode([a, Stream(a, layers=(6,))], two),
    )
    yield (
        "the furthest of layers 2 and 4, decoder, all recorded",
        "1.6",
        decode([a, Stream(a, layers=(2, 4))], two),
    )
    if whole:
        yield (
            "two models, the published way without keys and values",
            "",
            lambda: uncached([a, b], two, ids),
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu", help="such as cuda")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    hush()
    torch.set_num_threads(options.threads)
    # A process that shares its cores with others is timed by what it computes itself.
    alone = options.device == "cpu" and options.threads == 1
    clock = time.process_time if alone else time.perf_counter
    compared = [*cases(networks(3, options.device), whole=True)]
    seconds: list[list[float]] = [[] for _ in compared]
    for turn in range(options.rounds + 1):
        for times, (name, _, call) in zip(seconds, compared, strict=True):
            if "published" in name and turn > 1:
                continue
            start = clock()
            call()
            if options.device.startswith("cuda"):
                torch.cuda.synchronize()
            if turn:
                times.append(clock() - start)
    first = median(seconds[0])
    lines = [
        [name, f"{median(times):.2f}", f"{median(times) / first:.2f}", predicted]
        for times, (name, predicted, _) in zip(seconds, compared, strict=True)
    ]
    head = ["what", "seconds", "ratio", "by products of weights"]
    threads = "one thread, CPU seconds" if alone else f"{options.threads} threads"
    place = threads if options.device == "cpu" else "float32"
    write(
        "contrastive" if options.device == "cpu" else "contrastive_device",
        f"# Contrastive decoding beside plain generation\n\n{describe(options.device)} On {place}. "
        f"Models of the shape of GPT-2 small with random weights, float32; {BATCH} prompts of "
        f"{PROMPT} tokens, {NEW} new tokens each, greedy. Medians of {options.rounds} rounds in "
        'turns (the published way: one round). "All recorded" includes five divergences, log-'
        "probabilities and the five likeliest tokens of each stream at each token.\n\n"
        + table(head, lines)
        + "\n\nA token of GPT-2 small takes 85 million products of weights in its layers and 39 "
        "million in its head, so a second head alone adds 0.31. Where few rows are read, weights "
        "are read from memory for longer than they are multiplied, and the second head costs less: "
        "one product serves both.\n",
    )


if __name__ == "__main__":
    main()
