"""Prompts as the primary's ids and as their text."""

from collections.abc import Sequence
from dataclasses import dataclass

State = tuple[int, ...]
"""A prompt: its ids in the primary tokenizer."""


@dataclass
class Prompts:
    """N prompts with their ids, owners and texts.

    Attributes:
        states: Ids in the primary tokenizer.
        owners: Index of each prompt's target in the batch.
        texts: Texts of the states, without white space around.
        canonical: Whether the text stands behind the primary's prefix as a prompt does and is
            read by the tokenizer as the same ids.
        chains_of: N prompts whose chains these are read with, in terms with chains; by default
            their own.
    """

    states: list[State]
    owners: list[int]
    texts: list[str]
    canonical: list[bool]
    chains_of: "Prompts | None" = None

    def select(self, rows: Sequence[int]) -> "Prompts":
        """Prompts of some rows."""
        return Prompts(
            [self.states[row] for row in rows],
            [self.owners[row] for row in rows],
            [self.texts[row] for row in rows],
            [self.canonical[row] for row in rows],
            None if self.chains_of is None else self.chains_of.select(rows),
        )
