"""FUSE: gradients of one model's text carried to another model's tokens (arXiv 2408.04816)."""

from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path

import torch
from torch import Tensor

from fuse_lightning.adapters.alignment import AlignedWord
from fuse_lightning.adapters.cache import cache_key, cached_tensors, default_cache_dir
from fuse_lightning.adapters.cases import CHUNK, Case, Ids, Places, find_cases, split_word, word_ids
from fuse_lightning.adapters.heads import HeadGradient, sum_words
from fuse_lightning.adapters.maps import MapKind, check_maps, fit_map, pull_back
from fuse_lightning.adapters.settings import AdapterSettings
from fuse_lightning.adapters.word_list import corpus_words, vocabulary_words
from fuse_lightning.engine.devices import to_device
from fuse_lightning.errors import FuseError
from fuse_lightning.models import FrozenModel

FEWEST = 2
"""Fewest words of a case for a map: a map of one word would be zero."""


class FuseAdapter:
    """Maps gradients at a target model's embeddings to gradients at a source model's tokens.

    Args:
        source: The primary model, whose tokens are optimized.
        target: A secondary model with its own tokenizer and embeddings.
        settings: Kind, word list and cache.
    """

    def __init__(
        self, source: FrozenModel, target: FrozenModel, settings: AdapterSettings | None = None
    ) -> None:
        self.source = source
        self.target = target
        self.settings = settings or AdapterSettings()

    @property
    def map_kind(self) -> MapKind:
        """Kind of the fitted map for positions that the lookup does not cover."""
        return "least_squares" if self.settings.kind == "lookup" else self.settings.kind

    @cached_property
    def maps(self) -> dict[Case, Tensor]:
        """Fitted maps by (source tokens, target tokens), (m, n, d_A, d_B), on the target."""
        settings = self.settings
        words = (
            vocabulary_words(self.source, self.target)
            if settings.words == "vocabulary"
            else corpus_words(settings.words)
        )
        key = cache_key(
            {
                "format": 5,
                "models": [
                    (model.model_id, model.revision, _fingerprint(model))
                    for model in (self.source, self.target)
                ],
                "words": words,
                "kind": self.map_kind,
                "max_subtokens": settings.max_subtokens,
                "max_examples_per_case": settings.max_examples_per_case,
            }
        )
        folder = None
        if settings.cache:
            folder = Path(settings.cache_dir) if settings.cache_dir else default_cache_dir()
        # A fit solves equations, for which the trainer's reduced precision is too coarse.
        with torch.autocast(self.target.device.type, enabled=False):
            sizes = self.source.embedding_table.shape[1], self.target.embedding_table.shape[1]
            check = partial(check_maps, sizes=sizes, most=settings.max_subtokens)
            tensors = cached_tensors(folder, key, lambda: self._fit(words), check)
        return {
            (int(name.split(".")[0]), int(name.split(".")[1])): tensor.to(self.target.device)
            for name, tensor in tensors.items()
        }

    def _fit(self, words: Sequence[str]) -> dict[str, Tensor]:
        cases = self.cases(words)
        if not cases:
            raise FuseError(
                f"no word of the list has at most {self.settings.max_subtokens} tokens in both "
                f"{self.source.model_id!r} and {self.target.model_id!r}; raise max_subtokens or "
                "give another word list"
            )
        often = {case: words for case, words in cases.items() if len(words[0]) >= FEWEST}
        maps = {}
        for (m, n), (source_ids, target_ids) in sorted((often or cases).items()):
            x = self.source.embedding_table.float().cpu()[torch.tensor(source_ids)]
            y = self.target.embedding_table.float().cpu()[torch.tensor(target_ids)]
            maps[f"{m}.{n}"] = fit_map(self.map_kind, x, y)
        return maps

    def cases(self, words: Sequence[str]) -> dict[Case, tuple[Ids, Ids]]:
        """Words grouped by how many tokens they have in either model, see :func:`find_cases`."""
        most, examples = self.settings.max_subtokens, self.settings.max_examples_per_case
        return find_cases(self.source.vocabulary, self.target.vocabulary, words, most, examples)

    @cached_property
    def lookup_table(self) -> Tensor:
        """Mean target embedding of each source token's text as a word, shape (V_A, d_B).

        Zero for tokens that do not begin a word.
        """
        return self._lookup([piece[:1].isspace() for piece in self.source.pieces])

    @cached_property
    def opening_table(self) -> Tensor:
        """As :attr:`lookup_table`, for tokens at the very beginning of a text."""
        return self._lookup([True for _ in self.source.pieces])

    def _lookup(self, wanted: Sequence[bool]) -> Tensor:
        device, pieces = self.target.device, [piece.strip() for piece in self.source.pieces]
        # Half a character is no text of its own.
        words = [
            index
            for index, piece in enumerate(pieces)
            if piece and wanted[index] and "\ufffd" not in piece
        ]
        table = torch.zeros(len(pieces), self.target.embedding_table.shape[1])
        for start in range(0, len(words), CHUNK):
            chunk = words[start : start + CHUNK]
            texts = [f"a {pieces[index]}" for index in chunk]
            for index, ids in zip(chunk, word_ids(self.target.vocabulary, texts), strict=True):
                if ids:
                    rows = self.target.embedding_table[torch.tensor(ids, device=device)]
                    table[index] = rows.float().mean(0).cpu()
        return table.to(device)

    @cached_property
    def source_table(self) -> Tensor:
        """The source's embedding table on the target's device, shape (V_A, d_A)."""
        return self.source.embedding_table.float().to(self.target.device)

    @cached_property
    def _looked_up(self) -> Tensor:
        """Mask of the tokens that have a row in :attr:`lookup_table`, shape (V_A,)."""
        return self.lookup_table.any(1)

    @cached_property
    def _opening(self) -> Tensor:
        """Mask of the tokens that have a row in :attr:`opening_table`, shape (V_A,)."""
        return self.opening_table.any(1)

    @cached_property
    def _inner(self) -> Tensor:
        """Mask of the tokens that can stand inside a word, shape (V_A,).

        Tokenizers that mark where words end tell no beginnings: there any token can.
        """
        inside = ~self._looked_up
        spelt = torch.tensor([bool(piece.strip()) for piece in self.source.pieces])
        return inside if inside[spelt].any() else torch.ones_like(inside)

    @cached_property
    def _inner_table(self) -> Tensor:
        """``source_table`` with zeros for tokens that cannot stand inside a word."""
        return self.source_table.masked_fill(~self._inner.unsqueeze(1), 0.0)

    @cached_property
    def _tells_beginnings(self) -> bool:
        """Whether the tokenizer has separate tokens for the beginning and the inside of words."""
        return not bool(self._inner.all())

    @cached_property
    def _first_table(self) -> Tensor:
        """``source_table`` with zeros for tokens that cannot begin a word."""
        return self.source_table.masked_fill(~self._looked_up.unsqueeze(1), 0.0)

    def pull_back(
        self,
        alignments: Sequence[Sequence[AlignedWord]],
        length: int,
        grad: Tensor,
        *,
        embeddings: bool = False,
        opening: bool = False,
    ) -> list[HeadGradient]:
        """Gradients at source positions from gradients of target embeddings.

        Args:
            alignments: For each of N texts, its words with source and target positions.
            length: Number L of source positions.
            grad: Gradient at the target embeddings, shape (N, T, d_B).
            embeddings: Whether gradients of the source's embeddings themselves are wanted, which
                "lookup" then takes from its maps.
            opening: Whether position 0 is the first of the source model's text.

        Returns:
            One head, or more for "lookup".
        """
        lookup = self.settings.kind == "lookup" and not embeddings
        heads = []
        if lookup:
            out, valid = sum_words(alignments, length, grad)
            if opening:
                first = valid & (torch.arange(length, device=valid.device) == 0)
                heads.append(HeadGradient(self.opening_table, out, first, self._opening))
                valid = valid & ~first
            heads.append(HeadGradient(self.lookup_table, out, valid, self._looked_up))
        return [*heads, *self._map_back(alignments, length, grad, lookup, opening)]

    def _map_back(
        self,
        alignments: Sequence[Sequence[AlignedWord]],
        length: int,
        grad: Tensor,
        skip_whole: bool,
        opening: bool,
    ) -> list[HeadGradient]:
        out = grad.new_zeros(len(alignments), length, self.source_table.shape[1])
        valid = torch.zeros(len(alignments), length, dtype=torch.bool, device=grad.device)
        groups: dict[Case, list[tuple[int, Places, Places]]] = defaultdict(list)
        for row, words in enumerate(alignments):
            for word in words:
                if skip_whole and len(word.source) == 1:
                    continue
                for source, target in split_word(word.source, word.target, self.maps):
                    groups[len(source), len(target)].append((row, source, target))
        for case, members in groups.items():
            rows, sources, targets = zip(*members, strict=True)
            index = to_device(torch.tensor(rows)[:, None], grad.device)
            flat, places = (
                to_device(torch.tensor(part), grad.device) for part in (targets, sources)
            )
            out[index, places] = pull_back(self.maps[case], grad[index, flat]).to(out.dtype)
            valid[index, places] = True
        if not skip_whole:
            return [HeadGradient(self.source_table, out, valid)]
        heads = []
        # A word of several tokens begins with one that can, where the tokenizer tells.
        begins = [
            (row, word.source[0])
            for row, words in enumerate(alignments)
            for word in words
            if len(word.source) > 1 and not (opening and word.source[0] == 0)
        ]
        if begins and self._tells_beginnings:
            first = torch.zeros_like(valid, device="cpu")
            first[tuple(torch.tensor(begins).T)] = True
            first = to_device(first, grad.device)
            heads.append(HeadGradient(self._first_table, out, valid & first, self._looked_up))
            valid = valid & ~first
        return [*heads, HeadGradient(self._inner_table, out, valid, self._inner)]


def _fingerprint(model: FrozenModel) -> str:
    """Digest of a model's vocabulary and embedding table."""
    table = model.embedding_table
    rows = table.double().sum(1).tolist()
    return cache_key({"vocabulary": model.vocabulary.digest, "table": [table.shape, rows]})
