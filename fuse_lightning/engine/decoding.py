"""Generation with a network that shares prefixes: every position is computed once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import torch
from torch import Tensor

from fuse_lightning.engine.attention import branching, growing, recording
from fuse_lightning.engine.branches import Store, side_by_side
from fuse_lightning.engine.devices import to_device
from fuse_lightning.engine.growing_keys import Block, GrowingKeys, Piece
from fuse_lightning.engine.network import LanguageNetwork
from fuse_lightning.engine.parts import PADDING
from fuse_lightning.engine.prefixes import find_shared_prefixes
from fuse_lightning.engine.row_cache import RowCache
from fuse_lightning.engine.token_batch import pad
from fuse_lightning.engine.writing import Text, Writing

ENDED = 0.125
"""Share of a batch that must have ended before it is made smaller, which copies all keys."""


class Decoder:
    """Generator of texts behind prompts; a common beginning of prompts is read once.

    Memory: a batch of texts holds keys and values of at most as many positions as the model's
    budget has, room for tokens to come included; so do its prompts, and so do the beginnings that
    these share.

    Args:
        model: A model that shares.
        writing: The texts.
        cache: Takes keys and values of the texts, as far as they fit; ``None`` to keep none.
    """

    def __init__(self, model: LanguageNetwork, writing: Writing, cache: RowCache | None) -> None:
        self.model = model
        self.writing = writing
        self.cache = cache

    def write(self, numbers: Sequence[int]) -> None:
        """Writes texts until they end, or until their positions would be rotated differently.

        Args:
            numbers: Numbers of texts; all are below the model's ``turn``, or all above.
        """
        readers = defaultdict(list)
        for number in numbers:
            readers[self.writing.texts[number].row].append(number)
        self.rows, self.readers = [*readers], [*readers.values()]
        turn = self.model.turn
        self.last = turn if turn is not None and len(self.rows[0]) <= turn else None
        """Longest row that may be written before rotations change; ``None`` without a limit."""
        # The last token of a prompt is read for the prompt itself: it says what comes next.
        limits = [len(row) - 1 if turn is None or self.last else 0 for row in self.rows]
        found = find_shared_prefixes(self.rows, limits, self.model.worth)
        self.shared = found.shared
        members = defaultdict(list)
        for index, shared in enumerate(found.shared):
            if shared:
                members[found.of[index]].append(index)
        alone = [index for index, shared in enumerate(found.shared) if not shared]
        self._prompts(alone, None, {})
        trunks = sorted(members, key=lambda trunk: len(found.rows[trunk]))

        def together(chosen: slice) -> None:
            some = trunks[chosen]
            batch = pad([found.rows[trunk] for trunk in some], None, self.model.pad_id)
            with recording() as store:
                self._logits(batch.mask & False, batch.ids, batch.mask)
            of = {index: at for at, trunk in enumerate(some) for index in members[trunk]}
            self._prompts([*of], store, of)

        lengths = [len(found.rows[trunk]) for trunk in trunks]
        self.model.budget.run(lengths, together, inner=True)

    def _prompts(self, prompts: Sequence[int], trunks: Store | None, of: dict[int, int]) -> None:
        """Writes the texts of prompts, in batches that fit into memory.

        Args:
            prompts: Numbers of the prompts.
            trunks: Keys and values of their shared beginnings, if there are any.
            of: The trunk of each.
        """
        order = sorted(prompts, key=self._own)
        lengths = [
            self._own(index) + sum(self._room(number, index) for number in self.readers[index])
            for index in order
        ]

        def together(chosen: slice) -> None:
            # Rows of one trunk lie beside each other.
            some = sorted(order[chosen], key=lambda index: of.get(index, 0))
            self._batch(some, trunks, [of.get(index, 0) for index in some])

        self.model.budget.run(lengths, together, inner=True)

    def _batch(self, prompts: Sequence[int], trunks: Store | None, of: Sequence[int]) -> None:
        """Reads P prompts together and writes their texts."""
        texts = [number for index in prompts for number in self.readers[index]]
        places = [place for place, index in enumerate(prompts) for _ in self.readers[index]]
        self._restart(texts, [prompts[place] for place in places])
        logits, own = self._read(prompts, trunks, of)
        given = torch.tensor([self._own(index) for index in prompts])
        shared = torch.tensor([self.shared[index] for index in prompts])
        several = len(texts) > len(prompts)
        rooms = [
            self._room(number, prompts[place]) for number, place in zip(texts, places, strict=True)
        ]

        def together(chosen: slice) -> None:
            self._restart(texts[chosen], [prompts[place] for place in places[chosen]])
            prompt = torch.tensor(places[chosen])
            blocks = [Block(trunks, torch.tensor(of)[prompt], shared[prompt])] if trunks else []
            begun: Store | None = own
            own_given = given[prompt]
            if several:
                blocks.append(Block(own, prompt, own_given))
                begun, own_given = None, torch.zeros_like(own_given)
            elif len(prompt) < len(prompts):
                begun = own.select(prompt)
            # The last token of a text is not read.
            keys = GrowingKeys(blocks, own_given, max(rooms[chosen]) - 1, begun)
            self._decode(texts[chosen], logits[to_device(prompt, logits.device)], keys)

        lengths = [
            room + (0 if several else self._own(prompts[place]))
            for room, place in zip(rooms, places, strict=True)
        ]
        self.model.budget.run(lengths, together, inner=True)

    def _read(
        self, prompts: Sequence[int], trunks: Store | None, of: Sequence[int]
    ) -> tuple[Tensor, Store]:
        """Reads the unshared part of P prompts.

        Returns:
            Logits of what follows each, shape (P, W), and keys and values of what was read.
        """
        order = sorted(range(len(prompts)), key=lambda place: self._own(prompts[place]))
        told: list[Tensor] = []
        stores: list[Store] = []

        def read(chosen: slice) -> None:
            some = [prompts[place] for place in order[chosen]]
            batch = pad(
                [self.rows[index][self.shared[index] :] for index in some], None, self.model.pad_id
            )
            last = torch.arange(batch.ids.shape[1]) == batch.mask.sum(1, keepdim=True) - 1
            if trunks is None:
                with recording() as store:
                    logits = self._logits(last, batch.ids, batch.mask)
            else:
                store = Store()
                starts = torch.tensor([self.shared[index] for index in some])
                positions = starts[:, None] + torch.arange(batch.ids.shape[1])
                positions = positions.clamp(max=self.model.last_position)
                trunk = torch.tensor([of[place] for place in order[chosen]])
                with branching(trunks, trunk, starts, store):
                    logits = self._logits(last, batch.ids, batch.mask, positions)
            told.append(logits)
            stores.append(store)

        self.model.budget.run([self._own(prompts[place]) for place in order], read, PADDING)
        back = torch.tensor(order).argsort()
        return torch.cat(told)[to_device(back, told[0].device)], side_by_side(stores).select(back)

    def _decode(self, numbers: Sequence[int], logits: Tensor, keys: GrowingKeys) -> None:
        """Writes N texts token by token.

        Args:
            numbers: Numbers of the texts.
            logits: Next-token logits of each text, shape (N, W).
            keys: Keys and values of what each text follows.
        """
        texts = self.writing.texts
        pieces = _Pieces(self.cache, texts, numbers)
        ones = torch.ones(len(numbers), 1, dtype=torch.bool)
        self.writing.write(numbers, logits)
        while going := [place for place, number in enumerate(numbers) if self._goes_on(number)]:
            if len(numbers) - len(going) > ENDED * len(numbers):
                gone = [place for place in range(len(numbers)) if place not in {*going}]
                pieces.keep(keys, gone, [numbers[place] for place in gone])
                keys, ones = keys.select(torch.tensor(going)), ones[: len(going)]
                numbers = [numbers[place] for place in going]
            ids = torch.tensor([texts[number].ids[-1:] for number in numbers])
            positions = torch.tensor([[len(texts[number]) - 1] for number in numbers])
            with growing(keys):
                logits = self._logits(ones, ids, ones, positions)
            self.writing.write(numbers, logits)
        pieces.keep(keys, range(len(numbers)), numbers)
        pieces.hand_over()

    def _restart(self, numbers: Sequence[int], prompts: Sequence[int]) -> None:
        """Resets texts to what they were before a try that ran out of memory."""
        for number, index in zip(numbers, prompts, strict=True):
            self.writing.restart(number, len(self.rows[index]))

    def _goes_on(self, number: int) -> bool:
        text = self.writing.texts[number]
        return text.ended is None and (self.last is None or len(text) <= self.last)

    def _own(self, index: int) -> int:
        """Number of unshared tokens of a prompt."""
        return len(self.rows[index]) - self.shared[index]

    def _room(self, number: int, index: int) -> int:
        """Number of tokens that may be written for a text behind a prompt."""
        most = self.writing.room(number, len(self.rows[index]))
        return most if self.last is None else min(most, self.last + 1 - len(self.rows[index]))

    def _logits(
        self, places: Tensor, ids: Tensor, mask: Tensor, positions: Tensor | None = None
    ) -> Tensor:
        device = self.model.device
        at = None if positions is None else to_device(positions, device)
        return self.model.logits_at(
            places, to_device(ids, device), to_device(mask, device), None, at
        )


class _Pieces:
    """Collector of keys and values of one batch's texts, as the texts end.

    Args:
        cache: Takes them in the end; ``None`` to keep none.
        texts: All texts.
        numbers: Numbers of the batch's texts, before anything is written.
    """

    def __init__(
        self, cache: RowCache | None, texts: Sequence[Text], numbers: Sequence[int]
    ) -> None:
        self.cache = cache
        self.texts = texts
        self.begun = {number: len(texts[number]) for number in numbers}
        self.found: list[tuple[Piece, list[Text]]] = []
        self.held = 0

    def keep(self, keys: GrowingKeys, places: Sequence[int], numbers: Sequence[int]) -> None:
        """Stores keys and values of ended texts, as many as there is room for.

        Args:
            keys: Keys and values of the current rows.
            places: Some of these rows.
            numbers: The text of each.
        """
        if self.cache is None:
            return
        ended = [
            (place, number)
            for place, number in zip(places, numbers, strict=True)
            if self.texts[number].ended
        ]
        if not ended:
            return
        # The last token was written, and not read.
        read = max(len(self.texts[number]) - self.begun[number] - 1 for _, number in ended)
        columns = keys.width + read
        free = self.cache.room([block.store for block in keys.blocks]) - self.held
        ended = ended[: max(0, free) // max(1, columns)]
        if ended:
            self.held += len(ended) * columns
            piece = keys.piece(torch.tensor([place for place, _ in ended]), columns)
            self.found.append((piece, [self.texts[number] for _, number in ended]))

    def hand_over(self) -> None:
        """Adds everything to the cache, once the whole batch has fitted into memory."""
        for piece, texts in self.found:
            if self.cache is not None:
                self.cache.add(piece, [(text.row, tuple(text.log_probs)) for text in texts])
