"""Admission: checks of proposed prompts, and of prompts that may be results."""

import logging
from collections.abc import Sequence
from itertools import chain
from typing import Any

from fuse_lightning.errors import FuseError
from fuse_lightning.objectives import Objective, Prompts, State
from fuse_lightning.optimizers.constraints import Constraints
from fuse_lightning.optimizers.familiar import familiar
from fuse_lightning.search.checks import shortened

logger = logging.getLogger(__name__)


class Admission:
    """Checks of an optimizer's proposals: type, ids, constraints, and reading back.

    Args:
        objective: Its primary spells and reads prompts.
        constraints: Constraints on prompts.
        optimizer: Name of the optimizer's class, for errors.
    """

    def __init__(self, objective: Objective, constraints: Constraints, optimizer: str) -> None:
        self.objective = objective
        self.constraints = constraints
        self.optimizer = optimizer
        mask = constraints.mask(objective.primary)
        if constraints.familiar is not None:
            mask &= familiar(objective.primary, objective.models, constraints.familiar)
        self.allowed_ids = mask.nonzero().squeeze(1)
        """The primary's tokens that the constraints allow, shape (A,), on the CPU."""
        # Alone, blanks and parts of a character spell nothing, so that nobody proposes them; but a
        # text may be read with them.
        parts = " \ufffd" if constraints.tokens == "any" else " "
        pieces = enumerate(objective.primary.pieces)
        beside = (token for token, piece in pieces if piece and not piece.strip(parts))
        self._allowed = frozenset([*self.allowed_ids.tolist(), *beside])
        self._told = False

    def allow_texts(self) -> None:
        """Admits prompts that hold texts of the data: any token but special ones.

        Constraints on the text itself hold as before.
        """
        primary = self.objective.primary
        self._allowed = frozenset(range(primary.vocab_size)) - primary.vocabulary.special_ids

    def holds_forbidden(self, state: State) -> bool:
        """Whether a token of a prompt is one that no prompt may hold."""
        return not self._allowed.issuperset(state)

    def first(
        self,
        groups: Sequence[Sequence[State]],
        owners: Sequence[int],
        most: int,
        *,
        growing: bool = False,
    ) -> list[list[State]]:
        """The first ``most`` admitted states of each group, each once.

        Args:
            groups: States, best first.
            owners: Target of each group.
            most: How many of each group are wanted.
            growing: Whether their last words may still be beginnings of allowed ones.
        """
        flat = [state for group in groups for state in group]
        prompts = self.objective.prompts(
            flat, [owner for owner, group in zip(owners, groups, strict=True) for _ in group]
        )
        rows = iter(zip(prompts.texts, prompts.canonical, strict=True))
        result = []
        for group in groups:
            chosen: dict[State, None] = {}
            for state in group:
                text, canonical = next(rows)
                good = len(chosen) < most and (canonical or not self.constraints.canonical)
                if good and self.constraints.admits(text, growing=growing):
                    chosen[state] = None
            result.append([*chosen])
        return result

    def texts(self, texts: Sequence[str]) -> list[State]:
        """Ids of the texts that may be prompts, each once; the others are left out."""
        given = [text.strip() for text in texts if text.strip()]
        if not given:
            return []
        states = self.objective.encode_prompts(given)
        canonical = self.objective.prompts(states, [0] * len(states)).canonical
        return [
            state
            for state, text, same in zip(states, given, canonical, strict=True)
            if same and not self.holds_forbidden(state) and self.constraints.admits(text)
        ]

    def results(self, prompts: Prompts) -> tuple[list[int], list[int]]:
        """Rows of prompts with an admitted text, which may be results, and the other rows.

        A result is a text, and reported with ids and losses: of other ids than those that the
        text is read as, both would be untrue.
        """
        texts = enumerate(prompts.texts)
        # An empty prompt is none: a search that has found nothing else has found nothing.
        rows = [row for row, text in texts if text.strip() and self.constraints.admits(text)]
        other = [row for row in rows if not prompts.canonical[row]]
        return [row for row in rows if prompts.canonical[row]], other

    def checked(
        self, proposed: Sequence[Sequence[State]], expanded: Sequence[Sequence[State]]
    ) -> Prompts:
        """Valid proposals as prompts; the others are dropped, with one warning.

        Args:
            proposed: Candidates of each target.
            expanded: States that they were made of. These may stay whatever they are, as a
                search that finds nothing else goes on from where it is.

        Raises:
            FuseError: If a candidate is no tuple of ids of the primary.
        """
        remedy = "return a list of candidates for each target"
        for groups in (proposed, *(proposed if isinstance(proposed, Sequence) else ())):
            if not isinstance(groups, Sequence) or isinstance(groups, str):
                raise FuseError(
                    f"{self.optimizer} proposes {shortened(groups)}, which is no list; {remedy}"
                )
        if len(proposed) != len(expanded):
            raise FuseError(
                f"{self.optimizer} proposes for {len(proposed)} targets, but there are "
                f"{len(expanded)}; {remedy}"
            )
        flat = [state for group in proposed for state in group]
        owners = [owner for owner, group in enumerate(proposed) for _ in group]
        tokens = self._tokens(flat)
        prompts = self.objective.prompts(flat, owners)
        if self.constraints.canonical and not all(prompts.canonical):
            good = prompts.canonical
        elif self._allowed.issuperset(tokens):
            return prompts
        else:
            good = [True] * len(flat)
        stay = [{*states} for states in expanded]
        rows = [
            row
            for row, (state, owner) in enumerate(zip(flat, owners, strict=True))
            if (good[row] and self._allowed.issuperset(state)) or state in stay[owner]
        ]
        if len(rows) < len(flat):
            self._warn(len(flat) - len(rows), len(flat))
        return prompts.select(rows)

    def _tokens(self, states: Sequence[Any]) -> set[int]:
        """Distinct ids of candidates, after a check that these are tuples of the primary's ids.

        Raises:
            FuseError: If one is not.
        """
        size = self.objective.primary.vocab_size
        remedy = f"give tuples of ints from 0 to {size - 1}"
        # All are looked at in a few passes; which one is wrong matters only where one is.
        if {*map(type, states)} <= {tuple} and {*map(type, chain.from_iterable(states))} <= {int}:
            tokens = {*chain.from_iterable(states)}
            if not tokens or (min(tokens) >= 0 and max(tokens) < size):
                return tokens
        for state in states:
            if type(state) is not tuple:
                raise FuseError(
                    f"{self.optimizer} proposes {shortened(state)}, which is a "
                    f"{type(state).__name__}; {remedy}"
                )
        bad, token = next(
            (state, token)
            for state in states
            for token in state
            if type(token) is not int or not 0 <= token < size
        )
        raise FuseError(
            f"{self.optimizer} proposes {shortened(bad)}, whose {shortened(token)} is no id of "
            f"{self.objective.primary.model_id!r}; {remedy}"
        )

    def _warn(self, dropped: int, proposed: int) -> None:
        if self._told:
            return
        self._told = True
        logger.warning(
            "%d of %d prompts that %s proposed %s dropped: a prompt is dropped if it holds a token "
            "that the constraints forbid, or if its text is not read back as the same tokens; "
            "prompts of later steps are dropped without a message",
            dropped,
            proposed,
            self.optimizer,
            "is" if dropped == 1 else "are",
        )
