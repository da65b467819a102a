"""Reader: a network that reads rows token by token, with its keys and values kept between."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fuse_lightning.errors import FuseError

CACHES = ("cache", "past_key_values", "cache_params")
"""Names under which networks return what they keep, and take it back."""
LONG = 256
"""Longest prompt of which all layers of all tokens may be in memory at once."""


@dataclass(frozen=True, eq=False)
class Source:
    """Network that one or more streams read with.

    Attributes:
        network: Causal language model of transformers.
        layers: Numbers of early layers whose output the head reads too, counted as in
            ``hidden_states``: 0 is the embeddings.
        adapted: Whether the layers of a PEFT adapter act, if the network has any. So a tuned model
            and its base share one set of weights.
    """

    network: nn.Module
    layers: tuple[int, ...] = ()
    adapted: bool = True


class Reader:
    """Network with the keys and values of N rows that grow together.

    Args:
        source: The network.
        ids: Ids of the rows, padded on the left, shape (N, T).
        mask: True for tokens, shape (N, T).
    """

    def __init__(self, source: Source, ids: Tensor, mask: Tensor) -> None:
        self.source = source
        self.network = source.network
        self._core = _core(self.network)
        accepted = {*inspect.signature(self._core.forward).parameters}
        self._positions = "position_ids" in accepted
        self._last = {"logits_to_keep": 1} if "logits_to_keep" in accepted else {}
        self._tuned = [] if source.adapted else _tuned_layers(self.network)
        device = next(self.network.parameters()).device
        self.ids, self.mask = ids.to(device), mask.to(device).long()
        self._kept: dict[str, Any] = {}
        self._masked = True
        self.logits = self._begin()
        """Logits of the next token, shape (N, 1 + L, W): of the last layer, then of early ones."""

    @torch.no_grad()
    def step(self, tokens: Tensor) -> None:
        """Reads one more token of each row, shape (N,)."""
        new = tokens.to(self.ids.device)[:, None]
        self.ids = torch.cat([self.ids, new], 1)
        self.mask = torch.cat([self.mask, torch.ones_like(new)], 1)
        # A network that keeps nothing reads everything again.
        unread = new if self._kept else self.ids
        self.logits = self._read(unread, self.mask, self.source.layers)

    def select(self, rows: Tensor) -> None:
        """Keeps some rows, in a new order; a row may come several times.

        Args:
            rows: Numbers of the rows, shape (M,).
        """
        there = rows.to(self.ids.device)
        self.ids, self.mask, self.logits = self.ids[there], self.mask[there], self.logits[there]
        for cache in self._kept.values():
            cache.reorder_cache(there)

    def _begin(self) -> Tensor:
        """Logits behind the prompts."""
        if not self.source.layers or self.ids.shape[1] <= LONG:
            return self._read(self.ids, self.mask, self.source.layers)
        # All layers of all tokens would fill memory: of the last token alone they are few.
        self._read(self.ids[:, :-1], self.mask[:, :-1])
        last = self.ids[:, -1:] if self._kept else self.ids
        return self._read(last, self.mask, self.source.layers)

    def _wants_mask(self, mask: Tensor) -> bool:
        """Whether the network wants a mask behind a prompt; recurrent ones do not."""
        if not getattr(self._core, "_is_stateful", False):
            return True
        prepare: Any = self._core.prepare_inputs_for_generation
        prepared = prepare(self.ids[:, -1:], attention_mask=mask, use_cache=True, **self._kept)
        return prepared.get("attention_mask") is not None

    @torch.no_grad()
    def _read(self, ids: Tensor, mask: Tensor, layers: tuple[int, ...] = ()) -> Tensor:
        given: dict[str, Any] = {**self._last, **self._kept}
        if self._masked:
            given["attention_mask"] = mask
        if self._positions:
            positions = mask.cumsum(1) - 1
            given["position_ids"] = positions[:, -ids.shape[1] :].clamp(min=0)
        seen = self._watched([]) if layers else nullcontext()
        with _off(self._tuned), seen:
            output = self.network(
                input_ids=ids,
                use_cache=True,
                output_hidden_states=bool(layers),
                **given,
            )
        # Newer versions warn at the older names.
        name = next((each for each in CACHES if getattr(output, each, None) is not None), None)
        first = not self._kept
        self._kept = {name: getattr(output, name)} if name else {}
        if first and self._kept:
            self._masked = self._wants_mask(mask)
        logits: Tensor = output.logits
        count = 1 + len(layers)
        if logits.shape[1] == count:
            return logits
        # A view would keep the logits of the whole prompt in memory.
        return logits[:, -count:].clone()

    @contextmanager
    def _watched(self, early: list[Tensor]) -> Iterator[None]:
        """Context in which the head also reads early layers, behind the last one's last token.

        One product with the head's weights serves all, which are most of what a small network
        reads from memory for a token.
        """
        name = type(self._core).__name__
        head = getattr(self._core, "get_output_embeddings", lambda: None)()
        # Some heads stand behind the decoder of the base model, not behind the base model.
        body = getattr(self._core, "get_decoder", lambda: self._core)()
        if head is None or body is self._core:
            raise FuseError(
                f"{name} has no head apart from its layers, so that no early layer can be read; "
                "leave layers out"
            )

        def keep(_: nn.Module, __: Any, output: Any) -> None:
            states = getattr(output, "hidden_states", None)
            if states is None:
                return
            if not all(-len(states) <= layer < len(states) for layer in self.source.layers):
                raise FuseError(
                    f"layers of a stream are {self.source.layers}, and {name} has {len(states) - 1}"
                    f" layers; give numbers from 0 to {len(states) - 1}"
                )
            early[:] = [states[layer][:, -1:] for layer in self.source.layers]

        def add(_: nn.Module, inputs: Any) -> Any:
            widths = {each.shape[-1] for each in (inputs[0], *early)}
            if not early or len(widths) > 1:
                raise FuseError(
                    f"the head of {name} does not read what its early layers give; leave layers out"
                )
            # Layers of one network may lie on several devices.
            there = [each.to(inputs[0].device) for each in early]
            return (torch.cat([inputs[0][:, -1:], *there], 1), *inputs[1:])

        handles = [body.register_forward_hook(keep), head.register_forward_pre_hook(add)]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


def adapters_off(network: nn.Module) -> AbstractContextManager[None]:
    """Context in which the layers of a PEFT adapter do nothing.

    Raises:
        FuseError: If the network has none.
    """
    return _off(_tuned_layers(network))


@contextmanager
def _off(layers: Sequence[Any]) -> Iterator[None]:
    acting = [layer for layer in layers if not layer.disable_adapters]
    # PEFT's own method also sets, layer by layer, what learns: milliseconds for each token, and it
    # would change what learns in a network that is only lent.
    for layer in acting:
        layer._disable_adapters = True
    try:
        yield
    finally:
        for layer in acting:
            layer._disable_adapters = False


def _core(network: nn.Module) -> nn.Module:
    """The network of transformers within PEFT's wrapper, whose forward names its arguments."""
    inner: nn.Module = getattr(network, "get_base_model", lambda: network)()
    return inner


def _tuned_layers(network: nn.Module) -> list[Any]:
    """Layers with an adapter, and whole layers that were trained beside it."""
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils.other import AuxiliaryTrainingWrapper

    kinds = (BaseTunerLayer, AuxiliaryTrainingWrapper)
    found = [layer for layer in network.modules() if isinstance(layer, kinds)]
    if not found:
        raise FuseError(
            f"{type(network).__name__} has no PEFT adapter that could be off; give the tuned model"
        )
    return found
