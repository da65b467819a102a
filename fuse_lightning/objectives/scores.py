"""Exact losses of prompts, remembered by target, state and example."""

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from fuse_lightning.data.targets import Target
from fuse_lightning.engine.devices import to_device
from fuse_lightning.errors import FuseError
from fuse_lightning.objectives.example_scores import ExampleScores
from fuse_lightning.objectives.memory import LossMemory
from fuse_lightning.objectives.prompts import Prompts, State
from fuse_lightning.objectives.reading import mean_of
from fuse_lightning.objectives.row_values import item_losses, row_values
from fuse_lightning.objectives.term import Term
from fuse_lightning.utilities.evaluations import Evaluations
from fuse_lightning.utilities.processes import Team


class Scores:
    """Exact losses of prompts under some terms, each computed once.

    Args:
        terms: The terms.
    """

    def __init__(self, terms: Sequence[Term]) -> None:
        self.terms = terms
        self.memory = LossMemory()
        """Losses of terms without examples, by number of the target and state."""
        self.by_example = [ExampleScores(term) for term in terms]
        """Losses of each other term for single examples."""
        self.evaluations: Sequence[Evaluations] = ()
        """Takes the number of evaluations of each target of the batch; empty to count none."""
        self.team = Team()
        """Processes that compute losses and gradients together."""
        self._numbers: list[tuple[Target, int]] = []
        self._count = itertools.count()

    def set_targets(self, targets: Sequence[Target]) -> None:
        """Drops the losses of targets that have left the batch, and counts no evaluations."""
        self.evaluations = ()
        known = {id(target): number for target, number in self._numbers}
        # The target itself is kept with its number: no other object can take its identity.
        self._numbers = [
            (target, known[id(target)] if id(target) in known else next(self._count))
            for target in targets
        ]
        staying = {number for _, number in self._numbers}
        for memory in (self.memory, *(each.memory for each in self.by_example)):
            memory.forget(lambda key: key[0] not in staying)

    def forget(self) -> None:
        """Drops all losses."""
        for memory in (self.memory, *(each.memory for each in self.by_example)):
            memory.clear()

    @torch.no_grad()
    def losses(
        self,
        prompts: Prompts,
        examples: Sequence[Sequence[int]] | None = None,
        *,
        again: bool = False,
    ) -> Tensor:
        """Unweighted losses of every term, by which prompts are selected.

        A text that is longer than a term's model reads has infinite loss. What is known of a
        batch's targets is not computed again.

        Args:
            prompts: N prompts.
            examples: Numbers of the examples that count for each prompt, where its target has
                some; by default those of the step. Its loss is the mean over them.
            again: Compute all of them, also known ones.

        Returns:
            Shape (N, terms), float32 on the CPU; lower is better.

        Raises:
            FuseError: If a number is below 0, or a target has none of the examples.
        """
        if all(term.examples is None for term in self.terms):
            self._evaluated(prompts, None, again=again)
        losses = self.plain(prompts, again=again)
        for column, term in enumerate(self.terms):
            if term.examples is not None:
                losses[:, column] = self._over_examples(column, prompts, examples, again)
        return losses

    @torch.no_grad()
    def plain(self, prompts: Prompts, *, again: bool = False) -> Tensor:
        """Losses of the terms without examples, and 0 for the others, shape (N, terms)."""
        keys = self.keys(prompts)
        losses = torch.zeros(len(keys), len(self.terms))
        plain = [column for column, term in enumerate(self.terms) if term.examples is None]
        if plain:
            known, values = self.memory.recall([] if again else keys)
            if known:
                losses[torch.tensor(known)[:, None], torch.tensor(plain)] = values
            if fresh := sorted({*range(len(keys))}.difference(known)):
                mine = fresh[self.team.share(len(fresh))]
                part = self._matrix(plain, prompts.select(mine)) if mine else losses[:0, plain]
                found = torch.cat(self.team.gather(part))
                losses[torch.tensor(fresh)[:, None], torch.tensor(plain)] = found
                self.memory.keep([keys[row] for row in fresh], found)
        return losses

    def term_matrix(self, prompts: Prompts) -> Tensor:
        """Losses of every term, all newly computed, shape (N, terms)."""
        return self._matrix(range(len(self.terms)), prompts)

    def _matrix(self, columns: Sequence[int], prompts: Prompts) -> Tensor:
        device = self.terms[0].model.device
        terms = [self.terms[column] for column in columns]
        found = [to_device(self.term_losses(term, prompts), device) for term in terms]
        # Read once, when all of it is under way.
        return torch.stack(found, dim=1).cpu()

    def _over_examples(
        self,
        column: int,
        prompts: Prompts,
        examples: Sequence[Sequence[int]] | None,
        again: bool,
    ) -> Tensor:
        """Mean losses of one term over examples, with unknown ones computed, shape (N,)."""
        term = self.terms[column]
        if examples is None:
            by_owner = {owner: term.numbers(owner) for owner in {*prompts.owners}}
            chosen = [by_owner[owner] for owner in prompts.owners]
        else:
            known: dict[tuple[int, ...], Sequence[int]] = {}
            pairs = zip(prompts.owners, examples, strict=True)
            asked = [(owner, *map(int, some)) for owner, some in pairs]
            for owner, *some in {*asked}:
                known[owner, *some] = self.check_examples(term, owner, some)
            chosen = [known[some] for some in asked]
        found = self.example_losses(column, prompts, chosen, again=again)
        sizes = torch.tensor([len(some) for some in chosen], dtype=torch.long)
        return mean_of(found, torch.arange(len(chosen)).repeat_interleave(sizes), len(chosen))

    def example_losses(
        self,
        column: int,
        prompts: Prompts,
        examples: Sequence[Sequence[int]],
        *,
        again: bool = False,
    ) -> Tensor:
        """Losses of one term for single examples, see :meth:`ExampleScores.losses`."""
        # All terms together evaluate a prompt once.
        first = all(other.examples is None for other in self.terms[:column])
        self._evaluated(prompts, examples, again=again and first)
        scores = self.by_example[column]
        return scores.losses(self.keys(prompts), prompts, examples, again=again)

    def _evaluated(
        self, prompts: Prompts, examples: Sequence[Sequence[int]] | None, *, again: bool
    ) -> None:
        """Counts the evaluations of the targets, by prompts and their examples, if any."""
        if not self.evaluations:
            return
        for row, (owner, state) in enumerate(zip(prompts.owners, prompts.states, strict=True)):
            asked = (0,) if examples is None else examples[row]
            self.evaluations[owner].add(state, asked, again=again)

    def check_examples(self, term: Term, owner: int, examples: Sequence[int]) -> Sequence[int]:
        """Those of the examples that a target has, at least one.

        Raises:
            FuseError: If there is none, whose mean would be the best of all losses.
        """
        count = (term.examples or [])[owner]
        asked = [int(number) for number in examples]
        if min(asked, default=0) < 0:
            raise FuseError(f"examples of {term.name} are {asked}; give numbers of 0 or more")
        if found := [number for number in asked if number < count]:
            return found
        which = f" numbered {asked}" if count else ""
        name = f" {self._numbers[owner][0].id!r}" if owner < len(self._numbers) else ""
        raise FuseError(
            f"target{name} has {count} examples for {term.name}, none{which}; give it some"
            + (", or ask for others" if count else "")
        )

    def keys(self, prompts: Prompts) -> list[tuple[int, State]]:
        """Names of prompts under which their losses are remembered."""
        # An objective that needs no targets may have none.
        numbers = {place: number for place, (_, number) in enumerate(self._numbers)}
        pairs = zip(prompts.owners, prompts.states, strict=True)
        return [(numbers.get(owner, -1), state) for owner, state in pairs]

    def unknown(self, prompts: Prompts) -> list[int]:
        """Indices of prompts without remembered losses."""
        known, _ = self.memory.recall(self.keys(prompts))
        return sorted({*range(len(prompts.states))}.difference(known))

    def remember(self, prompts: Prompts, losses: Tensor) -> None:
        """Stores losses that were computed elsewhere, shape (N, terms)."""
        plain = [column for column, term in enumerate(self.terms) if term.examples is None]
        self.memory.keep(self.keys(prompts), losses[:, plain])

    def remember_items(
        self,
        column: int,
        prompts: Prompts,
        pairs: Tensor,
        exact: Tensor,
        items: Tensor,
        correct: Tensor | None,
    ) -> None:
        """Stores losses and answers of a term for examples, which were computed elsewhere.

        Args:
            column: Number of the term.
            prompts: N prompts.
            pairs: Pairs of a prompt and an example, shape (M, 2).
            exact: For which prompts they are those of the text, shape (N,).
            items: Losses of the pairs, shape (M,).
            correct: Whether the answers are right, shape (M,); ``None`` for no answers.
        """
        keys = self.keys(prompts)
        rows = exact[pairs[:, 0]].nonzero().squeeze(1)
        cells = [(*keys[number], example) for number, example in pairs[rows].tolist()]
        right = None if correct is None else correct.cpu()[rows]
        self.by_example[column].keep(cells, items.cpu()[rows], right)

    @torch.no_grad()
    def term_losses(self, term: Term, prompts: Prompts) -> Tensor:
        """Unweighted losses of one term, shape (N,), float32 on the device of its model."""
        # Different ids can spell one text; a text is scored once for each target.
        first: dict[tuple[object, int], int] = {}
        of: list[object] = list(prompts.states if term.row_readers[0].own else prompts.texts)
        places = [first.setdefault(key, len(first)) for key in zip(of, prompts.owners, strict=True)]
        keep: dict[int, int] = {}
        for row, place in enumerate(places):
            keep.setdefault(place, row)
        if not keep:
            return torch.empty(0, device=term.model.device)
        pairs, losses = self.term_items(term, prompts.select(list(keep.values())))
        if term.examples is not None:
            losses = mean_of(losses, pairs[:, 0], len(keep))
        return losses[to_device(torch.tensor(places), losses.device)]

    @torch.no_grad()
    def term_items(
        self, term: Term, prompts: Prompts, examples: Sequence[Sequence[int]] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Losses of one term for each prompt and example, by which prompts are selected.

        Args:
            term: The term.
            prompts: N prompts.
            examples: Numbers of the examples of each of them; by default all.

        Returns:
            M pairs of a prompt and an example, shape (M, 2), on the CPU, and their losses, shape
            (M,), float32 on the device of the term's model.
        """
        reading = term.read(prompts, examples)
        values = row_values(term, reading, term.score)
        return reading.pairs, item_losses(term, reading, values)


@contextmanager
def together(scores: Scores, team: Team) -> Iterator[None]:
    """Lets processes share out what is asked of scores; all of them must ask for the same."""
    try:
        scores.team = team
        for each in scores.by_example:
            each.team = team
        yield
    finally:
        scores.team = Team()
        for each in scores.by_example:
            each.team = Team()
