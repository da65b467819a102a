"""Sequence classifiers, such as a sentiment RoBERTa."""

from functools import cached_property
from typing import Any

from torch import Tensor
from transformers import AutoModelForSequenceClassification, PretrainedConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING

from fuse_lightning.engine.batching import run_vectors
from fuse_lightning.engine.token_batch import TokenBatch
from fuse_lightning.errors import FuseError
from fuse_lightning.models.base import FrozenModel
from fuse_lightning.models.vocabulary import Vocabulary


class Classifier(FrozenModel):
    """Text classifier that ``AutoModelForSequenceClassification`` reads."""

    kind = "sequence classifier"

    @property
    def auto_class(self) -> Any:
        """The transformers auto class of sequence classifiers."""
        return AutoModelForSequenceClassification

    def accepts(self, config: PretrainedConfig) -> bool:
        """Whether the auto class maps the configuration to a network."""
        return type(config) in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING

    def prepare(self) -> None:
        """Sets the padding id, by which decoder networks find the last token of a text."""
        if getattr(self.text_config, "pad_token_id", None) is None:
            self.text_config.pad_token_id = self.pad_id

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """Tokens of the model, with the network's padding id."""
        pad_id = getattr(self.text_config, "pad_token_id", None)
        return Vocabulary(self.tokenizer, self.table_rows, pad_id=pad_id, name=self.model_id)

    @cached_property
    def labels(self) -> list[str]:
        """Names of the classes, in order."""
        names = self.module.config.id2label
        return [names[index] for index in sorted(names)]

    @property
    def multi_label(self) -> bool:
        """Whether several labels may apply to one text."""
        return bool(self.module.config.problem_type == "multi_label_classification")

    def label_index(self, label: str) -> int:
        """Index of a label, given by its name in any case or by its number.

        Raises:
            FuseError: If the classifier has no such label.
        """
        names = [name.lower() for name in self.labels]
        if label.lower() in names:
            return names.index(label.lower())
        if label.isdecimal() and int(label) < len(names):
            return int(label)
        raise FuseError(
            f"unknown label {label!r} for {self.model_id!r}; its labels are: "
            f"{', '.join(self.labels)}"
        )

    def logits(self, encoded: TokenBatch, embeds: Tensor | None = None) -> Tensor:
        """Class logits, float32, shape (N, classes).

        Args:
            encoded: The texts.
            embeds: Input embeddings to use instead of those of the ids, shape (N, T, d).
        """
        return run_vectors(self, encoded, self._logits, embeds)

    def _logits(self, ids: Tensor, mask: Tensor, embeds: Tensor | None, _: Tensor | None) -> Tensor:
        with self.embeddings_replaced(embeds):
            output = self.module(input_ids=ids, attention_mask=mask.long())
        logits: Tensor = output.logits.float()
        return logits
