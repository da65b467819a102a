"""Options of the adapters between the primary and the other models."""

from dataclasses import dataclass
from typing import Literal, get_args

from fuse_lightning.errors import FuseError

AdapterKind = Literal["lookup", "least_squares", "t_product"]


@dataclass
class AdapterSettings:
    """Kind, word list and cache of the adapters between the primary and the other models.

    Attributes:
        kind: "t_product" is the published map; "least_squares" the general linear map of a case;
            "lookup" needs no map for whole words: it compares the gradient with the embeddings
            of every source token's own text, and uses "least_squares" inside words.
        max_subtokens: Most tokens of a word, in either model, that have a map of their own.
        max_examples_per_case: Words that the map of a case is fitted on.
        words: "vocabulary" for the whole-word tokens of both models, else a text file or a
            data set (``NAME:CONFIG@SPLIT``).
        cache: Whether to keep fitted maps on disk.
        cache_dir: Where; by default ``$FUSE_LIGHTNING_CACHE`` or the user's cache folder.
    """

    kind: AdapterKind = "lookup"
    max_subtokens: int = 4
    max_examples_per_case: int = 8192
    words: str = "vocabulary"
    cache: bool = True
    cache_dir: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in (kinds := get_args(AdapterKind)):
            raise FuseError(f"adapter kind is {self.kind!r}; give one of {', '.join(kinds)}")
        for name in ("max_subtokens", "max_examples_per_case"):
            if getattr(self, name) < 1:
                raise FuseError(f"adapter {name} is {getattr(self, name)}; it must be at least 1")
