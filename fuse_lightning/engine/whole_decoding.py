"""Generation with a network that cannot share prefixes, by transformers' own cache."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    StoppingCriteria,
    StoppingCriteriaList,
)

from fuse_lightning.engine.devices import to_device
from fuse_lightning.engine.network import LanguageNetwork
from fuse_lightning.engine.token_batch import pad
from fuse_lightning.engine.writing import Writing


def write_whole(model: LanguageNetwork, writing: Writing, numbers: Sequence[int]) -> None:
    """Writes texts until they end, or until one text of their batch has no more room.

    Each prompt is read by itself.

    Own attention, states and eager attention differ too much for a cache of ours. Rows of one
    length go together; of others only those that the network reads the same with padding on the
    left.

    Args:
        model: Any language model.
        writing: The texts.
        numbers: Numbers of the texts to write.
    """
    if not hasattr(model.module, "generate"):
        _write_plain(model, writing, numbers)
        return
    groups = defaultdict(list)
    for number in numbers:
        groups[0 if model.pads_left else len(writing.texts[number])].append(number)
    for group in groups.values():
        order = sorted(group, key=lambda number: len(writing.texts[number]))
        begun = [len(writing.texts[number]) for number in order]

        def together(chosen: slice, order: list[int] = order, begun: list[int] = begun) -> None:
            _write_together(model, writing, order[chosen], begun[chosen])

        rooms = [writing.room(*pair) for pair in zip(order, begun, strict=True)]
        lengths = [length + room for length, room in zip(begun, rooms, strict=True)]
        model.budget.run(lengths, together, inner=True)


def left_padded(model: LanguageNetwork, rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Ids and mask of left-padded rows, both (N, T), on the model's device."""
    batch = pad([row[::-1] for row in rows], None, model.pad_id)
    return to_device(batch.ids.flip(1), model.device), to_device(batch.mask.flip(1), model.device)


@contextmanager
def plain_generation(module: Any) -> Iterator[None]:
    """Context in which ``generate`` ignores the settings that came with the network.

    Else a folder's penalties, suppressed tokens or sampling would change what is written.
    """
    given = module.generation_config
    module.generation_config = GenerationConfig()
    try:
        yield
    finally:
        module.generation_config = given


def _write_together(
    model: LanguageNetwork, writing: Writing, numbers: Sequence[int], begun: Sequence[int]
) -> None:
    """Writes texts that have some tokens, while all of them have room."""
    for number, length in zip(numbers, begun, strict=True):
        # Memory may have run out in the middle of an earlier try.
        writing.restart(number, length)
    ids, mask = left_padded(model, [writing.texts[number].row for number in numbers])
    # Texts that have ended are read on, and positions beyond the longest input do not exist.
    room = min(writing.room(*pair) for pair in zip(numbers, begun, strict=True))
    with plain_generation(model.module):
        model.module.generate(
            input_ids=ids,
            attention_mask=mask.long(),
            generation_config=GenerationConfig(
                max_new_tokens=room,
                do_sample=False,
                pad_token_id=model.pad_id,
                use_cache=True,
            ),
            logits_processor=LogitsProcessorList([_Writer(writing, numbers)]),
            stopping_criteria=StoppingCriteriaList([_Ended(writing, numbers)]),
        )


class _Writer(LogitsProcessor):  # type: ignore[misc]
    """Logits processor that chooses the next token of each text itself.

    Args:
        writing: The texts.
        numbers: Numbers of the batch's texts.
    """

    def __init__(self, writing: Writing, numbers: Sequence[int]) -> None:
        self.writing = writing
        self.numbers = numbers

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Scores that are finite only for the chosen tokens."""
        self.writing.write(self.numbers, scores)
        written = torch.tensor([self.writing.texts[number].ids[-1] for number in self.numbers])
        chosen = to_device(written, scores.device)[:, None]
        return torch.full_like(scores, -torch.inf).scatter(1, chosen, 0.0)


class _Ended(StoppingCriteria):  # type: ignore[misc]
    """Stopping criterion of texts that have ended.

    Args:
        writing: The texts.
        numbers: Numbers of the batch's texts.
    """

    def __init__(self, writing: Writing, numbers: Sequence[int]) -> None:
        self.writing = writing
        self.numbers = numbers

    def __call__(self, input_ids: Tensor, scores: Tensor, **_: Any) -> Tensor:
        """Whether each text has ended, shape (N,)."""
        ended = [self.writing.texts[number].ended is not None for number in self.numbers]
        return to_device(torch.tensor(ended), input_ids.device)


def _write_plain(model: LanguageNetwork, writing: Writing, numbers: Sequence[int]) -> None:
    """Reads every row whole for each token, for networks without ``generate``."""
    while numbers := [number for number in numbers if writing.texts[number].ended is None]:
        order = sorted(numbers, key=lambda number: len(writing.texts[number]))
        rows = [writing.texts[number].row for number in order]

        def together(
            chosen: slice, order: list[int] = order, rows: list[tuple[int, ...]] = rows
        ) -> None:
            batch = pad(rows[chosen], None, model.pad_id)
            last = torch.arange(batch.ids.shape[1]) == batch.mask.sum(1, keepdim=True) - 1
            ids, mask = to_device(batch.ids, model.device), to_device(batch.mask, model.device)
            writing.write(order[chosen], model.logits_at(last, ids, mask))

        model.budget.run([*map(len, rows)], together)
