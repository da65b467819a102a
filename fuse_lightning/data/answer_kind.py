"""Base of the kinds of answers: which answer a text gives, and whether it is the right one."""

import re
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import ClassVar

Labels = Mapping[str, Sequence[str]]
"""Right answers of a closed set, each with the words that stand for it."""
OPEN: Labels = MappingProxyType({})
"""Label set of open answers, such as numbers: none."""

CUED, PLAIN, WEAK, LONE = 3, 2, 1, 0
"""Ranks of mentions: behind words such as "the answer is"; by itself; only if there is no plainer
one; only if cued."""

_LATEX = (
    (re.compile(r"\\(?:text|textbf|mathrm|mathbf)\s*\{([^{}]*)\}"), r" \1"),
    (re.compile(r"\\[dt]?frac\s*\{\s*(\d+)\s*\}\s*\{\s*(\d+)\s*\}"), r" \1/\2"),
    (re.compile(r"\{,\}|\\,"), ","),
    (re.compile(r"\\(?:times|cdot)\b"), "*"),
    (re.compile(r"\\([$%()\[\]])"), r" \1"),
)
_PLAIN_SIGNS = str.maketrans("\u2018\u2019\u201c\u201d\u2212\u2013\u00d7\u00f7", "''\"\"--*/")
"""Quotes, minus signs and dashes, and signs of sums that have a plainer one."""
_CUE = re.compile(
    r"""\b(?:answer|option|choice)\b[*_\s,]*
        (?:\([^()\n]*\)\s*)?
        (?:(?:to|of|for|in|here|then)\b[^.!?:\n]{0,80}?)?
        (?:[*_\s,]*(?:(?:would|should|must|will|can\s+only)\s+be|is|are|was|equals)\b|[*_\s]*[:=])
        [*_]*(?:\s*[:=])?
      | \#\#\#\#
      | \\boxed\s*(?=\{)""",
    re.VERBOSE | re.IGNORECASE,
)
_GAP = re.compile(r"[\s*_$`\"'({\[]*[^.!?\n]{0,60}")
"""What may stand between a cue and its answer: white space and signs, then a part of a line."""
_BEHIND = re.compile(
    r"""[)\]}*_"'.\s]{0,4}\s*(?:is|are|was|seems|looks|must\s+be|would\s+be)\s+
        (?:(?P<no>not|n't|incorrect|wrong|false|impossible)\b
         | (?:(?:therefore|thus|clearly|indeed|also)\s+)?(?:the\s+)?
           (?:right|correct|final|best|only)?\s*(?:correct|right|answer|choice|option)\b)""",
    re.VERBOSE | re.IGNORECASE,
)
_NOT = re.compile(
    r"(?:\b(?:not|never|neither|nor|cannot\s+be)\s+|n't\s+)(?:be\s+)?(?:an?\s+|the\s+)?[(*\"'`$]*$",
    re.IGNORECASE,
)
_NOTS = re.compile(r"\b(?:not|never)\b|n't\b", re.IGNORECASE)
_OR = re.compile(r"""[\s)\]}*_"'`$]*(?:,?\s*\b(?:or|nor)\b|/|,)[\s(\[{*_"'`$]*""", re.IGNORECASE)


@dataclass(frozen=True)
class Mention:
    """One place in a text that names an answer.

    Attributes:
        label: The answer.
        start: Index of its first character.
        end: Index behind its last character.
        rank: How surely it is meant as the answer; of all mentions those of the highest rank count.
    """

    label: str
    start: int
    end: int
    rank: int = PLAIN


def fold(text: str) -> str:
    """Text without case and accents, of the same length, so that places in it stay the same.

    >>> fold("São Tomé"), fold("“Straße”")
    ('sao tome', '"straße"')
    """
    return "".join(map(_plain, text.translate(_PLAIN_SIGNS)))


def _plain(char: str) -> str:
    base = unicodedata.normalize("NFKD", char)[0].casefold()
    return base if len(base) == 1 else char


def clean(text: str) -> str:
    r"""Text with composed letters, plain signs, and without the LaTeX that stands around answers.

    >>> clean(r"\boxed{\text{Yes}}"), clean(r"\frac{3}{4}")
    ('\\boxed{ Yes}', ' 3/4')
    """
    text = unicodedata.normalize("NFC", text).translate(_PLAIN_SIGNS)
    for pattern, plain in _LATEX:
        text = pattern.sub(plain, text)
    return text


def cues(text: str) -> list[int]:
    r"""Places behind words that announce an answer, such as "the answer is" or ``####``.

    >>> cues("The answer is 5."), cues("Answer: 5\n#### 5")
    ([13], [7, 14])
    """
    return [match.end() for match in _CUE.finditer(text)]


class AnswerKind(ABC):
    r"""Base of kinds of answers.

    An answer behind words such as "the answer is", ``####`` or ``\boxed`` counts before all
    others. Answers that are denied ("not (B)", "(B) is wrong") or stand beside others ("yes or
    no") are none.

    Attributes:
        name: Name of the kind.
        negated: Whether "not" before one of two answers means the other one.
    """

    name: ClassVar[str]
    negated: ClassVar[bool] = False

    def parse(self, text: str, labels: Labels = OPEN) -> str | None:
        """The last answer in a chain of reasoning; ``None`` if there is none.

        Args:
            text: The chain.
            labels: The closed label set; empty for open answers.
        """
        found = self._mentions(clean(text), labels)
        best = max((mention.rank for mention in found), default=LONE)
        counted = [mention for mention in found if mention.rank == best > LONE]
        return counted[-1].label if counted else None

    def read(self, text: str, labels: Labels = OPEN) -> str | None:
        """The first answer in what a model wrote behind the extractor; ``None`` if there is none.

        Args:
            text: What stands behind the extractor.
            labels: The closed label set; empty for open answers.
        """
        found = self._mentions(clean(text), labels, begins=True)
        counted = [mention for mention in found if mention.rank > LONE]
        best = [mention for mention in counted if mention.rank == CUED] or counted
        return best[0].label if best else None

    def same(self, found: str | None, right: str) -> bool:
        """Whether an answer that was found is the right one; ``None`` is none."""
        return found is not None and self.key(found) == self.key(right)

    def asked(self, question: str, labels: Labels) -> Labels:
        """The label set with the words that one question gives its answers; the set by default."""
        return labels

    @abstractmethod
    def label(self, right: str) -> str | None:
        """A right answer as it is shown and measured; ``None`` if it is none of this kind."""

    @abstractmethod
    def key(self, answer: str) -> object:
        """What is equal for all spellings of an answer."""

    @abstractmethod
    def _found(self, text: str, labels: Labels) -> Iterable[Mention]:
        """All mentions of answers in a text, in any order."""

    def _mentions(self, text: str, labels: Labels, *, begins: bool = False) -> list[Mention]:
        """Mentions of answers in order, ranked.

        Args:
            text: The text.
            labels: The closed label set.
            begins: Whether words such as "the answer is" stand before the text.
        """
        found = sorted(self._found(text, labels), key=lambda mention: (mention.start, -mention.end))
        found = _meant(text, found)
        found = [each for mention in found if (each := self._said(text, mention, labels))]
        for cue in [0, *cues(text)] if begins else cues(text):
            behind = next((at for at, each in enumerate(found) if each.start >= cue), None)
            if behind is not None and _GAP.fullmatch(text[cue : found[behind].start]):
                at = self._result(text, found, behind)
                found[at] = replace(found[at], rank=CUED)
        return found

    def _result(self, text: str, found: Sequence[Mention], at: int) -> int:
        """Place of the mention that a cue before the mention at ``at`` means: itself."""
        return at

    def _said(self, text: str, mention: Mention, labels: Labels) -> Mention | None:
        """A mention as it is meant by the words around it; ``None`` if they deny it."""
        before, behind = text[max(0, mention.start - 24) : mention.start], text[mention.end :]
        if denied := _NOT.search(before):
            others = [name for name in labels if self.key(name) != self.key(mention.label)]
            if not self.negated or len(others) != 1:
                return None
            if len(_NOTS.findall(_run(before, denied))) % 2:
                mention = replace(mention, label=others[0])
        if not (said := _BEHIND.match(behind)):
            return mention
        return None if said["no"] else replace(mention, rank=CUED)


def _run(before: str, denied: re.Match[str]) -> str:
    """The words "not" in a row that end with a match."""
    run = re.search(r"(?:(?:\b(?:not|never)|n't)\s+)*$", before[: denied.start()], re.IGNORECASE)
    return before[run.start() if run else denied.start() :]


def _meant(text: str, found: Sequence[Mention]) -> list[Mention]:
    """Mentions without those inside others, and without different ones joined by "or"."""
    apart: list[Mention] = []
    for mention in found:
        if apart and mention.start < apart[-1].end:
            if mention.rank > apart[-1].rank:
                apart[-1] = replace(apart[-1], rank=mention.rank)
            continue
        apart.append(mention)
    kept: list[Mention] = []
    group: list[Mention] = []
    either = False
    for mention in apart:
        joint = _OR.fullmatch(text[group[-1].end : mention.start]) if group else None
        if joint:
            either = either or joint[0].strip(" *_\"'`$()[]{}") != ","
        else:
            kept += [] if either and _differ(group) else group
            group, either = [], False
        group.append(mention)
    return kept + ([] if either and _differ(group) else group)


def _differ(group: Sequence[Mention]) -> bool:
    return len({mention.label for mention in group}) > 1
