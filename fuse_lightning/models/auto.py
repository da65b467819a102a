"""The kind of model that an id stands for."""

from fuse_lightning.models.base import FrozenModel
from fuse_lightning.models.causal_lm import CausalLM
from fuse_lightning.models.classifier import Classifier
from fuse_lightning.models.clip import CLIP
from fuse_lightning.models.loading import load_config
from fuse_lightning.models.text_encoder import SentenceEncoder


def auto_model(model_id: str) -> FrozenModel:
    """A model of the kind that its configuration's architecture names, not loaded yet.

    Anything that is no CLIP, no sequence classifier and no causal language model counts as a
    sentence encoder.

    Raises:
        FuseError: If there is no such model.
    """
    config = load_config(model_id, None, False)
    names = " ".join(config.architectures or [])
    if hasattr(config, "vision_config"):
        return CLIP(model_id)
    if "ForSequenceClassification" in names:
        return Classifier(model_id)
    if "ForCausalLM" in names or "LMHeadModel" in names:
        return CausalLM(model_id)
    return SentenceEncoder(model_id)
