"""Judges that answer yes or no to a question about a prompt and a text, with a grade."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from fuse_lightning.decoding.judged_properties import Judge
from fuse_lightning.decoding.properties import Property, at_least, check_pairs, check_threshold
from fuse_lightning.diffing.chat import Chat, LocalChat, Message, Reply
from fuse_lightning.diffing.replies import without_thoughts
from fuse_lightning.diffing.specification import Judged, Specification
from fuse_lightning.errors import FuseError
from fuse_lightning.utilities.numbers import check_number
from fuse_lightning.utilities.terminal import visible

logger = logging.getLogger(__name__)

REQUEST = "Answer with one word, Yes or No."
FIRSTS = 20
"""Number of first tokens whose probabilities are asked for, the most that servers give."""
AROUND = re.compile(r"^[\W_\u0120]+|[\W_]+$")
"""What stands around a word, and the letter that marks a space in tokens of some models."""
NO_MORE = r"(?![^\W_]|['\u2019/-]\w)"
"""Pattern of the end of a word: "no" ends neither in "not" nor in "no-one"."""


def judge_of(
    specification: Specification,
    chat: Chat,
    threshold: float | None = None,
    name: str = "judged",
) -> Property | None:
    """Judge of a specification's criterion; ``None`` if it has no criterion.

    A local model judges by the probabilities of its next tokens, see :class:`LocalJudge`; any
    other by its answer, see :class:`ChatJudge`.

    Args:
        specification: The criterion with its words and examples.
        chat: The chat model that judges.
        threshold: Grade from which a text has the property; without it the grade itself counts.
        name: Name in tables and files.
    """
    if not specification.criterion:
        return None
    if not isinstance(chat, LocalChat):
        return ChatJudge(chat, specification, threshold=threshold, name=name)
    question = "\n\n".join(_braced(part) for part in _parts(specification))
    for each in specification.judged:
        if isinstance(each, Judged):
            asked = _asked(_braced(each.prompt), _braced(each.text))
            question += f"\n\n{asked}\nAnswer: {each.answer.capitalize()}"
    return LocalJudge(
        chat.model,
        f"{question}\n\n{_asked('{prompt}', '{text}')}\n{REQUEST}",
        _starts(specification.yes),
        _starts(specification.no),
        threshold,
        name,
    )


class LocalJudge(Judge):
    """Judge by a local model, which says how many texts it could not judge.

    See :class:`~fuse_lightning.decoding.judged_properties.Judge` for its grades.
    """

    def grades(self, texts: Sequence[str], prompts: Sequence[str]) -> list[float]:
        """Grade of each text; NaN where the question is longer than the model reads."""
        grades = super().grades(texts, prompts)
        _tell_unknown(grades, f"the question is longer than {self.model.model_id!r} reads")
        return grades


class ChatJudge(Property):
    """Property: a chat model answers yes to a question about the prompt and the text.

    The grade is p(yes) / (p(yes) + p(no)) of the first word where the model tells
    log-probabilities, else 1 for yes and 0 for no by the first word. A text is not judged (NaN)
    where the answer begins with neither, or there is none.

    Args:
        chat: The chat model.
        specification: The criterion with its words and examples.
        logprobs: Whether log-probabilities are asked for, which some servers refuse.
        threshold: Grade from which a text has the property; without it the grade itself counts.
        max_tokens: Most tokens of an answer; models that think first need hundreds.
        name: Name in tables and files.

    Attributes:
        unknown: Number of texts that were not judged.

    Raises:
        FuseError: If there is no criterion.
    """

    def __init__(
        self,
        chat: Chat,
        specification: Specification,
        *,
        logprobs: bool = False,
        threshold: float | None = None,
        max_tokens: int = 20,
        name: str = "judged",
    ) -> None:
        check_threshold(threshold)
        check_number("max_tokens", max_tokens, 1)
        if not specification.criterion.strip():
            raise FuseError("the specification has no criterion; give one, or leave the judge out")
        self.chat = chat
        self.specification = specification
        self.logprobs = logprobs
        self.threshold = threshold
        self.max_tokens = max_tokens
        self.name = name
        self.description = f"to which {chat.name} answers yes"
        self.unknown = 0

    def grades(self, texts: Sequence[str], prompts: Sequence[str]) -> list[float]:
        """Grade of each text; NaN for one that was not judged."""
        check_pairs(texts, prompts)
        # A model gives one answer to one question.
        pairs = list(dict.fromkeys(zip(prompts, texts, strict=True)))
        with ThreadPoolExecutor(self.chat.at_once) as pool:
            judged = [*pool.map(self._judge, pairs)]
        found = dict(zip(pairs, judged, strict=True))
        grades = [found[pair][0] for pair in zip(prompts, texts, strict=True)]
        why = next((said for grade, said in judged if math.isnan(grade)), "")
        self.unknown += _tell_unknown(grades, why)
        return at_least(grades, self.threshold)

    def messages(self, prompt: str, text: str) -> list[Message]:
        """Turns that ask about a text; examples with answers are turns before it."""
        system = "\n\n".join([*_parts(self.specification), REQUEST])
        turns: list[Message] = [{"role": "system", "content": system}]
        for each in self.specification.judged:
            if isinstance(each, Judged):
                turns.append({"role": "user", "content": _asked(each.prompt, each.text)})
                turns.append({"role": "assistant", "content": each.answer.capitalize()})
        return [*turns, {"role": "user", "content": _asked(prompt, text)}]

    def _judge(self, pair: tuple[str, str]) -> tuple[float, str]:
        """Grade of a text, and why there is none."""
        try:
            reply = self.chat.answer(
                self.messages(*pair),
                temperature=0.0,
                max_tokens=self.max_tokens,
                firsts=FIRSTS if self.logprobs else 0,
            )
        except FuseError as error:
            return math.nan, str(error)
        grade = graded(reply, self.specification.yes, self.specification.no)
        return grade, f"{self.chat.name} answers {reply.text[:60]!r}"


def graded(reply: Reply, yes: Sequence[str] = ("yes",), no: Sequence[str] = ("no",)) -> float:
    """Grade of an answer: the share of yes; NaN where it begins with neither yes nor no.

    Args:
        reply: The answer, with the log-probabilities of its first tokens if there are any.
        yes: Words that say yes, in any case.
        no: Words that say no.

    >>> graded(Reply("**Yes**, it is.", {})), graded(Reply("Nothing is known", {}))
    (1.0, nan)
    >>> round(graded(Reply("No.", {"No": -0.1, " yes": -2.4, "Not": -5.0})), 3)
    0.091
    """
    if reply.firsts:
        sides = [_probability(reply.firsts, words) for words in (yes, no)]
        if sum(sides) > 0:
            return sides[0] / sum(sides)
    text = re.sub(r"^[\W_]+", "", without_thoughts(reply.text))
    found = [_length(text, words) for words in (yes, no)]
    # "no" may begin a longer phrase that says yes; equal ones say both.
    if found[0] == found[1]:
        return math.nan
    return float(found[0] > found[1])


def _tell_unknown(grades: Sequence[float], why: str) -> int:
    """Number of texts that were not judged, which is told."""
    unknown = sum(map(math.isnan, grades))
    if unknown:
        logger.warning(
            "%d of %d texts are not judged; the first: %s", unknown, len(grades), visible(why)
        )
    return unknown


def _probability(firsts: Mapping[str, float], words: Sequence[str]) -> float:
    """Probability that the first token is one of some words."""
    wanted = {word.strip().lower() for word in words}
    return sum(math.exp(value) for text, value in firsts.items() if _word(text) in wanted)


def _word(token: str) -> str:
    return AROUND.sub("", token).lower()


def _length(text: str, words: Sequence[str]) -> int:
    """Length of the longest of some words that a text begins with; 0 for none."""
    found = (
        len(word)
        for word in map(str.strip, words)
        if re.match(re.escape(word) + NO_MORE, text, re.IGNORECASE)
    )
    return max(found, default=0)


def _parts(specification: Specification) -> list[str]:
    """Criterion, and plain examples of texts."""
    shown = [each for each in specification.judged if isinstance(each, str)]
    return [specification.criterion, *shown]


def _asked(prompt: str, text: str) -> str:
    return f"Prompt: {prompt}\nResponse: {text}"


def _braced(text: str) -> str:
    """Text whose braces stand for themselves in a question."""
    return text.replace("{", "{{").replace("}", "}}")


def _starts(words: Sequence[str]) -> list[str]:
    """Words as they begin an answer, without those that begin with another of them."""
    kept: list[str] = []
    for word in sorted({word.strip().capitalize() for word in words}, key=len):
        if not any(word.startswith(each) for each in kept):
            kept.append(word)
    return kept
