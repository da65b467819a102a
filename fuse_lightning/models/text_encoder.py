"""Models that turn a text into one unit vector."""

from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoModel, PretrainedConfig

from fuse_lightning.engine.batching import run_vectors
from fuse_lightning.engine.token_batch import TokenBatch
from fuse_lightning.errors import FuseError
from fuse_lightning.models.base import FrozenModel
from fuse_lightning.models.in_memory import home_of
from fuse_lightning.models.options import ModelOptions, ModelSource, Unpack
from fuse_lightning.models.sentence_settings import (
    PARTS,
    POOLING,
    PROMPTS,
    READER,
    is_sentence_transformer,
    settings_of_files,
    settings_of_object,
)
from fuse_lightning.models.vocabulary import Vocabulary

Pooling = Literal["mean", "mean_sqrt_len", "cls", "max", "lasttoken"]
POOLINGS = get_args(Pooling)


class TextEncoder(FrozenModel):
    """Base of frozen models that turn a text into a unit vector, compared by cosine."""

    @property
    def auto_class(self) -> Any:
        """The transformers auto class of networks without a head."""
        return AutoModel

    @abstractmethod
    def text_features(
        self, encoded: TokenBatch, embeds: Tensor | None = None, fixed: Tensor | None = None
    ) -> Tensor:
        """Unit vectors of texts, float32, shape (N, d).

        Args:
            encoded: The texts.
            embeds: Input embeddings to use instead of those of the ids, shape (N, T, d).
            fixed: How many leading tokens of each text have the embeddings of their ids, and
                need no gradient, shape (N,).
        """


class SentenceEncoder(TextEncoder):
    """Text encoder in the manner of sentence-transformers, such as all-MiniLM-L6-v2.

    Pools as the model's ``1_Pooling/config.json`` says, by default the mean over tokens. Reads
    texts as its other files say: in lower case, and behind a prompt of its own.

    Args:
        model_id: Hub id or local folder. Or a network in memory: of transformers, or a
            ``SentenceTransformer``.
        prompt_name: Which of the prompts that the model names stands before every text; by
            default the one that the model says, most often none.
        pooling: How one vector is made of those of the tokens; by default as the model's files
            say, else their mean.
        **options: Options of every :class:`FrozenModel`.
    """

    kind = "sentence encoder"
    # Pooling is done here, so checkpoints of masked language models will do.
    unused_weights = ("pooler.",)

    def __init__(
        self,
        model_id: ModelSource,
        *,
        prompt_name: str | None = None,
        pooling: Pooling | None = None,
        **options: Unpack[ModelOptions],
    ) -> None:
        whole: Any = model_id if is_sentence_transformer(model_id) else None
        if whole is not None:
            model_id = next(iter(whole)).auto_model
            if options.get("tokenizer") is None:
                options["tokenizer"] = whole.tokenizer
        super().__init__(model_id, **options)
        if pooling not in (None, *POOLINGS):
            raise FuseError(
                f"pooling of {self.model_id!r} is {pooling!r}; give one of {', '.join(POOLINGS)}"
            )
        self.prompt_name = prompt_name
        self.pooling = pooling
        home = self.model_id if self.given is None else home_of(self.given)
        self._setting = (
            settings_of_files(home, self.revision) if whole is None else settings_of_object(whole)
        )

    @property
    def key(self) -> tuple[object, ...]:
        """Key that is equal for two models that can share weights and read texts alike."""
        return (*super().key, self.prompt_name, self.pooling)

    def accepts(self, config: PretrainedConfig) -> bool:
        """Whether a network reads text alone, without pictures and without a decoder half."""
        return not hasattr(config, "vision_config") and not config.is_encoder_decoder

    def prepare(self) -> None:
        """Finds the pooling, and the text before every text.

        Raises:
            FuseError: If it pools in an unknown way, or has no prompt of the name.
        """
        self.pooling = self.pooling or self._pooling()
        self.prompt = self._prompt()
        self.passed = self._passed()

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """Tokens of the model, with lower case if the model's files ask for it."""
        lower = bool(self._setting(READER).get("do_lower_case"))
        return Vocabulary(self.tokenizer, self.table_rows, lower=lower, name=self.model_id)

    def _prompt(self) -> str:
        """Instruction before every text; empty if there is none."""
        config = self._setting(PROMPTS)
        prompts = config.get("prompts") or {}
        name = self.prompt_name or config.get("default_prompt_name")
        if name is None:
            return ""
        if name not in prompts:
            names = ", ".join(map(repr, prompts)) or "none"
            raise FuseError(f"{self.model_id!r} has no prompt {name!r}; it has: {names}")
        return str(prompts[name])

    def _passed(self) -> int:
        """Number of leading tokens that pooling leaves out."""
        if not self.prompt or self._setting(POOLING).get("include_prompt", True):
            return 0
        (row,) = self.words.read([self.prompt], special=True)
        return len(row.ids) - (row.ids[-1] in self.tokenizer.all_special_ids)

    def encode(self, texts: Sequence[str], *, special: bool = True) -> TokenBatch:
        """Tokens of whole texts, with special tokens and prompt unless ``special`` is false."""
        if not (special and self.prompt):
            return super().encode(texts, special=special)
        encoded = super().encode([f"{self.prompt}{text}" for text in texts])
        # Characters are counted in the texts: those of the prompt are none of them.
        encoded.spans = (encoded.spans - len(self.prompt)).clamp(min=0)
        return encoded

    @cached_property
    def max_tokens(self) -> int:
        """Longest input in tokens, which sentence-transformers may set below the network's own."""
        limit = self._setting(READER).get("max_seq_length")
        return min(super().max_tokens, int(limit)) if limit else super().max_tokens

    def _pooling(self) -> Pooling:
        for module in self._setting(PARTS):
            part = module["type"].rsplit(".")[-1]
            if part not in ("Transformer", "Pooling", "Normalize"):
                raise FuseError(
                    f"{self.model_id!r} ends in a {part} layer, which a {self.kind} here cannot "
                    "have; give one that only pools"
                )
        config = self._setting(POOLING)
        modes = [
            key.removeprefix("pooling_mode_").removesuffix("s").removesuffix("_token")
            for key, value in config.items()
            if key.startswith("pooling_mode_") and value is True
        ]
        mode: Any = config.get("pooling_mode") or "+".join(modes) or "mean"
        if mode not in POOLINGS:
            raise FuseError(
                f"{self.model_id!r} pools by {mode!r}; a {self.kind} here pools by one of: "
                f"{', '.join(POOLINGS)}"
            )
        found: Pooling = mode
        return found

    def text_features(
        self, encoded: TokenBatch, embeds: Tensor | None = None, fixed: Tensor | None = None
    ) -> Tensor:
        """Unit vectors of texts, float32, shape (N, d)."""
        return run_vectors(self, encoded, self._vectors, embeds, fixed)

    def _vectors(
        self, ids: Tensor, mask: Tensor, embeds: Tensor | None, _: Tensor | None
    ) -> Tensor:
        with self.embeddings_replaced(embeds):
            output = self.module(input_ids=ids, attention_mask=mask.long())
        hidden = output.last_hidden_state.float()
        pooled = mask
        if self.passed:
            pooled = mask & (torch.arange(mask.shape[1], device=mask.device) >= self.passed)
        match self.pooling:
            case "cls":
                vectors = hidden[:, 0]
            case "lasttoken":
                last = mask.sum(1) - 1
                vectors = hidden[torch.arange(len(hidden), device=hidden.device), last]
            case "max":
                vectors = hidden.masked_fill(~pooled.unsqueeze(-1), -torch.inf).amax(1)
            case _:
                # The mean times the root of the length has the same direction.
                vectors = (hidden * pooled.unsqueeze(-1)).sum(1)
        return F.normalize(vectors, dim=-1)


def same_direction(a: Tensor, b: Tensor) -> bool:
    """Whether two batches of unit vectors are equal up to rounding."""
    return bool(((a * b).sum(-1) > 1 - 1e-4).all()) and not bool(torch.isnan(a).any())
