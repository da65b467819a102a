"""Answers that are letters of listed options."""

import re
from collections.abc import Iterable
from typing import ClassVar

from fuse_lightning.data.answer_kind import LONE, PLAIN, WEAK, AnswerKind, Labels, Mention
from fuse_lightning.data.answer_words import named, words_of

_OPTIONS = (
    re.compile(r"^[ \t]*(?:\(([A-Z])\)|([A-Z])[).:])[ \t]*(\S.*?)[ \t]*$", re.MULTILINE),
    re.compile(
        r"(?:^|(?<=\s))(?:\(([A-Z])\)|([A-Z])\))[ \t]*(\S.*?)[,; \t]*(?=\s\(?[A-Z]\)|$)", re.M
    ),
)
"""Options of a question: a line for each, or all in one line. Their letter and their text."""
_PLAIN = (
    r"(?:(?<!\w)[(\[{<]|\\boxed\s*\{)\s*([A-Za-z])\s*[.)\]}>]",
    r"(?<![\w(])([A-Z])\)",
    r"^[ \t]*([a-z])\)",
    r"\$[ \t]?([A-Z])(?!\w)",
    r"(?:\*\*|__)[ \t]?(?:Option|Answer)?[ \t]?([A-Z])[.):*_]",
    r"([\"'`])([A-Z])[.)]?\1",
    r"\b(?:[Oo]ption|[Cc]hoice|[Aa]nswer|[Ll]etter|[Ss]elect|[Cc]hoose|[Pp]ick)[ \t]+([A-Z])(?!\w)",
    r"^\W*([A-Za-z])\W*$",
)
"""Letters that stand for options by their signs, by the word before them, or alone in a line."""
_LETTERS = [re.compile(pattern, re.MULTILINE) for pattern in _PLAIN]
_FIRST = re.compile(r"\A\W*([A-Z])[.:)]\s+[^a-z\n][^\n]*\Z")
_LONE = re.compile(r"(?<![\w'.-])([A-Za-z])(?![\w'-])")
_PROSE = re.compile(
    r"\s+(?!(?:because|since|as|and|or|which|for|from|with|by|given|due|so|but|is|was|in)\b)\w",
    re.IGNORECASE,
)
"""What makes a lone letter a word of a sentence, such as the article of "a dog"."""
_LABEL = re.compile(r"\s*(?:\(([A-Za-z])\)|\[([A-Za-z])\]|([A-Za-z])\s?[.):]?)\s*")


def options(question: str) -> dict[str, str]:
    r"""Options that a question lists from A on: texts by letter.

    >>> options("Who is it?\nOptions:\n(A) Ann\n(B) Bob Lee\n")
    {'A': 'Ann', 'B': 'Bob Lee'}
    >>> options("Who is it? (A) Ann, (B) Bob Lee"), options("B. Smith\nA. Jones")
    ({'A': 'Ann', 'B': 'Bob Lee'}, {})
    """
    for pattern in _OPTIONS:
        found: dict[str, str] = {}
        for match in pattern.finditer(question):
            # Names such as "B. Smith" begin no list.
            if (letter := match[1] or match[2]) == chr(ord("A") + len(found)):
                found[letter] = match[3]
        if len(found) > 1:
            return found
    return {}


class Choice(AnswerKind):
    """Letters of listed options: "(B)", "B.", "$B", "**B**", "option B", "the answer is B".

    A letter without signs counts only behind words such as "the answer is", or alone in a line;
    the article of "A dog" and the pronoun "I" do not. Where :meth:`asked` knows the options of the
    question, the text of an option counts as its letter.
    """

    name: ClassVar[str] = "choice"

    def label(self, right: str) -> str | None:
        """The capital letter alone; ``None`` if the text is no letter.

        >>> Choice().label("(B)"), Choice().label("b."), Choice().label("Monsters, Inc")
        ('B', 'B', None)
        """
        match = _LABEL.fullmatch(right)
        return (match[1] or match[2] or match[3]).upper() if match else None

    def key(self, answer: str) -> object:
        """The capital letter; the text itself if it is none.

        >>> Choice().same("B", "(B)"), Choice().same("A", "(B)")
        (True, False)
        """
        return self.label(answer) or answer.strip()

    def asked(self, question: str, labels: Labels) -> Labels:
        r"""The label set with the texts of the options that the question lists.

        >>> Choice().asked("Who?\n(A) Ann\n(B) Bob", {"A": ["A"], "B": ["B"], "C": ["C"]})
        {'A': ['A', 'Ann'], 'B': ['B', 'Bob'], 'C': ['C']}
        """
        listed = options(question)
        # A text that two options share tells neither.
        texts = [*listed.values()]
        once = {letter: text for letter, text in listed.items() if texts.count(text) == 1}
        named_by = {self.key(label): label for label in labels} or {name: name for name in listed}
        whole = {label: [*labels.get(label, [label])] for label in named_by.values()}
        for letter, text in once.items():
            if letter in named_by:
                whole[named_by[letter]].append(text)
        return whole

    def _found(self, text: str, labels: Labels) -> Iterable[Mention]:
        names = {self.key(label): label for label in labels}
        for pattern in [*_LETTERS, _FIRST]:
            for match in pattern.finditer(text):
                group = match.lastindex or 1
                letter = match[group].upper()
                if label := names.get(letter, "" if labels else letter):
                    yield Mention(label, match.start(group), match.end(group), PLAIN)
        for match in _LONE.finditer(text):
            letter = match[1].upper()
            label = names.get(letter, "" if labels else letter)
            sure = match[1].isupper() and letter not in "AI"
            behind = _PROSE.match(text, match.end())
            if label and not (
                behind and not (sure and text[match.end()] != "\n" and _upper(behind))
            ):
                yield Mention(label, match.start(1), match.end(1), LONE)
        longer = {word: label for word, label in words_of(labels).items() if not self.label(word)}
        yield from named(text, longer, WEAK)


def _upper(behind: re.Match[str]) -> bool:
    """Whether the word behind a letter begins like the text of an option."""
    return behind[0][-1].isupper() or behind[0][-1].isdecimal()
