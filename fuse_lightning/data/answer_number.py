"""Answers that are numbers."""

import re
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import ClassVar

from fuse_lightning.data.answer_kind import LONE, PLAIN, WEAK, AnswerKind, Labels, Mention, clean

_GROUPED = r"\d{1,3}(?:[,\u00a0\u2009\u202f']\d{3})+(?!\d)|\d{1,3}(?:,\d{2})+,\d{3}(?!\d)"
_PLAIN = rf"(?:(?:{_GROUPED}|\d+)(?:\.\d+)?|\.\d+)"
_NUMBER = re.compile(
    rf"""(?P<sign>[-+]|\b(?:minus|negative)\b)?[ ]?(?:[$€£¥][ ]?(?P<inner>-)?)?
         (?<![\w.])(?P<body>
            \d+[ ]\d+/\d+(?![\d/])
          | {_PLAIN}[ ]?/[ ]?\d+(?:\.\d+)?(?![\d./]*/)
          | {_PLAIN}(?:[eE][+-]?\d+)?)""",
    re.VERBOSE | re.IGNORECASE,
)
_ORDINAL = re.compile(r"(?:st|nd|rd|th)\b", re.IGNORECASE)
_LEFT = re.compile(r"[\w)\]%]$")
_LISTED = re.compile(r"^[ \t*#]*\d{1,2}[.)][ \t*]+\S", re.MULTILINE)
"""Number of an item of a list, which opens its line."""
_EXPRESSION = re.compile(r"[\d\s.,+\-*/x^()$%]*=[\s$*(]*")
# fmt: off
_WORDS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
    "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
    "twenty",
)
# fmt: on
LONGEST = 300
"""Most digits of a number, and highest power of ten; longer ones are no answers."""
_WORD = re.compile(rf"\b(?:{'|'.join(_WORDS)})\b(?!-|\s+of\b)", re.IGNORECASE)
_AROUND = re.compile(r"[\s$€£¥%*_.]*")


def value(text: str) -> Fraction | None:
    """Value of a text that is one number; ``None`` if it is something else.

    >>> value("$1,200"), value("-3/4"), value("1e3"), value("24.0 %"), value("4 apples")
    (Fraction(1200, 1), Fraction(-3, 4), Fraction(1000, 1), Fraction(24, 1), None)
    """
    text = clean(text)
    match = next(iter(_numbers(text)), None)
    if match is None or not _AROUND.fullmatch(text[: match[0]] + text[match[1] :]):
        return None
    return match[2]


def shown(number: Fraction) -> str:
    """Number as it is shown: whole, as a finite decimal, or as a fraction.

    >>> shown(Fraction(24)), shown(Fraction(-5, 4)), shown(Fraction(1, 3))
    ('24', '-1.25', '1/3')
    """
    rest, places = number.denominator, 0
    while rest != 1 and 10**places % rest:
        places += 1
        if places > 20:
            return str(number)
    digits = f"{abs(number.numerator) * 10**places // rest:0{places + 1}d}"
    sign = "-" if number < 0 else ""
    return f"{sign}{digits[:-places]}.{digits[-places:]}" if places else f"{sign}{digits}"


def _numbers(text: str) -> Iterable[tuple[int, int, Fraction]]:
    """Start, end and value of all numbers in a text."""
    for match in _NUMBER.finditer(text):
        if _ORDINAL.match(text, match.end()):
            continue
        number = _value(match["body"])
        if number is None:
            continue
        start = match.start("body")
        sign = match["sign"] or ""
        signed = bool(sign) and not _joins(text, match)
        if signed:
            start = match.start()
        negative = (signed and sign != "+") != bool(match["inner"])
        yield start, match.end(), -number if negative else number


def _joins(text: str, match: re.Match[str]) -> bool:
    """Whether a sign stands between two numbers or words, so that it belongs to neither."""
    before = text[: match.start()]
    apart = before[-1:].isspace() or not before
    spaced = text[match.end("sign") : match.end("sign") + 1] == " "
    left = before.rstrip()
    if not apart:
        return bool(_LEFT.search(before))
    if left and (left[-1].isdigit() or left[-1] in ")]%"):
        return True
    # A dash before a space is a bullet or a dash of the sentence.
    return spaced and len(match["sign"]) == 1 and not left.endswith(("=", ":", "("))


def _value(body: str) -> Fraction | None:
    if len(body) > LONGEST:
        return None
    body = re.sub(r"[,\u00a0\u2009\u202f']", "", body)
    whole, _, part = body.rpartition(" ") if re.match(r"\d+ \d+/", body) else ("0", "", body)
    above, _, below = part.replace(" ", "").partition("/")
    exponent = re.search(r"[eE]([+-]?\d+)", above)
    if exponent and abs(int(exponent[1])) > LONGEST:
        return None
    number = Fraction(above)
    if below:
        if not Fraction(below):
            return None
        number /= Fraction(below)
    return Fraction(whole) + number


class Number(AnswerKind):
    """Numbers: whole, decimal, with thousands commas, fractions and powers of ten.

    Currency and percent signs do not count: "$24", "24%" and "24.0" are 24, and "25%" is not
    0.25. Values are equal exactly: 1/3 is not 0.33. Numbers of ordinals ("3rd"), of names ("H2O")
    and of the items of a list are no answers. The words zero to twenty count behind "the answer
    is". Behind it, of "3 + 4 = 7" the number behind the last equals sign counts.
    """

    name: ClassVar[str] = "number"

    def label(self, right: str) -> str | None:
        """The number in its shortest form; ``None`` if the text is something else.

        >>> Number().label("1,200"), Number().label(" -5.0"), Number().label("five dollars")
        ('1200', '-5', None)
        """
        number = value(right)
        return None if number is None else shown(number)

    def key(self, answer: str) -> object:
        """The value; the text itself if it is no number.

        >>> Number().same("24.0", "24"), Number().same("1,200", "1200"), Number().same("2", "-2")
        (True, True, False)
        """
        number = value(answer)
        return answer.strip() if number is None else number

    def _found(self, text: str, labels: Labels) -> Iterable[Mention]:
        names = {self.key(label): label for label in labels}
        listed = {
            at for match in _LISTED.finditer(text) for at in range(match.start(), match.end())
        }
        for start, end, number in _numbers(text):
            rank = WEAK if start in listed else PLAIN
            yield Mention(names.get(number, shown(number)), start, end, rank)
        for match in _WORD.finditer(text):
            yield Mention(str(_WORDS.index(match[0].lower())), *match.span(), LONE)

    def _result(self, text: str, found: Sequence[Mention], at: int) -> int:
        """Place of the result of the sum that begins at a mention; the mention's own if none."""
        while match := _EXPRESSION.match(text, found[at].end):
            behind = [
                place for place in range(at + 1, len(found)) if found[place].end > match.end()
            ]
            if not behind or found[behind[0]].start > match.end():
                break
            at = behind[0]
        return at
