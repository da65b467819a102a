"""Layout part of terms: the rows that a term's models read for prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

from fuse_lightning.errors import FuseError
from fuse_lightning.models import FrozenModel
from fuse_lightning.objectives.context import Context
from fuse_lightning.objectives.frames import Frame, Frames
from fuse_lightning.objectives.layout import ANSWER, Fields, Layout, Message
from fuse_lightning.objectives.prompts import Prompts
from fuse_lightning.objectives.reading import Reading, joined
from fuse_lightning.objectives.rows import Line, RowReader

MOST_CONTEXTS = 2**16
"""Most contexts whose ids are remembered."""


class LaidOut:
    """Base of terms, as a reader of rows sees them: a layout, and the rows of prompts."""

    model: FrozenModel
    name: str
    prefix: str
    suffix: str
    layout: str | list[Message] | None
    first: LaidOut
    """The first term of the objective, in whose layout prompts are spelt."""
    fills: tuple[str, ...] = ()
    """Fields of the layout that :meth:`contents` fills, beside the prompt."""
    readers: tuple[int, ...] = (0,)
    """Numbers of the :attr:`models` that read the rows: each of them reads every row."""
    examples: list[int] | None = None
    """Number of examples of each target of the batch; ``None`` for targets without examples."""
    drawn: Sequence[Sequence[int] | None] | None = None
    """Numbers of the examples of each target that a step reads; ``None`` for all of them."""

    @property
    def models(self) -> list[FrozenModel]:
        """Frozen models of the term, :attr:`model` first."""
        # Two of them may be one object, as of a model that is compared with itself.
        named = (name for name, each in vars(self).items() if isinstance(each, FrozenModel))
        return [self.model, *(getattr(self, name) for name in named if name != "model")]

    def stand_beside(self, first: LaidOut) -> None:
        """Sets the first term of an objective, in whose layout prompts are spelt."""
        self.first = first
        vars(self).pop("row_readers", None)

    @cached_property
    def form(self) -> Layout:
        """Layout of the loaded model."""
        if self.layout is None:
            marks = self.model.marks
            return Layout.around(self.prefix, self.suffix, marks, answer=ANSWER in self.fills)
        return Layout.read(self.layout, self.model.tokenizer)

    @cached_property
    def home(self) -> Context:
        """Layout without an answer, and with a short word in every other field."""
        form = self.form.without_answer()
        return Context(form, dict.fromkeys(form.names, "a"))

    @cached_property
    def frame(self) -> Frame:
        """Ids around a prompt in :attr:`home`."""
        return self._frames[0].at(self.home)

    @cached_property
    def _frames(self) -> list[Frames]:
        return [Frames(model) for model in self.models]

    @cached_property
    def row_readers(self) -> list[RowReader]:
        """Row makers of the models, in their order."""
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
            self._check_fields(fields)
            self._contexts[key] = Context(self.form, fields)
        return self._contexts[key]

    def _check_fields(self, fields: Fields) -> None:
        """Checks what stands in the fields of a row.

        Raises:
            FuseError: If one is missing, not known, or no text.
        """
        known = {*self.form.names, *self.fills}
        missing = [name for name in self.form.names if name not in fields]
        other = [name for name in fields if name not in known]
        if missing or other:
            what = f"no {missing[0]!r}" if missing else f"{other[0]!r}"
            raise FuseError(
                f"contents of {self.name} gives {what}; its fields are: {', '.join(sorted(known))}"
            )
        if bad := [name for name, text in fields.items() if not isinstance(text, str)]:
            raise FuseError(
                f"contents of {self.name} gives {fields[bad[0]]!r:.60} as {bad[0]!r}; give a text"
            )

    def contents(self, owner: int, example: int) -> Sequence[Fields]:
        """Hook: texts of the other fields, for each row of one example.

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
        """Reading of prompts: lays out their rows.

        Args:
            prompts: N prompts.
            examples: Numbers of the examples that each of them is read with; by default those
                of the step.
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
        if self.examples is None and type(self).contents is LaidOut.contents:
            return [Line(number, 0, 0, self.home) for number in range(len(prompts.owners))]
        lines = []
        # All prompts of a target meet the same examples.
        known: dict[tuple[int, int], list[Context]] = {}
        for number, owner in enumerate(prompts.owners):
            for example in self.numbers(owner) if examples is None else examples[number]:
                if (owner, example) not in known:
                    known[owner, example] = self._contexts_of(owner, example)
                for row, context in enumerate(known[owner, example]):
                    lines.append(Line(number, example, row, context))
        return lines

    def numbers(self, owner: int) -> Sequence[int]:
        """Numbers of a target's examples that a step reads."""
        if self.examples is None:
            return range(1)
        count = self.examples[owner]
        drawn = None if self.drawn is None else self.drawn[owner]
        return range(count) if drawn is None else [number for number in drawn if number < count]

    def _contexts_of(self, owner: int, example: int) -> list[Context]:
        """Contexts of the rows of one example.

        Raises:
            FuseError: If there is none, or its fields are not as they must be.
        """
        rows = self.contents(owner, example)
        if isinstance(rows, Mapping) or not rows:
            raise FuseError(
                f"contents of {self.name} gives {rows!r:.60} for example {example} of "
                f"target {owner}; give a list of at least one row, each a dict of texts"
            )
        return [self._context(fields) for fields in rows]

    def reads_ids(self, prompts: Prompts) -> bool:
        """Whether all models read canonical prompts as the ids that they are."""
        firsts = {owner: number for number, owner in enumerate(prompts.owners)}
        contexts = {line.context for line in self._lines(prompts.select([*firsts.values()]))}
        readers = [self.row_readers[number] for number in self.readers]
        return all(reader.reads_ids(context) for reader in readers for context in contexts)
