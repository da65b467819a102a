"""Folders of random networks, as the hub's models are saved."""

import json
from pathlib import Path

import torch

SPREAD = 0.3
"""Weights are so much larger than a usual initialization that outputs differ by the input."""
BLOCKS = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
SHAPE = {**BLOCKS, "initializer_range": SPREAD}
GPT2_SHAPE = {
    "n_embd": 16,
    "n_layer": 2,
    "n_head": 2,
    "n_positions": 48,
    "initializer_range": SPREAD,
}
OPT_SHAPE = {
    "hidden_size": 16,
    "word_embed_proj_dim": 16,
    "ffn_dim": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "init_std": SPREAD,
}


def save(folder, module_class, config, tokenizer, seed=0):
    """Writes a random network and its tokenizer; the same weights for the same seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = module_class(config)
        # Some start at a constant, where an error would not show.
        for weight in module.parameters():
            weight.data += 0.1 * torch.randn_like(weight)
    module.eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return Path(folder)


def edit_json(path, **changes):
    """Sets entries of a JSON file."""
    path = Path(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
