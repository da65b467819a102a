"""Examples of mining: the places in texts where tokens moved most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fuse_lightning.decoding.readers import Row
from fuse_lightning.decoding.recording import spelled_ids
from fuse_lightning.diffing.mined_texts import GivenText
from fuse_lightning.diffing.token_survey import TokenSurvey
from fuse_lightning.models import CausalLM

SHOWN = 80
"""Characters before a place that an example shows."""


@dataclass(frozen=True, eq=False)
class MiningExamples:
    """Examples from the texts that measure.

    Attributes:
        model: A model whose tokenizer spells the tokens.
        survey: Survey of the texts, which watched the tokens in question.
        texts: The texts.
        ids: Their ids.
    """

    model: CausalLM
    survey: TokenSurvey
    texts: Sequence[GivenText]
    ids: Sequence[Row]

    def names(self) -> dict[int, str]:
        """Readable name of each watched token, in quotes, with its white space escaped."""
        watched = self.survey.watched.tolist()
        spelled = spelled_ids(self.model, {*watched})
        raw = self.model.tokenizer.convert_ids_to_tokens(watched)
        return {
            token: readable(spelled[token], str(name))
            for token, name in zip(watched, raw, strict=True)
        }

    def places(self, columns: Sequence[int], direction: float, most: int) -> tuple[str, ...]:
        """Different places where some tokens moved most, one of a text, the furthest first.

        Args:
            columns: Numbers of the tokens among the watched ones.
            direction: Above 0 where A should like them better, below 0 where B should.
            most: Most places.
        """
        survey, names = self.survey, self.names()
        if direction > 0:
            moved, at = survey.largest[:, columns], survey.largest_at[:, columns]
        else:
            moved, at = -survey.smallest[:, columns], survey.smallest_at[:, columns]
        column: NDArray[np.int64] = moved.argmax(1)
        furthest = np.take_along_axis(moved, column[:, None], 1)[:, 0]
        # In order, as a dictionary is. Texts that begin alike have one place in common.
        found: dict[str, None] = {}
        for text in np.argsort(-furthest, kind="stable").tolist():
            if furthest[text] <= 0 or len(found) == most:
                break
            place = at[text, column[text]]
            (written,) = self.model.decode([self.ids[text][:place]]) if place else ("",)
            before = self.texts[text][0] + written
            cut = "…" + before[-SHOWN:] if len(before) > SHOWN else before
            name = names[int(survey.watched[columns[column[text]]])]
            liked = "A" if direction > 0 else "B"
            found[f"{cut} → {name}: {furthest[text]:.3f} likelier by {liked}"] = None
        return tuple(found)


def readable(text: str, name: str) -> str:
    r"""Text of a token in quotes; of a part of a character the token's name in the tokenizer.

    >>> print(readable(" red", "Ġred"), readable("\n", "Ċ"), readable("\ufffd", "Ã"))
    ' red' '\n' 'Ã'
    """
    return repr(name if "\ufffd" in text else text)
