"""Tokenizers like those of the hub's models, over small vocabularies."""

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import BertTokenizer, CLIPTokenizer, GPT2Tokenizer, PreTrainedTokenizerFast

from tests.factories.vocabularies import (
    byte_level,
    marked_ends,
    sentence_piece,
    unigram,
    word_pieces,
)


def byte_level_tokenizer(special, *, template=None, added=(), **kwargs):
    vocab, merges = byte_level(special)
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
    vocab, merges = byte_level(("<|endoftext|>",))
    return GPT2Tokenizer(vocab=vocab, merges=merges, model_max_length=48)


def llama_tokenizer(**tokens):
    """SentencePiece in a file of the older kind: a space is put before every text."""
    vocab, merges = sentence_piece(("<unk>", "<s>", "</s>"))
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


def clip_tokenizer(pad=None):
    """Lower-cased BPE with ``</w>``; begin and end tokens have the last ids, the end pads."""
    tokens, merges = marked_ends()
    tokens = [*tokens, "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(
        vocab={token: index for index, token in enumerate(tokens)},
        merges=merges,
        model_max_length=77,
        **({} if pad is None else {"pad_token": pad}),
    )


def bert_tokenizer():
    """Lower-cased WordPiece."""
    return BertTokenizer(vocab=word_pieces(), model_max_length=48)


def opt_tokenizer():
    """OPT's: its begin token is also the end token and the unknown one."""
    return byte_level_tokenizer(
        ("<s>", "<pad>", "</s>", "<unk>"),
        template="</s> $A",
        bos_token="</s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="</s>",
    )


def unigram_tokenizer(**options):
    """Lower-cased unigram pieces; every text ends with ``</s>``, as T5 and SigLIP read it."""
    tokenizer = Tokenizer.from_str(unigram(("<unk>", "</s>"), "<unk>", lower=True))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", tokenizer.token_to_id("</s>"))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="</s>", unk_token="<unk>", **options
    )
