"""Text classifiers."""

from transformers import (
    BertConfig,
    BertForSequenceClassification,
    DebertaV2Config,
    DebertaV2ForSequenceClassification,
    DebertaV2Tokenizer,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    DistilBertTokenizer,
    GPT2Config,
    GPT2ForSequenceClassification,
    RobertaConfig,
    RobertaForSequenceClassification,
    RobertaTokenizer,
    XLMRobertaConfig,
    XLMRobertaForSequenceClassification,
    XLMRobertaTokenizer,
)

from tests.factories.folders import GPT2_SHAPE, SHAPE, SPREAD, save
from tests.factories.tokenizers import bert_tokenizer, gpt2_tokenizer
from tests.factories.vocabularies import byte_level, unigram_pieces, word_pieces


def bert_config(tokenizer, **kwargs):
    return BertConfig(
        **SHAPE,
        vocab_size=len(tokenizer),
        max_position_embeddings=48,
        **kwargs,
    )


def bert_classifier(folder, labels=("NEGATIVE", "Positive")):
    """A BERT with a classification head."""
    tokenizer = bert_tokenizer()
    names = {"id2label": dict(enumerate(labels)), "label2id": {n: i for i, n in enumerate(labels)}}
    config = bert_config(tokenizer, **names)
    return save(folder, BertForSequenceClassification, config, tokenizer)


def _roberta(folder, module_class, num_labels=3):
    vocab, merges = byte_level(("<s>", "<pad>", "</s>", "<unk>", "<mask>"))
    # Like many RoBERTas, its tokenizer does not say that it reads 48 tokens.
    tokenizer = RobertaTokenizer(vocab=vocab, merges=merges)
    config = RobertaConfig(
        **SHAPE,
        vocab_size=len(tokenizer),
        max_position_embeddings=50,
        type_vocab_size=1,
        num_labels=num_labels,
    )
    return save(folder, module_class, config, tokenizer)


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
        **GPT2_SHAPE,
        vocab_size=len(tokenizer),
        num_labels=2,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=pad,
    )
    return save(folder, GPT2ForSequenceClassification, config, tokenizer)


CLASSIFIERS = {
    "bert_classifier": bert_classifier,
    "roberta_classifier": roberta_classifier,
    "gpt2_classifier": gpt2_classifier,
}


def distilbert_classifier(folder):
    """DistilBERT: a BERT without kinds of tokens."""
    tokenizer = DistilBertTokenizer(vocab=word_pieces(), model_max_length=48)
    config = DistilBertConfig(
        vocab_size=len(tokenizer),
        dim=16,
        hidden_dim=32,
        n_layers=2,
        n_heads=2,
        max_position_embeddings=48,
        initializer_range=SPREAD,
    )
    return save(folder, DistilBertForSequenceClassification, config, tokenizer)


def deberta_classifier(folder):
    """DeBERTa v3: SentencePiece, no absolute positions, rows beyond."""
    tokenizer = DebertaV2Tokenizer(vocab=unigram_pieces(("[PAD]", "[CLS]", "[SEP]", "[UNK]")))
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
    return save(folder, DebertaV2ForSequenceClassification, config, tokenizer)


def xlm_roberta_classifier(folder):
    """XLM-RoBERTa: SentencePiece, positions start at 2."""
    tokenizer = XLMRobertaTokenizer(vocab=unigram_pieces(("<s>", "<pad>", "</s>", "<unk>")))
    config = XLMRobertaConfig(
        **SHAPE, vocab_size=len(tokenizer), max_position_embeddings=50, type_vocab_size=1
    )
    return save(folder, XLMRobertaForSequenceClassification, config, tokenizer)


MORE_CLASSIFIERS = {
    "distilbert_classifier": distilbert_classifier,
    "deberta_classifier": deberta_classifier,
    "xlm_roberta_classifier": xlm_roberta_classifier,
}
