"""FUSE: gradients of one model's text carried to another model's tokens (arXiv 2408.04816)."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor

from fuse_lightning.adapters.alignment import AlignedWord, align
from fuse_lightning.adapters.cache import cache_key, cached_tensors, default_cache_dir
from fuse_lightning.adapters.maps import MapKind, check_maps, fit_map, pull_back
from fuse_lightning.adapters.word_list import corpus_words, vocabulary_words
from fuse_lightning.engine.devices import to_device
from fuse_lightning.errors import FuseError
from fuse_lightning.models import FrozenModel

AdapterKind = Literal["lookup", "least_squares", "t_product"]
CHUNK = 4096
FEWEST = 2
"""Words of a case that a map is fitted on: of one alone it would be zero."""


@dataclass
class AdapterSettings:
    """How adapters between the primary and the other models are made.

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


@dataclass
class HeadGradient:
    """Gradients at source positions in one space, with the tokens' places in that space.

    The predicted change of the loss when position p comes to hold token v is
    ``grad[p] @ table[v]`` up to a constant of the position.

    Attributes:
        table: A vector for each source token, zero where this head says nothing, shape (V, d).
        grad: Gradients, shape (N, L, d).
        valid: Positions whose gradient this head knows, shape (N, L).
        known: Tokens that this head speaks for, shape (V,); ``None`` for all of them.
    """

    table: Tensor
    grad: Tensor
    valid: Tensor
    known: Tensor | None = None


class FuseAdapter:
    """Carries gradients from a target model's embeddings to a source model's tokens.

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
        """The map used where a map is needed."""
        return "least_squares" if self.settings.kind == "lookup" else self.settings.kind

    @cached_property
    def maps(self) -> dict[tuple[int, int], Tensor]:
        """Fitted maps by (source tokens, target tokens), each (m, n, d_A, d_B) on the target."""
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

    def cases(
        self, words: Sequence[str]
    ) -> dict[tuple[int, int], tuple[list[list[int]], list[list[int]]]]:
        """Words grouped by how many tokens they have in either model.

        Each word is read behind another one, as it stands in a text.

        Returns:
            From (m, n) to the source ids, (N, m), and the target ids, (N, n).
        """
        most, examples = self.settings.max_subtokens, self.settings.max_examples_per_case
        cases: dict[tuple[int, int], tuple[list[list[int]], list[list[int]]]] = {}
        for start in range(0, len(words), CHUNK):
            texts = [f"a {word}" for word in words[start : start + CHUNK]]
            sides = [_word_ids(model, texts) for model in (self.source, self.target)]
            for source_ids, target_ids in zip(*sides, strict=True):
                case = len(source_ids), len(target_ids)
                if not 1 <= min(case) <= max(case) <= most:
                    continue
                known = cases.setdefault(case, ([], []))
                if len(known[0]) < examples:
                    known[0].append(source_ids)
                    known[1].append(target_ids)
        return cases

    @cached_property
    def lookup_table(self) -> Tensor:
        """Mean target embedding of each source token's own text as a word, shape (V_A, d_B).

        Zero for tokens that do not begin a word.
        """
        return self._lookup([piece[:1].isspace() for piece in self.source.pieces])

    @cached_property
    def opening_table(self) -> Tensor:
        """The same at the very beginning of a text, where no space marks a word."""
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
            for index, ids in zip(chunk, _word_ids(self.target, texts), strict=True):
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
        """Tokens that :attr:`lookup_table` speaks for, shape (V_A,)."""
        return self.lookup_table.any(1)

    @cached_property
    def _opening(self) -> Tensor:
        """Tokens that :attr:`opening_table` speaks for, shape (V_A,)."""
        return self.opening_table.any(1)

    @cached_property
    def _inner(self) -> Tensor:
        """Tokens that can stand inside a word, shape (V_A,).

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
        """Whether tokens that begin a word are others than those inside."""
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
        there = partial(to_device, device=grad.device)
        if lookup:
            whole = [
                (row, word.source[0], word.target)
                for row, words in enumerate(alignments)
                for word in words
                if len(word.source) == 1 and word.target
            ]
            out = grad.new_zeros(len(alignments), length, grad.shape[2])
            valid = torch.zeros(len(alignments), length, dtype=torch.bool, device=grad.device)
            if whole:
                rows, places, targets = zip(*whole, strict=True)
                counts = torch.tensor([len(target) for target in targets])
                index = torch.arange(len(whole)).repeat_interleave(counts)
                flat = torch.tensor([position for target in targets for position in target])
                row, place = there(torch.tensor(rows)), there(torch.tensor(places))
                index = there(index)
                summed = grad.new_zeros(len(whole), grad.shape[2])
                summed.index_add_(0, index, grad[row[index], there(flat)])
                out[row, place] = summed
                valid[row, place] = True
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
        groups: dict[tuple[int, int], list[tuple[int, tuple[int, ...], tuple[int, ...]]]]
        groups = defaultdict(list)
        for row, words in enumerate(alignments):
            for word in words:
                if skip_whole and len(word.source) == 1:
                    continue
                for source, target in self._split(word.source, word.target):
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

    def _split(
        self, source: tuple[int, ...], target: tuple[int, ...]
    ) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
        """A word cut into parts whose case is fitted: the nearest smaller case, then the rest."""
        parts = []
        while source and target:
            fitting = [(m, n) for m, n in self.maps if m <= len(source) and n <= len(target)]
            if not fitting:
                break
            m, n = min(
                fitting, key=lambda c: (abs(len(source) - c[0]) + abs(len(target) - c[1]), c)
            )
            parts.append((source[:m], target[:n]))
            source, target = source[m:], target[n:]
        return parts


def _fingerprint(model: FrozenModel) -> str:
    """Changes with the vocabulary and with the embedding table."""
    table = model.embedding_table
    rows = table.double().sum(1).tolist()
    return cache_key({"vocabulary": model.vocabulary.digest, "table": [table.shape, rows]})


def _word_ids(model: FrozenModel, texts: Sequence[str]) -> list[list[int]]:
    """Ids of what stands behind the first word of each text, without special tokens."""
    encoded = model.encode(texts, special=False)
    ids, spans = encoded.ids.tolist(), encoded.spans.tolist()
    result = []
    for text, row, offsets in zip(texts, ids, spans, strict=True):
        _, *words = align(text, offsets, offsets)
        result.append([row[position] for word in words for position in word.source])
    return result
