"""Conversion of the primary's ids into text, and of text into ids."""

import itertools
from collections.abc import Sequence
from functools import cached_property

from fuse_lightning.models import FrozenModel
from fuse_lightning.objectives.context import Context
from fuse_lightning.objectives.prompts import Prompts, State
from fuse_lightning.objectives.term import Term


class Speller:
    """Converter between ids and text, in the layout of the primary's term.

    Args:
        term: The first term of an objective, whose model is the primary.
    """

    def __init__(self, term: Term) -> None:
        self.term = term
        self._spelt: dict[State, tuple[str, bool]] = {}
        """Text of each state of this step, and whether it is read as the same ids."""

    @property
    def model(self) -> FrozenModel:
        """The primary model."""
        return self.term.model

    @cached_property
    def _context(self) -> Context:
        """Context of prompts: the first term's layout without its answer."""
        return self.term.home

    @cached_property
    def _head(self) -> tuple[State, str]:
        """Ids of the text before a prompt, and their text."""
        ids = self.term.frame.prefix
        return ids, self.model.decode([ids])[0] if ids else ""

    def begin_step(self) -> None:
        """Drops the states of the step before."""
        self._spelt.clear()

    def prompts(self, states: Sequence[State], owners: Sequence[int]) -> Prompts:
        """Prompts of states, with their text and whether it is read back as the same ids."""
        # What is proposed in a step is scored in it.
        new = [state for state in dict.fromkeys(states) if state not in self._spelt]
        self._spelt.update(zip(new, self._read_back(new), strict=True))
        spelt = [self._spelt[state] for state in states]
        return Prompts(
            list(states),
            list(owners),
            [text for text, _ in spelt],
            [canonical for _, canonical in spelt],
        )

    def _read_back(self, states: Sequence[State]) -> list[tuple[str, bool]]:
        """Text of each state, and whether it is read back as the same ids."""
        raw = self.spell(states)
        texts = [text.strip() for text in raw]
        head, lead = self._head[0], self.term.frame.lead
        rows = self.model.words.read([self._context.fill(text).text for text in texts])
        canonical = []
        for state, text, stripped, row in zip(states, raw, texts, rows, strict=True):
            ids = [*head, *state]
            joined = text == f"{lead}{stripped}" and row.ids[: len(ids)] == ids
            canonical.append(not state or joined)
        return [*zip(texts, canonical, strict=True)]

    def spell(self, states: Sequence[State]) -> list[str]:
        """Text of each state behind the prefix."""
        head_ids, head = self._head
        full = self.model.decode([(*head_ids, *state) for state in states]) if states else []
        return [
            text[len(head) :] if state and text.startswith(head) else ""
            for text, state in zip(full, states, strict=True)
        ]

    def spans(self, state: State, text: str) -> list[tuple[int, int]]:
        """Character span of each token of a state in its text."""
        pieces = self.model.pieces
        ends = [0]
        for index in state:
            ends.append(ends[-1] + len(pieces[index]))
        if ends[-1] != len(text):
            # The tokenizer does not simply join pieces: spell every beginning of the state.
            ends = [len(part) for part in self.spell([state[:n] for n in range(len(state) + 1)])]
        return [*itertools.pairwise(ends)]

    def encode(self, texts: Sequence[str]) -> list[State]:
        """Ids of texts as prompts behind the prefix."""
        size = len(self.term.frame.prefix)
        filled = [self._context.fill(text.strip()) for text in texts]
        # What stands behind a prompt is left out, or it would be part of one that is empty.
        whole = [each.text[: each.prompt[1]] for each in filled]
        return [tuple(row.ids[size:]) for row in self.model.words.read(whole)]
