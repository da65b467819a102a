"""Vocabularies of every kind, learnt from a few sentences."""

import json
import math
from collections import Counter
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
    # Told to the trainer: else their ids, which decide among pairs as frequent, are chance.
    finals = [f"{symbol}</w>" for symbol in alphabet]
    trainer = trainers.BpeTrainer(
        vocab_size=len(alphabet) + len(finals) + 137,
        special_tokens=finals,
        initial_alphabet=alphabet,
        show_progress=False,
        end_of_word_suffix="</w>",
    )
    tokenizer.train_from_iterator([text.lower() for text in CORPUS], trainer)
    vocab, merges = vocab_and_merges(tokenizer)
    symbols = [*alphabet, *finals]
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
    # The trainer numbers other letters as they come out of a hash map.
    others = sorted(tokenizer.get_vocab().keys() - {*special})
    return {piece: index for index, piece in enumerate([*special, *others])}


@cache
def unigram(special, unknown, lower=False):
    """A unigram tokenizer as JSON: pieces with scores, SentencePiece's other model.

    Every letter is a piece, and so are the parts of words that most of the corpus is made of. (What
    the library's own trainer learns of few sentences differs from process to process.)
    """
    texts = [text.lower() if lower else text for text in CORPUS if text.isascii()]
    count = Counter(
        word[start:end]
        for text in texts
        for word in (f"▁{word}" for word in text.split())
        for start in range(len(word))
        for end in range(start + 1, min(start + 6, len(word)) + 1)
    )
    worth = sorted(count, key=lambda piece: (-count[piece] * len(piece), piece))
    letters = sorted(piece for piece in count if len(piece) == 1)
    pieces = [*letters, *[piece for piece in worth if len(piece) > 1][:48]]
    total = sum(count.values())
    vocab = [(piece, math.log(count[piece] / total)) for piece in pieces]
    vocab = [(token, 0.0) for token in special] + vocab
    tokenizer = Tokenizer(models.Unigram(vocab, special.index(unknown)))
    if lower:
        tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.add_special_tokens([*special])
    return tokenizer.to_str()


def unigram_pieces(special):
    """Pieces of any case with their scores; the last special token stands for what is unknown."""
    vocab = json.loads(unigram(special, special[-1]))["model"]["vocab"]
    return [tuple(entry) for entry in vocab]
