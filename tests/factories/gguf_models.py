"""A tiny Llama as one GGUF file, and as the folder that the file was made of."""

import json
from pathlib import Path

import gguf
import numpy as np
from transformers import LlamaConfig, LlamaForCausalLM

from tests.factories.folders import SPREAD, save
from tests.factories.tokenizers import byte_level_tokenizer

TEMPLATE = "{% for message in messages %}<|turn|>{{ message['content'] }}{% endfor %}"
SPECIAL = ("<|begin|>", "<|end|>", "<|turn|>")
NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def llama(folder, tied=False):
    """A Llama whose rows are long enough for blocks of 32 weights."""
    tokenizer = byte_level_tokenizer(
        SPECIAL, template="<|begin|> $A", bos_token="<|begin|>", eos_token="<|end|>"
    )
    tokenizer.chat_template = TEMPLATE
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        initializer_range=SPREAD,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        tie_word_embeddings=tied,
    )
    return save(folder, LlamaForCausalLM, config, tokenizer)


def _name(name):
    """What llama.cpp calls a weight of transformers."""
    whole = {
        "model.embed_tokens.weight": "token_embd.weight",
        "model.norm.weight": "output_norm.weight",
        "lm_head.weight": "output.weight",
    }
    if name in whole:
        return whole[name]
    _, _, layer, part = name.split(".", 3)
    return f"blk.{layer}.{NAMES[part.removesuffix('.weight')]}.weight"


def _rotated(weight, heads):
    """Rows in llama.cpp's order: the two numbers of a rotation stand beside each other."""
    rows = weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:])
    return rows.swapaxes(1, 2).reshape(weight.shape)


def write_gguf(
    path, network, tokenizer, kind=gguf.GGMLQuantizationType.F32, architecture="llama", extra=None
):
    """Writes a network as llama.cpp's converter does.

    Args:
        path: The file.
        network: A Llama of transformers.
        tokenizer: Its byte-level tokenizer.
        kind: Type of the weights of matrices.
        architecture: What the file says it is.
        extra: Called with the writer, to add to the file.
    """
    config = network.config
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name("tiny")
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    tokens = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    special = {*tokenizer.added_tokens_decoder}
    writer.add_token_list(tokens)
    writer.add_token_types([3 if index in special else 1 for index in range(len(tokens))])
    writer.add_token_merges(_merges(tokenizer))
    writer.add_bos_token_id(tokenizer.bos_token_id)
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_add_bos_token(True)
    writer.add_chat_template(tokenizer.chat_template)
    if extra:
        extra(writer)
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    for name, weight in network.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        values, there = weight.float().numpy(), _name(name)
        for part, count in heads.items():
            if f".{part}." in there:
                values = _rotated(values, count)
        values = np.ascontiguousarray(values)
        if values.ndim > 1 and kind != gguf.GGMLQuantizationType.F32:
            writer.add_tensor(there, gguf.quantize(values, kind), raw_dtype=kind)
        else:
            writer.add_tensor(there, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return Path(path)


def _merges(tokenizer):

    state = json.loads(tokenizer.backend_tokenizer.to_str())
    return [" ".join(pair) for pair in state["model"]["merges"]]
