"""Streams, contrast, weights and property that the options of ``fuse decode`` ask for."""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fuse_lightning.cli.decode_options import STREAMS, DecodeSettings, Parsed, PropertyOptions
from fuse_lightning.cli.decode_unused import check_contrast
from fuse_lightning.decoding import Contrast, StreamOptions
from fuse_lightning.decoding.judged_properties import Judge, Label
from fuse_lightning.decoding.presets import PRESETS
from fuse_lightning.decoding.properties import Pattern, Property
from fuse_lightning.errors import FuseError

Weights = tuple[float, ...]
NUMBERS = ("amount", "beta", "scale")
"""Numbers that presets alone have."""
LOADING = (
    "revision",
    "dtype",
    "device",
    "device_map",
    "quantization",
    "trust_remote_code",
    "start",
)
"""Options of how a model is read, which go with the model where it is that of A."""
ALONE = {"guidance": 1.0}
"""Amount of a preset at which A alone decides, where it is not 0."""
MASKS = {"mask_top_p": "top_p", "mask_top_k": "top_k", "mask_keep": "keep"}
SAME = ("mode", "alpha", "mask_from", "gate", "gate_at", "fallback", "least")
"""Options of the contrast by the same name."""


@dataclass(frozen=True)
class Variants:
    """Contrast, and the weights with each of which texts are written.

    Attributes:
        contrast: Rule that joins the streams.
        weights: Weights of the streams, one for each variant.
        amounts: Amount on the path that a sweep goes, for each variant; empty without a sweep.
        alone: Amount at which A alone decides.
    """

    contrast: Contrast
    weights: tuple[Weights, ...]
    amounts: tuple[float, ...] = ()
    alone: float = 0.0


def variants(settings: DecodeSettings) -> Variants | None:
    """Contrast and weights of the options; ``None`` where texts are only read.

    Raises:
        FuseError: If weights and preset are missing, given both, or make no sense.
    """
    if settings.preset is None:
        for name in NUMBERS:
            if (value := getattr(settings, name)) is not None:
                raise FuseError(
                    f"--{name} is {value:g}, and no --preset is given that has this number; give "
                    f"--preset, or leave --{name} out"
                )
        found = _by_weights(settings)
    else:
        found = _by_preset(settings, settings.preset)
    if found is None:
        return None
    given = {name: value for name in SAME if (value := getattr(settings, name)) is not None}
    given |= {
        MASKS[name]: value for name in MASKS if (value := getattr(settings, name)) is not None
    }
    if settings.gate_between is not None:
        given["gate_between"] = names(settings.gate_between, "gate_between")
    contrast = replace(found.contrast, **given)
    check_contrast(settings, contrast)
    for weights in found.weights:
        contrast.with_weights(weights)
    return replace(found, contrast=contrast)


def _by_weights(settings: DecodeSettings) -> Variants | None:
    sweep, weights = settings.sweep, settings.weights
    if sweep is not None and weights is not None:
        raise FuseError(
            f"--weights is {weights!r} and --sweep is {sweep!r}; give one of them, as both say "
            "with which weights texts are written"
        )
    if sweep is not None:
        return _path(_rows(sweep))
    if weights is not None:
        found = _numbers(weights, "weights", "2,-1")
        return Variants(Contrast(found), (found,))
    if settings.score is not None:
        return None
    raise FuseError(
        f"neither --weights nor --preset is given; give --weights such as 2,-1, or --preset one of "
        f"{', '.join(PRESETS)}"
    )


def _rows(sweep: str | list[float] | list[list[float]]) -> list[Weights]:
    """Rows of weights of a sweep without a preset."""
    rows = sweep.split(";") if isinstance(sweep, str) else sweep
    found = [
        _numbers(row if isinstance(row, str | list) else [row], "sweep", "1,0;2,-1") for row in rows
    ]
    if len(found) < 2 or len({*map(len, found)}) != 1 or len(found[0]) < 2:
        raise FuseError(
            f"--sweep is {sweep!r}; give amounts such as 0,1,2 with a --preset, or rows of as many "
            'weights as there are streams, such as "1,0;2,-1"'
        )
    if len({*found}) < len(found):
        raise FuseError(f"--sweep is {sweep!r}, which names some weights twice; give each once")
    return found


def _path(rows: Sequence[Weights]) -> Variants:
    """A sweep of weights; the amount of a row is its weight of A, if the rows lie on a line."""
    table = np.array(rows)
    way = table[-1] - table[0]
    amounts: tuple[float, ...] = ()
    if len({*table[:, 0].tolist()}) == len(rows) and way[0]:
        share = (table[:, :1] - table[0, 0]) / way[0]
        if np.allclose(table, table[0] + share * way):
            amounts = tuple(table[:, 0].tolist())
    return Variants(Contrast(rows[0]), tuple(rows), amounts, alone=1.0)


def _by_preset(settings: DecodeSettings, name: str) -> Variants:
    if name not in PRESETS:
        raise FuseError(f"--preset {name!r} is unknown; give one of {', '.join(PRESETS)}")
    if settings.weights is not None:
        raise FuseError(
            f"--weights is {settings.weights!r} and --preset is {name!r}, which has its own; leave "
            "one of them out"
        )
    if settings.mode is not None:
        raise FuseError(
            f"--mode is {settings.mode!r} and --preset is {name!r}, which has its own; leave one "
            "of them out"
        )
    make: Any = PRESETS[name]
    known = inspect.signature(make).parameters
    for number in NUMBERS:
        if (value := getattr(settings, number)) is not None and number not in known:
            raise FuseError(
                f"--preset {name!r} has no number {number!r} (given: {value:g}); it has "
                f"{', '.join(known)}"
            )
    given = {key: value for key in known if (value := getattr(settings, key)) is not None}
    swept = next((key for key in known if key in NUMBERS), None)
    if settings.sweep is not None:
        return _swept(settings, name, swept, given)
    needed = [key for key in known if known[key].default is inspect.Parameter.empty]
    if missing := [key for key in needed if key not in given]:
        raise FuseError(f"--preset {name!r} needs a number; give --{missing[0]}, such as 1.5")
    contrast: Contrast = make(**given)
    return Variants(contrast, (contrast.weights,))


def _swept(
    settings: DecodeSettings, name: str, number: str | None, given: dict[str, Any]
) -> Variants:
    if number is None:
        raise FuseError(
            f"--preset {name!r} has no amount to sweep; give one of amplification, context_aware, "
            "contrastive, guidance, proxy, or weights to sweep without a preset"
        )
    if number in given:
        raise FuseError(
            f"--{number} is {given[number]:g}, and --sweep gives it several values; leave "
            f"--{number} out"
        )
    amounts = _numbers(settings.sweep, "sweep", "0,0.5,1,2")
    if len({*amounts}) < len(amounts):
        raise FuseError(
            f"--sweep is {settings.sweep!r}, which names an amount twice; give each once"
        )
    make: Any = PRESETS[name]
    contrasts = [make(**given, **{number: amount}) for amount in amounts]
    # An amount of 0 makes a weight of -0.
    weights = tuple(tuple(weight + 0.0 for weight in each.weights) for each in contrasts)
    return Variants(contrasts[0], weights, amounts, ALONE.get(name, 0.0))


def _numbers(value: Any, option: str, example: str) -> Weights:
    """Numbers of a text with commas between them, or of a list."""
    parts = value.split(",") if isinstance(value, str) else value
    try:
        found = tuple(float(part) for part in parts)
    except (TypeError, ValueError):
        found = (math.nan,)
    if not all(map(math.isfinite, found)):
        raise FuseError(
            f"--{option} is {value!r}; give finite numbers with commas between them, such as "
            f"{example}"
        )
    return found


def names(value: str | Sequence[str], option: str) -> tuple[str, str]:
    """Names of two streams.

    Raises:
        FuseError: If there are not two different ones.

    >>> names("a, B", "compare")
    ('A', 'B')
    """
    parts = value.split(",") if isinstance(value, str) else value
    found = [part.strip().upper() for part in parts]
    if len(found) != 2 or found[0] == found[1]:
        raise FuseError(f"--{option} is {value!r}; give the names of two streams, such as A,B")
    return found[0], found[1]


def streams(parsed: Parsed, count: int | None) -> list[StreamOptions]:
    """Options of the streams; one without a model has that of A, and how it is read.

    Args:
        parsed: The command line.
        count: Number of weights; ``None`` where texts are only read.

    Raises:
        FuseError: If A has no model, or two streams that are compared are the same.
    """
    given = parsed.streams
    first = given.get("a", {})
    if not first.get("model"):
        raise FuseError("stream A has no model; give --a ID, such as --a zoo/gpt2")
    last = max(STREAMS.index(letter) for letter in given) + 1
    if count is not None and last > count:
        raise FuseError(
            f"there are {last} streams and {count} weights; give one weight for each stream"
        )
    if count is not None and count > len(STREAMS):
        raise FuseError(
            f"there are {count} weights and at most {len(STREAMS)} streams; give one weight for "
            "each stream"
        )
    found = []
    for letter in STREAMS[: max(last, count or 2)]:
        own = given.get(letter, {})
        if letter in STREAMS[2:] and not own:
            raise FuseError(
                f"stream {letter.upper()} has a weight and is the same as A; give --{letter} a "
                f"model, --{letter}.prefix or another option of it, or leave its weight out"
            )
        if "amount" in own and "towards" not in own:
            raise FuseError(
                f"--{letter}.amount is {own['amount']:g}, and no model is named that is mixed in; "
                f"give --{letter}.towards, or leave it out"
            )
        if not own.get("model"):
            shared = {name: first[name] for name in LOADING if name in first and name not in own}
            own = {**shared, **own, "model": first["model"]}
        found.append(StreamOptions(**{**own, "layers": layers_of(own.get("layers", ()))}))
    for letter in STREAMS[2 : len(found)]:
        if letter not in given and found[STREAMS.index(letter)] in found[: STREAMS.index(letter)]:
            raise FuseError(
                f"there are {len(found)} weights, and nothing says what stream {letter.upper()} "
                f"is; give --{letter} ID"
            )
    pair = names(parsed.settings.compare, "compare")
    known = STREAMS.upper()[: len(found)]
    for name in pair:
        if name not in known:
            raise FuseError(
                f"there is no stream {name!r} to compare; give --compare two of {', '.join(known)}"
            )
    silent = next((name for name in reversed(pair) if name.lower() not in given), None)
    # Two that are named may well be the same, to see that nothing is found.
    if silent and found[known.index(pair[0])] == found[known.index(pair[1])]:
        raise FuseError(
            f"streams {pair[0]} and {pair[1]} are the same, {found[0].model!r} without a "
            f"difference; give --{silent.lower()} another model, or --{silent.lower()}.prefix or "
            f"another option of {silent}"
        )
    return found


def layers_of(value: str | Sequence[int]) -> str | tuple[int, ...]:
    """Layers of a text such as "6" or "2,4"."""
    if isinstance(value, str):
        parts = value.split(",")
        return tuple(map(int, parts)) if all(part.strip().isdecimal() for part in parts) else value
    return tuple(value)


def property_of(options: PropertyOptions) -> Property | None:
    """The property that the options ask for; ``None`` for none.

    Raises:
        FuseError: If several are asked for, or an option belongs to another kind.
    """
    kinds = {name: getattr(options, name) for name in ("pattern", "classifier", "judge")}
    given = [name for name, value in kinds.items() if value is not None]
    if len(given) > 1:
        raise FuseError(
            f"--property has {' and '.join(given)}; give one of --property.pattern, "
            "--property.classifier and --property.judge"
        )
    kind = given[0] if given else None
    for name, owners in (
        ("ignore_case", ("pattern",)),
        ("label", ("classifier",)),
        ("question", ("judge",)),
        ("threshold", ("classifier", "judge")),
    ):
        value = getattr(options, name)
        if value not in (None, False) and kind not in owners:
            raise FuseError(
                f"--property.{name} is {value!r}, and belongs to --property.{' or '.join(owners)}; "
                "give that, or leave it out"
            )
    if options.pattern is not None:
        return Pattern(options.pattern, options.ignore_case)
    if options.classifier is not None:
        if options.label is None:
            raise FuseError(
                f"--property.classifier is {options.classifier!r}, and no label is named; give "
                "--property.label"
            )
        return Label(options.classifier, options.label, options.threshold)
    if options.judge is not None:
        asked = {} if options.question is None else {"question": options.question}
        return Judge(options.judge, threshold=options.threshold, **asked)
    return None
