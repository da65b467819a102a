"""Base of frozen models: loading, embeddings, limits and tokens."""

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from typing import Any, get_args

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig

from fuse_lightning.engine.attention import right_padded
from fuse_lightning.engine.budget import Budget
from fuse_lightning.engine.compiling import compile_layers
from fuse_lightning.engine.meter import watch
from fuse_lightning.engine.prefixes import WORTH
from fuse_lightning.engine.remembered import Remembered
from fuse_lightning.errors import FuseError
from fuse_lightning.models.fingerprint import fingerprint
from fuse_lightning.models.in_memory import (
    dtype_of,
    is_quantized,
    name_of,
    network_of,
    refuse_for_networks,
    same,
)
from fuse_lightning.models.limits import longest_beside_shorter, longest_input
from fuse_lightning.models.options import DType, ModelSource, TokenizerSource
from fuse_lightning.models.placement import DeviceMap, Placement, Quantization
from fuse_lightning.models.sources import read, take
from fuse_lightning.models.token_access import TokenAccess
from fuse_lightning.models.vocabulary import Vocabulary


class FrozenModel(TokenAccess):
    """Base of frozen models: a transformers model whose weights never change.

    Not an ``nn.Module``: a LightningModule that holds one neither trains it nor writes it into
    checkpoints. Nothing is read, and nothing in memory is changed, before :meth:`load`.

    A network in memory is used itself, not copied: while it is loaded it is frozen, in eval mode,
    and on the device of the search. :meth:`unload` puts it back as it was. Its type stays as it is.

    Args:
        model_id: Hub id, local folder, or ``zoo/NAME`` for a model that comes with the package. Or
            a network of transformers or PEFT in memory.
        revision: Branch, tag or commit on the hub.
        dtype: Type of weights and activations; by default float32, or that of a network in memory.
        device: Device of the model, such as ``cuda:1``; by default the trainer's.
        trust_remote_code: Whether to run code that comes with the model.
        device_map: How to spread the model over several devices: ``auto``, or a device for each
            part by its name.
        quantization: ``4bit`` or ``8bit`` for the weights of linear layers.
        compile: Whether ``torch.compile`` makes the layers faster, which takes minutes at first.
        tokenizer: A fast tokenizer, or the hub id or folder of one; by default the model's own, or
            that of the place that a network in memory was read from.

    Attributes:
        model_id: Name of the model: its id, or where a network in memory was read from.
        device: Device of ids and results, once loaded; layers may lie elsewhere.
    """

    kind: str
    unused_weights: tuple[str, ...] = ()
    """Beginnings of the names of weights that this kind of model never reads."""
    tokenizer_folder: str = ""
    """Sub-folder of the tokenizer; empty for the model's own folder."""
    network_folder: str = ""
    """Sub-folder of the network; empty for the model's own folder."""

    def __init__(
        self,
        model_id: ModelSource,
        revision: str | None = None,
        dtype: DType | None = None,
        device: str | None = None,
        trust_remote_code: bool = False,
        device_map: DeviceMap | None = None,
        quantization: Quantization | None = None,
        compile: bool = False,
        tokenizer: TokenizerSource = None,
    ) -> None:
        if isinstance(model_id, str) and not model_id:
            raise FuseError(f"model_id of a {self.kind} is empty; give a hub id or a folder")
        self.given = network_of(model_id)
        """The network in memory; ``None`` if the model is read by its id."""
        self.model_id: str = str(model_id) if self.given is None else name_of(self.given)
        if dtype not in (None, *(dtypes := get_args(DType))):
            raise FuseError(
                f"dtype of {self.model_id!r} is {dtype!r}; give one of {', '.join(dtypes)}"
            )
        self.dtype: str = dtype or "float32"
        if self.given is not None:
            self.dtype = dtype_of(self.given, dtype, self.model_id)
            files = {"revision": revision, "device_map": device_map, "quantization": quantization}
            refuse_for_networks(self.model_id, files)
        self.revision = revision
        self.placement = Placement(self.model_id, device, device_map, quantization)
        self.trust_remote_code = trust_remote_code
        self.compile = compile
        self.tokenizer_source = tokenizer
        self.budget = Budget()
        """Largest number of token positions in one forward."""
        self.shares = False
        """Whether rows can share the computation of equal beginnings."""
        self.worth = WORTH
        """Fewest positions that sharing must save."""
        self.remembered = Remembered()
        """State that is kept between forwards."""
        self.full_length = 0
        """Length that every text is padded to; 0 if short texts may stay short."""

    @property
    def key(self) -> tuple[object, ...]:
        """Key that is equal for two models that can share weights in memory."""
        return (
            type(self),
            self.model_id if self.given is None else id(self.given),
            self.revision,
            self.dtype,
            self.placement.key,
            self.trust_remote_code,
            self.compile,
            same(self.tokenizer_source),
        )

    @property
    @abstractmethod
    def auto_class(self) -> Any:
        """The transformers auto class that loads the network."""

    @abstractmethod
    def accepts(self, config: PretrainedConfig) -> bool:
        """Whether a configuration is of this kind of model."""

    @property
    def exact(self) -> bool:
        """Whether weights and activations are of 32 bits or more."""
        quantized = self.placement.quantization or (
            self.given is not None and is_quantized(self.given)
        )
        return self.dtype in ("float32", "float64") and not quantized

    @property
    def loaded(self) -> bool:
        """Whether the weights are in memory, ready for use."""
        return hasattr(self, "module")

    def load(self, device: torch.device | str = "cpu") -> None:
        """Loads tokenizer and weights, or takes them from memory; a second call does nothing.

        Args:
            device: Device of the model, unless its options name another.

        Raises:
            FuseError: If there is no such model of this kind, or it cannot lie where it shall.
        """
        if self.loaded:
            return
        self._before = dict(vars(self))
        self.put_back = ExitStack()
        """Stack that undoes the changes to a network in memory."""
        try:
            self.placement.check()
            place = torch.device(self.placement.device or device)
            found = read(self, place) if self.given is None else take(self, self.given, place)
            self.module, self.tokenizer, self.device = found
            self.budget.apart = self.turn
            self.prepare()
            self.meters = watch(self.networks.values(), self.put_back)
            """Counters of what the networks read, for the work of a search."""
            if self.compile:
                compile_layers(self.text_network)
        except BaseException:
            self.unload()
            raise

    def unload(self) -> None:
        """Frees the weights; a network in memory gets back its modes, settings and device.

        The model can be loaded again.
        """
        if not hasattr(self, "put_back"):
            return
        self.put_back.close()
        before = self._before
        vars(self).clear()
        vars(self).update(before)

    def prepare(self) -> None:
        """Hook: checks and settings of a loaded network."""

    def forget(self) -> None:
        """Frees keys, values and likelihoods kept between forwards."""
        self.remembered.clear()

    @property
    def networks(self) -> dict[str, nn.Module]:
        """All networks of the loaded model, by name."""
        return {"text": self.module}

    @cached_property
    def fingerprint(self) -> str:
        """Digest of the loaded model's weights, configuration and tokens, in hex."""
        return fingerprint(self.networks, self.module, self.vocabulary)

    @property
    def text_config(self) -> PretrainedConfig:
        """Configuration of the text part."""
        return self.module.config.get_text_config()

    @property
    def text_network(self) -> nn.Module:
        """Text part of the network."""
        network: nn.Module = self.module
        return network

    def embedding_of(self, network: Any) -> nn.Module:
        """Layer of a network of this kind that turns ids into input embeddings."""
        layer: nn.Module = network.get_input_embeddings()
        return layer

    @property
    def embedding_layer(self) -> nn.Module:
        """Layer that turns ids into input embeddings."""
        return self.embedding_of(self.module)

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """Tokens of the loaded model that tokenizer and network both know."""
        return Vocabulary(self.tokenizer, self.table_rows, name=self.model_id)

    @property
    def table_rows(self) -> int:
        """Number of rows of the embedding table."""
        return self.embedding_layer.get_parameter("weight").shape[0]

    @cached_property
    def embedding_table(self) -> Tensor:
        """Input embeddings of all tokens of the vocabulary, shape (V, d).

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
        """Context in which the embedding layer returns ``embeds``, shape (N, T, d), if any.

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
        return longest_input(self.module, self.text_config, self.tokenizer.model_max_length)

    @cached_property
    def turn(self) -> int | None:
        """Longest row that may be batched with shorter ones; ``None`` for any."""
        return longest_beside_shorter(self.text_config)

    @property
    def last_position(self) -> int:
        """Largest position of padding behind rows that are read in parts."""
        return min(self.max_tokens, self.turn or self.max_tokens) - 1
