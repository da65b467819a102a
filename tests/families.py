"""More families of models, tiny and random, each with its own class of tokenizer."""

import json
from functools import cache

from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, processors, trainers
from transformers import (
    CodeGenTokenizer,
    DebertaV2Config,
    DebertaV2ForSequenceClassification,
    DebertaV2Tokenizer,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    DistilBertTokenizer,
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
    MPNetConfig,
    MPNetModel,
    MPNetTokenizer,
    OPTConfig,
    OPTForCausalLM,
    Phi3Config,
    Phi3ForCausalLM,
    PhiConfig,
    PhiForCausalLM,
    Siglip2Config,
    Siglip2ImageProcessorPil,
    Siglip2Model,
    Siglip2Tokenizer,
    SiglipConfig,
    SiglipImageProcessorPil,
    SiglipModel,
    XLMRobertaConfig,
    XLMRobertaForSequenceClassification,
    XLMRobertaTokenizer,
)

from tests.lookalikes import (
    CORPUS,
    SPREAD,
    _byte_level,
    _byte_level_fast,
    _save,
    _sentence_piece,
    _word_pieces,
    edit_json,
    llama_tokenizer,
)

BLOCKS = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
SHAPE = {**BLOCKS, "initializer_range": SPREAD}
GEMMA_SPECIAL = ("<pad>", "<eos>", "<bos>", "<unk>", "<mask>")
BLANKS = ("  ", "   ", "\t\t")
"""White space that some byte-level tokenizers have as added, but not special, tokens."""


@cache
def _unigram(special):
    """SentencePiece's other kind of model: words of any case, pieces with scores."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=140, special_tokens=[*special], unk_token=special[-1], show_progress=False
    )
    tokenizer.train_from_iterator([text for text in CORPUS if text.isascii()], trainer)
    return [tuple(entry) for entry in json.loads(tokenizer.to_str())["model"]["vocab"]]


def opt_wide(folder):
    """OPT with embeddings as wide as the network; its begin token is asked for by a setting."""
    vocab, merges = _byte_level(("<s>", "<pad>", "</s>", "<unk>"))
    config = OPTConfig(
        vocab_size=len(vocab),
        hidden_size=16,
        word_embed_proj_dim=16,
        ffn_dim=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=64,
        init_std=SPREAD,
    )
    fast = _byte_level_fast(("<s>", "<pad>", "</s>", "<unk>"), bos_token="</s>", eos_token="</s>")
    folder = _save(folder, OPTForCausalLM, config, fast)
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
    folder = _save(folder, LlamaForCausalLM, config, tokenizer)
    # The hub's file is of this shape and names this class, which then builds another one.
    edit_json(folder / "tokenizer_config.json", tokenizer_class="LlamaTokenizer", legacy=False)
    return folder


def phi3(folder):
    """Phi-3: Llama's tokenizer with chat tokens, of which one pads; rows beyond; a window."""
    vocab, merges = _sentence_piece(("<unk>", "<s>", "</s>"))
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
    return _save(folder, Phi3ForCausalLM, config, tokenizer)


def falcon_alibi(folder):
    """Falcon with ALiBi instead of rotations: its positions are counted over the mask."""
    return _falcon(folder, multi_query=True, parallel_attn=True, alibi=True)


def falcon_grouped(folder):
    """Falcon's new blocks: grouped keys and two parallel norms."""
    return _falcon(folder, new_decoder_architecture=True, num_kv_heads=2, num_attention_heads=4)


def _falcon(folder, **kwargs):
    tokenizer = _byte_level_fast((">>TITLE<<", "<|endoftext|>"), eos_token="<|endoftext|>")
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
    return _save(folder, FalconForCausalLM, config, tokenizer)


def _gemma(folder, module_class, config_class, **kwargs):
    vocab, merges = _sentence_piece(GEMMA_SPECIAL)
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
    return _save(folder, module_class, config, tokenizer)


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
    vocab, merges = _byte_level(("<|endoftext|>",))
    tokenizer = CodeGenTokenizer(vocab=vocab, merges=merges)
    tokenizer.add_tokens([AddedToken(blank, normalized=False) for blank in BLANKS])
    config = PhiConfig(
        **SHAPE,
        vocab_size=len(tokenizer) + 9,
        max_position_embeddings=64,
        bos_token_id=0,
        eos_token_id=0,
    )
    return _save(folder, PhiForCausalLM, config, tokenizer)


def gpt_neox(folder):
    """GPT-NeoX: parallel residuals, an untied head, added tokens of blanks, rows beyond."""
    vocab, merges = _byte_level(("<|endoftext|>", "<|padding|>"))
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
    return _save(folder, GPTNeoXForCausalLM, config, tokenizer)


CAUSAL_LMS = {
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


def distilbert_classifier(folder):
    """DistilBERT: a BERT without kinds of tokens."""
    tokenizer = DistilBertTokenizer(vocab=_word_pieces(), model_max_length=48)
    config = DistilBertConfig(
        vocab_size=len(tokenizer),
        dim=16,
        hidden_dim=32,
        n_layers=2,
        n_heads=2,
        max_position_embeddings=48,
        initializer_range=SPREAD,
    )
    return _save(folder, DistilBertForSequenceClassification, config, tokenizer)


def deberta_classifier(folder):
    """DeBERTa v3: SentencePiece, no absolute positions, rows beyond."""
    tokenizer = DebertaV2Tokenizer(vocab=_unigram(("[PAD]", "[CLS]", "[SEP]", "[UNK]")))
    config = DebertaV2Config(
        **SHAPE,
        vocab_size=len(tokenizer) + 6,
        max_position_embeddings=48,
        type_vocab_size=0,
        relative_attention=True,
        pos_att_type=["p2c", "c2p"],
        position_biased_input=False,
        position_buckets=8,
        norm_rel_ebd="layer_norm",
        share_att_key=True,
    )
    return _save(folder, DebertaV2ForSequenceClassification, config, tokenizer)


def xlm_roberta_classifier(folder):
    """XLM-RoBERTa: SentencePiece, positions start at 2."""
    tokenizer = XLMRobertaTokenizer(vocab=_unigram(("<s>", "<pad>", "</s>", "<unk>")))
    config = XLMRobertaConfig(
        **SHAPE, vocab_size=len(tokenizer), max_position_embeddings=50, type_vocab_size=1
    )
    return _save(folder, XLMRobertaForSequenceClassification, config, tokenizer)


CLASSIFIERS = {
    "distilbert_classifier": distilbert_classifier,
    "deberta_classifier": deberta_classifier,
    "xlm_roberta_classifier": xlm_roberta_classifier,
}


def mpnet_encoder(folder):
    """MPNet: WordPiece with RoBERTa's special tokens, positions start at 2."""
    special = {"[PAD]": "<pad>", "[CLS]": "<s>", "[SEP]": "</s>", "[MASK]": "<mask>"}
    vocab = sorted(_word_pieces(), key=_word_pieces().get)
    order = ["[CLS]", "[PAD]", "[SEP]", *(token for token in vocab if token not in special)]
    vocab = {special.get(token, token): index for index, token in enumerate([*order, "[MASK]"])}
    tokenizer = MPNetTokenizer(vocab=vocab)
    config = MPNetConfig(**SHAPE, vocab_size=len(tokenizer), max_position_embeddings=50)
    return _save(folder, MPNetModel, config, tokenizer)


def _siglip2(folder, module_class, config_class, vision, processor):
    vocab, merges = _sentence_piece(GEMMA_SPECIAL)
    tokenizer = Siglip2Tokenizer(
        vocab=vocab, merges=merges, add_eos_token=True, add_bos_token=False, padding_side="right"
    )
    text = {**BLOCKS, "vocab_size": len(tokenizer), "projection_size": 16}
    config = config_class(text_config=text, vision_config={**BLOCKS, "patch_size": 16, **vision})
    folder = _save(folder, module_class, config, tokenizer)
    processor.save_pretrained(folder)
    # The hub's files name this class.
    edit_json(folder / "tokenizer_config.json", tokenizer_class="GemmaTokenizer")
    return folder


def siglip2(folder):
    """SigLIP 2 of fixed size: padded to 64 with another token than the end token."""
    processor = SiglipImageProcessorPil(size={"height": 32, "width": 32})
    return _siglip2(folder, SiglipModel, SiglipConfig, {"image_size": 32}, processor)


def siglip2_flexible(folder):
    """SigLIP 2 of flexible size: its processor gives patches, a mask and their layout."""
    processor = Siglip2ImageProcessorPil(patch_size=16, max_num_patches=16)
    return _siglip2(folder, Siglip2Model, Siglip2Config, {"num_patches": 16}, processor)


CLIPS = {"siglip2": siglip2, "siglip2_flexible": siglip2_flexible}
