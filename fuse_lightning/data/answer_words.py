"""Answers that are words: of a closed set, yes or no, or open."""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import ClassVar

from fuse_lightning.data.answer_kind import (
    LONE,
    OPEN,
    PLAIN,
    AnswerKind,
    Labels,
    Mention,
    fold,
)

YES_NO: Labels = {"yes": ["yes"], "no": ["no"]}
"""Label set of yes and no where none is given."""
_SIDES = {"yes": True, "true": True, "no": False, "false": False}
_ARTICLE = re.compile(r"^(?:the|an?)\s+")
_NAME = re.compile(
    r"""(?i:(?:the|an?|is|was|are|be|so|therefore)\b\s*)+
      | (?P<name>\w[\w'-]*(?:[ ](?=[^\W\d_])(?![a-zß-ÿ])\w[\w'-]*)*)""",
    re.VERBOSE,
)
"""Words that name nothing; or a word and those in a row behind it that begin with capitals."""
_DETERMINER = re.compile(
    r"\s+(?!(?:because|since|as|it|he|she|they|we|you|i|and|the|this|that|these|those|not|is)\b)[a-z]"
)
"""What makes "no" a word before a noun: another word that begins no sentence."""


def named(text: str, words: Mapping[str, str], rank: int = PLAIN) -> Iterable[Mention]:
    """Mentions of some words as whole words, the longest first, without case and accents.

    Args:
        text: The text.
        words: The label of each word.
        rank: Rank of the mentions.

    >>> [mention.label for mention in named("An invalid form", {"valid": "V", "invalid": "I"})]
    ['I']
    """
    pattern, labels = _pattern(tuple(words.items()))
    for match in pattern.finditer(fold(text)):
        yield Mention(labels[_spaced(match[0])], *match.span(), rank)


@lru_cache(maxsize=256)
def _pattern(words: tuple[tuple[str, str], ...]) -> tuple[re.Pattern[str], dict[str, str]]:
    """Pattern of whole words, the longest first, and the label of each; the first one counts."""
    labels = {_spaced(fold(word)): label for word, label in reversed(words) if word.strip()}
    ordered = sorted(labels, key=len, reverse=True)
    texts = [r"[\s-]+".join(map(re.escape, word.split())) for word in ordered]
    # A sign such as the plus of "A+" may end a word.
    return re.compile(rf"(?<!\w)(?:{'|'.join(texts)})(?!\w)" if texts else r"(?!)"), labels


def _spaced(text: str) -> str:
    return " ".join(re.split(r"[\s-]+", text)).strip()


def words_of(labels: Labels) -> dict[str, str]:
    """The label of each word of a label set; a label's own name is one of its words.

    >>> words_of({"positive": ["good", "great"]})
    {'good': 'positive', 'great': 'positive', 'positive': 'positive'}
    """
    found = {word: label for label, words in labels.items() for word in words if word.strip()}
    return found | {label: label for label in labels if label not in found}


class Word(AnswerKind):
    """Answers that are words.

    With a label set an answer is a whole word of it, wherever it stands, whatever its case and
    accents. Of two labels, "not" before one means the other. Without a set it is the first word
    behind "the answer is" (several if they begin with capital letters), else the last word of a
    chain or the first one behind the extractor.
    """

    name: ClassVar[str] = "word"
    negated: ClassVar[bool] = True

    def label(self, right: str) -> str | None:
        r"""The text in one line, without white space around it; ``None`` if it is empty.

        >>> Word().label(" New\n Delhi ")
        'New Delhi'
        """
        return " ".join(right.split()) or None

    def key(self, answer: str) -> object:
        """Text without case, accents, articles and signs around it.

        >>> Word().same("the sao tome.", "São Tomé"), Word().same("valid", "invalid")
        (True, False)
        """
        text = " ".join(fold(answer).replace("-", " ").split())
        return _ARTICLE.sub("", text.strip(" .,;:!?\"'`*_()[]{}$")) or text

    def _found(self, text: str, labels: Labels) -> Iterable[Mention]:
        if labels:
            yield from named(text, words_of(labels))
            return
        for match in _NAME.finditer(text):
            if match["name"]:
                yield Mention(match["name"], *match.span("name"))


class YesNo(AnswerKind):
    """Answers yes or no, or true or false, which count alike.

    "no" before a noun, as in "no steps are left", is an answer only behind "the answer is".
    """

    name: ClassVar[str] = "yes_no"
    negated: ClassVar[bool] = True

    def label(self, right: str) -> str | None:
        """The word as it is written; ``None`` if it is another word.

        >>> YesNo().label(" Yes"), YesNo().label("valid")
        ('Yes', None)
        """
        text = right.strip(" .\t\n")
        return text if fold(text) in _SIDES else None

    def key(self, answer: str) -> object:
        """Whether an answer says yes; the text itself if it says neither.

        >>> YesNo().same("TRUE.", "yes"), YesNo().same("no", "True")
        (True, False)
        """
        text = fold(answer).strip(" .,;:!?\"'`*_()[]{}$\n")
        return _SIDES.get(text, text)

    def parse(self, text: str, labels: Labels = OPEN) -> str | None:
        """The last yes or no in a chain, as the label set writes it; ``None`` if there is none.

        >>> YesNo().parse("There are no steps left. So yes, he returns.", {"Yes": [], "No": []})
        'Yes'
        """
        return super().parse(text, labels or YES_NO)

    def read(self, text: str, labels: Labels = OPEN) -> str | None:
        """The first yes or no behind the extractor, as the label set writes it, or ``None``.

        >>> YesNo().read(" not true", {"True": ["True"], "False": ["False"]})
        'False'
        """
        return super().read(text, labels or YES_NO)

    def _found(self, text: str, labels: Labels) -> Iterable[Mention]:
        sides = {self.key(label): label for label in labels}
        words = {word: sides[side] for word, side in _SIDES.items() if side in sides}
        own = {word: label for word, label in words_of(labels).items() if fold(word) not in words}
        for mention in named(text, words | own):
            said = fold(text[mention.start : mention.end])
            noun = said == "no" and _DETERMINER.match(text, mention.end)
            yield Mention(mention.label, mention.start, mention.end, LONE if noun else PLAIN)
