"""Start instructions of GReaTer: texts that are tried before the first step."""

from __future__ import annotations

from collections.abc import Sequence

from fuse_lightning.errors import FuseError
from fuse_lightning.evaluation.reasoning_stock import STOCK
from fuse_lightning.objectives import Objective, State
from fuse_lightning.optimizers.admission import Admission

OWN = tuple(text for text in STOCK if "{labels}" not in text)
"""The package's own instructions, of which none names a task or a label."""


class Starts:
    """Start instructions as prompts: all that a user gives, and the package's own that can be.

    Args:
        given: Instructions of the user; ``None`` for the package's own.
        most: Most tokens of a prompt; ``None`` for what the models read.
    """

    def __init__(self, given: Sequence[str] | None, most: int | None) -> None:
        self.given = given
        self.most = most
        for text in given or ():
            if not isinstance(text, str) or not text.strip():
                raise FuseError(f"starts holds {text!r:.60}, which is no instruction; give texts")

    def states(
        self, objective: Objective, admission: Admission, places: Sequence[int]
    ) -> list[State]:
        """Prompts to try, each once.

        Args:
            objective: The objective, which has targets.
            admission: Which texts may be prompts.
            places: Places of the targets that they are tried for.

        Raises:
            FuseError: If an instruction of the user can be no prompt, or is too long.
        """
        texts = OWN if self.given is None else self.given
        found: dict[State, None] = {}
        for text in texts:
            states = admission.texts([text])
            try:
                self._check(text, states, objective, places)
            except FuseError:
                # A user can do nothing about the package's own.
                if self.given is not None:
                    raise
            else:
                found |= dict.fromkeys(states)
        return [*found]

    def _check(
        self, text: str, states: Sequence[State], objective: Objective, places: Sequence[int]
    ) -> None:
        """Checks that an instruction can be a prompt.

        Raises:
            FuseError: If it cannot.
        """
        if not states:
            raise FuseError(
                f"starts holds {text!r:.60}, which the constraints forbid or the model reads back "
                "as other ids; leave it out, or change it or the constraints"
            )
        what = f"{text!r:.60} of starts"
        for state in states:
            self.check_length(what, state)
            objective.check_length(objective.prompts([state] * len(places), places), what)

    def check_length(self, what: str, state: State) -> None:
        """Checks a prompt against the most tokens of one.

        Raises:
            FuseError: If it is longer; ``what`` says which prompt it is.
        """
        if self.most is not None and len(state) > self.most:
            raise FuseError(
                f"{what} has {len(state)} tokens, but max_length is {self.most}; shorten it, or "
                "raise max_length"
            )
