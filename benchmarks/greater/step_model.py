"""A network of Llama's shape with random weights, and questions of made-up words for it."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from benchmarks.real_models import learn, made_up_words
from fuse_lightning.data.targets import Target
from fuse_lightning.models import CausalLM

END = "<|endoftext|>"
LABELS = 4
"""Answers that there are."""


@dataclass(frozen=True)
class Sizes:
    """Sizes of a step.

    Attributes:
        layers: Layers of the network.
        width: Width of the network; a head has 64 numbers.
        tokens: Tokens that there are, about. A fifth of a position's arithmetic is the output's.
        words: Made-up words that the tokenizer is trained on.
        questions: Questions of a target.
        question: Tokens of a question.
        prompt: Tokens of the prompt.
        candidates: Candidates whose chains are written.
        chain: Tokens of a chain, which all chains have.
    """

    layers: int = 8
    width: int = 512
    tokens: int = 16_000
    words: int = 24_000
    questions: int = 32
    question: int = 60
    prompt: int = 16
    candidates: int = 3
    chain: int = 128


def build(
    folder: Path, sizes: Sizes, texts: Sequence[str] = (), chat_template: str | None = None
) -> None:
    """Writes the network and its tokenizer to a folder.

    Args:
        folder: The folder.
        sizes: Sizes of the network.
        texts: Texts that the tokenizer is trained on, in place of made-up words.
        chat_template: Template of a chat; none for a model without one.
    """
    torch.manual_seed(0)
    known = [*texts] or [f"a {word}" for word in made_up_words(sizes.words, 0)]
    tokens, merges = learn(sizes.tokens - 1, known, "")
    vocab = {token: index for index, token in enumerate([*tokens, END])}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=END,
        eos_token=END,
        pad_token=END,
        chat_template=chat_template,
    ).save_pretrained(folder)
    end = vocab[END]
    config = LlamaConfig(
        vocab_size=len(vocab),
        hidden_size=sizes.width,
        intermediate_size=4 * sizes.width,
        num_hidden_layers=sizes.layers,
        num_attention_heads=max(1, sizes.width // 64),
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
        max_position_embeddings=512,
        tie_word_embeddings=False,
    )
    LlamaForCausalLM(config).save_pretrained(folder)


def words_of(model: CausalLM) -> list[str]:
    """Words that are one token behind a space."""
    return [text[1:] for text in model.pieces if text[:1] == " " and text[1:].isalpha()]


def target_of(model: CausalLM, sizes: Sizes, seed: int = 0) -> tuple[Target, str]:
    """A target of made-up questions, and a prompt.

    Args:
        model: The loaded model.
        sizes: How many, and how long.
        seed: Seed of both.
    """
    rng = random.Random(seed)
    words = [word for word in words_of(model) if len(word) > 3]
    labels = rng.sample(words, LABELS)
    examples = [
        {
            "question": " ".join(rng.choices(words, k=sizes.question)),
            "label": labels[number % LABELS],
        }
        for number in range(sizes.questions)
    ]
    target = Target(
        "one",
        examples=examples,
        labels={label: [label] for label in labels},
        answer="word",
        extractor="\n" + " ".join(rng.choices(words, k=6)) + ":",
    )
    return target, " ".join(rng.choices(words, k=sizes.prompt))
