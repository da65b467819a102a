"""Folders like those on the hub: tiny random networks with the traits of real checkpoints."""

import json
from functools import cache
from pathlib import Path

import torch
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    BertTokenizer,
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    CLIPTextConfig,
    CLIPTokenizer,
    CLIPVisionConfig,
    FalconConfig,
    FalconForCausalLM,
    GemmaConfig,
    GemmaForCausalLM,
    GemmaTokenizer,
    GPT2Config,
    GPT2ForSequenceClassification,
    GPT2LMHeadModel,
    GPT2Tokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    MambaConfig,
    MambaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen2Tokenizer,
    RobertaConfig,
    RobertaForMaskedLM,
    RobertaForSequenceClassification,
    RobertaTokenizer,
    SiglipConfig,
    SiglipImageProcessorPil,
    SiglipModel,
    VisionTextDualEncoderConfig,
    VisionTextDualEncoderModel,
)

CORPUS = [
    "a photo of a red house by the sea",
    "a small dog runs over the green field",
    "two old boats on a calm lake at night",
    "the film was great, and the actors were good",
    "the film was bad; nobody liked the ending",
    "hello world, this is a text about houses and dogs",
    "the man said: it is not what you think it is",
    "1 2 3 4 5 red, green and blue cars!",
    "el niño está en la playa",
    "größe und straße",
    "猫が好き 日本語",
]
SPREAD = 0.3
"""Weights are so much larger than a usual initialization that outputs differ by the input."""


def _save(folder, module_class, config, tokenizer, seed=0):
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


def _vocab_and_merges(tokenizer):
    model = json.loads(tokenizer.to_str())["model"]
    return model["vocab"], [tuple(pair) for pair in model["merges"]]


@cache
def _byte_level(special, merges=150):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=len(special) + 256 + merges,
        special_tokens=list(special),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return _vocab_and_merges(tokenizer)


@cache
def _marked_ends():
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Whitespace(), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        initial_alphabet=alphabet,
        show_progress=False,
        end_of_word_suffix="</w>",
    )
    tokenizer.train_from_iterator([text.lower() for text in CORPUS], trainer)
    vocab, merges = _vocab_and_merges(tokenizer)
    symbols = [*alphabet, *(f"{symbol}</w>" for symbol in alphabet)]
    learned = [token for token in sorted(vocab, key=vocab.get) if token not in symbols]
    return [*symbols, *learned], merges


@cache
def _sentence_piece(special):
    """BPE over ▁-marked words with single bytes to fall back on."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    # Without it merges would learn whole sentences.
    tokenizer.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    fallback = [f"<0x{byte:02X}>" for byte in range(256)]
    ascii_texts = [text for text in CORPUS if text.isascii()]
    trainer = trainers.BpeTrainer(
        vocab_size=len(special) + 256 + 160,
        special_tokens=[*special, *fallback],
        show_progress=False,
    )
    tokenizer.train_from_iterator([f" {text}" for text in ascii_texts], trainer)
    return _vocab_and_merges(tokenizer)


@cache
def _word_pieces():
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = [*"abcdefghijklmnopqrstuvwxyz0123456789.,'!?-"]
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=260,
        special_tokens=[*special, *letters, *(f"##{letter}" for letter in letters)],
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer.get_vocab()


@cache
def _unigram():
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=140,
        special_tokens=["<unk>", "</s>"],
        unk_token="<unk>",
        show_progress=False,
    )
    tokenizer.train_from_iterator([text for text in CORPUS if text.isascii()], trainer)
    return tokenizer.to_str()


def _byte_level_fast(special, *, template=None, added=(), **kwargs):
    vocab, merges = _byte_level(special)
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([*special, *added])
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    if template:
        begin = template.split()[0]
        tokenizer.post_processor = processors.Sequence(
            [
                processors.ByteLevel(trim_offsets=False),
                processors.TemplateProcessing(
                    single=template, special_tokens=[(begin, tokenizer.token_to_id(begin))]
                ),
            ]
        )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **kwargs)


def gpt2_tokenizer():
    """One token begins and ends; nothing pads."""
    vocab, merges = _byte_level(("<|endoftext|>",))
    return GPT2Tokenizer(vocab=vocab, merges=merges, model_max_length=48)


def gpt2(folder):
    """GPT-2: no padding token, the begin is the end token."""
    tokenizer = gpt2_tokenizer()
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_embd=16,
        n_layer=2,
        n_head=2,
        n_positions=48,
        initializer_range=SPREAD,
        bos_token_id=0,
        eos_token_id=0,
    )
    return _save(folder, GPT2LMHeadModel, config, tokenizer)


def opt(folder):
    """OPT: positions start at 2, embeddings are narrower than the network."""
    tokenizer = _byte_level_fast(
        ("<s>", "<pad>", "</s>", "<unk>"),
        template="</s> $A",
        bos_token="</s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="</s>",
    )
    config = OPTConfig(
        vocab_size=len(tokenizer) + 7,
        hidden_size=24,
        word_embed_proj_dim=16,
        ffn_dim=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=48,
        init_std=SPREAD,
        bos_token_id=2,
        eos_token_id=2,
        pad_token_id=1,
    )
    return _save(folder, OPTForCausalLM, config, tokenizer)


def gemma(folder):
    """Gemma: embeddings are scaled in the network, texts need their begin token."""
    vocab, merges = _sentence_piece(("<pad>", "<eos>", "<bos>", "<unk>", "<mask>"))
    tokenizer = GemmaTokenizer(vocab=vocab, merges=merges)
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", 2)]
    )
    config = GemmaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        max_position_embeddings=64,
        initializer_range=SPREAD,
    )
    return _save(folder, GemmaForCausalLM, config, tokenizer)


def llama(folder):
    """Llama 3: special ids above the tokenizer's vocabulary, begin token by its template."""
    tokenizer = _byte_level_fast(
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
    return _save(folder, LlamaForCausalLM, config, tokenizer)


def qwen2(folder):
    """Qwen 2: no begin token, more rows of embeddings than the tokenizer has tokens."""
    vocab, merges = _byte_level(())
    tokenizer = Qwen2Tokenizer(vocab=vocab, merges=merges)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    config = Qwen2Config(
        vocab_size=len(tokenizer) + 41,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=64,
        initializer_range=SPREAD,
        eos_token_id=tokenizer.eos_token_id,
    )
    return _save(folder, Qwen2ForCausalLM, config, tokenizer)


def falcon(folder):
    """Falcon: parallel blocks with one key and value head, no begin token, nothing pads."""
    tokenizer = _byte_level_fast((">>TITLE<<", "<|endoftext|>"), eos_token="<|endoftext|>")
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
    return _save(folder, FalconForCausalLM, config, tokenizer)


def llama_tokenizer(**tokens):
    """SentencePiece in a file of the older kind: a space is put before every text."""
    vocab, merges = _sentence_piece(("<unk>", "<s>", "</s>"))
    tokenizer = Tokenizer(
        models.BPE(vocab=vocab, merges=merges, byte_fallback=True, unk_token="<unk>")
    )
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        **tokens,
    )


def mistral(folder, window=4):
    """Mistral: attention over a sliding window; a padding token was added without a row."""
    tokenizer = llama_tokenizer(pad_token="[PAD]")
    config = MistralConfig(
        vocab_size=len(tokenizer) - 1,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=64,
        sliding_window=window,
        initializer_range=SPREAD,
    )
    return _save(folder, MistralForCausalLM, config, tokenizer)


def mamba(folder):
    """Mamba: neither positions nor attention; its tokenizer knows no longest input."""
    tokenizer = _byte_level_fast(("<|endoftext|>",), eos_token="<|endoftext|>")
    config = MambaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        state_size=4,
        num_hidden_layers=2,
        initializer_range=SPREAD,
    )
    return _save(folder, MambaForCausalLM, config, tokenizer)


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


def clip_tokenizer(pad=None):
    """Lower-cased BPE with ``</w>``; begin and end tokens have the last ids, the end pads."""
    tokens, merges = _marked_ends()
    tokens = [*tokens, "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(
        vocab={token: index for index, token in enumerate(tokens)},
        merges=merges,
        model_max_length=77,
        **({} if pad is None else {"pad_token": pad}),
    )


def _clip(folder, tokenizer, **text):
    config = CLIPConfig(
        text_config=CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=77,
            projection_dim=12,
            initializer_range=SPREAD,
            **text,
        ).to_dict(),
        vision_config=_vision(CLIPVisionConfig).to_dict(),
        projection_dim=12,
    )
    CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=32).save_pretrained(folder)
    return _save(folder, CLIPModel, config, tokenizer)


def _vision(config_class):
    return config_class(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=32,
        patch_size=16,
        projection_dim=12,
        initializer_range=SPREAD,
    )


def clip(folder):
    """A CLIP whose configuration names the tokenizer's begin and end tokens."""
    tokenizer = clip_tokenizer()
    return _clip(
        folder,
        tokenizer,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def old_clip(folder):
    """OpenAI's CLIP: the configuration says 0 and 2, whatever the tokenizer; same weights."""
    return _clip(folder, clip_tokenizer(), bos_token_id=0, eos_token_id=2, pad_token_id=1)


def open_clip(folder):
    """An export of OpenCLIP: another token than the end token pads; same weights."""
    return _clip(folder, clip_tokenizer("!"), bos_token_id=0, eos_token_id=2, pad_token_id=1)


SIGLIP_LENGTH = 48


def siglip(folder, *, mask=False):
    """SigLIP: no causal mask, trained padded to its full length.

    Args:
        folder: Where to save it.
        mask: Whether its tokenizer offers an attention mask, which the network must not get.
    """
    tokenizer = Tokenizer.from_str(_unigram())
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", tokenizer.token_to_id("</s>"))]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="</s>",
        pad_token="</s>",
        unk_token="<unk>",
        model_max_length=SIGLIP_LENGTH,
        model_input_names=["input_ids", "attention_mask"] if mask else ["input_ids"],
    )
    config = SiglipConfig(
        text_config={
            "vocab_size": len(fast),
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "max_position_embeddings": SIGLIP_LENGTH,
            "projection_size": 16,
        },
        vision_config={
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "image_size": 32,
            "patch_size": 16,
        },
    )
    _save(folder, SiglipModel, config, fast)
    SiglipImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)
    if not mask:
        # The hub's files name the slow class, which has no character offsets.
        edit_json(Path(folder) / "tokenizer_config.json", tokenizer_class="SiglipTokenizer")
    return Path(folder)


def dual_encoder(folder):
    """A VisionTextDualEncoder of a CLIP vision tower and a BERT."""
    tokenizer = bert_tokenizer()
    config = VisionTextDualEncoderConfig.from_vision_text_configs(
        _vision(CLIPVisionConfig), _bert_config(tokenizer), projection_dim=12
    )
    CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=32).save_pretrained(folder)
    return _save(folder, VisionTextDualEncoderModel, config, tokenizer)


CLIPS = {
    "clip": clip,
    "old_clip": old_clip,
    "open_clip": open_clip,
    "siglip": siglip,
    "dual_encoder": dual_encoder,
}


def bert_tokenizer():
    """Lower-cased WordPiece."""
    return BertTokenizer(vocab=_word_pieces(), model_max_length=48)


def _bert_config(tokenizer, **kwargs):
    return BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=48,
        initializer_range=SPREAD,
        **kwargs,
    )


def bert_classifier(folder, labels=("NEGATIVE", "Positive")):
    """A BERT with a classification head."""
    tokenizer = bert_tokenizer()
    names = {"id2label": dict(enumerate(labels)), "label2id": {n: i for i, n in enumerate(labels)}}
    config = _bert_config(tokenizer, **names)
    return _save(folder, BertForSequenceClassification, config, tokenizer)


def _roberta(folder, module_class, num_labels=3):
    vocab, merges = _byte_level(("<s>", "<pad>", "</s>", "<unk>", "<mask>"))
    # Like many RoBERTas, its tokenizer does not say that it reads 48 tokens.
    tokenizer = RobertaTokenizer(vocab=vocab, merges=merges)
    config = RobertaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=50,
        type_vocab_size=1,
        initializer_range=SPREAD,
        num_labels=num_labels,
    )
    return _save(folder, module_class, config, tokenizer)


def roberta_classifier(folder):
    """A RoBERTa with a head for LABEL_0, LABEL_1 and LABEL_2; positions start at 2."""
    return _roberta(folder, RobertaForSequenceClassification)


def gpt2_classifier(folder, pad=None):
    """A decoder that classifies by its last token; by default nothing pads.

    Args:
        folder: Where to save it.
        pad: The padding id of its configuration, which its tokenizer does not have.
    """
    tokenizer = gpt2_tokenizer()
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_embd=16,
        n_layer=2,
        n_head=2,
        n_positions=48,
        initializer_range=SPREAD,
        num_labels=2,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=pad,
    )
    return _save(folder, GPT2ForSequenceClassification, config, tokenizer)


CLASSIFIERS = {
    "bert_classifier": bert_classifier,
    "roberta_classifier": roberta_classifier,
    "gpt2_classifier": gpt2_classifier,
}


def sentence_encoder(folder, mode="mean_tokens"):
    """A sentence-transformers BERT that pools by ``mode``."""
    tokenizer = bert_tokenizer()
    _save(folder, BertModel, _bert_config(tokenizer), tokenizer)
    modes = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens")
    modes = (*modes, "weightedmean_tokens", "lasttoken")
    pooling = Path(folder) / "1_Pooling"
    pooling.mkdir()
    config = {f"pooling_mode_{name}": name == mode for name in modes}
    config = {"word_embedding_dimension": 16, **config, "include_prompt": True}
    (pooling / "config.json").write_text(json.dumps(config))
    parts = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    (Path(folder) / "modules.json").write_text(
        json.dumps(
            [
                {
                    "idx": index,
                    "name": str(index),
                    "path": path,
                    "type": f"sentence_transformers.models.{part}",
                }
                for index, (path, part) in enumerate(parts)
            ]
        )
    )
    return Path(folder)


def masked_lm(folder):
    """A RoBERTa trained to fill in masks: no pooler, not causal."""
    return _roberta(folder, RobertaForMaskedLM)
