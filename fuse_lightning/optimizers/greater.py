"""GReaTer: instructions from gradients over reasoning (arXiv 2412.09722)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from fuse_lightning.errors import FuseError
from fuse_lightning.objectives import Reasoning, State, Term
from fuse_lightning.optimizers.greater_acceptance import Acceptance, check_begun
from fuse_lightning.optimizers.greater_options import GreaterOptions, Preset, RankBy
from fuse_lightning.optimizers.greater_positions import Positions, Slot
from fuse_lightning.optimizers.greater_progress import ProgressiveSearch, check_progress, note_tried
from fuse_lightning.optimizers.greater_proposals import Proposer
from fuse_lightning.optimizers.greater_starts import Starts
from fuse_lightning.optimizers.screen import best_screened
from fuse_lightning.search import Scored, TargetSearch

SAMPLES = 8
"""Usual number of prompts that a gradient is averaged over."""
PLACES = "places"
"""Name of the positions at which the prompts of a target are changed next."""


class GReaTer(ProgressiveSearch):
    """GReaTer optimizer: one position after another, by gradients over chains of reasoning.

    A step takes one position of the prompt. The candidates for it are tokens that the model itself
    finds likely there behind several questions. The gradient of the answers' loss over the
    incumbent's chains shortens the list. What is left is scored with chains of its own (GReaTer,
    arXiv 2412.09722). Behind the last position the prompt grows, until it ends a sentence; then
    the first position is next. Beams and other frontiers keep a position for each prompt.

    Beyond the paper the prompt as it is competes, gradients are averaged over random tokens, the
    gradient's own favourites are candidates too, a screen without decoding may come first, and
    a list of stock instructions is tried at the start. Each can be turned off.

    Args:
        terms: The objective, first a ``Reasoning`` term, whose model is the primary.
        steps: Most steps for each target.
        preset: "paper" or "code" for the published values of the options from ``top_k`` to
            ``max_length`` and of ``starts`` and ``gradient_samples``; ``None`` for the package's
            own.
        top_k: See :class:`GreaterOptions`, also for the next ones.
        intersect: Questions whose lists of likely tokens are intersected.
        pools: Such intersections, which are united.
        least: Least number of candidates before the gradient shortens the list.
        gradient_pool: Tokens that the gradient favours, as further candidates.
        gradient_among: How many of the likeliest tokens these are taken from.
        rank_by: "gradient", "likelihood" or "random".
        label_part: Whether predicted likelihoods count tokens as expected ones, too.
        residual_damping: Share of the gradient that flows through residual branches.
        screen: Candidates that are compared over the incumbent's chains first; 0 for none.
        screen_examples: Examples of a step that the screen reads.
        shortlist: Candidates that are scored with chains of their own.
        verify: Whether these chains decide.
        keep_incumbent: Whether the prompt as it is competes.
        anneal: Whether a worse candidate may take its place, less and less often.
        force_ends: Whether a candidate that ends a sentence is taken whatever its loss.
        max_length: Most tokens of a prompt.
        grow: Whether a prompt that ends no sentence grows.
        ends: Characters that end a sentence.
        starts: Instructions that are scored at the start beside ``initial_prompt``; the best begin.
            ``None`` for the package's own that the constraints and the models allow, of which none
            names a task, and for none with a preset.
        progressive: Train questions that the first steps read, the first ones; as many are added
            once a prompt answers all of them right, or is settled. ``None`` for all from the start.
        settled: End a target once each position was tried so many times and no prompt has changed;
            ``None`` for never. It does not count where steps read minibatches.
        initial_prompt: Text to start from.
        gradient_samples: Prompts with a random token at the position that the gradient is averaged
            over; 0 takes the gradient at the current token, as published.
        **options: Options of every :class:`PromptOptimizer`; ``gradient_resample`` changes nothing
            here, as gradients are of one position.

    Raises:
        FuseError: If an option is out of its range or contradicts another one, or the first term is
            no ``Reasoning``.
    """

    persists = True

    def __init__(
        self,
        terms: list[Term],
        steps: int = 105,
        preset: Preset | None = None,
        top_k: int | None = None,
        intersect: int | None = None,
        pools: int | None = None,
        least: int | None = None,
        gradient_pool: int | None = None,
        gradient_among: int | None = None,
        rank_by: RankBy | None = None,
        label_part: bool | None = None,
        residual_damping: float | None = None,
        screen: int | None = None,
        screen_examples: int | None = None,
        shortlist: int | None = None,
        verify: bool | None = None,
        keep_incumbent: bool | None = None,
        anneal: bool | None = None,
        force_ends: bool | None = None,
        max_length: int | None = None,
        grow: bool = True,
        ends: str = ".?!",
        starts: list[str] | None = None,
        progressive: int | None = None,
        settled: int | None = 2,
        initial_prompt: str = "",
        gradient_samples: int | None = None,
        **options: Any,
    ) -> None:
        samples = (
            (SAMPLES if preset is None else 0) if gradient_samples is None else gradient_samples
        )
        super().__init__(
            terms, steps=steps, initial_prompt=initial_prompt, gradient_samples=samples, **options
        )
        given = {
            "top_k": top_k,
            "intersect": intersect,
            "pools": pools,
            "least": least,
            "gradient_pool": gradient_pool,
            "gradient_among": gradient_among,
            "rank_by": rank_by,
            "label_part": label_part,
            "residual_damping": residual_damping,
            "screen": screen,
            "screen_examples": screen_examples,
            "shortlist": shortlist,
            "verify": verify,
            "keep_incumbent": keep_incumbent,
            "anneal": anneal,
            "force_ends": force_ends,
            "max_length": max_length,
        }
        self.preset = preset
        self.choices = GreaterOptions.of(preset, given)
        self.grow = grow
        self.ends = ends
        given_starts = [] if starts is None and preset is not None else starts
        self.starts = Starts(given_starts, self.choices.max_length)
        self.set_progress(progressive, settled)
        first = terms[0] if terms else None
        if not isinstance(first, Reasoning):
            raise FuseError(
                f"GReaTer finds prompts for reasoning, but its first term is "
                f"{type(first).__name__}; put a Reasoning term first"
            )
        self._shortlists: dict[int, dict[Slot, list[State]]] = {}

    def load(self, device: torch.device | str = "cpu") -> None:
        """Loads the models."""
        super().load(device)
        options = self.choices
        self.positions = Positions(
            self.objective.primary.pieces, self.ends, self.grow, options.max_length
        )
        self.proposer = Proposer(self.objective, options, self.allowed, self.gradient_samples)

    # Starts

    def scores_start(self) -> bool:
        """The start prompts are candidates, too."""
        return bool(self.initial_prompt) or self.starts.given != []

    def start_states(self, places: Sequence[int]) -> list[list[State]]:
        """Start prompt of each search, and the instructions that are tried beside it."""
        found = super().start_states(places)
        for states in found:
            self.starts.check_length("the prompt to start from", states[0])
        more = self.starts.states(self.objective, self.admission, places) if places else []
        return [[*dict.fromkeys([*states, *more])] for states in found]

    # Candidates

    def propose(self, states: list[list[State]]) -> list[list[State]]:
        """The shortlist of each prompt, and the prompts themselves where they compete."""
        slots = [
            Slot(state, owner, self._place(owner, state))
            for owner, found in enumerate(states)
            for state in found
        ]
        generators = [self.searches[slot.owner].generator for slot in slots]
        # Devices may round in different ways; positions follow from what the first one chooses.
        ranked = self.team.first(self.proposer.ranked(slots, generators))
        children = [[*map(slot.put, tokens)] for slot, tokens in zip(slots, ranked, strict=True)]
        options = self.choices
        owners = [slot.owner for slot in slots]
        admitted = self.admission.first(children, owners, options.screen or options.shortlist)
        if options.screen:
            admitted = self.team.first(self._screened(slots, admitted))
        self._shortlists = {owner: {} for owner in range(len(states))}
        proposed: list[dict[State, None]] = [{} for _ in states]
        for slot, found in zip(slots, admitted, strict=True):
            own = [slot.state] if options.keep_incumbent and slot.state else []
            proposed[slot.owner].update(dict.fromkeys([*own, *found] if options.verify else found))
            self._shortlists[slot.owner][slot] = found
        for owner, found in enumerate(states):
            if found:
                moved = [slot for slot in slots if slot.owner == owner]
                note_tried(self.searches[owner], [*self.kept(owner), *found], moved)
                self._advance(owner, moved)
        return [[*found] for found in proposed]

    def _place(self, owner: int, state: State) -> int:
        places: dict[State, int] = self.searches[owner].own.get(PLACES, {})
        return min(places.get(state, 0), len(state))

    def _advance(self, owner: int, slots: Sequence[Slot]) -> None:
        """Stores the next positions of a target's prompts and candidates."""
        places = {state: self._place(owner, state) for state in self.kept(owner)}
        for slot in slots:
            after = {slot.state: self.positions.after(slot.state, slot.place)}
            for child in self._shortlists[owner][slot]:
                after.setdefault(child, self.positions.after(child, slot.place))
            places |= after
        self.searches[owner].own[PLACES] = places

    def _screened(self, slots: Sequence[Slot], admitted: list[list[State]]) -> list[list[State]]:
        """The best candidates over the chains of the prompts that they are made of."""
        options = self.choices
        if not options.verify and options.keep_incumbent:
            # The screen alone decides, so that the prompt as it is takes part.
            admitted = [
                [slot.state, *found] if slot.state else found
                for slot, found in zip(slots, admitted, strict=True)
            ]
        parents, owners = [slot.state for slot in slots], [slot.owner for slot in slots]
        most = options.shortlist if options.verify else 1
        return best_screened(
            self.objective, admitted, parents, owners, options.screen_examples, most
        )

    def score(self, proposed: list[list[State]]) -> list[list[Scored[State]]]:
        """Losses of the candidates, as far as the frontier may take them."""
        scored = super().score(proposed)
        lists, self._shortlists = self._shortlists, {}
        rules = Acceptance(self.choices, self.positions, self.limits.steps)
        return [
            rules.taken(search, found, lists.get(owner, {}))
            for owner, (search, found) in enumerate(zip(self.searches, scored, strict=True))
        ]

    def take_back(self, search: TargetSearch[State]) -> None:
        """Checks the positions and the progress of a checkpoint.

        Raises:
            LookupError, TypeError, ValueError: If they are none.
        """
        for state, place in search.own.get(PLACES, {}).items():
            self.check_state(state)
            if type(place) is not int or not 0 <= place <= len(state):
                raise ValueError("a position is none of its prompt")
        check_begun(search)
        check_progress(search, self.check_state)
