"""Random networks of families that keep something else than keys and values of all tokens."""

import torch
from transformers import (
    BloomConfig,
    BloomForCausalLM,
    JambaConfig,
    JambaForCausalLM,
    Mamba2Config,
    Mamba2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    RwkvConfig,
    RwkvForCausalLM,
)

from tests.factories.folders import SHAPE, SPREAD

VOCABULARY = 64
SMALL = {"vocab_size": VOCABULARY, "hidden_size": 16, "num_hidden_layers": 2}


def bloom():
    """BLOOM: positions by ALiBi, counted over the mask."""
    config = BloomConfig(vocab_size=VOCABULARY, hidden_size=16, n_layer=2, n_head=2)
    return random(BloomForCausalLM, config)


def qwen3():
    """Qwen 3: queries and keys are normed."""
    config = Qwen3Config(**SHAPE, vocab_size=VOCABULARY, num_key_value_heads=1, head_dim=8)
    return random(Qwen3ForCausalLM, config)


def mamba2():
    """Mamba 2: a state without positions, and no mask behind the prompt."""
    config = Mamba2Config(**SMALL, num_heads=4, head_dim=8, n_groups=1, state_size=4, chunk_size=4)
    return random(Mamba2ForCausalLM, config)


def jamba():
    """Jamba: a layer with a state, and one with attention."""
    config = JambaConfig(
        **SMALL,
        intermediate_size=32,
        num_attention_heads=2,
        num_key_value_heads=1,
        mamba_d_state=4,
        mamba_dt_rank=4,
        num_experts=2,
        attn_layer_period=2,
        attn_layer_offset=1,
        expert_layer_period=8,
        expert_layer_offset=4,
    )
    return random(JambaForCausalLM, config)


def rwkv():
    """RWKV: what it keeps is no cache of transformers, and it knows no mask."""
    config = RwkvConfig(**SMALL, attention_hidden_size=16, intermediate_size=32)
    return random(RwkvForCausalLM, config)


OTHERS = {each.__name__: each for each in (bloom, qwen3, mamba2, jamba, rwkv)}


def random(module_class, config, seed=0):
    """A random network; the same weights for the same seed."""
    config.initializer_range = SPREAD
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = module_class(config)
        for weight in network.parameters():
            weight.data += 0.1 * torch.randn_like(weight)
    return network.eval()
