"""Protocols between the engine and a model."""

from typing import Any, Protocol

import torch
from torch import Tensor

from fuse_lightning.engine.budget import Budget
from fuse_lightning.engine.remembered import Remembered


class Network(Protocol):
    """Protocol of a loaded model that reads rows of ids.

    Attributes:
        model_id: Its name in messages.
        module: The transformers module.
        device: Device of ids and results.
        budget: How much goes into one forward.
        shares: Whether rows that begin alike can share what they begin with.
        worth: Fewest positions that sharing must save.
        remembered: State that is kept between forwards.
        full_length: Tokens that every text is padded to, 0 where short texts may stay short.
    """

    model_id: str
    module: Any
    device: torch.device
    budget: Budget
    shares: bool
    worth: int
    remembered: Remembered
    full_length: int

    @property
    def dtype(self) -> str:
        """Name of the type of weights and activations, such as ``bfloat16``."""

    @property
    def exact(self) -> bool:
        """Whether weights and activations are float32."""

    @property
    def text_config(self) -> Any:
        """Configuration of the text part."""

    @property
    def pad_id(self) -> int:
        """Id that pads short rows."""

    @property
    def max_tokens(self) -> int:
        """Longest input in tokens."""

    @property
    def turn(self) -> int | None:
        """Longest row that may be batched with shorter ones; ``None`` for any."""

    @property
    def last_position(self) -> int:
        """Largest position of padding behind rows that are read in parts."""


class LanguageNetwork(Network, Protocol):
    """Protocol of a loaded model that predicts the token after each token."""

    @property
    def vocab_size(self) -> int:
        """V, the number of ids that have a token."""

    @property
    def reduced(self) -> bool:
        """Whether the trainer's reduced precision is active."""

    @property
    def pads_left(self) -> bool:
        """Whether transformers' ``generate`` handles left-padded rows like single rows."""

    def logits_at(
        self,
        places: Tensor,
        ids: Tensor,
        mask: Tensor,
        embeds: Tensor | None = None,
        positions: Tensor | None = None,
    ) -> Tensor:
        """Next-token logits at M of the tokens only, shape (M, W)."""
