"""Start prompts of searches: a text, a caption, or random tokens."""

import torch
from torch import Tensor

from fuse_lightning.data import Target
from fuse_lightning.errors import FuseError
from fuse_lightning.models import CaptionModel
from fuse_lightning.objectives import Objective, State
from fuse_lightning.optimizers.admission import Admission
from fuse_lightning.optimizers.constraints import Constraints

TRIES = 16
"""Number of tokens tried at once for the next place of a random start."""


class Start:
    """Start prompt from ``initial_prompt``: a text, or a caption of the target.

    Args:
        given: A text, or a captioner whose caption of a target's first picture it is.
        objective: Its primary spells the prompt, all its models read it.
        constraints: Constraints on prompts.
        allowed_ids: The primary's tokens that the constraints admit, shape (A,), on the CPU.
    """

    def __init__(
        self,
        given: str | CaptionModel,
        objective: Objective,
        constraints: Constraints,
        allowed_ids: Tensor,
    ) -> None:
        self.given = given
        self.objective = objective
        self.constraints = constraints
        self.allowed_ids = allowed_ids

    def state(self, target: Target) -> State:
        """Ids of the start prompt; empty without one, or if the captioner finds no word.

        Raises:
            FuseError: If the constraints forbid the text that was given.
        """
        text = self.text(target).strip()
        if bad := self._forbidden(text):
            raise FuseError(
                f"initial_prompt holds {bad!r}, which the constraints forbid; change one of the two"
            )
        return self.objective.encode_prompt(text) if text else ()

    def text(self, target: Target) -> str:
        """Text of the start prompt; empty if there is none.

        Raises:
            FuseError: If a captioner is to look at a target without pictures.
        """
        if isinstance(self.given, str):
            return self.given
        target.need_images("the captioner of initial_prompt", "a text to start from")
        (captions,) = self.given.captions(target.images[:1], 1)
        words = next(iter(captions), "").split()
        # A captioner knows nothing of what the models read, nor of what a prompt may say.
        words = [word for word in words if not self._forbidden(word)]
        while words and (self._forbidden(" ".join(words)) or not self._fits(" ".join(words))):
            words.pop()
        return " ".join(words)

    def _forbidden(self, text: str) -> str:
        """The part of a text that no prompt may hold; empty if none."""
        ids = torch.tensor(self.objective.encode_prompt(text), dtype=torch.long)
        bad = ids[~torch.isin(ids, self.allowed_ids)].tolist()
        if bad or not self.constraints.admits(text):
            # Special tokens have no piece of their own.
            pieces = [self.objective.primary.pieces[token].strip() for token in bad]
            return " ".join(pieces).strip() or text
        return ""

    def _fits(self, text: str) -> bool:
        prompts = self.objective.prompts([self.objective.encode_prompt(text)], [0])
        return self.objective.too_long(prompts) is None


def draw(allowed_ids: Tensor, count: int, generator: torch.Generator) -> list[int]:
    """Random allowed tokens, all equally likely.

    >>> draw(torch.tensor([3, 5, 7]), 4, torch.Generator().manual_seed(0))
    [7, 3, 7, 3]
    """
    index = torch.randint(len(allowed_ids), (count,), generator=generator)
    tokens: list[int] = allowed_ids[index].tolist()
    return tokens


def random_start(
    admission: Admission, length: int, generator: torch.Generator, target: int
) -> State:
    """Random tokens whose text is read back as the same ids.

    They are drawn one after another: few draws of all at once are read back as the same ids.

    Args:
        admission: Which prompts may stand.
        length: How many tokens.
        generator: The target's random stream.
        target: Place of the target in the batch.

    Raises:
        FuseError: If none are found.
    """
    state = State()
    for _ in range(TRIES * (length + 1)):
        if len(state) == length:
            return state
        longer = [(*state, token) for token in draw(admission.allowed_ids, TRIES, generator)]
        growing = len(state) + 1 < length
        (found,) = admission.first([longer], [target], 1, growing=growing)
        # Behind some tokens hardly any other may stand.
        state = found[0] if found else state[:-1]
    raise FuseError(
        f"no {length} random tokens were found that read back as the same and that the "
        "constraints admit; give initial_prompt, or relax constraints"
    )
