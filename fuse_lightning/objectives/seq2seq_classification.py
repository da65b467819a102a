"""Term: whether a language model with encoder and decoder gives examples the right label."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Self

from torch import Tensor

from fuse_lightning.data.targets import Target
from fuse_lightning.errors import FuseError
from fuse_lightning.models import FrozenModel, Seq2SeqLM
from fuse_lightning.models.options import ModelSource
from fuse_lightning.objectives.classification import Classification, Labelled
from fuse_lightning.objectives.layout import ANSWER, Fields, Layout, Message
from fuse_lightning.objectives.reading import Reading
from fuse_lightning.objectives.term import Term


class Seq2SeqClassification(Classification):
    """Cross-entropy of the right label under a language model with encoder and decoder (nats).

    What :class:`Classification` is for causal models: the encoder reads the layout up to the
    answer, and the decoder writes each word as a text of its own. There are no gradients, so that
    only optimizers without them search with it. Lower is better.

    Args:
        model: The model, or its id.
        layout: Text with ``{prompt}``, the fields of an example such as ``{text}``, and at its end
            ``{answer}``, which parts what the encoder reads from what the decoder writes.
        words: Word or words of each class, in place of those of the data.
        weight: Factor in the objective; negative repels.
        error_weight: What a wrong answer adds to the loss of an example, in nats.
        name: Name in logs and results.
        score_weight: Factor in the number by which prompts are selected; by default ``weight``.
    """

    model: Seq2SeqLM  # type: ignore[assignment]
    model_class = Seq2SeqLM  # type: ignore[assignment]

    def __init__(
        self,
        model: ModelSource | Seq2SeqLM,
        layout: str | list[Message] = "{prompt} {text}{answer}",
        words: dict[str, str | list[str]] | None = None,
        weight: float = 1.0,
        error_weight: float = 0.0,
        name: str | None = None,
        score_weight: float | None = None,
    ) -> None:
        given: ModelSource = model  # type: ignore[assignment]
        super().__init__(given, layout, words, weight, error_weight, name, score_weight)

    @cached_property
    def form(self) -> Layout:
        """Layout of what the encoder reads."""
        assert self.layout is not None
        whole = Layout.read(self.layout, self.model.tokenizer)
        if ANSWER not in whole.names:
            raise FuseError(f"layout of {self.name} must end with {{answer}}; add it")
        return self.up_to_answer(whole).without_answer()

    @property
    def fills(self) -> tuple[str, ...]:  # type: ignore[override]
        """Fields of the layout, which the examples must have."""
        return tuple(self.form.names)

    @cached_property
    def gap(self) -> str:
        """Nothing: a word begins a text of its own."""
        return ""

    def check(self) -> None:
        """Checks the layout against the loaded model.

        Raises:
            FuseError: If it has no answer, or leaves no room for a prompt.
        """
        # The decoder has a start of its own, so that prompts need none.
        Term.check(self)

    def _read(self, target: Target) -> Labelled:
        found = super()._read(target)
        self.model.encode_answers(found.verbalizers.words)
        return found

    def contents(self, owner: int, example: int) -> Sequence[Fields]:
        """Fields of an example, once for each word."""
        rows = self.batch[owner].rows[example]
        fields = {name: text for name, text in rows[0].items() if name != ANSWER}
        return [fields] * len(rows)

    def loss(self, reading: Reading, embeds: Tensor | None = None) -> Tensor:
        """-log P(word | text) of each row, shape (R,).

        Raises:
            FuseError: If gradients are asked for.
        """
        if embeds is not None:
            raise FuseError(
                f"{self.model.model_id!r} of {self.name} gives no gradients; search with an "
                "optimizer that needs none, such as RandomSearch, or give a causal language model"
            )
        places = zip(reading.owner.tolist(), reading.number.tolist(), strict=True)
        words = [self.batch[owner].verbalizers.words[number] for owner, number in places]
        return self.model.answer_nll(reading.rows, words)

    @classmethod
    def for_transfer(
        cls, model: FrozenModel, targets: Sequence[Target], search: Sequence[Term]
    ) -> Self | None:
        """The term of another model, with the search's layout and words.

        Raises:
            FuseError: If the search classifies nothing, or a target has no labels.
        """
        found = super().for_transfer(model, targets, search)
        if found is None and isinstance(model, cls.model_class):
            raise FuseError(
                f"{model.model_id!r} is a {model.kind}, which measures prompts for labelled "
                "examples alone, but the search has no Classification; leave the model out"
            )
        return found
