"""Vocabulary of a model: text to ids and back, and the tokens that a prompt may hold."""

import json
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase
from xxhash import xxh3_128

from fuse_lightning.engine.token_batch import TokenBatch, pad
from fuse_lightning.errors import FuseError
from fuse_lightning.models.word_tokenizer import WordTokenizer

TokenSet = Literal["any", "ascii", "words"]
READING = ("added_tokens", "normalizer", "pre_tokenizer", "model", "decoder")
"""Parts of a tokenizer that decide how text is read and what ids spell. The post-processor is none
of them: it puts special tokens around a text. Padding and truncation are none: they change from
call to call."""


class Vocabulary:
    """Tokens that a tokenizer and its network both know.

    Two vocabularies are equal if they hold the same tokens: the same ids spell the same pieces,
    and both read any text as the same ids. They need not be one object. What stands before and
    behind a text (a begin token, padding) does not count, nor do added tokens that the network has
    no row for, embeddings, and limits.

    Args:
        tokenizer: A fast tokenizer, which gives character offsets. It must not change afterwards.
        rows: Rows of the network's embedding table; by default as many as the tokenizer needs.
        lower: Whether texts are put in lower case before the tokenizer reads them.
        pad_id: Id that fills up short rows; by default the tokenizer's.
        name: The model's name in messages.

    Example:
        >>> from fuse_lightning.models.loading import load_tokenizer
        >>> vocabulary = Vocabulary(load_tokenizer("zoo/gpt2", None, False))
        >>> ids = vocabulary.encode(["a red circle"]).ids.tolist()
        >>> vocabulary.decode(ids)
        ['a red circle']
        >>> [vocabulary.pieces[index] for index in ids[0]]
        ['a', ' red', ' circle']
        >>> vocabulary == Vocabulary(load_tokenizer("zoo/gpt2", None, False))
        True
        >>> vocabulary == Vocabulary(load_tokenizer("zoo/clip", None, False))
        False
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        rows: int | None = None,
        *,
        lower: bool = False,
        pad_id: int | None = None,
        name: str = "",
    ) -> None:
        self.tokenizer = tokenizer
        self.lower = lower
        self.name = name
        known = max(map(int, tokenizer.get_vocab().values())) + 1
        self.size = known if rows is None else min(known, rows)
        """V, the number of ids that both the tokenizer and the network know.

        The network may have more rows than the tokenizer has tokens, and a tokenizer may have
        been given tokens, such as one for padding, for which there is no row.
        """
        self.pad_id = self._pad_id() if pad_id is None else pad_id
        """Id that pads short rows; any id if the tokenizer has none, as it is masked."""

    def __len__(self) -> int:
        return self.size

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Vocabulary):
            return NotImplemented
        if self is other:
            return True
        same = hash(self) == hash(other) and self.digest == other.digest
        # Some classes of tokenizers spell otherwise than their file says, such as CLIP's.
        return same and self.pieces == other.pieces

    def __hash__(self) -> int:
        return hash((self.size, self.lower))

    @cached_property
    def digest(self) -> str:
        """Digest of the tokenizer's file, 32 hex digits, equal for equal vocabularies."""
        state = json.loads(self.tokenizer.backend_tokenizer.to_str())
        # An added token without a row is none of the vocabulary's.
        state["added_tokens"] = [
            token for token in state["added_tokens"] if token["id"] < self.size
        ]
        read = {
            "reading": {part: _essential(state[part]) for part in READING},
            "special": sorted(index for index in self.special_ids if index < self.size),
            "splits_special": bool(getattr(self.tokenizer, "split_special_tokens", False)),
            "lower": self.lower,
            "size": self.size,
        }
        return xxh3_128(json.dumps(read, sort_keys=True).encode()).hexdigest()

    def _pad_id(self) -> int:
        for candidate in (self.tokenizer.pad_token_id, self.tokenizer.eos_token_id):
            if candidate is not None and candidate < self.size:
                return int(candidate)
        return 0

    @cached_property
    def special_ids(self) -> frozenset[int]:
        """Ids of special tokens: those with a role, and added ones marked as special."""
        added = self.tokenizer.added_tokens_decoder.items()
        special = {index for index, token in added if token.special}
        return frozenset(special.union(self.tokenizer.all_special_ids))

    @cached_property
    def added_ids(self) -> frozenset[int]:
        """Ids of added tokens, special or not, which are matched in a text before all others."""
        return frozenset(self.tokenizer.added_tokens_decoder)

    @cached_property
    def marks(self) -> set[str]:
        """Texts that the tokenizer reads as special tokens."""
        added = self.tokenizer.added_tokens_decoder.values()
        special = {token.content for token in added if token.special}
        return {text for text in special | {*self.tokenizer.all_special_tokens} if text.strip()}

    @cached_property
    def words(self) -> WordTokenizer:
        """Tokenizer that caches words, if it reads words independently of each other."""
        return WordTokenizer(self.tokenizer, self.lower)

    def encode(self, texts: Sequence[str], *, special: bool = True) -> TokenBatch:
        """Tokens of N whole texts, shape (N, T), with their character spans.

        Nothing is cut.

        Args:
            texts: The texts.
            special: Whether the tokenizer puts its special tokens around each text.
        """
        rows = self.words.read(texts, special=special)
        encoded = pad([row.ids for row in rows], [row.spans for row in rows], self.pad_id)
        # Where a tokenizer trims spaces off its spans, nothing is left of a token that is one.
        empty = encoded.mask & (encoded.spans[..., 0] == encoded.spans[..., 1])
        special_ids = torch.tensor(sorted(self.special_ids), dtype=torch.long)
        blank = empty & ~torch.isin(encoded.ids, special_ids)
        start = (encoded.spans[blank][:, :1] - 1).clamp(min=0)
        encoded.spans[blank] = torch.cat([start, start + 1], dim=1)
        return encoded

    def decode(self, rows: Sequence[Sequence[int]]) -> list[str]:
        """Text of each row of ids, exactly as the tokens spell it."""
        texts: list[str] = self.tokenizer.batch_decode(
            [list(row) for row in rows], clean_up_tokenization_spaces=False
        )
        return texts

    @cached_property
    def pieces(self) -> list[str]:
        """Text that each of the V tokens adds behind a word; empty for special tokens."""
        anchor = self.tokenizer("a", add_special_tokens=False)["input_ids"]
        head = self.decode([anchor])[0]
        full = self.decode([[*anchor, index] for index in range(self.size)])
        return [
            text[len(head) :] if index not in self.special_ids and text.startswith(head) else ""
            for index, text in enumerate(full)
        ]

    def allowed(self, tokens: TokenSet = "ascii") -> Tensor:
        """Mask of the tokens that a prompt may hold, shape (V,).

        Never special tokens, nor added ones (reserved tokens and markup, which not every tokenizer
        calls special), nor tokens that spell nothing.

        Args:
            tokens: "any"; "ascii" for printable ASCII; "words" for plain letters, a comma or a
                full stop.

        Raises:
            FuseError: If no token is in the set.
        """
        mask = torch.tensor(
            [
                index not in self.added_ids and is_in(tokens, piece)
                for index, piece in enumerate(self.pieces)
            ]
        )
        if not mask.any():
            raise FuseError(f"no token of {self.name!r} is in the set {tokens!r}; use 'any'")
        return mask


def _essential(part: Any) -> Any:
    """Part of a tokenizer's settings, without those that change no id and no piece.

    Releases write an unset affix as null or as "", and some parts say how offsets are trimmed.
    """
    if isinstance(part, list) and any(isinstance(item, dict) for item in part):
        return [_essential(item) for item in part]
    if not isinstance(part, dict):
        return part
    return {
        # Tokens are no settings, whatever they spell.
        name: value if name == "vocab" else _essential(value)
        for name, value in part.items()
        if value not in (None, "") and name != "trim_offsets"
    }


def is_in(tokens: TokenSet, piece: str) -> bool:
    """Whether a piece is in a set of tokens, see :meth:`Vocabulary.allowed`.

    Example:
        >>> [is_in("words", piece) for piece in (" house", ",", "42", " ")]
        [True, True, False, False]
        >>> [is_in("ascii", piece) for piece in (" house", "42", "é", " ")]
        [True, True, False, False]
    """
    text = piece.strip()
    match tokens:
        case "any":
            return bool(text) and "\ufffd" not in text
        case "ascii":
            return bool(text) and text.isascii() and text.isprintable()
        case _:
            return text.isascii() and (text.isalpha() or text in (",", "."))
