"""Sentence encoders."""

import json
from pathlib import Path

from transformers import BertModel, MPNetConfig, MPNetModel, MPNetTokenizer, RobertaForMaskedLM

from tests.factories.classifiers import _roberta, bert_config
from tests.factories.folders import SHAPE, save
from tests.factories.tokenizers import bert_tokenizer
from tests.factories.vocabularies import word_pieces


def sentence_encoder(folder, mode="mean_tokens"):
    """A sentence-transformers BERT that pools by ``mode``."""
    tokenizer = bert_tokenizer()
    save(folder, BertModel, bert_config(tokenizer), tokenizer)
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


def mpnet_encoder(folder):
    """MPNet: WordPiece with RoBERTa's special tokens, positions start at 2."""
    special = {"[PAD]": "<pad>", "[CLS]": "<s>", "[SEP]": "</s>", "[MASK]": "<mask>"}
    vocab = sorted(word_pieces(), key=word_pieces().get)
    order = ["[CLS]", "[PAD]", "[SEP]", *(token for token in vocab if token not in special)]
    vocab = {special.get(token, token): index for index, token in enumerate([*order, "[MASK]"])}
    tokenizer = MPNetTokenizer(vocab=vocab)
    config = MPNetConfig(**SHAPE, vocab_size=len(tokenizer), max_position_embeddings=50)
    return save(folder, MPNetModel, config, tokenizer)


SENTENCE_ENCODERS = {
    "sentence_encoder": sentence_encoder,
    "masked_lm": masked_lm,
    "mpnet_encoder": mpnet_encoder,
}
