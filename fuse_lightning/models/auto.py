"""Choice of the model class for an id or a network in memory."""

from transformers import PretrainedConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

from fuse_lightning.models.base import FrozenModel
from fuse_lightning.models.causal_lm import CausalLM
from fuse_lightning.models.classifier import Classifier
from fuse_lightning.models.clip import CLIP
from fuse_lightning.models.gguf_files import split_gguf
from fuse_lightning.models.in_memory import network_of
from fuse_lightning.models.loading import load_config
from fuse_lightning.models.options import ModelSource
from fuse_lightning.models.peft_adapters import find_adapter
from fuse_lightning.models.sentence_settings import is_sentence_transformer
from fuse_lightning.models.seq2seq_lm import Seq2SeqLM, is_seq2seq
from fuse_lightning.models.text_encoder import SentenceEncoder


def auto_model(model: ModelSource) -> FrozenModel:
    """Model of the class that its architecture names, not yet loaded.

    Anything that is no CLIP, no sequence classifier and no language model, causal or with an
    encoder, counts as a sentence encoder.

    Args:
        model: Hub id, local folder, GGUF file, ``zoo/NAME``, or a network in memory whose
            tokenizer lies where it was read from.

    Raises:
        FuseError: If there is no such model.

    Example:
        >>> [type(auto_model(name)).__name__ for name in ("zoo/gpt2", "zoo/clip", "zoo/sentiment")]
        ['CausalLM', 'CLIP', 'Classifier']
    """
    if is_sentence_transformer(model):
        return SentenceEncoder(model)
    if (network := network_of(model)) is not None:
        return _kind(network.config, type(network).__name__)(model)
    model_id = str(model)
    adapter = find_adapter(model_id, None)
    config = load_config(adapter.base if adapter else model_id, None, False)
    if split_gguf(model_id) and type(config) in MODEL_FOR_CAUSAL_LM_MAPPING:
        # Such files do not name the class.
        return CausalLM(model_id)
    return _kind(config, " ".join(config.architectures or []))(model_id)


def _kind(config: PretrainedConfig, names: str) -> type[FrozenModel]:
    if hasattr(config, "vision_config"):
        return CLIP
    if "ForSequenceClassification" in names:
        return Classifier
    if "ForCausalLM" in names or "LMHeadModel" in names:
        return CausalLM
    # Folders such as facebook/bart-base name the class without a head, which the weights fill.
    if is_seq2seq(config) and "EncoderModel" not in names:
        return Seq2SeqLM
    return SentenceEncoder
