"""A GPT-2 and a CLIP of real sizes with random weights.

Their tokenizers (32 000 and 49 000 tokens) are trained on made-up words, so that words split in up
to four tokens in either.
"""

import json
import random
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import (
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    CLIPTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    GPT2Tokenizer,
)

WORDS = 150_000


def made_up_words(count: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    syllables = [
        c + v + e for c in "bcdfghklmnprstvz" for v in "aeiou" for e in ("", "n", "r", "s")
    ]
    return ["".join(rng.choices(syllables, k=rng.randint(1, 5))) for _ in range(count)]


def learn(size: int, texts: list[str], suffix: str) -> tuple[list[str], list[tuple[str, str]]]:
    tokenizer = Tokenizer(models.BPE(**({"end_of_word_suffix": suffix} if suffix else {})))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    options = {"end_of_word_suffix": suffix} if suffix else {}
    trainer = trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=alphabet, show_progress=False, **options
    )
    tokenizer.train_from_iterator(texts, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    tokens += [letter + suffix for letter in alphabet if letter + suffix not in model["vocab"]]
    return tokens, [tuple(pair) for pair in model["merges"]]


def build(folder: Path, layers: int, count: int = WORDS) -> None:
    """Writes a GPT-2 of width 768 and a CLIP whose text tower is that of ViT-B/32.

    Args:
        folder: Gets the folders ``gpt2`` and ``clip``.
        layers: Of both; 12 in the real ones.
        count: Made-up words that the tokenizers learn from; of few words most become one token.
    """
    torch.manual_seed(0)
    for name, size, suffix, share in (("gpt2", 31_700, "", 0.4), ("clip", 48_500, "</w>", 0.8)):
        words = made_up_words(count, 0)[: int(count * share)]
        text = words if suffix else [f"a {word}" for word in words]
        tokens, merges = learn(size, text, suffix)
        special = ["<|startoftext|>", "<|endoftext|>"]
        vocab = {token: index for index, token in enumerate([*tokens, *special])}
        if suffix:
            CLIPTokenizer(vocab=vocab, merges=merges).save_pretrained(folder / name)
            text_config = {
                "vocab_size": len(vocab),
                "hidden_size": 512,
                "num_hidden_layers": layers,
                "bos_token_id": len(vocab) - 2,
                "eos_token_id": len(vocab) - 1,
                "pad_token_id": len(vocab) - 1,
            }
            vision = {"num_hidden_layers": 1, "hidden_size": 64, "num_attention_heads": 2}
            config = CLIPConfig(text_config=text_config, vision_config=vision)
            CLIPModel(config).save_pretrained(folder / name)
            CLIPImageProcessorPil().save_pretrained(folder / name)
        else:
            GPT2Tokenizer(vocab=vocab, merges=merges).save_pretrained(folder / name)
            config = GPT2Config(
                vocab_size=len(vocab),
                n_layer=layers,
                bos_token_id=len(vocab) - 1,
                eos_token_id=len(vocab) - 1,
            )
            GPT2LMHeadModel(config).save_pretrained(folder / name)
