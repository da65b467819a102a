"""Demonstrations: a search for the train examples that a prompt shows, and their order."""

import random
from collections.abc import Sequence

import torch

from fuse_lightning.data import Target
from fuse_lightning.errors import FuseError
from fuse_lightning.objectives import Classification, State, Term
from fuse_lightning.optimizers.base import PromptOptimizer
from fuse_lightning.optimizers.constraints import Constraints
from fuse_lightning.optimizers.demonstration_moves import Composition
from fuse_lightning.optimizers.demonstration_pool import (
    ChoiceApart,
    Pool,
    build_pool,
    divided,
    pool_size,
)
from fuse_lightning.optimizers.demonstration_writer import (
    TRIES,
    DemonstrationWriter,
    instruction_texts,
)
from fuse_lightning.optimizers.racing import Racing
from fuse_lightning.search import TargetSearch
from fuse_lightning.utilities.identity import Identity


class Demonstrations(PromptOptimizer):
    """Demonstrations optimizer: which train examples a prompt shows, and in which order.

    A prompt is an instruction, if there is one, and ``count`` train examples with their labels, as
    the layout of the first ``Classification`` writes them. A step changes one part of a prompt: one
    demonstration becomes another train example, two change places, the instruction becomes another
    one, or all demonstrations are drawn anew, of all classes alike. Each changed prompt is scored
    together with the prompt as it is. MIPRO (arXiv 2406.11695) shows that the choice of
    demonstrations often matters more than the instruction; arXiv 2104.08786, that the order does.

    An example that stands in a prompt is an easy question for that prompt. So the train examples
    are divided by the seed, each class alike: those of the pool are shown, all others score the
    steps, and no example does both. A loss without the shown examples would be no fair measure, as
    a prompt that shows the hardest examples would have the lowest. The best prompts meet ``select``
    examples, as in any other search.

    A prompt that leaves a model no room for the longest example loses its first demonstrations.
    ``block`` and ``allow`` of the constraints hold for the whole prompt, and ``tokens`` does not
    matter: a demonstration is a text of the data, with any characters.

    Args:
        terms: The objective, with a ``Classification``; the model of the first term is the primary,
            its ids are the state.
        count: Demonstrations in a prompt.
        instructions: Texts before the demonstrations to choose among, together with them; ``""`` is
            none. ``None`` for ``initial_prompt`` alone.
        initial_prompt: Instruction to start from.
        separator: Text between the instruction and the demonstrations, and between two of these.
        pool: Train examples that may be shown; ``None`` for half of them, or ``count`` if more.
        batch_size: Candidates scored for each state.
        steps: Most steps for each target.
        constraints: Constraints on prompts.
        patience: End a target after so many steps without a better prompt; ``None`` for never.
        stop_loss: End a target once its objective is at most this; ``None`` for never.
        max_evaluations: Budget of a target: pairs of a prompt and an example that are scored.
        max_tokens: Budget of positions that models read; targets of a batch share a step's alike.
        max_seconds: Budget of wall time, shared alike too.
        max_flops: Budget of the models' floating-point operations, shared alike too.
        top: Prompts reported for each target, best first.
        seed: Seed of the search; each target has a random stream of its own.
        max_batch_tokens: Most token positions in one forward; fewer where memory runs out.
        examples_per_step: Examples of each target that a step reads, the same for all its
            candidates; ``None`` for all that are not in the pool.
        racing: Settings of the choice of the best prompts.

    Raises:
        FuseError: If an option is out of its range, or no term is a ``Classification``.
    """

    # What the next step draws may have room.
    persists = True

    def __init__(
        self,
        terms: list[Term],
        count: int = 4,
        instructions: list[str] | None = None,
        initial_prompt: str = "",
        separator: str = "\n",
        pool: int | None = None,
        batch_size: int = 16,
        steps: int = 50,
        constraints: Constraints | None = None,
        patience: int | None = None,
        stop_loss: float | None = None,
        max_evaluations: int | None = None,
        max_tokens: int | None = None,
        max_seconds: float | None = None,
        max_flops: float | None = None,
        top: int = 1,
        seed: int = 0,
        max_batch_tokens: int = 8192,
        examples_per_step: int | None = None,
        racing: Racing | None = None,
    ) -> None:
        super().__init__(
            terms,
            steps=steps,
            initial_prompt=initial_prompt,
            constraints=constraints or Constraints("any"),
            patience=patience,
            stop_loss=stop_loss,
            max_evaluations=max_evaluations,
            max_tokens=max_tokens,
            max_seconds=max_seconds,
            max_flops=max_flops,
            top=top,
            seed=seed,
            max_batch_tokens=max_batch_tokens,
            examples_per_step=examples_per_step,
            racing=racing,
        )
        for name, value in (("count", count), ("batch_size", batch_size), ("pool", pool)):
            if value is not None and value < 1:
                raise FuseError(f"{name} is {value}; it must be at least 1")
        if not any(isinstance(term, Classification) for term in terms):
            raise FuseError(
                "Demonstrations shows labelled examples, but no term is a Classification; give one"
            )
        self.count = count
        self.instructions = instruction_texts(instructions, initial_prompt)
        self.separator = separator
        self.pool = pool
        self.batch_size = batch_size
        self._pools: dict[str, tuple[Target, Pool]] = {}
        self.choice = ChoiceApart(
            self.objective, self.racing, top, seed, examples_per_step, self._pools
        )

    @property
    def shower(self) -> Classification:
        """The term that says how an example is shown."""
        return next(term for term in self.objective.terms if isinstance(term, Classification))

    def load(self, device: torch.device | str = "cpu") -> None:
        """Loads the models, and checks the texts between and before demonstrations."""
        super().load(device)
        self.admission.allow_texts()
        self.writer = DemonstrationWriter(
            self.objective, self.admission, self.instructions, self.separator, self.count
        )
        self.writer.check()

    def own_identity(self, *, content: bool) -> Identity:
        """Identity of the objective, of the constraints, and of what a prompt is made of."""
        return super().own_identity(content=content) | {
            "instructions": repr(self.instructions),
            "separator": repr(self.separator),
            "count": str(self.count),
            "pool": str(self.pool),
        }

    def set_targets(self, targets: Sequence[Target]) -> None:
        """Gives the targets to the objective, and divides their train examples.

        Raises:
            FuseError: If there are too few of them, or too few that can be shown.
        """
        known = dict(self._pools)
        self._pools.clear()
        super().set_targets(targets)
        for owner, target in enumerate(targets):
            before = known.get(target.id)
            pool = before[1] if before and before[0] is target else self._new_pool(owner, target)
            self._pools[target.id] = target, pool
        self.choice.draw(targets, [0] * len(targets))

    def _new_pool(self, owner: int, target: Target) -> Pool:
        size = pool_size(target, self.pool, self.count)
        labels = [str(example["label"]) for example in target.examples]
        parts = divided(labels, size, self.seed, target.id)
        first = self.instructions[0]
        before = f"{first}{self.separator}" if first else ""
        pool = build_pool(self.objective, self.admission, self.shower, owner, parts, target, before)
        if len(pool.shown) < self.count:
            raise FuseError(
                f"count is {self.count}, but only {len(pool.shown)} of the {size} train examples "
                f"in the pool of target {target.id!r} can be shown: the constraints forbid the "
                "others, or they leave no room for the longest example; lower count"
            )
        return pool

    # Starts

    def scores_start(self) -> bool:
        """The start is a candidate too."""
        return True

    def start_states(self, places: Sequence[int]) -> list[list[State]]:
        """Random draw of demonstrations of each target, of all classes alike."""
        return [[self.initial_state(place)] for place in places]

    def initial_state(self, target: int) -> State:
        """Random draw of demonstrations, of all classes alike, behind the first instruction.

        Raises:
            FuseError: If no draw gives a prompt.
        """
        rng, pool = self._random(target), self._pool(target)
        for _ in range(TRIES):
            found = self.writer.read(target, pool, [self.writer.fresh(pool, rng)])
            if found:
                self.searches[target].own["made"] = _plain(found)
                return next(iter(found))
        raise FuseError(
            f"no demonstrations of target {self.targets[target].id!r} were found that read back as "
            "the same and that the constraints admit; relax constraints"
        )

    def take_back(self, search: TargetSearch[State]) -> None:
        """Checks what the prompts of a checkpoint are made of.

        Raises:
            LookupError, TypeError, ValueError: If it is not what this optimizer keeps.
        """
        for state, parts in search.own["made"].items():
            self.check_state(state)
            instruction, *numbers = parts
            if not all(type(number) is int for number in parts):
                raise TypeError("a part of a prompt is no number")
            if not 0 <= instruction < len(self.instructions):
                raise ValueError("a prompt has another instruction")
            if search.name in self._pools and not self._pools[search.name][1].shown.keys() >= {
                *numbers
            }:
                raise ValueError("a prompt shows another example")

    # Candidates

    def propose(self, states: list[list[State]]) -> list[list[State]]:
        """Changed prompts of each target, and the prompts themselves."""
        return [
            self._candidates(place, found) if found else [] for place, found in enumerate(states)
        ]

    def _candidates(self, place: int, states: Sequence[State]) -> list[State]:
        search, rng, pool = self.searches[place], self._random(place), self._pool(place)
        waiting = (state for _, state in self.frontier.frontiers[place])
        kept = {
            state: Composition(parts[0], tuple(parts[1:]))
            for state in dict.fromkeys([*states, *waiting])
            if (parts := search.own["made"].get(state))
        }
        new: dict[State, Composition] = {}
        for state in states:
            known = {*kept.values(), *new.values()}
            drawn = self.writer.drawn(pool, kept.get(state), known, self.batch_size, rng)
            found = self.writer.read(place, pool, drawn)
            new |= {each: made for each, made in found.items() if each not in kept | new}
        search.own["made"] = _plain(kept | new)
        return [*dict.fromkeys([*states, *new])]

    def _pool(self, place: int) -> Pool:
        return self._pools[self.targets[place].id][1]

    def _random(self, place: int) -> random.Random:
        generator = self.searches[place].generator
        return random.Random(int(torch.randint(2**62, (), generator=generator)))


def _plain(made: dict[State, Composition]) -> dict[State, tuple[int, ...]]:
    """Compositions as plain tuples, which a checkpoint holds."""
    return {state: (each.instruction, *each.numbers) for state, each in made.items()}
