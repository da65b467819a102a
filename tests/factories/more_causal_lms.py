"""Causal language models of more families, each with its own class of tokenizer."""

import json

from tokenizers import AddedToken, processors
from transformers import (
    CodeGenTokenizer,
    FalconConfig,
    FalconForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GemmaTokenizer,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    GPTNeoXTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaTokenizer,
    OPTConfig,
    OPTForCausalLM,
    Phi3Config,
    Phi3ForCausalLM,
    PhiConfig,
    PhiForCausalLM,
)

from tests.factories.folders import OPT_SHAPE, SHAPE, SPREAD, edit_json, save
from tests.factories.tokenizers import byte_level_tokenizer, llama_tokenizer
from tests.factories.vocabularies import GEMMA_SPECIAL, byte_level, sentence_piece

BLANKS = ("  ", "   ", "\t\t")
"""White space that some byte-level tokenizers have as added, but not special, tokens."""


def opt_wide(folder):
    """OPT with embeddings as wide as the network; its begin token is asked for by a setting."""
    vocab, merges = byte_level(("<s>", "<pad>", "</s>", "<unk>"))
    config = OPTConfig(
        vocab_size=len(vocab),
        **OPT_SHAPE,
        max_position_embeddings=64,
    )
    fast = byte_level_tokenizer(
        ("<s>", "<pad>", "</s>", "<unk>"), bos_token="</s>", eos_token="</s>"
    )
    folder = save(folder, OPTForCausalLM, config, fast)
    # The hub's folder has the two files that came before tokenizer.json.
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.json").write_text(json.dumps(vocab))
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges), ""]
    (folder / "merges.txt").write_text("\n".join(lines))
    tokens = {"bos_token": "</s>", "eos_token": "</s>", "unk_token": "</s>", "pad_token": "<pad>"}
    (folder / "tokenizer_config.json").write_text(
        json.dumps({**tokens, "add_bos_token": True, "tokenizer_class": "GPT2Tokenizer"})
    )
    return folder


def llama2(folder):
    """Llama 2: SentencePiece with a space put before every text; nothing pads; an untied head."""
    tokenizer = llama_tokenizer()
    config = LlamaConfig(
        **SHAPE,
        vocab_size=len(tokenizer),
        num_key_value_heads=2,
        max_position_embeddings=64,
        tie_word_embeddings=False,
    )
    folder = save(folder, LlamaForCausalLM, config, tokenizer)
    # The hub's file is of this shape and names this class, which then builds another one.
    edit_json(folder / "tokenizer_config.json", tokenizer_class="LlamaTokenizer", legacy=False)
    return folder


def phi3(folder):
    """Phi-3: Llama's tokenizer with chat tokens, of which one pads; rows beyond; a window."""
    vocab, merges = sentence_piece(("<unk>", "<s>", "</s>"))
    tokenizer = LlamaTokenizer(
        vocab=vocab, merges=merges, legacy=True, add_bos_token=True, pad_token="<|endoftext|>"
    )
    chat = ["<|endoftext|>", "<|user|>", "<|end|>"]
    tokenizer.add_tokens([AddedToken(token, rstrip=True, special=True) for token in chat])
    config = Phi3Config(
        **SHAPE,
        vocab_size=len(tokenizer) + 5,
        num_key_value_heads=1,
        max_position_embeddings=64,
        original_max_position_embeddings=64,
        sliding_window=6,
        bos_token_id=1,
        eos_token_id=tokenizer.convert_tokens_to_ids("<|end|>"),
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=False,
    )
    return save(folder, Phi3ForCausalLM, config, tokenizer)


def falcon_alibi(folder):
    """Falcon with ALiBi instead of rotations: its positions are counted over the mask."""
    return _falcon(folder, multi_query=True, parallel_attn=True, alibi=True)


def falcon_grouped(folder):
    """Falcon's new blocks: grouped keys and two parallel norms."""
    return _falcon(folder, new_decoder_architecture=True, num_kv_heads=2, num_attention_heads=4)


def _falcon(folder, **kwargs):
    tokenizer = byte_level_tokenizer((">>TITLE<<", "<|endoftext|>"), eos_token="<|endoftext|>")
    # Some byte-level tokenizers leave spaces out of the spans of their tokens.
    tokenizer.backend_tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    config = FalconConfig(
        **{"num_attention_heads": 2, **kwargs},
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=2,
        max_position_embeddings=64,
        initializer_range=SPREAD,
        bos_token_id=1,
        eos_token_id=1,
    )
    return save(folder, FalconForCausalLM, config, tokenizer)


def _gemma(folder, module_class, config_class, **kwargs):
    vocab, merges = sentence_piece(GEMMA_SPECIAL)
    tokenizer = GemmaTokenizer(vocab=vocab, merges=merges, add_bos_token=True)
    # Reserved and markup tokens of the real vocabulary are not marked as special.
    tokenizer.add_tokens(["<unused0>", "<h1>", "[multimodal]"])
    config = config_class(
        **SHAPE,
        **kwargs,
        vocab_size=len(tokenizer),
        num_key_value_heads=1,
        head_dim=8,
        max_position_embeddings=64,
        sliding_window=4,
    )
    return save(folder, module_class, config, tokenizer)


def gemma2(folder):
    """Gemma 2: scaled embeddings, soft caps, every other layer with a window."""
    return _gemma(
        folder,
        Gemma2ForCausalLM,
        Gemma2Config,
        query_pre_attn_scalar=8,
        final_logit_softcapping=3.0,
    )


def gemma3(folder):
    """Gemma 3: scaled embeddings, one kind of rotation for each kind of layer."""
    kinds = ["sliding_attention", "full_attention"]
    return _gemma(folder, Gemma3ForCausalLM, Gemma3TextConfig, layer_types=kinds)


def phi(folder):
    """Phi: parallel blocks, a head with a bias, added tokens of blanks, rows beyond."""
    vocab, merges = byte_level(("<|endoftext|>",))
    tokenizer = CodeGenTokenizer(vocab=vocab, merges=merges)
    tokenizer.add_tokens([AddedToken(blank, normalized=False) for blank in BLANKS])
    config = PhiConfig(
        **SHAPE,
        vocab_size=len(tokenizer) + 9,
        max_position_embeddings=64,
        bos_token_id=0,
        eos_token_id=0,
    )
    return save(folder, PhiForCausalLM, config, tokenizer)


def gpt_neox(folder):
    """GPT-NeoX: parallel residuals, an untied head, added tokens of blanks, rows beyond."""
    vocab, merges = byte_level(("<|endoftext|>", "<|padding|>"))
    tokenizer = GPTNeoXTokenizer(vocab=vocab, merges=merges)
    tokenizer.add_tokens([AddedToken(blank, normalized=False) for blank in BLANKS])
    config = GPTNeoXConfig(
        **SHAPE,
        vocab_size=len(tokenizer) + 11,
        max_position_embeddings=64,
        bos_token_id=0,
        eos_token_id=0,
        tie_word_embeddings=False,
    )
    return save(folder, GPTNeoXForCausalLM, config, tokenizer)


MORE_CAUSAL_LMS = {
    "opt_wide": opt_wide,
    "llama2": llama2,
    "phi3": phi3,
    "falcon_alibi": falcon_alibi,
    "falcon_grouped": falcon_grouped,
    "gemma2": gemma2,
    "gemma3": gemma3,
    "phi": phi,
    "gpt_neox": gpt_neox,
}
