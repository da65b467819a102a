"""Steps of nanoGCG on demand; runs in an environment of its own, see :mod:`benchmarks.engine`.

``python nanogcg_worker.py MODEL PREFIX SLOT LABEL CANDIDATES DEVICE DTYPE``: for each line on
standard input it takes a few steps and prints the seconds of each.
"""

import sys
import time
from itertools import pairwise

import nanogcg
import torch
from nanogcg.gcg import GCG
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

STEPS = 2


def main() -> None:
    folder, prefix, slot, label, candidates, device, dtype = sys.argv[1:]
    model = AutoModelForCausalLM.from_pretrained(folder, torch_dtype=getattr(torch, dtype))
    model.to(device)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=f"{folder}/tokenizer.json",
        bos_token="<|endoftext|>",
        eos_token="<|endoftext|>",
        pad_token="<|endoftext|>",
    )
    begun: list[float] = []
    gradient = GCG.compute_token_gradient

    def noted(self: GCG, ids: torch.Tensor) -> torch.Tensor:
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        begun.append(time.perf_counter())
        return gradient(self, ids)

    GCG.compute_token_gradient = noted
    config = nanogcg.GCGConfig(
        num_steps=STEPS + 1,
        optim_str_init=slot,
        search_width=int(candidates),
        filter_ids=False,
        add_space_before_target=True,
        seed=0,
        verbosity="ERROR",
    )
    print("ready", flush=True)
    for _ in sys.stdin:
        begun.clear()
        nanogcg.run(model, tokenizer, f"{prefix}{{optim_str}}", label, config)
        steps = [b - a for a, b in pairwise(begun)]
        print(" ".join(map(str, steps)), flush=True)


if __name__ == "__main__":
    main()
