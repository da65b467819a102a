"""Trials of a loaded network: whether faster ways to read rows give the same results.

Architectures differ in ways that no list of names knows (positions, biases and states outside of
attention), so the network itself is asked.
"""

import math
from collections.abc import Callable, Sequence

import torch
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor
from transformers import GenerationConfig

from fuse_lightning.engine.attention import NAME, use
from fuse_lightning.engine.network import LanguageNetwork, Network
from fuse_lightning.engine.prefixes import WORTH
from fuse_lightning.engine.whole_decoding import left_padded, plain_generation

EXACT, COARSE, COARSEST = 1e-4, 0.03, 0.15
"""Largest relative changes by rounding: in float32, in other types, and in coarse ones."""


def try_sharing(model: Network, measure: Callable[[], Tensor]) -> None:
    """Turns prefix sharing on if the model's results stay the same.

    In reduced precision another order of sums changes what it computes, too: as much as another
    plain attention does is no fault.

    Args:
        model: A causal model.
        measure: Computes something of rows that begin alike, whose attention matters.
    """
    plain = model.text_config._attn_implementation
    # A network in memory may be shared by a model that was loaded before.
    if plain not in ("sdpa", NAME):
        _tell(model, f"its attention is {plain or 'of its own'}, not sdpa")
        return
    expected = measure()
    scale = float(expected.abs().max())
    exact = model.exact
    reason = ""
    try:
        model.shares, model.worth = True, 0
        change = _change(model, NAME, measure, expected)
        model.shares = False
        if exact and change > EXACT * scale:
            reason = f"shared beginnings change what it computes by {change / scale:.2%}"
        elif change > COARSE * scale:
            usual = _change(model, "eager", measure, expected)
            if not change <= min(usual, COARSEST * scale):
                reason = (
                    f"shared beginnings change what it computes by {change / scale:.1%}, its "
                    f"{model.dtype} alone by {usual / scale:.1%}"
                )
    except Exception as error:  # Code of any architecture runs here, which may refuse in any way.
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
    model.shares, model.worth = not reason, WORTH
    use(model.module, NAME if model.shares else plain)
    if reason:
        _tell(model, reason)


@torch.no_grad()
def try_left_padding(model: LanguageNetwork, rows: Sequence[Sequence[int]]) -> bool:
    """Whether transformers' ``generate`` handles left-padded rows like single rows.

    Args:
        model: A causal model.
        rows: Rows of different lengths.
    """
    if model.turn is not None:
        # Rotations of all rows follow the longest.
        return False
    try:
        alone = torch.cat([_first_logits(model, [row]) for row in rows])
        change = float((_first_logits(model, rows) - alone).abs().max())
    except Exception:  # Code of any architecture runs here, which may refuse in any way.
        return False
    # A change that is not a number is none that rounding makes.
    return change <= (EXACT if model.exact else COARSE) * float(alone.abs().max())


def _first_logits(model: LanguageNetwork, rows: Sequence[Sequence[int]]) -> Tensor:
    """Logits of the token after each row, shape (N, W), as ``generate`` computes them."""
    ids, mask = left_padded(model, rows)
    # Two tokens, so that the second reads what the network keeps of the first forward.
    config = GenerationConfig(
        max_new_tokens=2,
        min_new_tokens=2,
        do_sample=False,
        pad_token_id=model.pad_id,
        output_logits=True,
        return_dict_in_generate=True,
    )
    with plain_generation(model.module):
        found = model.module.generate(
            input_ids=ids, attention_mask=mask.long(), generation_config=config
        )
    logits: Tensor = torch.cat(found.logits, 1)
    return logits


def _change(
    model: Network, attention: str, measure: Callable[[], Tensor], expected: Tensor
) -> float:
    """Change of the measured values under another attention function."""
    use(model.module, attention)
    change = float((measure() - expected).abs().max())
    return torch.inf if math.isnan(change) else change


def _tell(model: Network, reason: str) -> None:
    rank_zero_info(
        f"{model.model_id!r} reads every candidate from its first token on, which is slower: "
        f"{reason}"
    )
