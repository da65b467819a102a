"""Writer of prompts of demonstrations: from compositions to ids."""

import random
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from fuse_lightning.errors import FuseError
from fuse_lightning.evaluation.drawn_examples import balanced_draw
from fuse_lightning.objectives import Objective, State
from fuse_lightning.optimizers.admission import Admission
from fuse_lightning.optimizers.demonstration_moves import Composition, changed
from fuse_lightning.optimizers.demonstration_pool import Pool, without_room

TRIES = 8
"""Compositions drawn for each wanted one, as some are known, and some give no prompt."""


class DemonstrationWriter:
    """Writer of prompts that show examples behind an instruction.

    Args:
        objective: Its primary spells and reads prompts.
        admission: Which prompts may stand.
        instructions: The instructions to choose among.
        separator: Text between the parts of a prompt.
        count: Demonstrations in a prompt.
    """

    def __init__(
        self,
        objective: Objective,
        admission: Admission,
        instructions: Sequence[str],
        separator: str,
        count: int,
    ) -> None:
        self.objective = objective
        self.admission = admission
        self.instructions = instructions
        self.separator = separator
        self.count = count

    def check(self) -> None:
        """Checks the texts between and before demonstrations.

        Raises:
            FuseError: If the primary has no tokens for one, or the constraints forbid it.
        """
        model = self.objective.primary.model_id
        if self.admission.holds_forbidden(self.objective.encode_prompt(f"a{self.separator}a")):
            raise FuseError(
                f"separator is {self.separator!r}, for which {model!r} has no token; give another "
                "one, such as ' '"
            )
        for text in filter(None, self.instructions):
            state = self.objective.encode_prompt(text)
            admitted = self.admission.constraints.admits(text)
            if not admitted or self.admission.holds_forbidden(state):
                raise FuseError(
                    f"the instruction {text!r:.60} holds what the constraints forbid, or what "
                    f"{model!r} has no token for; change it"
                )

    def fresh(self, pool: Pool, rng: random.Random) -> Composition:
        """Random demonstrations of all classes alike, behind the first instruction."""
        return Composition(0, tuple(balanced_draw(pool.groups, self.count, rng)))

    def drawn(
        self,
        pool: Pool,
        made: Composition | None,
        known: Collection[Composition],
        size: int,
        rng: random.Random,
    ) -> list[Composition]:
        """Random compositions, each once, at most ``size``; fewer where few are left.

        Args:
            pool: The examples that may be shown.
            made: The composition that they change one part of; ``None`` for fresh draws.
            known: Compositions that are none of them.
            size: How many are wanted.
            rng: The random stream.
        """
        drawn: dict[Composition, None] = {}
        for _ in range(TRIES * size):
            if len(drawn) == size:
                break
            each = (
                changed(made, pool.groups, self.count, len(self.instructions), rng)
                if made
                else self.fresh(pool, rng)
            )
            if each not in known:
                drawn[each] = None
        return [*drawn]

    def read(
        self, owner: int, pool: Pool, drawn: Sequence[Composition]
    ) -> dict[State, Composition]:
        """Admitted prompts of some compositions, and what they are made of.

        A prompt that leaves no room for the longest example loses its first demonstrations.

        Args:
            owner: Place of the target in the batch.
            pool: The examples that may be shown.
            drawn: The compositions.
        """
        left = [*drawn]
        found: dict[State, Composition] = {}
        while left:
            states = self._encoded([self.text(pool, made) for made in left])
            prompts = self.objective.prompts(states, [owner] * len(states))
            long = without_room(self.objective, prompts, pool.longest)
            fit = [state for row, state in enumerate(states) if row not in long]
            (admitted,) = self.admission.first([fit], [owner], len(fit))
            of = dict(zip(states[::-1], left[::-1], strict=True))
            found = {state: of[state] for state in admitted} | found
            left = [
                Composition(made.instruction, made.numbers[1:])
                for row, made in enumerate(left)
                if row in long and len(made.numbers) > 1
            ]
        return found

    def text(self, pool: Pool, made: Composition) -> str:
        """Text of a composition."""
        instruction = self.instructions[made.instruction]
        shown = [pool.shown[number] for number in made.numbers]
        return self.separator.join([instruction, *shown] if instruction else shown)

    def _encoded(self, texts: Sequence[str]) -> list[State]:
        """Texts as the primary reads them back, which may spell some characters otherwise."""
        states = self.objective.encode_prompts(texts)
        prompts = self.objective.prompts(states, [0] * len(states))
        other = [row for row, same in enumerate(prompts.canonical) if not same]
        again = self.objective.encode_prompts([prompts.texts[row] for row in other])
        for row, state in zip(other, again, strict=True):
            states[row] = state
        return states


def instruction_texts(given: Iterable[Any] | None, initial: str) -> list[str]:
    """Instructions to choose among, the one to start from first.

    >>> instruction_texts(["", "Judge."], "Read this.")
    ['Read this.', '', 'Judge.']
    >>> instruction_texts(None, "")
    ['']

    Raises:
        FuseError: If they are no list of texts, or an empty one.
    """
    if given is None:
        return [initial.strip()]
    if isinstance(given, str) or not (found := [*given]):
        raise FuseError(f"instructions is {given!r}; give a list of at least one text")
    if wrong := [text for text in found if not isinstance(text, str)]:
        raise FuseError(f"instructions holds {wrong[0]!r}, which is no text; put it in quotes")
    texts = [text.strip() for text in found]
    return [*dict.fromkeys([initial.strip(), *texts] if initial.strip() else texts)]
