"""Options of a reasoning term that presets set together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

from fuse_lightning.errors import FuseError
from fuse_lightning.utilities.numbers import check_number

AnswerLoss = Literal["labels", "tokens"]
Judge = Literal["parse", "read", "forced", "labels"]
SelectBy = Literal["loss", "error", "both"]
Preset = Literal["paper", "code"]


@dataclass(frozen=True)
class ReasoningOptions:
    """Options of a reasoning term that presets set together.

    Attributes:
        answer_loss: Cross-entropy of the right answer: "labels" among the labels of a closed set,
            over the tokens at which labels that begin alike differ, where one that begins with
            another counts as that one; and the mean over all tokens for open answers. "tokens" is
            always the mean over all tokens, as published.
        answer_temperature: Divisor of the logits in it.
        judge: Which answers are right: "parse", whose chain says the right answer last; "read",
            behind whose extractor the model writes it first; "forced", each token of which is the
            likeliest one, as published; "labels", each token of which is the likeliest of those by
            which labels differ.
        select_by: By what prompts are selected: "loss", the cross-entropy; "error", the share of
            wrong answers; "both", their sum.
        fluency: Factor of the mean -log P of the prompt's tokens behind each question, in the
            loss that is differentiated.
        score_fluency: The same in the number by which prompts are selected.
        perplexity: Whether it is their perplexity, as the paper has it, in place of the mean.
    """

    answer_loss: AnswerLoss = "labels"
    answer_temperature: float = 1.0
    judge: Judge = "parse"
    select_by: SelectBy = "both"
    fluency: float = 0.0
    score_fluency: float = 0.0
    perplexity: bool = False

    @classmethod
    def of(cls, preset: Preset | None, given: dict[str, Any]) -> ReasoningOptions:
        """Options of a preset, with those that are given in place of its own.

        Args:
            preset: "paper" or "code", which differ; ``None`` for this package's own.
            given: Options by name; ``None`` for those that are not given.

        Raises:
            FuseError: If there is no such preset, or an option is none of its values.

        >>> ReasoningOptions.of("code", {"judge": None, "fluency": 0.1})
        ReasoningOptions(answer_loss='tokens', answer_temperature=0.2, judge='forced', \
select_by='error', fluency=0.1, score_fluency=0.02, perplexity=False)
        """
        if preset not in PRESETS:
            raise FuseError(f"preset is {preset!r}; give paper, code or none")
        some = {name: value for name, value in given.items() if value is not None}
        options = cls(**PRESETS[preset] | some)
        options.check()
        return options

    def check(self) -> None:
        """Checks the values.

        Raises:
            FuseError: If one is out of its range.
        """
        for name, kind in (
            ("answer_loss", AnswerLoss),
            ("judge", Judge),
            ("select_by", SelectBy),
        ):
            if getattr(self, name) not in get_args(kind):
                known = ", ".join(get_args(kind))
                raise FuseError(f"{name} is {getattr(self, name)!r}; give one of: {known}")
        if self.answer_temperature <= 0:
            raise FuseError(f"answer_temperature is {self.answer_temperature}; it must be above 0")
        for name in ("answer_temperature", "fluency", "score_fluency"):
            check_number(name, getattr(self, name), 0)


PRESETS: dict[str | None, dict[str, Any]] = {
    None: {},
    "paper": {
        "answer_loss": "tokens",
        "judge": "forced",
        "select_by": "loss",
        "fluency": 0.2,
        "score_fluency": 0.2,
        "perplexity": True,
    },
    "code": {
        "answer_loss": "tokens",
        "answer_temperature": 0.2,
        "judge": "forced",
        "select_by": "error",
        "fluency": 0.2,
        "score_fluency": 0.02,
    },
}
"""Options by preset, where they differ from the package's own: those of the paper of GReaTer
(arXiv 2412.09722) and those of its published code, which differ."""
