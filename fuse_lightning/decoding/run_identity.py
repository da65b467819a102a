"""Options that the texts of a run depend on, by which a run goes on only as it began."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from fuse_lightning.data.names import short_digest
from fuse_lightning.decoding.contrast import NAMES, Contrast
from fuse_lightning.decoding.opening import StreamOptions
from fuse_lightning.decoding.options import DecodingOptions
from fuse_lightning.decoding.stream import Stream
from fuse_lightning.utilities.identity import CONTENT, Identity

PLACES = ("device", "device_map")
"""Options of a stream that say where it is computed, not what."""


def streams_identity(streams: Sequence[StreamOptions], pair: Sequence[str], top: int) -> Identity:
    """Options of streams and of what is recorded of them, each as a text by its name."""
    found = {
        f"{name.lower()}.{option}": repr(value)
        for name, each in zip(NAMES, streams, strict=False)
        for option, value in asdict(each).items()
        if option not in PLACES
    }
    return {**found, "compare": ",".join(pair), "top": str(top)}


def writing_identity(
    contrast: Contrast, weights: Sequence[Sequence[float]], options: DecodingOptions
) -> Identity:
    """Options of how texts are written, each as a text by its name.

    The number of samples is none of them, unless beams choose them: a text does not depend on it.
    """
    rule = {name: value for name, value in asdict(contrast).items() if name != "weights"}
    # The mask's numbers have names of their own beside those of the choice of the next token.
    rule = {
        f"mask_{name}" if name in ("top_p", "top_k", "keep") else name: value
        for name, value in rule.items()
    }
    how = {name: value for name, value in asdict(options).items() if name != "batch_size"}
    if options.beams == 1:
        del how["samples"]
    told = {"weights": [list(each) for each in weights], **rule, **how}
    return {name: repr(value) for name, value in told.items()}


def texts_identity(option: str, texts: Sequence[object]) -> Identity:
    """Number and digest of the prompts, or of the given texts.

    >>> texts_identity("prompts", ["a", "b"])
    {'prompts': '2 of digest 3554d2b8'}
    """
    digest = short_digest(json.dumps(list(texts)))
    return {option: f"{len(texts)} of digest {digest}"}


def content_identity(streams: Sequence[Stream]) -> Identity:
    """Digest of each loaded stream's model."""
    return {
        f"{CONTENT} {name}": stream.model.fingerprint
        for name, stream in zip(NAMES, streams, strict=False)
    }
