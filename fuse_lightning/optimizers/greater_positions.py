"""Order in which GReaTer changes the positions of a prompt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fuse_lightning.objectives import State


@dataclass(frozen=True)
class Slot:
    """Position of a prompt that a step changes.

    Attributes:
        state: The prompt.
        owner: Its target.
        place: The position; the prompt's length where a token is added.
    """

    state: State
    owner: int
    place: int

    def put(self, token: int) -> State:
        """The prompt with a token at the position.

        >>> Slot((1, 2), 0, 1).put(9), Slot((1, 2), 0, 2).put(9)
        ((1, 9), (1, 2, 9))
        """
        return (*self.state[: self.place], token, *self.state[self.place + 1 :])

    @property
    def token(self) -> int | None:
        """Token that stands there; ``None`` where one is added."""
        return self.state[self.place] if self.place < len(self.state) else None


@dataclass(frozen=True)
class Positions:
    """Order of positions: from the first to the last, then growth until a sentence ends.

    Attributes:
        pieces: Text of each token.
        ends: Characters that end a sentence.
        grow: Whether prompts that end no sentence grow.
        most: Most tokens of a prompt that grows; ``None`` for no limit.
    """

    pieces: Sequence[str]
    ends: str
    grow: bool
    most: int | None

    def ends_sentence(self, token: int) -> bool:
        """Whether a token's text holds the end of a sentence."""
        return any(sign in self.pieces[token] for sign in self.ends)

    def ends_at(self, place: int) -> Callable[[State], bool]:
        """Function that says whether a prompt ends a sentence at a position."""
        return lambda state: place < len(state) and self.ends_sentence(state[place])

    def grows(self, state: State) -> bool:
        """Whether a token may be added to a prompt: it is not too long, and ends no sentence.

        >>> order = Positions(["a", "b", "."], ".", True, 3)
        >>> order.grows((0, 1)), order.grows((0, 2)), order.grows((0, 1, 0))
        (True, False, False)
        """
        full = self.most is not None and len(state) >= self.most
        ended = bool(state) and self.ends_sentence(state[-1])
        return self.grow and not full and not ended

    def after(self, state: State, place: int) -> int:
        """Position that is next, once one was changed.

        >>> order = Positions(["a", "b", "."], ".", True, 3)
        >>> order.after((0, 1), 0), order.after((0, 1), 1), order.after((0, 2), 1)
        (1, 2, 0)
        >>> order.after((0, 1), 2), order.after((0, 1, 0), 2)
        (0, 0)
        """
        if place + 1 < len(state):
            return place + 1
        # A prompt that has not grown where it could was better without.
        refused = place >= len(state)
        return len(state) if self.grows(state) and not refused else 0
