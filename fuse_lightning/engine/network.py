"""The protocol between the engine and a model: all that the engine needs to know of it."""

from typing import Any, Protocol

import torch
from torch import Tensor

from fuse_lightning.engine.budget import Budget
from fuse_lightning.engine.remembered import Remembered


class Network(Protocol):
    """A loaded model that reads rows of ids.

    Attributes:
        model_id: Its name in messages.
        module: The transformers module.
        device: Where ids go and results come back.
        budget: How much goes into one forward.
        shares: Whether rows that begin alike can share what they begin with.
        worth: Fewest positions that sharing must save.
        remembered: What is kept from one forward to the next.
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
        """Type of weights and activations by its name, such as ``bfloat16``."""

    @property
    def exact(self) -> bool:
        """Whether weights and activations are float32."""

    @property
    def text_config(self) -> Any:
        """Configuration of the part that reads text."""

    @property
    def pad_id(self) -> int:
        """Id that fills up short rows."""

    @property
    def max_tokens(self) -> int:
        """Longest input in tokens."""

    @property
    def turn(self) -> int | None:
        """Longest row that may be read together with shorter ones; ``None`` for any."""

    @property
    def last_position(self) -> int:
        """Largest position of padding behind rows that are read in parts."""


class LanguageNetwork(Network, Protocol):
    """A loaded model that predicts the token after each token."""

    @property
    def vocab_size(self) -> int:
        """V, how many ids there are tokens for."""

    @property
    def reduced(self) -> bool:
        """Whether the trainer's reduced precision is at work."""

    @property
    def pads_left(self) -> bool:
        """Whether transformers' ``generate`` continues rows padded on the left as rows alone."""

    def logits_at(
        self,
        places: Tensor,
        ids: Tensor,
        mask: Tensor,
        embeds: Tensor | None = None,
        positions: Tensor | None = None,
    ) -> Tensor:
        """Next-token logits at M of the tokens only, shape (M, W)."""
