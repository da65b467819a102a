"""Layout of rows in which one model of a term reads prompts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from fuse_lightning.engine.token_batch import TokenBatch, pad
from fuse_lightning.models import CausalLM, FrozenModel
from fuse_lightning.objectives.context import Context
from fuse_lightning.objectives.frames import Frame, Frames, Ids, covered
from fuse_lightning.objectives.layout import PROMPT
from fuse_lightning.objectives.openings import Openings
from fuse_lightning.objectives.own_tokens import OwnTokens
from fuse_lightning.objectives.prompts import Prompts
from fuse_lightning.objectives.reading import Reading


class Line(NamedTuple):
    """Content of one row: a prompt, an example and a context.

    Attributes:
        prompt: Number of the prompt.
        example: The example of its target.
        number: Number of the row among those of the example.
        context: The text around the prompt.
    """

    prompt: int
    example: int
    number: int
    context: Context


class RowReader:
    """Maker of the rows of one model, from ids where their text would be read as the same ids.

    Args:
        model: The model, loaded.
        primary: The model whose ids prompts are, loaded.
        home: The context behind which prompts are spelt, of the primary.
        frames: Ids of contexts in ``model``.
        known: Frames of the primary; ``frames`` where that is the same model.
    """

    def __init__(
        self, model: FrozenModel, primary: FrozenModel, home: Context, frames: Frames, known: Frames
    ) -> None:
        self.model = model
        self.home = home
        self.frames = frames
        self.known = known
        self.own = model is primary or model.vocabulary == primary.vocabulary
        self._openings: dict[tuple[Ids, ...] | str, Openings] = {}

    def reads_ids(self, context: Context) -> bool:
        """Whether the model reads canonical prompts as their own ids.

        It is so where their text has these ids in the context, too.
        """
        if not self.own:
            return False
        (before, behind), (first, last) = context.sides, self.home.sides
        frame = self.frames.at(context)
        if before == first and behind == last and not frame.tail:
            return True
        if not frame.apart:
            # An answer without a space, say: only the whole text says where its tokens begin.
            return False
        # Nothing that follows behind a text or a space changes the ids of a prompt.
        spaced = behind[:1] == " " and not behind[1:2].isspace()
        if before == first and (behind == last or (behind.startswith(last) and (last or spaced))):
            return True
        openings = frame.openings
        separate = openings is not None and self.model.words.separable
        return separate and openings == self.known.at(self.home).openings

    def openings(self, context: Context) -> Openings | None:
        """Re-tokenized first tokens of prompts; ``None`` if they stay themselves."""
        if context.sides[0] == self.home.sides[0]:
            return None
        frame, home = self.frames.at(context), self.known.at(self.home)
        if frame.openings is not None and frame.openings == home.openings:
            return None
        key = frame.firsts or self.frames.nearest(context.sides[0])
        if key not in self._openings:
            self._openings[key] = Openings.find(self.model, frame.prefix, context.sides[0])
        return self._openings[key]

    def read(self, prompts: Prompts, lines: Sequence[Line], *, ids: bool) -> Reading:
        """Reading of some lines.

        Args:
            prompts: The prompts.
            lines: Content of each row.
            ids: Whether the ids of prompts are read in any case, also where their text would be
                read as others. Only the first token is replaced by those of its own text, where
                it cannot stand behind what is before it.
        """
        contexts = [*dict.fromkeys(line.context for line in lines)]
        if self.own:
            self.frames.find(contexts)
            causal = isinstance(self.model, CausalLM)
            if ids or (causal and all(map(self.reads_ids, contexts))):
                return self._of_ids(prompts, lines, contexts)
        return self._of_texts(prompts, lines)

    def _of_texts(self, prompts: Prompts, lines: Sequence[Line]) -> Reading:
        filled = [line.context.fill(prompts.texts[line.prompt]) for line in lines]
        texts = [each.text for each in filled]
        encoded = self.model.encode(texts)
        names = dict.fromkeys(name for each in filled for name in each.spans)
        pieces = {
            name: covered(encoded, texts, [each.spans.get(name, (0, 0)) for each in filled])
            for name in names or (PROMPT,)
        }
        offset = torch.tensor([each.prompt[0] for each in filled], dtype=torch.long)
        return _reading(encoded, pieces, prompts, lines, offset)

    def _of_ids(
        self, prompts: Prompts, lines: Sequence[Line], contexts: Sequence[Context]
    ) -> Reading:
        frames = {context: self.frames.at(context) for context in contexts}
        openings = {context: self.openings(context) for context in contexts}
        kinds = [*dict.fromkeys(openings.values())]
        number = {context: kinds.index(found) for context, found in openings.items()}
        rows, firsts, begins, ends = [], [], [], []
        for line in lines:
            frame, opening = frames[line.context], openings[line.context]
            body, first = prompts.states[line.prompt], 1
            if opening is not None and body:
                opened = opening.ids[body[0]]
                body, first = (*opened, *body[1:]), len(opened)
            rows.append((*frame.head, *body, *frame.tail))
            firsts.append(first)
            begins.append(len(frame.head))
            ends.append(len(frame.head) + len(body))
        encoded = pad(rows, None, self.model.pad_id)
        places = torch.arange(encoded.ids.shape[1])
        begin, end = torch.tensor([begins, ends], dtype=torch.long)[..., None]
        pieces = {PROMPT: (places >= begin) & (places < end)}
        places_of = {context: place for place, context in enumerate(contexts)}
        of = torch.tensor([places_of[line.context] for line in lines], dtype=torch.long)
        pieces |= _fields([frames[context] for context in contexts], of, end, encoded.mask)
        return _reading(
            encoded,
            pieces,
            prompts,
            lines,
            torch.zeros(len(lines), dtype=torch.long),
            OwnTokens(
                kinds,
                torch.tensor([number[line.context] for line in lines], dtype=torch.long),
                torch.tensor(firsts, dtype=torch.long),
            ),
        )

    def beginnings(self, prompts: Prompts, context: Context) -> list[Ids]:
        """Ids of each row up to the end of its prompt."""
        if self.reads_ids(context):
            head = self.frames.at(context).head
            return [(*head, *state) for state in prompts.states]
        head = self.frames.at(context).head
        lines = [Line(number, 0, 0, context) for number in range(len(prompts.states))]
        reading = self.read(prompts, lines, ids=False)
        rows = zip(prompts.states, reading.rows.ids, reading.prompt, strict=True)
        return [
            tuple(ids[: int(inside.nonzero()[-1]) + 1].tolist()) if state else head
            for state, ids, inside in rows
        ]


def _fields(frames: Sequence[Frame], of: Tensor, end: Tensor, mask: Tensor) -> dict[str, Tensor]:
    """Masks of each field's tokens around prompts.

    Args:
        frames: Some frames.
        of: Number of each row's frame, shape (R,).
        end: Column behind each row's prompt, shape (R, 1).
        mask: True for tokens, shape (R, T).

    Returns:
        Shape (R, T) for each field.
    """
    behind = torch.arange(mask.shape[1]) - end
    found: dict[str, Tensor] = {}
    for name in dict.fromkeys(name for frame in frames for name in (*frame.before, *frame.behind)):
        first = _table([frame.before.get(name, ()) for frame in frames], mask.shape[1])
        second = _table([frame.behind.get(name, ()) for frame in frames], mask.shape[1])
        found[name] = second[of].gather(1, behind.clamp(min=0)) & (behind >= 0) | first[of]
    return found


def _table(places: Sequence[Sequence[int]], width: int) -> Tensor:
    """Mask with a line for each of F sequences of columns, shape (F, width).

    >>> _table([(0, 2), ()], 3)
    tensor([[ True, False,  True],
            [False, False, False]])
    """
    lines = [line for line, some in enumerate(places) for _ in some]
    table = torch.zeros(len(places), width, dtype=torch.bool)
    table[lines, [place for some in places for place in some]] = True
    return table


def _reading(
    rows: TokenBatch,
    pieces: dict[str, Tensor],
    prompts: Prompts,
    lines: Sequence[Line],
    offset: Tensor,
    own: OwnTokens | None = None,
) -> Reading:
    """Reading by one model, whose number the term fills in."""
    owners = [prompts.owners[line.prompt] for line in lines]
    numbers = [(line.prompt, line.example, line.number) for line in lines]
    of, example, number = torch.tensor(numbers, dtype=torch.long).view(-1, 3).T
    owner = torch.tensor(owners, dtype=torch.long)
    return Reading(rows, pieces, of, owner, example, number, torch.zeros_like(of), offset, own)
