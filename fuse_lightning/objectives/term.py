"""The base of all losses: one weighted loss of frozen models over the rows that it lays out."""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property

from torch import Tensor

from fuse_lightning.data.targets import Target
from fuse_lightning.errors import FuseError
from fuse_lightning.models import FrozenModel
from fuse_lightning.models.options import ModelSource
from fuse_lightning.objectives.context import Context
from fuse_lightning.objectives.frames import Frame, Frames
from fuse_lightning.objectives.layout import ANSWER, Fields, Layout, Message
from fuse_lightning.objectives.measured import Measured
from fuse_lightning.objectives.prompts import Prompts
from fuse_lightning.objectives.reading import Reading, joined, mean_of
from fuse_lightning.objectives.rows import Line, RowReader
from fuse_lightning.utilities.identity import Identity, plain_options

MOST_CONTEXTS = 2**16
"""Texts around prompts that are remembered with their ids."""
WHERE = (
    *("model_id", "revision", "device", "device_map"),
    *("trust_remote_code", "compile", "tokenizer", "processor"),
)
"""Options of a model that say where it comes from and where it is computed."""


class Term(Measured, ABC):
    """One loss of a frozen model over the texts that prompts stand in; lower is better.

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
        score_weight: Factor of what prompts are selected by; by default ``weight``.
    """

    model_class: type[FrozenModel]
    steady: bool = True
    """Whether a prompt's loss is the same in every step."""
    splits: bool = False
    """Whether :meth:`loss` takes any number of rows, on the CPU, and splits them itself."""
    incidental: tuple[str, ...] = ()
    """Options of the constructor that change how a loss is computed and not what it is."""
    fills: tuple[str, ...] = ()
    """Fields of the layout that :meth:`contents` fills, beside the prompt."""
    readers: tuple[int, ...] = (0,)
    """Numbers of the :attr:`models` that read the rows: each of them reads every row."""
    examples: list[int] | None = None
    """How many examples each target of the batch has; ``None`` where a target is one itself."""

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
        self.model = model if isinstance(model, FrozenModel) else self.model_class(model)
        self.weight = weight
        self.prefix = prefix
        self.suffix = suffix
        self.layout = layout
        self.score_weight = score_weight
        words = r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])"
        self.name = name or re.sub(words, "_", kind).lower()
        self.first: Term = self
        """The first term of the objective, in whose layout prompts are spelt."""

    @property
    def models(self) -> list[FrozenModel]:
        """The frozen models that the term keeps, :attr:`model` first."""
        # Two of them may be one object, as of a model that is compared with itself.
        named = (name for name, each in vars(self).items() if isinstance(each, FrozenModel))
        return [self.model, *(getattr(self, name) for name in named if name != "model")]

    @property
    def selects(self) -> float:
        """Factor of what prompts are selected by."""
        return self.weight if self.score_weight is None else self.score_weight

    @property
    def scores_loss(self) -> bool:
        """Whether prompts are selected by the loss itself."""
        return type(self).score is Term.score

    def share(self, known: dict[tuple[object, ...], FrozenModel]) -> None:
        """Takes models with the same weights in place of its own, and gives its own to others."""
        for name, model in [*vars(self).items()]:
            if isinstance(model, FrozenModel):
                setattr(self, name, known.setdefault(model.key, model))

    def identity(self) -> Identity:
        """What the loss is of, beside the models' content: two equal ones are one loss.

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

    # What rows hold

    @cached_property
    def form(self) -> Layout:
        """The layout, once the model is loaded."""
        if self.layout is None:
            marks = self.model.marks
            return Layout.around(self.prefix, self.suffix, marks, answer=ANSWER in self.fills)
        return Layout.read(self.layout, self.model.tokenizer)

    @cached_property
    def home(self) -> Context:
        """The layout without an answer, and with a short word in every other field."""
        form = self.form.without_answer()
        return Context(form, dict.fromkeys(form.names, "a"))

    @cached_property
    def frame(self) -> Frame:
        """Ids around a prompt at :attr:`home`."""
        return self._frames[0].at(self.home)

    @cached_property
    def _frames(self) -> list[Frames]:
        return [Frames(model) for model in self.models]

    @cached_property
    def row_readers(self) -> list[RowReader]:
        """What lays out the rows of each model."""
        first = self.first
        pairs = zip(self.models, self._frames, strict=True)
        return [
            RowReader(model, first.model, first.home, frames, first._frames[0])
            for model, frames in pairs
        ]

    @cached_property
    def _contexts(self) -> dict[tuple[tuple[str, str], ...], Context]:
        return {}

    def _context(self, fields: Fields) -> Context:
        if not fields:
            return self.home
        key = tuple(fields.items())
        if key not in self._contexts:
            if len(self._contexts) >= MOST_CONTEXTS:
                self._contexts.clear()
                for frames in self._frames:
                    frames.forget()
            self._contexts[key] = Context(self.form, fields)
        return self._contexts[key]

    def contents(self, owner: int, example: int) -> Sequence[Fields]:
        """Hook: what stands in the fields of the rows of one example, beside the prompt.

        Args:
            owner: Index of a target in the batch.
            example: One of its examples; 0 where the target is one itself.

        Returns:
            Texts by field, for each row that one prompt is read in.
        """
        return ({},)

    def read(
        self,
        prompts: Prompts,
        examples: Sequence[Sequence[int]] | None = None,
        *,
        ids: bool = False,
    ) -> Reading:
        """Lays out the rows of prompts.

        Args:
            prompts: N prompts.
            examples: Numbers of the examples that each of them is read with; by default all.
            ids: Whether models with the primary's tokens read the ids of prompts in any case, as
                gradients need; else where their text would be read as these.

        Returns:
            R rows.
        """
        lines = self._lines(prompts, examples)
        readings = []
        for number in self.readers:
            reading = self.row_readers[number].read(prompts, lines, ids=ids)
            reading.reader.fill_(number)
            readings.append(reading)
        return joined(readings, self.model.pad_id)

    def _lines(
        self, prompts: Prompts, examples: Sequence[Sequence[int]] | None = None
    ) -> list[Line]:
        if self.examples is None and type(self).contents is Term.contents:
            return [Line(number, 0, 0, self.home) for number in range(len(prompts.owners))]
        lines = []
        for number, owner in enumerate(prompts.owners):
            count = 1 if self.examples is None else self.examples[owner]
            for example in range(count) if examples is None else examples[number]:
                if not (rows := self.contents(owner, example)):
                    raise FuseError(
                        f"{self.name} lays out no row for example {example} of target {owner}; "
                        "contents of a term must give at least one"
                    )
                for row, fields in enumerate(rows):
                    lines.append(Line(number, example, row, self._context(fields)))
        return lines

    def reads_ids(self, prompts: Prompts) -> bool:
        """Whether all models read canonical prompts as the ids that they are."""
        contexts = {line.context for line in self._lines(prompts)}
        readers = [self.row_readers[number] for number in self.readers]
        return all(reader.reads_ids(context) for reader in readers for context in contexts)

    # What is asked of the rows

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
        """Hook: computes what the loss needs of the targets of a batch.

        Comes again whenever the batch changes, as most of the targets stay: what is costly is
        kept, see :class:`~fuse_lightning.objectives.target_cache.PerTarget`.
        """

    def begin_step(self, steps: Sequence[int]) -> None:
        """Hook: what changes from step to step; the steps of each target count from 0."""

    @abstractmethod
    def loss(self, reading: Reading, embeds: Tensor | None = None) -> Tensor:
        """What is differentiated, for each row.

        Args:
            reading: R rows of one of the models.
            embeds: Input embeddings to use instead of those of the ids, shape (R, T, d).

        Returns:
            Shape (R,), or (R, ...) for :meth:`reduce` to make one number of; float32. Lower is
            better.
        """

    def score(self, reading: Reading) -> Tensor:
        """What prompts are selected by, for each row; by default the loss.

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
            losses: What :meth:`loss` or :meth:`score` gave, shape (R, ...).
            reading: The rows; ``reading.item`` says which pair each of them speaks of.
            count: M.

        Returns:
            Shape (M,); lower is better.
        """
        return mean_of(losses, reading.item, count)

    def label_change(self, reading: Reading) -> Tensor | None:
        """Hook: what a change of ids does to the loss beside the change of their embeddings.

        Args:
            reading: R rows that read the ids of prompts.

        Returns:
            At the columns of each prompt, shape (R, P, V); ``None`` for nothing.
        """
        return None
