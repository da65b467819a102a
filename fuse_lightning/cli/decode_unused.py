"""Checks that no option of ``fuse decode`` is given that would do nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from typing import Any

from fuse_lightning.cli.decode_options import DecodeSettings, Parsed
from fuse_lightning.decoding import Contrast, DecodingOptions
from fuse_lightning.errors import FuseError

WRITING = (
    *("prompts", "column", "split", "limit", "prompt_tokens", "weights", "preset", "amount"),
    *("beta", "scale", "sweep", "mode", "alpha", "mask_top_p", "mask_top_k", "mask_keep"),
    *("mask_from", "gate", "gate_at", "gate_between", "fallback", "least"),
)
"""Options beside those of :class:`DecodingOptions` that say how texts are written."""


def check_contrast(settings: DecodeSettings, contrast: Contrast) -> None:
    """Checks that each option of mask, gate and residual has one that it belongs to.

    Args:
        settings: The options as they were given.
        contrast: The contrast that they make.

    Raises:
        FuseError: If one belongs to none.
    """
    gate = contrast.gate is not None
    residual = contrast.mode == "residual"
    share = contrast.alpha is not None or contrast.top_p is not None
    needs = {
        "gate_at": (gate, "a gate; give --gate"),
        "gate_between": (gate, "a gate; give --gate"),
        "fallback": (gate or residual, "a gate or to the residual; give --gate or --mode residual"),
        "least": (residual, "the residual; give --mode residual"),
        "mask_keep": (share, "a mask; give --alpha or --mask_top_p"),
        "mask_from": (
            share or contrast.top_k is not None,
            "a mask; give --alpha, --mask_top_p or --mask_top_k",
        ),
    }
    for name, (used, owner) in needs.items():
        value = getattr(settings, name)
        if value is not None and not used:
            raise FuseError(f"--{name} is {value!r}, and belongs to {owner}, or leave --{name} out")


def check_reading(parsed: Parsed) -> None:
    """Checks that nothing says how texts are written where they are read.

    Raises:
        FuseError: If an option does.
    """
    for name, value, default in _writing(parsed):
        if value != default:
            raise FuseError(
                f"--score is {parsed.settings.score!r}, which reads texts, and --{name} is for "
                f"writing; leave one of them out (--{name}={_spelled(default)})"
            )


def _writing(parsed: Parsed) -> Iterable[tuple[str, Any, Any]]:
    """Name, value and default of each option that says how texts are written."""
    for name in WRITING:
        yield name, getattr(parsed.settings, name), None
    for each in fields(DecodingOptions):
        if each.name != "batch_size":
            yield each.name, getattr(parsed.writing, each.name), each.default


def _spelled(default: Any) -> str:
    return "null" if default in (None, ()) else str(default)
