"""Likeness of prompts: normal form, vectors, near-duplicates, and distances."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import normalize
from xxhash import xxh32_intdigest

LENGTHS = (3, 4)
"""Lengths of the character n-grams, in characters."""
SIZE = 1024
"""Numbers of a vector of n-grams."""
PART = 1024
"""Rows of a table of distances that are in memory at once."""


def normal_form(text: str) -> str:
    """Text without case, punctuation, symbols and superfluous white space.

    A text of nothing else stays as it is.

    >>> normal_form("  A small,  RED ball! ")
    'a small red ball'
    >>> normal_form("?!")
    '?!'
    """
    plain = unicodedata.normalize("NFKC", text).casefold()
    letters = (" " if unicodedata.category(each)[0] in "PSZC" else each for each in plain)
    return " ".join("".join(letters).split()) or text.strip()


def ngram_vectors(texts: Sequence[str]) -> Tensor:
    """Unit vectors of texts by their hashed character n-grams, shape (N, 1024).

    They are the same on every machine. Each n-gram of the normal form adds 1 or -1 to one number,
    by its hash (arXiv 0902.2206).

    >>> first, second, third = ngram_vectors(["a red ball", "A red ball!", "two blue stars"])
    >>> round(float(first @ second), 3), float(first @ third) < 0.3
    (1.0, True)
    """
    vectors = torch.zeros(len(texts), SIZE, dtype=torch.float32)
    for row, text in enumerate(texts):
        padded = f" {normal_form(text)} "
        for length in LENGTHS:
            for start in range(max(1, len(padded) - length + 1)):
                value = xxh32_intdigest(padded[start : start + length].encode())
                vectors[row, value % SIZE] += 1 if value >> 31 else -1
    return normalize(vectors, dim=1)


class DuplicateFilter:
    """Filter that admits prompts which are no near-duplicates of earlier ones.

    A prompt is one where its normal form is known, or where the cosine of its vector and a known
    one is at least ``limit``. What is admitted is known from then on.

    Args:
        limit: Least cosine of a near-duplicate, above 0; above 1 only normal forms count.
        prompts: Prompts that are known from the start.
        vectors: Their unit vectors, shape (N, d).

    >>> known = DuplicateFilter(0.9, ["a red ball"], ngram_vectors(["a red ball"]))
    >>> texts = ["A red ball.", "two stars", "two stars"]
    >>> [known.admits(*each) for each in zip(texts, ngram_vectors(texts))]
    [False, True, False]
    """

    def __init__(self, limit: float, prompts: Sequence[str], vectors: Tensor | None) -> None:
        self.limit = limit
        self._forms = {normal_form(prompt) for prompt in prompts}
        self._vectors = [] if vectors is None else [vectors]

    def admits(self, prompt: str, vector: Tensor) -> bool:
        """Whether a prompt is new; it is known afterwards.

        Args:
            prompt: The prompt.
            vector: Its unit vector, shape (d,).
        """
        form = normal_form(prompt)
        if form in self._forms:
            return False
        if any(float((known @ vector).max()) >= self.limit for known in self._vectors):
            return False
        self._forms.add(form)
        self._vectors.append(vector[None])
        return True


def mean_distances(vectors: Tensor, nearest: int) -> Tensor:
    """Mean distance of each vector to its nearest others, shape (N,); 0 for a vector alone.

    The distance is 1 minus the cosine, from 0 to 2.

    Args:
        vectors: Unit vectors, shape (N, d).
        nearest: How many of the nearest others count.

    >>> mean_distances(torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), 1)
    tensor([0., 0., 1.])
    """
    count = min(nearest, len(vectors) - 1)
    if count < 1:
        return vectors.new_zeros(len(vectors))
    found = []
    for start in range(0, len(vectors), PART):
        distances = 1 - vectors[start : start + PART] @ vectors.T
        rows = torch.arange(len(distances))
        distances[rows, rows + start] = torch.inf
        found.append(distances.topk(count, largest=False).values.clamp(min=0).mean(1))
    return torch.cat(found)
