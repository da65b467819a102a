"""What the search asks of a frozen model: text in and out, embeddings, allowed tokens."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedTokenizerBase

from fuse_lightning.engine.attention import right_padded
from fuse_lightning.engine.budget import Budget
from fuse_lightning.engine.compiling import compile_layers
from fuse_lightning.engine.prefixes import WORTH
from fuse_lightning.engine.remembered import Remembered
from fuse_lightning.engine.token_batch import TokenBatch, pad
from fuse_lightning.errors import FuseError
from fuse_lightning.models.fingerprint import fingerprint
from fuse_lightning.models.loading import load_config, load_module, load_tokenizer
from fuse_lightning.models.placement import (
    DeviceMap,
    Placement,
    Quantization,
    input_device,
    keep_gradients,
)
from fuse_lightning.models.word_tokenizer import WordTokenizer

DType = Literal["float32", "bfloat16", "float16"]
TokenSet = Literal["any", "ascii", "words"]


class FrozenModel(ABC):
    """A transformers model whose weights never change.

    Not an ``nn.Module``: a LightningModule that holds one neither trains it nor writes it into
    checkpoints. Nothing is read before :meth:`load`.

    Args:
        model_id: Hub id, local folder, or ``zoo/NAME`` for a model that comes with the package.
        revision: Branch, tag or commit on the hub.
        dtype: Type of weights and activations.
        device: Where the model lives, such as ``cuda:1``; by default where the trainer works.
        trust_remote_code: Whether to run code that comes with the model.
        device_map: How to spread the model over several devices: ``auto``, or a device for each
            part by its name.
        quantization: ``4bit`` or ``8bit`` for the weights of linear layers.
        compile: Whether ``torch.compile`` makes the layers faster, which takes minutes at first.

    Attributes:
        device: Where ids go and results come back, once loaded; layers may lie elsewhere.
    """

    kind: str
    unused_weights: tuple[str, ...] = ()
    """Beginnings of the names of weights that this kind of model never reads."""
    tokenizer_folder: str = ""
    """Sub-folder of the tokenizer, where it is not in the model's own folder."""
    network_folder: str = ""
    """Sub-folder of the network, likewise."""

    def __init__(
        self,
        model_id: str,
        revision: str | None = None,
        dtype: DType = "float32",
        device: str | None = None,
        trust_remote_code: bool = False,
        device_map: DeviceMap | None = None,
        quantization: Quantization | None = None,
        compile: bool = False,
    ) -> None:
        if not model_id:
            raise FuseError(f"model_id of a {self.kind} is empty; give a hub id or a folder")
        if dtype not in (dtypes := get_args(DType)):
            raise FuseError(f"dtype of {model_id!r} is {dtype!r}; give one of {', '.join(dtypes)}")
        self.model_id = model_id
        self.revision = revision
        self.dtype = dtype
        self.placement = Placement(model_id, device, device_map, quantization)
        self.trust_remote_code = trust_remote_code
        self.compile = compile
        self.budget = Budget()
        """How much goes into one forward."""
        self.shares = False
        """Whether rows that begin alike can share what they begin with."""
        self.worth = WORTH
        """Fewest positions that sharing must save."""
        self.remembered = Remembered()
        """What is kept from one forward to the next."""
        self.full_length = 0
        """Tokens that every text is padded to, 0 where short texts may stay short."""

    @property
    def key(self) -> tuple[object, ...]:
        """Equal for two models that can share weights in memory."""
        return (
            type(self),
            self.model_id,
            self.revision,
            self.dtype,
            self.placement.key,
            self.trust_remote_code,
            self.compile,
        )

    @property
    @abstractmethod
    def auto_class(self) -> Any:
        """The transformers auto class that reads the network."""

    @abstractmethod
    def accepts(self, config: PretrainedConfig) -> bool:
        """Whether the configuration is of this kind of model."""

    @property
    def exact(self) -> bool:
        """Whether weights and activations are float32."""
        return self.dtype == "float32" and self.placement.quantization is None

    @property
    def loaded(self) -> bool:
        """Whether the weights are in memory."""
        return hasattr(self, "module")

    def load(self, device: torch.device | str = "cpu") -> None:
        """Reads tokenizer and weights; does nothing if they are there already.

        Raises:
            FuseError: If there is no such model, it is of another kind, or it cannot lie where it
                shall.
        """
        if self.loaded:
            return
        source = (self.model_id, self.revision)
        config = load_config(*source, self.trust_remote_code, self.network_folder)
        remote = self.trust_remote_code and hasattr(config, "auto_map")
        if not remote and not self.accepts(config):
            names = ", ".join(config.architectures or [config.model_type])
            raise FuseError(
                f"{self.model_id!r} is a {names}, not a {self.kind}; give the id of one"
            )
        self.placement.check()
        self.device = torch.device(self.placement.device or device)
        self.tokenizer: PreTrainedTokenizerBase = load_tokenizer(
            *source, self.trust_remote_code, self.tokenizer_folder
        )
        dtype = getattr(torch, self.dtype)
        placed = self.placement.options(self.device, dtype)
        self.module: Any = load_module(
            self.auto_class.from_pretrained,
            *source,
            dtype,
            self.trust_remote_code,
            self.unused_weights,
            self.network_folder,
            placed,
        )
        if placed:
            keep_gradients(self.module)
            self.device = input_device(self.embedding_layer)
        else:
            self.module.to(self.device)
        self.budget.apart = self.turn
        self.prepare()
        if self.compile:
            compile_layers(self.text_network)

    def prepare(self) -> None:  # noqa: B027
        """Hook: checks and settings that need the loaded network."""

    def forget(self) -> None:
        """Frees keys, values and likelihoods that are kept from one forward to the next."""
        self.remembered.clear()

    @property
    def networks(self) -> dict[str, nn.Module]:
        """All networks of the loaded model, by name."""
        return {"text": self.module}

    @cached_property
    def fingerprint(self) -> str:
        """Digest of the loaded model's weights, configuration and tokens, in hex."""
        return fingerprint(self.networks, self.module.config, self.tokenizer)

    @property
    def text_config(self) -> PretrainedConfig:
        """Configuration of the part that reads text."""
        return self.module.config.get_text_config()

    @property
    def text_network(self) -> nn.Module:
        """The part that reads text."""
        network: nn.Module = self.module
        return network

    @property
    def embedding_layer(self) -> nn.Module:
        """The layer that turns ids into input embeddings."""
        layer: nn.Module = self.module.get_input_embeddings()
        return layer

    @cached_property
    def vocab_size(self) -> int:
        """V, the number of ids that both the tokenizer and the network know.

        The network may have more rows than the tokenizer has tokens, and a tokenizer may have
        been given tokens, such as one for padding, for which there is no row.
        """
        weight: Tensor = self.embedding_layer.get_parameter("weight")
        return min(max(map(int, self.tokenizer.get_vocab().values())) + 1, weight.shape[0])

    @cached_property
    def embedding_table(self) -> Tensor:
        """Input embeddings of all tokens the tokenizer knows, shape (V, d).

        They are what the layer returns, so a scaling inside it is included.
        """
        with torch.no_grad():
            return self.embed(torch.arange(self.vocab_size, device=self.device))

    def embed(self, ids: Tensor) -> Tensor:
        """Input embeddings, shape (*ids.shape, d)."""
        embeddings: Tensor = self.embedding_layer(ids)
        return embeddings

    @contextmanager
    def embeddings_replaced(self, embeds: Tensor | None) -> Iterator[None]:
        """While active, the embedding layer returns ``embeds``, shape (N, T, d), if any.

        Rows are padded on the right.

        The network still gets ids, so that what it derives from them (positions, the place of
        the end token) is the same with embeddings as without, in every architecture.
        """
        with right_padded():
            if embeds is None:
                yield
                return
            handle = self.embedding_layer.register_forward_hook(lambda *_: embeds)
            try:
                yield
            finally:
                handle.remove()

    @cached_property
    def max_tokens(self) -> int:
        """Longest input in tokens, special ones included."""
        positions = getattr(self.text_config, "max_position_embeddings", None)
        # Tokenizers that know no limit say 10^30, which no tensor holds.
        limit = min(int(self.tokenizer.model_max_length), 2**31 - 1)
        if not positions:
            return limit
        # Where a position stands for padding, the others start after it.
        unused = [
            layer.padding_idx + 1
            for name, layer in self.module.named_modules()
            if name.endswith("position_embeddings")
            and getattr(layer, "padding_idx", None) is not None
        ]
        return min(limit, int(positions) - max(unused, default=0))

    @cached_property
    def turn(self) -> int | None:
        """Longest row that may be read together with shorter ones; ``None`` for any.

        With LongRoPE the rotations of all rows follow the longest: those of a batch change where
        one is longer than the network was first trained on.
        """
        known = getattr(self.text_config, "rope_parameters", None) or {}
        kinds = [known, *(part for part in known.values() if isinstance(part, dict))]
        limits = [
            int(kind["original_max_position_embeddings"])
            for kind in kinds
            if kind.get("rope_type") == "longrope"
        ]
        return min(limits, default=None)

    @property
    def last_position(self) -> int:
        """Largest position of padding behind rows that are read in parts."""
        return min(self.max_tokens, self.turn or self.max_tokens) - 1

    @cached_property
    def pad_id(self) -> int:
        """Id that fills up short rows; it is masked, so any will do where there is none."""
        for candidate in (self.tokenizer.pad_token_id, self.tokenizer.eos_token_id):
            if candidate is not None and candidate < self.vocab_size:
                return int(candidate)
        return 0

    @cached_property
    def words(self) -> WordTokenizer:
        """Reads texts word by word, where the tokenizer does."""
        return WordTokenizer(self.tokenizer)

    def encode(self, texts: Sequence[str], *, special: bool = True) -> TokenBatch:
        """Tokens of whole texts, with the model's special tokens unless ``special`` is false.

        Nothing is cut: a text may be longer than :attr:`max_tokens`.
        """
        rows = self.words.read(texts, special=special)
        encoded = pad([row.ids for row in rows], [row.spans for row in rows], self.pad_id)
        # Where a tokenizer trims spaces off its spans, nothing is left of a token that is one.
        empty = encoded.mask & (encoded.spans[..., 0] == encoded.spans[..., 1])
        blank = empty & ~torch.isin(encoded.ids, torch.tensor(self.tokenizer.all_special_ids))
        start = (encoded.spans[blank][:, :1] - 1).clamp(min=0)
        encoded.spans[blank] = torch.cat([start, start + 1], dim=1)
        return encoded

    def decode(self, rows: Sequence[Sequence[int]]) -> list[str]:
        """Text of each row of ids, exactly as the tokens spell it."""
        texts: list[str] = self.tokenizer.batch_decode(
            [list(row) for row in rows], clean_up_tokenization_spaces=False
        )
        return texts

    @cached_property
    def pieces(self) -> list[str]:
        """What each token adds to a text when it follows a word; "" for special tokens."""
        special = set(self.tokenizer.all_special_ids) | {
            index for index, token in self.tokenizer.added_tokens_decoder.items() if token.special
        }
        anchor = self.tokenizer("a", add_special_tokens=False)["input_ids"]
        head = self.decode([anchor])[0]
        full = self.decode([[*anchor, index] for index in range(self.vocab_size)])
        return [
            text[len(head) :] if index not in special and text.startswith(head) else ""
            for index, text in enumerate(full)
        ]

    @cached_property
    def marks(self) -> set[str]:
        """Texts that the tokenizer reads as special tokens."""
        added = self.tokenizer.added_tokens_decoder.values()
        special = {token.content for token in added if token.special}
        return {text for text in special | {*self.tokenizer.all_special_tokens} if text.strip()}

    def allowed_tokens(self, tokens: TokenSet = "ascii") -> Tensor:
        """Which tokens a prompt may hold, boolean, shape (V,).

        Never special tokens, nor added ones (reserved tokens and markup, which not every tokenizer
        calls special), nor tokens that spell nothing.

        Args:
            tokens: "any"; "ascii" for printable ASCII; "words" for plain letters, a comma or a
                full stop.
        """

        def allowed(piece: str) -> bool:
            text = piece.strip()
            match tokens:
                case "any":
                    return bool(text) and "\ufffd" not in text
                case "ascii":
                    return bool(text) and text.isascii() and text.isprintable()
                case _:
                    return text.isascii() and (text.isalpha() or text in (",", "."))

        added = self.tokenizer.added_tokens_decoder
        mask = torch.tensor(
            [index not in added and allowed(piece) for index, piece in enumerate(self.pieces)]
        )
        if not mask.any():
            raise FuseError(f"no token of {self.model_id!r} is in the set {tokens!r}; use 'any'")
        return mask
