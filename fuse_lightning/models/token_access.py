"""Shortcuts from a model to its vocabulary."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor

from fuse_lightning.engine.token_batch import TokenBatch
from fuse_lightning.models.vocabulary import TokenSet, Vocabulary
from fuse_lightning.models.word_tokenizer import WordTokenizer


class TokenAccess(ABC):
    """Mixin with shortcuts to the vocabulary of a model."""

    @property
    @abstractmethod
    def vocabulary(self) -> Vocabulary:
        """Tokens that tokenizer and network both know."""

    @property
    def vocab_size(self) -> int:
        """V, the number of ids that both the tokenizer and the network know."""
        return self.vocabulary.size

    @property
    def pad_id(self) -> int:
        """Id that pads short rows."""
        return self.vocabulary.pad_id

    @property
    def words(self) -> WordTokenizer:
        """Tokenizer that caches words."""
        return self.vocabulary.words

    @property
    def pieces(self) -> list[str]:
        """Text that each of the V tokens adds behind a word; empty for special tokens."""
        return self.vocabulary.pieces

    @property
    def marks(self) -> set[str]:
        """Texts that the tokenizer reads as special tokens."""
        return self.vocabulary.marks

    def encode(self, texts: Sequence[str], *, special: bool = True) -> TokenBatch:
        """Tokens of whole texts as the model reads them, with special ones if ``special``.

        Here with those that the tokenizer adds. Kinds of models that put more before a text, such
        as a start or an instruction, do so in their own ``encode``. Nothing is cut: a text may be
        longer than :attr:`max_tokens`.
        """
        return self.vocabulary.encode(texts, special=special)

    def decode(self, rows: Sequence[Sequence[int]]) -> list[str]:
        """Text of each row of ids, exactly as the tokens spell it."""
        return self.vocabulary.decode(rows)

    def allowed_tokens(self, tokens: TokenSet = "ascii") -> Tensor:
        """Mask of the tokens that a prompt may hold, (V,), see :meth:`Vocabulary.allowed`."""
        return self.vocabulary.allowed(tokens)
