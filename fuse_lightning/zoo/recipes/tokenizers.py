"""The zoo's tokenizers: byte-level BPE, lower-cased BPE with end-of-word marks, WordPiece.

Their vocabularies are small, so that many words split, and differently in each.
"""

import json
import random
from typing import Any

from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import BertTokenizer, CLIPTokenizer, GPT2Tokenizer, PreTrainedTokenizerBase

from fuse_lightning.zoo.instructions import sample_line
from fuse_lightning.zoo.reasoning import word_list
from fuse_lightning.zoo.scenes import sample_sentence

CORPUS_SENTENCES = 6000
END = "<|endoftext|>"
BYTE_MERGES = 400
INSTRUCT_MERGES = 860
"""Enough for every cue word and every answer to be one token."""
INSTRUCT_LENGTH = 192
"""Most tokens: those of an instruction, four demonstrations and a caption."""
REASONER_MERGES = 700
"""More than there are to learn: every word of the reasoning language is one token."""
REASONER_LENGTH = 128
"""Most tokens: those of a question, a prompt of 50 tokens, a chain and an answer."""
CLIP_MERGES = 380
WORD_PIECES = {"sentiment": 760, "clip-judge": 500}
"""The sentiment model knows every word whole, as real ones do: no other word looks like it."""


def corpus(seed: int) -> list[str]:
    """Sentences to learn merges from."""
    rng = random.Random(f"tokenizer-{seed}")
    return [sample_sentence(rng)[0] for _ in range(CORPUS_SENTENCES)]


def instructions(seed: int) -> list[str]:
    """Lines of the instruction language to learn merges from."""
    rng = random.Random(f"instruct-tokenizer-{seed}")
    return [sample_line(rng) for _ in range(CORPUS_SENTENCES)]


def gpt2_tokenizer(seed: int) -> PreTrainedTokenizerBase:
    """Byte-level BPE; one special token begins, ends and pads."""
    return _byte_level(corpus(seed), BYTE_MERGES, 64)


def instruct_tokenizer(seed: int) -> PreTrainedTokenizerBase:
    """Byte-level BPE as :func:`gpt2_tokenizer`, learnt from lines with instructions, too."""
    return _byte_level([*corpus(seed), *instructions(seed)], INSTRUCT_MERGES, INSTRUCT_LENGTH)


def reasoner_tokenizer(seed: int) -> PreTrainedTokenizerBase:
    """Byte-level BPE in which every word of the reasoning language is one token."""
    return _byte_level(word_list(), REASONER_MERGES, REASONER_LENGTH)


def _byte_level(texts: list[str], merges: int, most: int) -> PreTrainedTokenizerBase:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    vocab, learned = _learn(tokenizer, texts, [END], alphabet, merges)
    return GPT2Tokenizer(vocab=vocab, merges=learned, model_max_length=most)


def clip_tokenizer(seed: int) -> PreTrainedTokenizerBase:
    """Lower-cased BPE with ``</w>`` at word ends; the end token also pads, as in OpenAI's."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Whitespace(), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    texts = [text.lower() for text in corpus(seed)]
    # Every symbol needs its word-final form too. Told to the trainer, their ids, by which it
    # chooses among pairs as frequent, don't depend on the order in which it meets words.
    finals = [symbol + "</w>" for symbol in alphabet]
    vocab, merges = _learn(tokenizer, texts, finals, alphabet, CLIP_MERGES, "</w>")
    # The markers come last, the end token highest.
    symbols = [*alphabet, *finals]
    learned = [token for token in sorted(vocab, key=lambda t: vocab[t]) if token not in symbols]
    tokens = [*symbols, *learned, "<|startoftext|>", END]
    return CLIPTokenizer(
        vocab={token: index for index, token in enumerate(tokens)},
        merges=merges,
        model_max_length=64,
    )


def word_piece_tokenizer(seed: int, size: int) -> PreTrainedTokenizerBase:
    """Lower-cased WordPiece of ``size`` tokens."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    letters = [*"abcdefghijklmnopqrstuvwxyz0123456789.,'!?-"]
    trainer = trainers.WordPieceTrainer(
        vocab_size=size,
        special_tokens=[*special, *letters, *(f"##{letter}" for letter in letters)],
        show_progress=False,
    )
    tokenizer.train_from_iterator([text.lower() for text in corpus(seed)], trainer)
    vocab = tokenizer.get_vocab()
    return BertTokenizer(vocab=vocab, model_max_length=64)


def _learn(
    tokenizer: Tokenizer,
    texts: list[str],
    first: list[str],
    alphabet: list[str],
    merges: int,
    suffix: str | None = None,
) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Vocabulary and merges of a BPE; the tokens ``first`` come before all others."""
    options: Any = {} if suffix is None else {"end_of_word_suffix": suffix}
    trainer = trainers.BpeTrainer(
        vocab_size=len(first) + len(alphabet) + merges,
        special_tokens=first,
        initial_alphabet=alphabet,
        show_progress=False,
        **options,
    )
    tokenizer.train_from_iterator(texts, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return model["vocab"], [(left, right) for left, right in model["merges"]]
