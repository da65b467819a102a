"""Base of terms: one weighted loss of frozen models over the rows that the term lays out."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from fuse_lightning.data.targets import Target
from fuse_lightning.errors import FuseError
from fuse_lightning.models import FrozenModel
from fuse_lightning.models.options import ModelSource
from fuse_lightning.objectives.laid_out import LaidOut
from fuse_lightning.objectives.layout import ANSWER, Layout, Message
from fuse_lightning.objectives.measured import Measured
from fuse_lightning.objectives.prompts import Prompts
from fuse_lightning.objectives.reading import Reading, mean_of
from fuse_lightning.utilities.identity import Identity, plain_options
from fuse_lightning.utilities.words import snake_case

WHERE = (
    *("model_id", "revision", "device", "device_map"),
    *("trust_remote_code", "compile", "tokenizer", "processor"),
)
"""Options of a model about its source and its device."""


class Term(LaidOut, Measured, ABC):
    """One loss of a frozen model over the texts that hold prompts; lower is better.

    A term lays out the rows that its model reads (:meth:`read`), gives a number for each of them
    (:meth:`loss`) and makes one number for each prompt and example of these (:meth:`reduce`). The
    white space of prefix, suffix and layout is kept. A space joins prefix or suffix and the prompt
    where neither has white space there, and no special token stands there. Special tokens that are
    written in them are read as such.

    Args:
        model: The model, its id, or a network in memory.
        weight: Factor in the objective; negative repels.
        prefix: Text before the prompt.
        suffix: Text after the prompt.
        name: Name in logs and results, by default the class name in snake case.
        layout: The whole text with ``{prompt}`` and other fields in their places, in place of
            prefix and suffix; or the turns of a chat, each with a role and a content.
        score_weight: Factor in the number by which prompts are selected; by default ``weight``.
    """

    model_class: type[FrozenModel]
    steady: bool = True
    """Whether a prompt's loss is the same in every step."""
    splits: bool = False
    """Whether :meth:`loss` takes any number of rows, on the CPU, and splits them itself."""
    chained: bool = False
    """Whether rows hold what the model has written for the prompt, see ``Prompts.chains_of``."""
    incidental: tuple[str, ...] = ()
    """Constructor options that change how a loss is computed, but not its value."""

    def __init__(
        self,
        model: ModelSource | FrozenModel,
        weight: float = 1.0,
        prefix: str = "",
        suffix: str = "",
        name: str | None = None,
        layout: str | list[Message] | None = None,
        score_weight: float | None = None,
    ) -> None:
        kind = type(self).__name__
        for option, number in (("weight", weight), ("score_weight", score_weight)):
            if number is not None and not math.isfinite(number):
                raise FuseError(f"{option} of {kind} is {number}; give a finite number")
        if layout is not None and (prefix or suffix):
            raise FuseError(f"{kind} has a layout and a prefix or suffix; give one of the two")
        if isinstance(layout, str):
            Layout.read(layout)
        if not isinstance(model, FrozenModel):
            if not hasattr(self, "model_class"):
                raise FuseError(
                    f"{kind} does not say what kind of model {model!r:.60} is; give a model such "
                    "as Classifier(...), or set model_class in the class"
                )
            model = self.model_class(model)
        self.model = model
        self.weight = weight
        self.prefix = prefix
        self.suffix = suffix
        self.layout = layout
        self.score_weight = score_weight
        self.name = name or snake_case(kind)
        self.first = self

    @property
    def selects(self) -> float:
        """Factor of the term in the number by which prompts are selected."""
        return self.weight if self.score_weight is None else self.score_weight

    @property
    def scores_loss(self) -> bool:
        """Whether prompts are selected by the loss itself."""
        return type(self).score is Term.score

    def share(self, known: dict[tuple[object, ...], FrozenModel]) -> None:
        """Replaces models by known ones with the same weights; its other models become known."""
        for name, model in [*vars(self).items()]:
            if isinstance(model, FrozenModel):
                setattr(self, name, known.setdefault(model.key, model))

    def identity(self) -> Identity:
        """Settings of the loss beside the models' content: equal ones mean equal losses.

        By default the class and every option that is words or numbers and that the term keeps
        under its own name.
        """
        options = plain_options(self, leave_out=("name", "model", *self.incidental))
        if self.layout is not None:
            options["layout"] = repr(self.layout)
        for place, model in enumerate(self.models):
            known = plain_options(model, WHERE)
            options |= {f"{name} {place + 1}" if place else name: known[name] for name in known}
        return {"class": type(self).__name__, **options}

    def check(self) -> None:
        """Checks the layout against the loaded model.

        Raises:
            FuseError: If it has fields that the term does not fill, or leaves no room for a prompt.
        """
        names, known = self.form.names, ", ".join(("prompt", *self.fills))
        if bad := [name for name in names if name not in self.fills]:
            raise FuseError(
                f"layout of {self.name} has {{{bad[0]}}}, which {type(self).__name__} does not "
                f"fill; its fields are: {known}"
            )
        if ANSWER in self.fills and ANSWER not in names:
            raise FuseError(f"layout of {self.name} must end with {{answer}}; add it")
        used = int(self.model.encode([self.home.fill("a").text]).mask.sum())
        if used > self.model.max_tokens:
            raise FuseError(
                f"prefix and suffix of {self.name} take {used - 1} tokens, more than the "
                f"{self.model.max_tokens} that {self.model.model_id!r} reads; shorten them"
            )

    def set_targets(self, targets: Sequence[Target]) -> None:
        """Hook: computes the loss's data of a batch of targets.

        Comes again whenever the batch changes, as most of the targets stay: what is costly is
        kept, see :class:`~fuse_lightning.objectives.target_cache.PerTarget`.
        """

    def reads_targets(self, targets: Sequence[Target]) -> bool:
        """Whether the loss may differ between targets.

        By default it may where the class has a :meth:`set_targets` or :meth:`contents` of its own.
        """
        kind = type(self)
        return kind.set_targets is not Term.set_targets or kind.contents is not Term.contents

    def begin_step(self, steps: Sequence[int]) -> None:
        """Hook: draws what changes from step to step; each target's steps count from 0."""

    @property
    def together(self) -> int | None:
        """Most pairs of a prompt and an example that are read together; ``None`` for any."""
        return None

    def longest(self, prompts: Prompts) -> dict[int, int]:
        """Length of the longest row of some prompts, by the number of the model that reads it."""
        reading = self.read(prompts)
        numbers = torch.unique(reading.reader).tolist()
        return {n: int(reading.lengths[reading.reader == n].max()) for n in numbers}

    def learnt(self) -> object:
        """Hook: what the term has remembered since it was last asked, as plain data.

        Processes that share out prompts and examples exchange it.
        """
        return None

    def learn(self, learnt: object) -> None:
        """Hook: remembers what the term of another process has learnt."""

    @abstractmethod
    def loss(self, reading: Reading, embeds: Tensor | None = None) -> Tensor:
        """Hook: the differentiated loss of each row.

        Args:
            reading: R rows of one of the models.
            embeds: Input embeddings to use instead of those of the ids, shape (R, T, d).

        Returns:
            Shape (R,), or (R, ...) for :meth:`reduce` to make one number of; float32. Lower is
            better.
        """

    def score(self, reading: Reading) -> Tensor:
        """Number of each row by which prompts are selected; by default the loss.

        Args:
            reading: R rows of one of the models.

        Returns:
            What :meth:`loss` returns.
        """
        return self.loss(reading)

    def reduce(self, losses: Tensor, reading: Reading, count: int) -> Tensor:
        """One number for each of M pairs of a prompt and an example; by default the rows' mean.

        The loss of a prompt is the mean over its examples.

        Args:
            losses: Values from :meth:`loss` or :meth:`score`, shape (R, ...).
            reading: The rows; ``reading.item`` says which pair each of them speaks of.
            count: M.

        Returns:
            Shape (M,); lower is better.
        """
        return mean_of(losses, reading.item, count)

    def correct(self, values: Tensor, reading: Reading) -> Tensor | None:
        """Hook: whether the model's answer is right, for terms that ask for one.

        Args:
            values: Values from :meth:`score`, shape (R, ...).
            reading: The R rows.

        Returns:
            1 or 0 for each of ``reading.pairs``, shape (M,); ``None`` for no answers.
        """
        return None

    def label_change(self, reading: Reading) -> Tensor | None:
        """Hook: effect of replaced ids as labels, which embedding gradients miss.

        Args:
            reading: R rows that read the ids of prompts.

        Returns:
            At the columns of each prompt, shape (R, P, V); ``None`` for nothing.
        """
        return None
