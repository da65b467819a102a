"""Tokenizer that caches words: each distinct word is tokenized once, and the results joined."""

from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import chain, product
from typing import Any, NamedTuple

from transformers import PreTrainedTokenizerBase

MOST_WORDS = 2**12
MOST_TEXTS = 2**12
"""Most words and texts in the cache."""
KINDS = ("a", "Z", "9", "'", "'s", ".", "!", "-", "_", "(", "é", "字", "한", "🙂")
"""Sample characters of the kinds that tokenizers treat differently."""


class Tokens(NamedTuple):
    """Token ids of one text, and their character spans.

    Attributes:
        ids: One for each token.
        spans: Two for each token: its first and its last-plus-one character.
    """

    ids: list[int]
    spans: list[int]


class WordTokenizer:
    """Tokenizer that reads each distinct word once.

    Most tokenizers cut a text at its spaces before anything else. What such a tokenizer makes of
    a text is known from its words, which come again and again in a search. Whether it is such a
    one is tried out. Others read whole texts, as do all where a text holds other white space than
    single spaces between its words, or an added token.

    Args:
        tokenizer: The tokenizer.
        lower: Whether texts are put in lower case first.

    Example:
        >>> from fuse_lightning.models.loading import load_tokenizer
        >>> words = WordTokenizer(load_tokenizer("zoo/gpt2", None, False))
        >>> words.read(["a red circle"])[0].spans
        [0, 1, 1, 5, 5, 12]
        >>> words.separable
        True
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, lower: bool = False) -> None:
        self.tokenizer = tokenizer
        self.lower = lower
        self._words: dict[tuple[bool, str], Tokens | None] = {}
        """Words at the start of a text, and behind another; ``None`` if it must be read whole."""
        self._texts: dict[str, Tokens | None] = {}
        """Texts up to their last word: candidates of one parent differ in that word alone."""

    def read(self, texts: Sequence[str], *, special: bool = False) -> list[Tokens]:
        """Tokens of texts, with special tokens if ``special``; nothing is truncated."""
        if not self.lower:
            return self._read(texts, special)
        lowered = [text.lower() for text in texts]
        rows = self._read(lowered, special)
        return [
            row if len(text) == len(low) else _in_upper(row, text)
            for row, text, low in zip(rows, texts, lowered, strict=True)
        ]

    def _read(self, texts: Sequence[str], special: bool) -> list[Tokens]:
        if not self.separable or (special and self._frame is None):
            return self._whole(texts, special)
        self._learn(texts)
        found = [self._joined(text) for text in texts]
        rest = [place for place, tokens in enumerate(found) if tokens is None]
        whole = iter(self._whole([texts[place] for place in rest], special))
        frame = self._frame if special else None
        return [
            next(whole) if tokens is None else self._framed(tokens, *frame) if frame else tokens
            for tokens in found
        ]

    def _whole(self, texts: Sequence[str], special: bool) -> list[Tokens]:
        if not texts:
            return []
        rows = self.tokenizer(
            list(texts),
            add_special_tokens=special,
            return_offsets_mapping=True,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )
        return [
            Tokens(ids, [*chain.from_iterable(spans)])
            for ids, spans in zip(rows["input_ids"], rows["offset_mapping"], strict=True)
        ]

    def _framed(self, tokens: Tokens, head: list[int], tail: list[int]) -> Tokens:
        ids, spans = tokens
        return Tokens([*head, *ids, *tail], [0] * (2 * len(head)) + spans + [0] * (2 * len(tail)))

    def _joined(self, text: str) -> Tokens | None:
        """Tokens of a text of known words; ``None`` if it must be read as a whole."""
        before, space, word = text.rpartition(" ")
        last = self._words[bool(space), word]
        if last is None or not space:
            return last
        if before not in self._texts:
            self._texts[before] = self._put_together(before.split(" "))
        first = self._texts[before]
        if first is None:
            return None
        start = len(before) + 1
        return Tokens(first.ids + last.ids, first.spans + [start + place for place in last.spans])

    def _put_together(self, words: list[str]) -> Tokens | None:
        ids: list[int] = []
        spans: list[int] = []
        start = 0
        for number, word in enumerate(words):
            tokens = self._words[number > 0, word]
            if tokens is None:
                return None
            ids += tokens.ids
            spans += [start + place for place in tokens.spans]
            start += len(word) + 1
        return Tokens(ids, spans)

    def _learn(self, texts: Iterable[str]) -> None:
        """Tokenizes the unknown words of texts."""
        if len(self._words) > MOST_WORDS:
            self._words.clear()
            self._texts.clear()
        if len(self._texts) > MOST_TEXTS:
            self._texts.clear()
        new: dict[tuple[bool, str], None] = {}
        for text in texts:
            before, space, last = text.rpartition(" ")
            known = bool(space) and before in self._texts
            for number, word in enumerate([last] if known else text.split(" "), start=known):
                if (number > 0, word) not in self._words:
                    new[number > 0, word] = None
        first = [word for later, word in new if not later]
        later = [word for behind, word in new if behind]
        self._words |= {
            (False, word): self._if_plain(word, tokens)
            for word, tokens in zip(first, self._whole(first, False), strict=True)
        }
        self._words |= {
            (True, word): self._if_plain(word, tokens)
            for word, tokens in zip(later, self._behind("a", later), strict=True)
        }

    def _behind(self, before: str, words: Sequence[str]) -> list[Tokens | None]:
        """Tokens of words that follow another word, with spans from the word's first character."""
        (known,) = self._whole([before], False)
        size, start = len(known.ids), len(before) + 1
        return [
            Tokens(tokens.ids[size:], [place - start for place in tokens.spans[2 * size :]])
            if tokens.ids[:size] == known.ids
            else None
            for tokens in self._whole([f"{before} {word}" for word in words], False)
        ]

    def _if_plain(self, word: str, tokens: Tokens | None) -> Tokens | None:
        """Tokens of a word, unless it is white space or holds an added token.

        Those may take in the space beside them.
        """
        if tokens is None or word.split() != [word] or self._added.intersection(tokens.ids):
            return None
        return tokens

    @cached_property
    def _added(self) -> frozenset[int]:
        return frozenset(self.tokenizer.added_tokens_decoder)

    @cached_property
    def _frame(self) -> tuple[list[int], list[int]] | None:
        """Special tokens before and behind a text; ``None`` if they differ between texts."""
        frames = []
        for text in ("a", "9 !"):
            (plain,), (full,) = self._whole([text], False), self._whole([text], True)
            places = range(len(full.ids) - len(plain.ids) + 1)
            size = len(plain.ids)
            starts = [n for n in places if full.ids[n : n + size] == plain.ids]
            if not starts:
                return None
            frames.append((full.ids[: starts[0]], full.ids[starts[0] + size :]))
        return frames[0] if frames[0] == frames[1] else None

    @cached_property
    def separable(self) -> bool:
        """Whether the tokenizer reads words independently of each other, found by trial."""
        backend: Any = getattr(self.tokenizer, "backend_tokenizer", None)
        cut = getattr(backend, "pre_tokenizer", None)
        if cut is None or any(
            " " in str(token).strip() for token in self.tokenizer.added_tokens_decoder.values()
        ):
            return False
        for left, right in product(KINDS, repeat=2):
            text = f"{left} {right}"
            if backend.normalizer is not None:
                text = backend.normalizer.normalize_str(text)
            pieces = [span for _, span in cut.pre_tokenize_str(text)]
            place = next((n for n in range(1, len(text)) if text[n] in " ▁"), None)
            # A piece may begin with the space, but none may hold it and what is before it.
            if place is None or any(start < place < end for start, end in pieces):
                return False
        rows = [self._behind(before, KINDS) for before in KINDS]
        return None not in rows[0] and all(row == rows[0] for row in rows)


def _in_upper(row: Tokens, text: str) -> Tokens:
    """Tokens of a lower-cased text with spans in the text itself, if their lengths differ."""
    places = [place for place, letter in enumerate(text) for _ in letter.lower()]
    spans = row.spans.copy()
    for start in range(0, len(spans), 2):
        if spans[start] < spans[start + 1]:
            spans[start], spans[start + 1] = places[spans[start]], places[spans[start + 1] - 1] + 1
    return Tokens(row.ids, spans)
