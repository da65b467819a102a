"""What a prompt may say, checked on its text."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import get_args

from torch import Tensor

from fuse_lightning.errors import FuseError
from fuse_lightning.models import FrozenModel, TokenSet

WORD = re.compile(r"\w+")


@dataclass
class Constraints:
    """What a prompt may hold; the same for every optimizer.

    Tokens are only the first sieve: pieces that are harmless alone can spell a blocked word
    together, so the decoded prompt itself is checked.

    Attributes:
        tokens: "any"; "ascii" for printable ASCII; "words" for plain letters, commas and full
            stops. Special tokens are never allowed, nor text that a model reads as one.
        block: Strings that the prompt must not hold, in upper or lower case, inside a word too.
        allow: The only words that the prompt may hold, if any are given, in upper or lower case.
        canonical: Whether a prompt's text must be read by the primary tokenizer, behind its
            prefix, as the same ids. What is reported is the text, so that turning this off makes
            losses hold for ids that nobody else will get from it.
    """

    tokens: TokenSet = "ascii"
    block: list[str] = field(default_factory=list)
    allow: list[str] = field(default_factory=list)
    canonical: bool = True

    def __post_init__(self) -> None:
        if self.tokens not in (sets := get_args(TokenSet)):
            raise FuseError(f"constraints.tokens is {self.tokens!r}; give one of {', '.join(sets)}")
        for name in ("block", "allow"):
            texts = getattr(self, name)
            if isinstance(texts, str):
                raise FuseError(f"constraints.{name} is {texts!r}; give a list of strings")
            if any(not text.strip() for text in texts):
                raise FuseError(f"constraints.{name} holds an empty string; remove it")
        self._marks: re.Pattern[str] | None = None
        self._blocked = [_plain(text) for text in self.block]
        self._words = {word for text in self.allow for word in WORD.findall(_plain(text))}
        if self.allow and not self._words:
            raise FuseError(f"constraints.allow is {self.allow}, without a word; give words")

    def forbid_marks(self, models: Iterable[FrozenModel]) -> None:
        """Also forbids texts that one of the models would read a special token in."""
        marks = sorted(set().union(*(model.marks for model in models)))
        # One pass over a text, however many a model reserves.
        self._marks = re.compile("|".join(map(re.escape, marks))) if marks else None

    def mask(self, model: FrozenModel) -> Tensor:
        """Which tokens can be part of an admitted prompt, boolean, shape (V,).

        Raises:
            FuseError: If there are none.
        """
        mask = model.allowed_tokens(self.tokens)
        parts = " ".join(self._words)
        words = 0
        for index in mask.nonzero().flatten().tolist():
            text = _plain(model.pieces[index])
            found = WORD.findall(text)
            blocked = any(string in text for string in self._blocked)
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
        """Whether a prompt says nothing forbidden.

        Args:
            text: The prompt.
            growing: Whether its last word may still be the beginning of an allowed one.
        """
        plain = _plain(text)
        if self._marks and self._marks.search(text):
            return False
        if any(string in plain for string in self._blocked):
            return False
        if not self._words:
            return True
        words = WORD.findall(plain)
        if growing and words and plain.endswith(words[-1]):
            last = words.pop()
            if not any(word.startswith(last) for word in self._words):
                return False
        return all(word in self._words for word in words)


def _plain(text: str) -> str:
    """Case folded, with single spaces."""
    return " ".join(text.casefold().split())
