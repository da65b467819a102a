"""What the engine needs to know of a network that it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from fuse_lightning.engine.budget import Budget

if TYPE_CHECKING:
    from fuse_lightning.engine.continuations import Continuations
    from fuse_lightning.engine.kv_reuse import CachedRows


class Network(Protocol):
    """A loaded network that reads rows of ids.

    Attributes:
        model_id: Its name in messages.
        module: The transformers module.
        device: Where ids go and results come back.
        budget: How much goes into one forward.
        shares: Whether rows that begin alike can share what they begin with.
        worth: Fewest positions that sharing must save.
        kept: Rows whose keys and values are kept for the next forward.
        full_length: Tokens that every text is padded to, 0 where short texts may stay short.
    """

    model_id: str
    module: Any
    device: torch.device
    budget: Budget
    shares: bool
    worth: int
    kept: CachedRows | None
    full_length: int

    @property
    def dtype(self) -> str:
        """Name of the type of weights and activations."""

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
    """A network that tells of each token what comes next.

    Attributes:
        latest: What the last reading of next tokens told.
    """

    latest: Continuations | None

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
