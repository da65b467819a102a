"""Revision: edits of whole prompts, ranked by likelihood and predicted change."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from math import ceil

import torch
from torch import Tensor

from fuse_lightning.engine.devices import to_device
from fuse_lightning.objectives import (
    Objective,
    State,
    Term,
    predicted_change,
    resample,
    smoothed_gradient,
)
from fuse_lightning.objectives.smoothing import Sample
from fuse_lightning.optimizers.admission import Admission
from fuse_lightning.optimizers.edit_screen import EditScreen, Guess
from fuse_lightning.optimizers.edits import (
    inserted,
    moved,
    removed,
    replaced,
    shortened,
    top_cells,
)
from fuse_lightning.utilities.evaluations import Evaluations

LEAST = 2
"""Tokens of the shortest prompt that is revised."""
INSERTED = 0.6
"""Share of a prompt's edits that insert a token."""
RESAMPLE = 0.25
"""Share of the positions that hold random tokens where gradients of all positions are taken."""
SPARE = 2
"""Edits tried for each wanted one, as some are not read back as the same ids."""

REACH = 3
"""Places that a token is moved, at most."""


@dataclass
class Draft:
    """A prompt to revise.

    Attributes:
        state: Its ids, at least :data:`LEAST`.
        owner: Its target.
        count: Edits wanted.
        generator: Random stream of its target.
        known: Prompts of its target that were scored, which are not proposed again.
        grows: Whether a token may be inserted.
    """

    state: State
    owner: int
    count: int
    generator: torch.Generator
    known: Evaluations
    grows: bool


class Revision:
    """Proposer of edits: a token of a prompt is replaced, one is inserted, or one is removed.

    Replacements and insertions are ranked as growth is: by the likelihood of the new token behind
    what stands before it, and by the change of the other terms that gradients predict. What a
    new token does to the likelihood of those behind it is not predicted. Removals are few, and
    not ranked.

    With a screen more of them are tried than are wanted, moves of a token too, and either the
    language model or the other models read all of them whole: then all kinds are ranked together.

    Args:
        objective: The objective, loaded.
        admission: Which prompts may stand.
        allowed: The primary's tokens that may stand in a prompt, shape (V,), on its device.
        likelihood: Weighted log-probability of every token behind each of N prompts, from a list
            of them to shape (N, V).
        averaged: Whether the objective takes the mean of these over the tokens of a prompt.
        predicted: The terms whose change is predicted.
        weight: Factor of that prediction; 0 for none.
        samples: Prompts with random tokens that a gradient is averaged over; 0 for the prompt
            itself.
        screen: Reads edits whole and chooses among them; ``None`` ranks them as they are.
    """

    def __init__(
        self,
        objective: Objective,
        admission: Admission,
        allowed: Tensor,
        likelihood: Callable[[list[State]], Tensor],
        averaged: bool,
        predicted: Callable[[Term], bool],
        weight: float,
        samples: int,
        screen: EditScreen | None = None,
    ) -> None:
        self.objective = objective
        self.admission = admission
        self.allowed = allowed
        self.likelihood = likelihood
        self.averaged = averaged
        self.predicted = predicted
        self.weight = weight if any(map(predicted, objective.terms)) else 0.0
        self.samples = samples
        self.screen = screen

    def propose(self, drafts: Sequence[Draft]) -> list[list[State]]:
        """Edits of each draft that were not scored before, at most as many as are wanted."""
        if not drafts:
            return []
        before = self.likelihood([d.state[:n] for d in drafts for n in range(len(d.state))])
        likely = torch.split(before, [len(draft.state) for draft in drafts])
        swaps, insertions = self._swap_changes(drafts), self._insertion_changes(drafts)
        if self.screen is not None:
            tables = zip(drafts, likely, swaps, insertions, strict=True)
            tried = [self._tried(*each, self.screen.reads) for each in tables]
            counts = [draft.count for draft in drafts]
            return self.screen.choose(tried, [draft.owner for draft in drafts], counts)
        cells: list[Tensor] = []
        for draft, told, swap, insertion in zip(drafts, likely, swaps, insertions, strict=True):
            # No more than those that were scored can be known.
            most = SPARE * draft.count + draft.known.count
            cells.append(top_cells(self._swap_scores(draft, told, swap), most))
            more = most if draft.grows else 0
            cells.append(top_cells(self._insertion_scores(draft, told, insertion), more))
        # Read at once, when all of it is under way.
        read = iter(torch.split(torch.cat(cells).cpu(), [*map(len, cells)]))
        groups: list[list[State]] = []
        for draft, swap, insertion in zip(drafts, read, read, strict=True):
            groups.append([state for state in shortened(draft.state) if state not in draft.known])
            groups.append(self._fresh(draft, swap, replaced))
            groups.append(self._fresh(draft, insertion, inserted))
        owners = [draft.owner for draft in drafts for _ in range(3)]
        most = max(draft.count for draft in drafts)
        admitted = iter(self.admission.first(groups, owners, most))
        return [
            _shared(draft.count, *parts)
            for draft, *parts in zip(drafts, admitted, admitted, admitted, strict=True)
        ]

    def _tried(
        self,
        draft: Draft,
        likely: Tensor,
        swap: Tensor | None,
        insertion: Tensor | None,
        reads: int,
    ) -> dict[State, Guess]:
        """Edits of a draft that were not scored before, with what is known of them unread.

        A removal is taken for a replacement by a token that changes as much as the average does,
        and a move for one that changes nothing.
        """
        state, width = draft.state, len(self.allowed)
        here = [0.0] * len(state)
        if swap is not None:
            standing = to_device(torch.tensor(state)[:, None], swap.device)
            here = swap.gather(1, standing).squeeze(1).tolist()
        beside = likely.gather(1, to_device(torch.tensor(state)[:, None], likely.device)).squeeze(1)
        sure = beside.tolist()
        total = sum(sure)
        tried = dict.fromkeys(moved(state, REACH), Guess(-total / len(state), 0.0))
        for place in range(len(state) if len(state) > 1 else 0):
            left = total - sure[place]
            tried.setdefault(removed(state, place), Guess(-left / (len(state) - 1), -here[place]))
        kinds = [(replaced, self._swap_scores(draft, likely, swap), swap)]
        if draft.grows:
            kinds.append((inserted, self._insertion_scores(draft, likely, insertion), insertion))
        for edit, scores, change in kinds:
            cells = top_cells(scores, reads * draft.count + draft.known.count)
            cells = cells[cells >= 0]
            told = torch.zeros(len(cells)) if change is None else change.flatten()[cells]
            new = likely.flatten()[cells]
            found = zip(cells.tolist(), told.tolist(), new.tolist(), strict=True)
            fresh = 0
            for cell, predicted, likelihood in found:
                place, token = divmod(cell, width)
                after = edit(state, place, token)
                if after in draft.known or fresh == reads * draft.count:
                    continue
                fresh += 1
                gone, changed = (sure[place], here[place]) if edit is replaced else (0.0, 0.0)
                loss = -(total - gone + likelihood) / len(after)
                tried.setdefault(after, Guess(loss, predicted - changed))
        return {each: guess for each, guess in tried.items() if each not in draft.known}

    def _fresh(
        self, draft: Draft, cells: Tensor, edit: Callable[[State, int, int], State]
    ) -> list[State]:
        """Edits of a draft that were not scored before, some more than are wanted."""
        width = len(self.allowed)
        found = (edit(draft.state, *divmod(cell, width)) for cell in cells.tolist() if cell >= 0)
        return [*islice((s for s in found if s not in draft.known), SPARE * draft.count)]

    def _swap_scores(self, draft: Draft, likely: Tensor, change: Tensor | None) -> Tensor:
        """Predicted gain of every replacement, shape (L, V); higher is better."""
        standing = to_device(torch.tensor(draft.state)[:, None], likely.device)
        scores = likely / len(draft.state) if self.averaged else likely
        if change is not None:
            scores = scores - self.weight * change
        scores = scores - scores.gather(1, standing)
        return scores.masked_fill(~self.allowed, -torch.inf).scatter(1, standing, -torch.inf)

    def _insertion_scores(self, draft: Draft, likely: Tensor, change: Tensor | None) -> Tensor:
        """Predicted gain of every insertion, shape (L, V), up to one constant."""
        scores = likely / (len(draft.state) + 1) if self.averaged else likely
        if change is not None:
            scores = scores - self.weight * change
        return scores.masked_fill(~self.allowed, -torch.inf)

    def _swap_changes(self, drafts: Sequence[Draft]) -> Sequence[Tensor | None]:
        """Predicted change of the other terms by each replacement, shape (L, V) a draft."""
        if not self.weight:
            return [None] * len(drafts)
        samples = []
        for group, draft in enumerate(drafts):
            slots = range(len(draft.state))
            samples += self._samples(draft.state, group, slots, self.samples, RESAMPLE, draft)
        places = [(n, slot) for n, draft in enumerate(drafts) for slot in range(len(draft.state))]
        return self._changes(drafts, samples, [draft.owner for draft in drafts], places)

    def _insertion_changes(self, drafts: Sequence[Draft]) -> Sequence[Tensor | None]:
        """Predicted change of the other terms by each insertion, shape (L, V) a draft."""
        if not self.weight:
            return [None] * len(drafts)
        # A few at each gap are as many in all as for the replacements, and more.
        few = ceil(self.samples / 8)
        samples: list[Sample] = []
        owners: list[int] = []
        places: list[tuple[int, int]] = []
        for draft in drafts:
            for slot in range(len(draft.state)):
                longer = inserted(draft.state, slot, int(self.admission.allowed_ids[0]))
                samples += self._samples(longer, len(owners), [slot], few, 1.0, draft)
                places.append((len(owners), slot))
                owners.append(draft.owner)
        return self._changes(drafts, samples, owners, places)

    def _samples(
        self,
        state: State,
        group: int,
        slots: Sequence[int],
        count: int,
        rate: float,
        draft: Draft,
    ) -> list[Sample]:
        ids = self.admission.allowed_ids
        return resample(state, group, slots, count, rate, ids, draft.generator)

    def _changes(
        self,
        drafts: Sequence[Draft],
        samples: Sequence[Sample],
        owners: Sequence[int],
        places: Sequence[tuple[int, int]],
    ) -> Sequence[Tensor]:
        heads = smoothed_gradient(self.objective, samples, owners, self.predicted)
        change = predicted_change(heads, places, self.allowed)
        return torch.split(change, [len(draft.state) for draft in drafts])


def _shared(
    count: int, removals: list[State], swaps: list[State], insertions: list[State]
) -> list[State]:
    """``count`` distinct edits of all kinds; where one kind has too few, others have more.

    >>> _shared(6, [(1,)], [(2,), (3,), (4,), (5,)], [(6,), (7,), (8,), (9,)])
    [(1,), (6,), (7,), (8,), (9,), (2,)]
    """
    first = [*removals[: count // 3], *insertions[: round(INSERTED * count)]]
    return [*dict.fromkeys([*first, *swaps, *insertions])][:count]
