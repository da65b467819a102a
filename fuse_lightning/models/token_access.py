"""Short names of a model for what its vocabulary tells."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor

from fuse_lightning.engine.token_batch import TokenBatch
from fuse_lightning.models.vocabulary import TokenSet, Vocabulary
from fuse_lightning.models.word_tokenizer import WordTokenizer


class TokenAccess(ABC):
    """Access to the tokens of what has a vocabulary."""

    @property
    @abstractmethod
    def vocabulary(self) -> Vocabulary:
        """The tokens that tokenizer and network both know."""

    @property
    def vocab_size(self) -> int:
        """V, the number of ids that both the tokenizer and the network know."""
        return self.vocabulary.size

    @property
    def pad_id(self) -> int:
        """Id that fills up short rows."""
        return self.vocabulary.pad_id

    @property
    def words(self) -> WordTokenizer:
        """The tokenizer with a memory for words."""
        return self.vocabulary.words

    @property
    def pieces(self) -> list[str]:
        """What each of the V tokens adds to a text behind a word; "" for special tokens."""
        return self.vocabulary.pieces

    @property
    def marks(self) -> set[str]:
        """Texts that the tokenizer reads as special tokens."""
        return self.vocabulary.marks

    def encode(self, texts: Sequence[str], *, special: bool = True) -> TokenBatch:
        """Tokens of whole texts as the model reads them, without special ones if not ``special``.

        Here with those that the tokenizer adds. Kinds of models that put more before a text, such
        as a start or an instruction, do so in their own ``encode``. Nothing is cut: a text may be
        longer than :attr:`max_tokens`.
        """
        return self.vocabulary.encode(texts, special=special)

    def decode(self, rows: Sequence[Sequence[int]]) -> list[str]:
        """Text of each row of ids, exactly as the tokens spell it."""
        return self.vocabulary.decode(rows)

    def allowed_tokens(self, tokens: TokenSet = "ascii") -> Tensor:
        """Which tokens a prompt may hold, boolean, shape (V,), see :meth:`Vocabulary.allowed`."""
        return self.vocabulary.allowed(tokens)
