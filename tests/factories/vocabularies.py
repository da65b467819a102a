"""Vocabularies of every kind, learnt from a few sentences."""

import json
from functools import cache

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

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
GEMMA_SPECIAL = ("<pad>", "<eos>", "<bos>", "<unk>", "<mask>")


def vocab_and_merges(tokenizer):
    model = json.loads(tokenizer.to_str())["model"]
    return model["vocab"], [tuple(pair) for pair in model["merges"]]


@cache
def byte_level(special, merges=150):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=len(special) + 256 + merges,
        special_tokens=list(special),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return vocab_and_merges(tokenizer)


@cache
def marked_ends():
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
    vocab, merges = vocab_and_merges(tokenizer)
    symbols = [*alphabet, *(f"{symbol}</w>" for symbol in alphabet)]
    learned = [token for token in sorted(vocab, key=vocab.get) if token not in symbols]
    return [*symbols, *learned], merges


@cache
def sentence_piece(special):
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
    return vocab_and_merges(tokenizer)


@cache
def word_pieces():
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
def unigram(special, unknown, lower=False):
    """A trained unigram tokenizer as JSON: pieces with scores, SentencePiece's other model."""
    tokenizer = Tokenizer(models.Unigram())
    if lower:
        tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=140, special_tokens=[*special], unk_token=unknown, show_progress=False
    )
    tokenizer.train_from_iterator([text for text in CORPUS if text.isascii()], trainer)
    return tokenizer.to_str()


def unigram_pieces(special):
    """Pieces of any case with their scores; the last special token stands for what is unknown."""
    vocab = json.loads(unigram(special, special[-1]))["model"]["vocab"]
    return [tuple(entry) for entry in vocab]
