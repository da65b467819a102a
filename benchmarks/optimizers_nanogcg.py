"""Runs of nanoGCG on demand; in an environment of its own, see :mod:`benchmarks.optimizers`.

``python optimizers_nanogcg.py MODEL``: for each line on standard input, which is a JSON object with
``target`` and ``start`` (texts), ``seed`` and ``flops`` (budget), it prints a JSON object with the
loss of each step's best candidate, the operations and the processor's seconds until then, and the
best prompt.
"""

import json
import sys
import time
from contextlib import nullcontext
from typing import Any

import nanogcg
import torch
from nanogcg.gcg import GCG
from tokenizers.processors import TemplateProcessing
from torch.utils.flop_counter import (
    FlopCounterMode,
    sdpa_backward_flop_count,
    sdpa_flop_count,
)
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

STEPS = 1_000
"""Steps that no budget reaches."""
START = "<|endoftext|>"
ON_CPU = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: (
        lambda query, key, value, *_, **__: sdpa_flop_count(query, key, value)
    ),
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: (
        lambda grad, query, key, value, *_, **__: sdpa_backward_flop_count(grad, query, key, value)
    ),
}
"""Operations of attention on a CPU, which torch does not count by itself."""


class OneModule(nullcontext[None]):
    """Tracker of modules that counts all operations together.

    Torch's own follows gradients through every module, and fails where a part of the model runs
    without any, as rotary positions do.
    """

    parents = frozenset({"Global"})


class Budgeted(GCG):
    """nanoGCG that ends after the step in which its budget of operations is used up."""

    counter: FlopCounterMode
    budget: float
    begun: float
    points: list[tuple[float, float, float]]

    def _compute_candidates_loss_original(
        self, search_batch_size: int, input_embeds: torch.Tensor
    ) -> torch.Tensor:
        loss: torch.Tensor = super()._compute_candidates_loss_original(
            search_batch_size, input_embeds
        )
        flops = float(self.counter.get_total_flops())
        self.points.append((float(loss.min()), flops, time.process_time() - self.begun))
        self.stop_flag = flops >= self.budget
        return loss


def main() -> None:
    (folder,) = sys.argv[1:]
    model = AutoModelForCausalLM.from_pretrained(folder, torch_dtype=torch.float32)
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=f"{folder}/tokenizer.json", bos_token=START)
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{START} $A", special_tokens=[(START, tokenizer.convert_tokens_to_ids(START))]
    )
    tokenizer.pad_token = START
    # The text behind the prompt is the target itself, of a chat model too.
    tokenizer.chat_template = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(search(model, tokenizer, json.loads(line))), flush=True)


def search(model: Any, tokenizer: Any, task: dict[str, Any]) -> dict[str, Any]:
    """Curve and best prompt of one target."""
    config = nanogcg.GCGConfig(
        num_steps=STEPS,
        optim_str_init=task["start"],
        seed=task["seed"],
        add_space_before_target=True,
        verbosity="ERROR",
    )
    gcg = Budgeted(model, tokenizer, config)
    gcg.points, gcg.budget, gcg.begun = [], task["flops"], time.process_time()
    gcg.counter = FlopCounterMode(display=False, custom_mapping=ON_CPU)
    gcg.counter.mod_tracker = OneModule()
    with gcg.counter:
        found = gcg.run("{optim_str}", task["target"])
    return {"points": gcg.points, "prompt": found.best_string}


if __name__ == "__main__":
    main()
