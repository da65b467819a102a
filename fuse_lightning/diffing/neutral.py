"""Neutral prompts that come with the package, behind which two models can be compared."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

import numpy as np

from fuse_lightning.errors import FuseError

Kind = Literal["chat", "base"]
"""Kind of model: "chat" answers requests, "base" goes on from openings."""
TEXTS = Path(__file__).parent / "texts"


def neutral_prompts(kind: Kind = "chat", count: int | None = None, seed: int = 0) -> list[str]:
    """Prompts about everyday things that ask for nothing special.

    Args:
        kind: "chat" for short questions and requests, "base" for openings of texts.
        count: How many of them, drawn by chance; ``None`` for all, in their order.
        seed: Seed of the draw.

    Raises:
        FuseError: If there is no such kind, or there are fewer.

    >>> neutral_prompts()[0], neutral_prompts("base")[0]
    ('What is a compass used for?', 'The weather this week')
    """
    if kind not in get_args(Kind):
        raise FuseError(f"kind is {kind!r}; give {' or '.join(get_args(Kind))}")
    prompts = (TEXTS / f"{kind}.txt").read_text(encoding="utf-8").splitlines()
    if count is None:
        return prompts
    if not 1 <= count <= len(prompts):
        raise FuseError(
            f"count is {count}, and there are {len(prompts)} neutral prompts of the kind {kind}; "
            f"give 1 to {len(prompts)}"
        )
    drawn = np.random.default_rng([seed, 3]).choice(len(prompts), count, replace=False)
    return [prompts[number] for number in sorted(drawn)]
