"""Encoder-decoder language models."""

from tokenizers import processors
from torch import nn
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    T5Config,
    T5ForConditionalGeneration,
    T5Tokenizer,
)

from tests.factories.folders import SPREAD, save
from tests.factories.tokenizers import byte_level_tokenizer, unigram_tokenizer
from tests.factories.vocabularies import unigram_pieces

T5_SHAPE = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2}


def _t5(folder, tokenizer, spread, **options):
    config = T5Config(
        vocab_size=len(tokenizer) + 9,
        **T5_SHAPE,
        relative_attention_max_distance=32,
        initializer_factor=spread,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=tokenizer.pad_token_id,
        **options,
    )
    return save(folder, T5ForConditionalGeneration, config, tokenizer)


def t5(folder):
    """T5: its own tokenizer, rows beyond it, a head that shares the embeddings."""
    tokens = unigram_pieces(("<pad>", "</s>", "<unk>"))
    return _t5(folder, T5Tokenizer(vocab=tokens, extra_ids=4, model_max_length=64), 3.0)


def t5_adapted(folder):
    """T5 1.1, such as an LM-adapted one: gated layers, an own head, a tokenizer without a limit."""
    tokenizer = unigram_tokenizer(pad_token="<pad>")
    options = {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False, "n_positions": 96}
    _t5(folder, tokenizer, 1.0, num_decoder_layers=1, **options)
    module = T5ForConditionalGeneration.from_pretrained(folder)
    table = module.shared.weight
    # A new network has one table for both.
    module.lm_head.weight = nn.Parameter(table.detach().flip(0) / 2)
    module.save_pretrained(folder)
    return folder


def bart(folder):
    """BART: learned positions, byte BPE; its decoder starts with the end and the begin token."""
    special = ("<s>", "<pad>", "</s>", "<unk>")
    tokenizer = byte_level_tokenizer(
        special,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
    )
    tokenizer.backend_tokenizer.post_processor = processors.RobertaProcessing(
        ("</s>", 2), ("<s>", 0), trim_offsets=True, add_prefix_space=False
    )
    config = BartConfig(
        vocab_size=len(tokenizer),
        d_model=16,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        max_position_embeddings=48,
        init_std=SPREAD,
        bos_token_id=0,
        pad_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=2,
        forced_eos_token_id=2,
    )
    return save(folder, BartForConditionalGeneration, config, tokenizer)


SEQ2SEQ_LMS = {"t5": t5, "t5_adapted": t5_adapted, "bart": bart}
