"""Written answers: what a model writes for a question, and whether it is right."""

from __future__ import annotations

from dataclasses import dataclass

from fuse_lightning.models import CausalLM
from fuse_lightning.objectives.chains import Chain
from fuse_lightning.objectives.questions import Questions


@dataclass(frozen=True)
class Written:
    """Chain and answer that a model writes for a question with a prompt.

    Attributes:
        chain: Text of the chain.
        answer: Text that the model wrote behind the extractor.
        parsed: Answer that the chain gives last; ``None`` if there is none.
        read: Answer that stands first behind the extractor; ``None`` if there is none.
        right_parse: Whether the parsed answer is right.
        right_read: Whether the answer behind the extractor is right.
        right_forced: Whether each token of the right answer is the likeliest one behind it.
        cut: Whether the chain was cut before the model ended it.
        right_labels: Whether the right label is the likeliest of all labels, by the tokens in
            which they differ; ``None`` without a closed set.
        probability: Probability of the right answer behind the extractor; among the labels, by
            these tokens, where there are some.
    """

    chain: str
    answer: str
    parsed: str | None
    read: str | None
    right_parse: bool
    right_read: bool
    right_forced: bool
    cut: bool
    right_labels: bool | None = None
    probability: float = 0.0

    @classmethod
    def of(cls, model: CausalLM, questions: Questions, example: int, chain: Chain) -> Written:
        """What a chain and what stands behind it say, without the model's probabilities.

        Args:
            model: The model that wrote them.
            questions: Questions of a target.
            example: Number of the question.
            chain: Its chain.
        """
        texts = [chain.ids, chain.answer]
        text, behind = model.tokenizer.batch_decode(texts, skip_special_tokens=True)
        labels, kind = questions.asked_labels(example), questions.kind
        parsed, read = kind.parse(text, labels), kind.read(behind, labels)
        right = questions.answers[example]
        return cls(
            *(text, behind, parsed, read),
            right_parse=questions.is_right(example, parsed),
            right_read=questions.is_right(example, read),
            right_forced=chain.answer[: len(right)] == right,
            cut=chain.ended != "stop",
        )


UNREAD = Written("", "", None, None, False, False, False, True)
"""What is written for a question that leaves no room for a chain: nothing."""
