"""Attention function and mask that this package registers with transformers.

A registered function serves every architecture that uses transformers' attention interface, text
towers without a cache too. What it does beside plain attention is switched on for the forwards of
this package alone, by a context: keep the keys and values of the rows that are read
(:func:`recording`), attend to those of trunks as well (:func:`branching`), or to those of all
tokens that were written so far (:func:`growing`). Whoever else runs the network gets plain
attention and its own mask.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask
from transformers.utils import logging

from fuse_lightning.engine.branches import Branches, Store
from fuse_lightning.engine.growing_keys import GrowingKeys

NAME = "fuse_shared_prefix"
HARMLESS = {
    "scaling",
    "dropout",
    "is_causal",
    "sliding_window",
    "position_ids",
    "position_embeddings",
    "use_cache",
    "output_attentions",
    "output_hidden_states",
    "return_dict",
    "cache_position",
    "logits_to_keep",
}
"""Arguments of attention that are handled here or need no handling."""


class UnshareableError(Exception):
    """Error about an attention that this module does not compute."""


_active: ContextVar[Store | Branches | GrowingKeys | None] = ContextVar("active", default=None)
_right_padded: ContextVar[bool] = ContextVar("right_padded", default=False)


@contextmanager
def right_padded() -> Iterator[None]:
    """Context for rows padded on the right only, whose causal mask needs no padding mask.

    Only who runs the network knows that. Without it the attention mask counts, as it must for
    transformers' own ``generate``, which pads on the left.
    """
    token = _right_padded.set(True)
    try:
        yield
    finally:
        _right_padded.reset(token)


@contextmanager
def _activated(active: Store | Branches | GrowingKeys) -> Iterator[None]:
    token = _active.set(active)
    try:
        yield
    finally:
        _active.reset(token)


@contextmanager
def recording() -> Iterator[Store]:
    """Context in which attention layers record their keys and values."""
    store = Store()
    with _activated(store):
        yield store


@contextmanager
def branching(
    store: Store, trunk: Tensor, shared: Tensor, new: Store | None = None
) -> Iterator[None]:
    """Context in which each row also attends to the first tokens of its trunk.

    Args:
        store: Keys and values of the trunks.
        trunk: Number of each row's trunk, shape (N,), on the CPU.
        shared: How many of its tokens each row sees, shape (N,), on the CPU.
        new: Takes keys and values of the rows' own tokens.
    """
    with _activated(Branches(store, trunk, shared, new)):
        yield


@contextmanager
def growing(keys: GrowingKeys) -> Iterator[None]:
    """Context in which each row's one new token attends to all earlier ones, and is stored."""
    with _activated(keys):
        yield
    keys.advance()


def kept_keys() -> float:
    """Number of kept keys that each position of the present forward attends to.

    Those of shared beginnings and of written tokens are no part of the rows that are read.
    """
    active = _active.get()
    return active.keys if isinstance(active, Branches | GrowingKeys) else 0.0


def attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Torch's attention, extended by what the active context of this module adds."""
    match _active.get():
        case Store() as store:
            unknown = {name for name, given in kwargs.items() if given is not None} - HARMLESS
            if unknown:
                raise UnshareableError(f"{type(module).__name__} has {', '.join(sorted(unknown))}")
            store.layers[module] = (key, value)
        case Branches() | GrowingKeys() as active:
            given = kwargs.get("scaling"), kwargs.get("sliding_window")
            return active.attend(module, query, key, value, *given), None
    output: tuple[Tensor, None] = sdpa_attention_forward(
        module, query, key, value, attention_mask, **kwargs
    )
    return output


def use(network: PreTrainedModel, name: str) -> None:
    """Sets the attention function of a network's text part."""
    part = "text_config" if "text_config" in network.config.sub_configs else ""
    level = logging.get_verbosity()
    # It warns of architectures that have their own attention, which is no fault here.
    logging.set_verbosity_error()
    try:
        network.set_attn_implementation({part: name})
    finally:
        logging.set_verbosity(level)


def causal_mask(*args: Any, attention_mask: Tensor | None = None, **kwargs: Any) -> Tensor | None:
    """Attention mask of a causal network, built on the network's device.

    Rows that go on from keys of earlier tokens have a mask of their own. Of rows padded on the
    right transformers would read the padding, and wait for the device, to find out whether it
    matters: it does not.
    """
    if isinstance(_active.get(), Branches | GrowingKeys):
        return None
    seen = None if _right_padded.get() else attention_mask
    found: Tensor | None = sdpa_mask(*args, attention_mask=seen, **kwargs)
    return found


AttentionInterface.register(NAME, attention)
AttentionMaskInterface.register(NAME, causal_mask)
