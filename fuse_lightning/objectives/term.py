"""A term: one weighted loss over text."""

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from fuse_lightning.data.targets import Target
from fuse_lightning.engine.devices import to_device
from fuse_lightning.errors import FuseError
from fuse_lightning.models import FrozenModel, TokenBatch
from fuse_lightning.models.options import ModelSource
from fuse_lightning.objectives.frames import Frame, find_frame, gap
from fuse_lightning.utilities.identity import Identity, plain_options


@dataclass
class Reading:
    """Texts as one term's model reads them.

    Attributes:
        encoded: The tokens of prefix, prompt and what follows it.
        prompt: True for tokens of the prompt itself, shape (N, T), on the CPU.
        owner: Index of each text's target, shape (N,).
        offset: Where the prompt begins in each text, in characters.
        fixed: How many leading tokens of each text need no gradient, shape (N,), on the CPU;
            ``None`` for none of them.
        wanted: True for tokens that the model shall write, shape (N, T), on the CPU; ``None``
            where there are none.
    """

    encoded: TokenBatch
    prompt: Tensor
    owner: Tensor
    offset: int
    fixed: Tensor | None = None
    wanted: Tensor | None = None

    def __getitem__(self, rows: slice | Tensor) -> "Reading":
        """Some of the texts, trimmed to the longest of them."""
        encoded = self.encoded[rows]
        width = encoded.ids.shape[1]
        return Reading(
            encoded,
            self.prompt[rows, :width],
            self.owner[rows],
            self.offset,
            None if self.fixed is None else self.fixed[rows],
            None if self.wanted is None else self.wanted[rows, :width],
        )

    def to(self, device: torch.device) -> "Reading":
        """What the model reads on another device, and what says where it stands on the CPU."""
        owner = to_device(self.owner, device)
        return replace(self, encoded=self.encoded.to(device), owner=owner)


WHERE = (
    *("model_id", "revision", "device", "device_map"),
    *("trust_remote_code", "compile", "tokenizer", "processor"),
)
"""Options of a model that say where it comes from and where it is computed."""


class Term(ABC):
    """One loss of a frozen model over ``prefix + prompt + suffix``; lower is better.

    The white space of prefix and suffix is kept. A space joins one of them and the prompt where
    neither has white space there, and no special token stands there. Special tokens that are
    written in them are read as such.

    Args:
        model: The model, its id, or a network in memory.
        weight: Factor in the objective; negative repels.
        prefix: Text before the prompt.
        suffix: Text after the prompt.
        name: Name in logs and results, by default the class name in snake case.
    """

    model_class: type[FrozenModel]
    steady: bool = True
    """Whether a prompt's loss is the same in every step."""
    splits: bool = False
    """Whether :meth:`loss` takes any number of texts, on the CPU, and splits them itself."""
    incidental: tuple[str, ...] = ()
    """Options of the constructor that change how a loss is computed and not what it is."""

    def __init__(
        self,
        model: ModelSource | FrozenModel,
        weight: float = 1.0,
        prefix: str = "",
        suffix: str = "",
        name: str | None = None,
    ) -> None:
        if not math.isfinite(weight):
            raise FuseError(f"weight of {type(self).__name__} is {weight}; give a finite number")
        self.model = model if isinstance(model, FrozenModel) else self.model_class(model)
        self.weight = weight
        self.prefix = prefix
        self.suffix = suffix
        words = r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])"
        self.name = name or re.sub(words, "_", type(self).__name__).lower()

    def identity(self) -> Identity:
        """What the loss is of, beside the model's content: two equal ones are one loss.

        By default the class and every option that is words or numbers and that the term keeps
        under its own name.
        """
        options = plain_options(self, leave_out=("name", "model", *self.incidental))
        return {"class": type(self).__name__, **options, **plain_options(self.model, WHERE)}

    def check(self) -> None:
        """Checks prefix and suffix against the loaded model.

        Raises:
            FuseError: If they leave no room for a prompt.
        """
        text, _ = self.compose("a")
        used = int(self.model.encode([text]).mask.sum())
        if used > self.model.max_tokens:
            raise FuseError(
                f"prefix and suffix of {self.name} take {used - 1} tokens, more than the "
                f"{self.model.max_tokens} that {self.model.model_id!r} reads; shorten them"
            )

    @cached_property
    def _joints(self) -> tuple[str, str]:
        """What joins a prompt with prefix and suffix."""
        marks = self.model.marks
        return gap(self.prefix, "a", marks), gap("a", self.suffix, marks)

    def compose(self, prompt: str) -> tuple[str, int]:
        """The whole text and the place of the prompt in it.

        Args:
            prompt: The prompt, without white space around.
        """
        if not prompt:
            space = gap(self.prefix, self.suffix, self.model.marks)
            return f"{self.prefix}{space}{self.suffix}", len(self.prefix)
        before, behind = self._joints
        head = f"{self.prefix}{before}"
        return f"{head}{prompt}{behind}{self.suffix}", len(head)

    @cached_property
    def frame(self) -> Frame:
        """Ids around a prompt, once the model is loaded."""
        return find_frame(self.model, self.compose)

    @property
    def fuses(self) -> bool:
        """Whether what follows a text may change the ids that it has, unlike in the frame."""
        return False

    def complete(self, text: str, owner: int) -> tuple[str, int]:
        """Hook: adds to a whole text what the model shall write behind it.

        Args:
            text: What :meth:`compose` gives.
            owner: Index of its target in the batch.

        Returns:
            The text with the wanted one, and how many of its characters are the latter's.
        """
        return text, 0

    def set_targets(self, targets: Sequence[Target]) -> None:  # noqa: B027
        """Hook: computes what the loss needs of the targets of a batch.

        Comes again whenever the batch changes, as most of the targets stay: what is costly is
        kept, see :class:`~fuse_lightning.objectives.target_cache.PerTarget`.
        """

    def extend(self, reading: Reading) -> Reading:
        """Hook: the same for prompts as ids, without what stands behind them."""
        return reading

    def begin_step(self, steps: Sequence[int]) -> None:  # noqa: B027
        """Hook: what changes from step to step; the steps of each target count from 0."""

    def label_change(self, reading: Reading, length: int) -> Tensor | None:
        """Hook: what a change of ids does to the loss beside the change of their embeddings.

        Returns:
            Shape (N, L, V) for prompts of up to ``length`` tokens; ``None`` for nothing.
        """
        return None

    @abstractmethod
    def loss(self, reading: Reading, embeds: Tensor | None = None) -> Tensor:
        """Losses of N texts.

        Args:
            reading: The texts.
            embeds: Input embeddings to use instead of those of the ids, shape (N, T, d).

        Returns:
            Shape (N,), float32; lower is better.
        """
