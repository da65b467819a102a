"""Prompts, as ids of the primary and as the text that these spell."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from fuse_lightning.models import FrozenModel
from fuse_lightning.objectives.term import Term

State = tuple[int, ...]
"""A prompt: its ids in the primary tokenizer."""


@dataclass
class Prompts:
    """N prompts to score.

    Attributes:
        states: Ids in the primary tokenizer.
        owners: Index of each prompt's target in the batch.
        texts: What they spell, without white space around.
        canonical: Whether the text stands behind the primary's prefix as a prompt does and is
            read by the tokenizer as the same ids.
    """

    states: list[State]
    owners: list[int]
    texts: list[str]
    canonical: list[bool]

    def select(self, rows: Sequence[int]) -> "Prompts":
        """The prompts at some rows."""
        return Prompts(
            [self.states[row] for row in rows],
            [self.owners[row] for row in rows],
            [self.texts[row] for row in rows],
            [self.canonical[row] for row in rows],
        )


class Speller:
    """Turns ids into text and text into ids, behind the prefix of the primary's term.

    Args:
        term: The first term of an objective, whose model is the primary.
    """

    def __init__(self, term: Term) -> None:
        self.term = term
        self._spelt: dict[State, tuple[str, bool]] = {}
        """Text of each state of this step, and whether it is read as the same ids."""

    @property
    def model(self) -> FrozenModel:
        """The primary."""
        return self.term.model

    @cached_property
    def _head(self) -> tuple[State, str]:
        """The primary's prefix as ids, and as they spell it."""
        ids = self.term.frame.prefix
        return ids, self.model.decode([ids])[0] if ids else ""

    def begin_step(self) -> None:
        """Forgets the states of the step before."""
        self._spelt.clear()

    def prompts(self, states: Sequence[State], owners: Sequence[int]) -> Prompts:
        """Spells the states and checks that their text is read as the same ids."""
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
        """Text of each state, and whether it is read as the same ids."""
        raw = self.spell(states)
        texts = [text.strip() for text in raw]
        head, lead = self._head[0], self.term.frame.lead
        rows = self.model.words.read([self.term.compose(text)[0] for text in texts])
        canonical = []
        for state, text, stripped, row in zip(states, raw, texts, rows, strict=True):
            ids = [*head, *state]
            joined = text == f"{lead}{stripped}" and row.ids[: len(ids)] == ids
            canonical.append(not state or joined)
        return [*zip(texts, canonical, strict=True)]

    def spell(self, states: Sequence[State]) -> list[str]:
        """Text of each state, as it stands behind the prefix."""
        head_ids, head = self._head
        full = self.model.decode([(*head_ids, *state) for state in states]) if states else []
        return [
            text[len(head) :] if state and text.startswith(head) else ""
            for text, state in zip(full, states, strict=True)
        ]

    def spans(self, state: State, text: str) -> list[tuple[int, int]]:
        """Characters of its text that each token of a state spells."""
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
        pairs = [(text, self.term.compose(text)) for text in map(str.strip, texts)]
        # What stands behind a prompt is left out, or it would be part of one that is empty.
        whole = [composed[: start + len(text)] for text, (composed, start) in pairs]
        return [tuple(row.ids[size:]) for row in self.model.words.read(whole)]
