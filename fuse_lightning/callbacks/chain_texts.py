"""Texts for TensorBoard: chains for a few questions, at first and with the best prompt."""

from collections.abc import Sequence
from textwrap import wrap

import lightning as L

from fuse_lightning.data import Target
from fuse_lightning.objectives import Objective, Reasoning
from fuse_lightning.objectives.recalled import recalled
from fuse_lightning.objectives.written import Written
from fuse_lightning.search import search_of
from fuse_lightning.utilities.terminal import visible

SHOWN = 4
"""Questions of a target that are shown."""
WIDTH = 100
"""Characters of a line in TensorBoard, which breaks no lines."""


class ChainTexts:
    """Maker of texts of chains, which remembers the first ones of each target.

    Only chains that the search has written anyway are shown.
    """

    def __init__(self) -> None:
        self._first: dict[str, tuple[str, list[Written | None]]] = {}

    def text(self, module: L.LightningModule, place: int) -> str:
        """Chains of a target's first and best prompt; empty where no model reasons.

        Args:
            module: The search.
            place: Place of the target in the batch.
        """
        search = search_of(module)
        objective: object = getattr(module, "objective", None)
        if not isinstance(objective, Objective) or (best := search.best[place]) is None:
            return ""
        term = next((each for each in objective.terms if isinstance(each, Reasoning)), None)
        if term is None:
            return ""
        target = search.targets[place]
        numbers = [*(range(len(target.examples), len(target.seen)) or range(len(target.examples)))]
        numbers = numbers[:SHOWN]
        now = recalled(term, objective.prompts([best.state], [place]), [numbers])
        if target.id not in self._first:
            self._first[target.id] = self._begun(module, objective, term, place, numbers) or (
                best.prompt,
                now,
            )
        prompt, before = self._first[target.id]
        return chain_text(target, numbers, {prompt: before, best.prompt: now})

    def _begun(
        self,
        module: L.LightningModule,
        objective: Objective,
        term: Reasoning,
        place: int,
        numbers: Sequence[int],
    ) -> tuple[str, list[Written | None]] | None:
        """The prompt that the search begins with and its chains, where they are remembered."""
        start: object = getattr(module, "initial_prompt", "")
        if not isinstance(start, str) or not start.strip():
            return None
        states = objective.encode_prompts([start.strip()])
        found = recalled(term, objective.prompts(states, [place]), [numbers])
        return (start.strip(), found) if all(found) else None


def chain_text(
    target: Target, numbers: Sequence[int], told: dict[str, list[Written | None]]
) -> str:
    """Questions of a target with their right answers and the chains of some prompts, as markdown.

    Args:
        target: The target.
        numbers: Numbers of the questions along ``target.seen``.
        told: What was written for them, by the text of the prompt.

    >>> target = Target("sums", examples=[{"question": "1 + 1 ?", "label": "2"}])
    >>> wrote = Written(" 1 and 1 is 2 .", " 2", "2", "2", True, True, True, False)
    >>> print(chain_text(target, [0], {"step by step": [wrote]}))
        1 + 1 ?
        right answer: 2
    <BLANKLINE>
        step by step
          right: 1 and 1 is 2 .
          behind the extractor: 2
    """
    parts = []
    for place, number in enumerate(numbers):
        example = target.seen[number]
        lines = [*_lines(str(example.get("question", ""))), f"right answer: {example['label']}"]
        for prompt, written in told.items():
            if (each := written[place]) is not None:
                word = "right" if each.right_parse else "wrong"
                lines += ["", *_lines(prompt), *_lines(f"{word}: {each.chain.strip()}", "  ")]
                lines += _lines(f"behind the extractor: {each.answer.strip()}", "  ")
        # TensorBoard reads markdown: an indented line is shown as it is.
        parts.append("\n".join(f"    {visible(line)}" if line else "" for line in lines))
    return "\n\n---\n\n".join(parts)


def _lines(text: str, before: str = "") -> list[str]:
    """A text in lines of bounded width, with something before each."""
    lines = [line for part in text.splitlines() for line in wrap(part, WIDTH)]
    return [f"{before}{line}" for line in lines]
