"""Start of a text: the ids that a causal language model reads before it."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from fuse_lightning.engine.token_batch import TokenBatch, pad
from fuse_lightning.errors import FuseError
from fuse_lightning.models.base import FrozenModel

Likelihood = Callable[[Tensor, Tensor], Tensor]
"""-log P of counted tokens, of ids and a mask: see :meth:`CausalLM.token_nll`."""

ASKED, ANSWERED = "fuse asks", "fuse answers"
EXAMPLES = (
    "A man in a red hat walks along the street",
    "A man in a red hat walks his dog",
    "A man in a red hat sits on a bench",
    "A man in a blue shirt",
)
"""Ordinary texts with common beginnings."""


def find_start(model: FrozenModel, start: str, nll: Likelihood) -> tuple[int, ...]:
    """Ids before every text.

    Args:
        model: The loaded model.
        start: "auto", "tokenizer", "none" or a text, see :class:`CausalLM`.
        nll: The model's likelihoods.

    Raises:
        FuseError: If the text has no tokens, or some that the network does not know.
    """
    if start == "none":
        return ()
    if start not in ("auto", "tokenizer"):
        read: list[int] = model.tokenizer(start, add_special_tokens=False)["input_ids"]
        if not read or max(read) >= model.vocab_size:
            raise FuseError(
                f"start of {model.model_id!r} is {start!r}, which its tokenizer has no token for; "
                "give auto, tokenizer, none, or another text"
            )
        return tuple(read)
    if given := placed_start(model):
        return given
    tokenizer = model.tokenizer
    ids = [
        index
        for index in (tokenizer.bos_token_id, tokenizer.eos_token_id)
        if index is not None and index < model.vocab_size
    ]
    if start == "auto" and ids and tokenizer.convert_ids_to_tokens(ids[0]) in turn_marks(model):
        others = (tokenizer.unk_token_id, tokenizer.pad_token_id)
        more = [index for index in others if index is not None and index < model.vocab_size]
        return (likeliest_start(model, [*dict.fromkeys([*ids, *more])], nll),)
    return tuple(ids[:1])


def find_openings(model: FrozenModel, start: str) -> frozenset[int]:
    """Special tokens that make a text need no other start.

    None where the tokenizer itself puts its start before any text, or the user does.
    """
    if start not in ("auto", "tokenizer") or placed_start(model):
        return frozenset()
    return model.vocabulary.special_ids


def begin(
    plain: TokenBatch, start_ids: tuple[int, ...], openings: frozenset[int], pad_id: int
) -> TokenBatch:
    """Texts with their start, unless they already begin with it or need none.

    Args:
        plain: N texts without any special tokens.
        start_ids: Ids of the start.
        openings: Special tokens that make a text need no other start.
        pad_id: Id that pads short rows.
    """
    start = torch.tensor(start_ids)
    size = len(start)
    longer = TokenBatch(
        torch.cat([start.expand(len(plain.ids), -1), plain.ids], dim=1),
        F.pad(plain.mask, (size, 0), value=True),
        F.pad(plain.spans, (0, 0, size, 0)),
    )
    begun = _begun(plain, start, openings)
    if not begun.any():
        return longer
    plain = TokenBatch(
        F.pad(plain.ids, (0, size), value=pad_id),
        F.pad(plain.mask, (0, size)),
        F.pad(plain.spans, (0, 0, 0, size)),
    )
    return TokenBatch(
        torch.where(begun[:, None], plain.ids, longer.ids),
        torch.where(begun[:, None], plain.mask, longer.mask),
        torch.where(begun[:, None, None], plain.spans, longer.spans),
    )[:]


def _begun(plain: TokenBatch, start: Tensor, openings: frozenset[int]) -> Tensor:
    """Whether each text begins with its start, or with a special token that needs none."""
    size = len(start)
    first = plain.ids[:, :1]
    opened = torch.isin(first, torch.tensor([*openings])) & plain.mask[:, :1]
    if plain.ids.shape[1] < size:
        return opened.any(1)
    same = (plain.ids[:, :size] == start) & plain.mask[:, :size]
    return opened.any(1) | same.all(1)


def placed_start(model: FrozenModel) -> tuple[int, ...]:
    """Ids that the tokenizer itself adds before a text."""
    whole: list[int] = model.tokenizer("a")["input_ids"]
    plain: list[int] = model.tokenizer("a", add_special_tokens=False)["input_ids"]
    for start in range(1, len(whole) - len(plain) + 1):
        if whole[start : start + len(plain)] == plain:
            return tuple(whole[:start])
    return ()


def turn_marks(model: FrozenModel) -> set[str]:
    """Special tokens that begin or end a turn of a chat."""
    if not getattr(model.tokenizer, "chat_template", None):
        return set()
    turns = [{"role": "user", "content": ASKED}, {"role": "assistant", "content": ANSWERED}]
    try:
        chat = str(model.tokenizer.apply_chat_template(turns, tokenize=False))
    except Exception:  # A template is a program of its own, which may refuse in any way.
        return set()
    between = chat.partition(ASKED)[2].partition(ANSWERED)[0]
    return {mark for mark in model.marks if mark in between}


@torch.no_grad()
def likeliest_start(model: FrozenModel, starts: list[int], nll: Likelihood) -> int:
    """Start token under which ordinary texts have the highest likelihood."""
    means = []
    for start in starts:
        rows = [
            [start, *model.tokenizer(text, add_special_tokens=False)["input_ids"]]
            for text in EXAMPLES
        ]
        batch = pad(rows, None, model.pad_id)
        ids, counted = batch.ids[:, : model.max_tokens], batch.mask[:, : model.max_tokens].clone()
        counted[:, 0] = False
        means.append(float(nll(ids, counted).sum()) / max(1, int(counted.sum())))
    return starts[means.index(min(means))]


def example_rows(model: FrozenModel) -> TokenBatch:
    """Example rows of ordinary words, with common beginnings.

    On special tokens rounding may be far larger than in any text.
    """
    rows = model.encode(EXAMPLES)
    ids, mask = rows.ids[:, : model.max_tokens], rows.mask[:, : model.max_tokens]
    if len({*map(tuple, ids.tolist())}) < len(EXAMPLES):
        # A tokenizer that does not know the words.
        count = min(model.vocab_size, 11)
        ids = torch.tensor(
            [[(5 * i + 3 * (i > 2 + row) * row) % count for i in range(7)] for row in range(4)]
        )[:, : model.max_tokens]
        mask = torch.ones_like(ids, dtype=torch.bool)
    return TokenBatch(ids, mask, torch.zeros(*ids.shape, 2, dtype=torch.long))
