"""Causal language models, one of each common family."""

from tokenizers import processors
from transformers import (
    FalconConfig,
    FalconForCausalLM,
    GemmaConfig,
    GemmaForCausalLM,
    GemmaTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MambaConfig,
    MambaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen2Tokenizer,
)

from tests.factories.folders import GPT2_SHAPE, OPT_SHAPE, SHAPE, SPREAD, save
from tests.factories.tokenizers import (
    byte_level_tokenizer,
    gpt2_tokenizer,
    llama_tokenizer,
    opt_tokenizer,
)
from tests.factories.vocabularies import GEMMA_SPECIAL, byte_level, sentence_piece


def gpt2(folder):
    """GPT-2: no padding token, the begin is the end token."""
    tokenizer = gpt2_tokenizer()
    config = GPT2Config(
        **GPT2_SHAPE,
        vocab_size=len(tokenizer),
        bos_token_id=0,
        eos_token_id=0,
    )
    return save(folder, GPT2LMHeadModel, config, tokenizer)


def opt(folder):
    """OPT: positions start at 2, embeddings are narrower than the network."""
    tokenizer = opt_tokenizer()
    config = OPTConfig(
        vocab_size=len(tokenizer) + 7,
        **{**OPT_SHAPE, "hidden_size": 24},
        max_position_embeddings=48,
        bos_token_id=2,
        eos_token_id=2,
        pad_token_id=1,
    )
    return save(folder, OPTForCausalLM, config, tokenizer)


def gemma(folder):
    """Gemma: embeddings are scaled in the network, texts need their begin token."""
    vocab, merges = sentence_piece(GEMMA_SPECIAL)
    tokenizer = GemmaTokenizer(vocab=vocab, merges=merges)
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", 2)]
    )
    config = GemmaConfig(
        **SHAPE,
        vocab_size=len(tokenizer),
        num_key_value_heads=1,
        head_dim=8,
        max_position_embeddings=64,
    )
    return save(folder, GemmaForCausalLM, config, tokenizer)


def llama(folder):
    """Llama 3: special ids above the tokenizer's vocabulary, begin token by its template."""
    tokenizer = byte_level_tokenizer(
        (),
        added=("<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"),
        template="<|begin_of_text|> $A",
        bos_token="<|begin_of_text|>",
        eos_token="<|end_of_text|>",
    )
    ends = tokenizer.convert_tokens_to_ids(["<|end_of_text|>", "<|eot_id|>"])
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        initializer_range=SPREAD,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=ends,
        tie_word_embeddings=False,
    )
    return save(folder, LlamaForCausalLM, config, tokenizer)


def qwen2(folder):
    """Qwen 2: no begin token, more rows of embeddings than the tokenizer has tokens."""
    vocab, merges = byte_level(())
    tokenizer = Qwen2Tokenizer(vocab=vocab, merges=merges)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    config = Qwen2Config(
        **SHAPE,
        vocab_size=len(tokenizer) + 41,
        num_key_value_heads=1,
        max_position_embeddings=64,
        eos_token_id=tokenizer.eos_token_id,
    )
    return save(folder, Qwen2ForCausalLM, config, tokenizer)


def falcon(folder):
    """Falcon: parallel blocks with one key and value head, no begin token, nothing pads."""
    tokenizer = byte_level_tokenizer((">>TITLE<<", "<|endoftext|>"), eos_token="<|endoftext|>")
    config = FalconConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        multi_query=True,
        parallel_attn=True,
        new_decoder_architecture=False,
        bias=False,
        alibi=False,
        max_position_embeddings=64,
        initializer_range=SPREAD,
        bos_token_id=1,
        eos_token_id=1,
    )
    return save(folder, FalconForCausalLM, config, tokenizer)


def mistral(folder, window=4):
    """Mistral: attention over a sliding window; a padding token was added without a row."""
    tokenizer = llama_tokenizer(pad_token="[PAD]")
    config = MistralConfig(
        **SHAPE,
        vocab_size=len(tokenizer) - 1,
        num_key_value_heads=1,
        max_position_embeddings=64,
        sliding_window=window,
    )
    return save(folder, MistralForCausalLM, config, tokenizer)


def mamba(folder):
    """Mamba: neither positions nor attention; its tokenizer knows no longest input."""
    tokenizer = byte_level_tokenizer(("<|endoftext|>",), eos_token="<|endoftext|>")
    config = MambaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        state_size=4,
        num_hidden_layers=2,
        initializer_range=SPREAD,
    )
    return save(folder, MambaForCausalLM, config, tokenizer)


CAUSAL_LMS = {
    "gpt2": gpt2,
    "opt": opt,
    "gemma": gemma,
    "llama": llama,
    "qwen2": qwen2,
    "falcon": falcon,
    "mistral": mistral,
    "mamba": mamba,
}
