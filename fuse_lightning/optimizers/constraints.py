"""Constraints on prompts, checked on their text."""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import get_args

import regex
from torch import Tensor

from fuse_lightning.errors import FuseError
from fuse_lightning.models import FrozenModel, TokenSet

Listed = str | bool | int | float
"""Values that YAML makes of words in a list; only texts are accepted."""
WORD = regex.compile(r"[\w\p{M}]+(?:'[\w\p{M}]+)*")
"""Pattern of a word of any script, with its marks, and with apostrophes inside."""
LAST = regex.compile(r"[\w\p{M}]+(?:'[\w\p{M}]+)*'?$")
"""Pattern of a last word that may continue."""
CONTROLS = regex.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f]")
"""Pattern of control characters other than white space."""
HIDDEN = regex.compile(rf"[\p{{Cf}}\p{{Default_Ignorable_Code_Point}}]|{CONTROLS.pattern}")
"""Pattern of invisible characters: zero-width spaces, joiners, soft hyphens."""
APOSTROPHES = str.maketrans({"\u2019": "'", "\u02bc": "'"})


@dataclass
class Constraints:
    """Constraints on prompts, the same for every optimizer.

    Tokens are only the first sieve: pieces that are harmless alone can spell a blocked word
    together, so the decoded prompt itself is checked.

    Words are those of any script: with their marks, and with apostrophes inside. Texts are
    compared without regard to case, to how characters are composed (Unicode's NFKC), and to
    characters that nobody sees. The joiners of Persian, Indic scripts and emoji are among the
    latter: two spellings that differ in them alone are one word.

    Attributes:
        tokens: "any"; "ascii" for printable ASCII; "words" for plain letters, commas and full
            stops. Special tokens are never allowed, nor text that a model reads as one.
        block: Strings that the prompt must not hold, inside a word too.
        allow: The only words that the prompt may hold, if any are given. Other signs between
            them are free, control characters are not.
        canonical: Whether a prompt's text must be read by the primary tokenizer, behind its
            prefix, as the same ids. Without it the search may go through other ids, too; what is
            reported are still texts, with the ids and losses that they have when they are read.
        familiar: Most tokens in which each other model of the objective may read the text of a
            token, taken as a word; ``None`` for no limit. Where a model knows far fewer words than
            the writer, 1 keeps the writer to these words.
    """

    tokens: TokenSet = "ascii"
    block: list[Listed] = field(default_factory=list)
    allow: list[Listed] = field(default_factory=list)
    canonical: bool = True
    familiar: int | None = None

    def __post_init__(self) -> None:
        if self.tokens not in (sets := get_args(TokenSet)):
            raise FuseError(f"constraints.tokens is {self.tokens!r}; give one of {', '.join(sets)}")
        if self.familiar is not None and self.familiar < 1:
            raise FuseError(f"constraints.familiar is {self.familiar}; it must be at least 1")
        block, allow = (_texts(name, getattr(self, name)) for name in ("block", "allow"))
        self._marks: re.Pattern[str] | None = None
        self._blocked = [_composed(_plain(text)) for text in block]
        self._words = {word for text in allow for word in WORD.findall(_plain(text))}
        if self.allow and not self._words:
            raise FuseError(f"constraints.allow is {self.allow}, without a word; give words")

    def forbid_marks(self, models: Iterable[FrozenModel]) -> None:
        """Also forbids texts in which a model would read a special token."""
        marks = sorted(set().union(*(model.marks for model in models)))
        # One pass over a text, however many a model reserves.
        self._marks = re.compile("|".join(map(re.escape, marks))) if marks else None

    def mask(self, model: FrozenModel) -> Tensor:
        """Mask of the tokens that can be part of an admitted prompt, boolean, shape (V,).

        Raises:
            FuseError: If there are none.
        """
        mask = model.allowed_tokens(self.tokens)
        parts = " ".join(self._words)
        words = 0
        for index in mask.nonzero().flatten().tolist():
            text = _plain(model.pieces[index])
            found = WORD.findall(text)
            composed = _composed(text)
            blocked = any(string in composed for string in self._blocked)
            unknown = self._words and any(word not in parts for word in found)
            mask[index] = not (blocked or unknown)
            words += bool(mask[index] and found)
        if not (words if self._words else mask.any()):
            raise FuseError(
                f"constraints leave no token of {model.model_id!r} (tokens: {self.tokens!r}, "
                f"{len(self.block)} blocked strings, {len(self.allow)} allowed words); relax them"
            )
        return mask

    def admits(self, text: str, *, growing: bool = False) -> bool:
        """Whether a prompt's text holds nothing forbidden.

        Args:
            text: The prompt.
            growing: Whether its last word may still be the beginning of an allowed one.
        """
        plain = _plain(text)
        if self._marks and self._marks.search(text):
            return False
        composed = _composed(plain)
        if any(string in composed for string in self._blocked):
            return False
        if not self._words:
            return True
        if CONTROLS.search(text):
            return False
        if growing and (last := LAST.search(plain)):
            if not any(word.startswith(last[0]) for word in self._words):
                return False
            plain = plain[: last.start()]
        return all(word in self._words for word in WORD.findall(plain))


def _texts(name: str, listed: Iterable[Listed]) -> list[str]:
    """The texts of a list, after a check that it holds nothing else.

    Raises:
        FuseError: If it is none, or holds something else than texts.
    """
    if isinstance(listed, str):
        raise FuseError(f"constraints.{name} is {listed!r}; give a list of strings")
    texts = []
    for text in listed:
        if not isinstance(text, str):
            raise FuseError(
                f"constraints.{name} holds {text!r}, which is no text: YAML reads no, on and "
                f"numbers so; put quotes around it, as in {name}: ['no', 'on']"
            )
        if not _plain(text):
            raise FuseError(f"constraints.{name} holds an empty string; remove it")
        texts.append(text)
    return texts


def _plain(text: str) -> str:
    """Normalized text: case folded, decomposed, without invisible characters, single spaces.

    >>> _plain("Caf\u00e9\u200b  NOIR") == "cafe\u0301 noir"
    True
    """
    if not (text.isascii() and text.isprintable()):
        seen = unicodedata.normalize("NFKD", HIDDEN.sub("", text))
        text = unicodedata.normalize("NFKD", seen.casefold()).translate(APOSTROPHES)
    return " ".join(text.casefold().split())


def _composed(plain: str) -> str:
    """Normalized text with composed characters, so that no letter matches an accented one."""
    return unicodedata.normalize("NFC", plain)
