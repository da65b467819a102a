"""Metrics of texts. Devices exchange numbers, never texts."""

import hashlib
import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.functional.text import rouge_score
from torchmetrics.utilities import dim_zero_cat

from fuse_lightning.metrics.means import MeanScore

TIE = 1e-6
ROWS = 1024
"""Number of texts that are compared with all pictures at once."""


def words(text: str) -> list[str]:
    """Words of a text in lower case, without punctuation.

    >>> words("A well-lit dog's bed!")
    ['a', 'well-lit', "dog's", 'bed']
    """
    return re.findall(r"\w+(?:['-]\w+)*", text.lower())


class Distinct(Metric):
    """Share of distinct word n-grams among the n-grams of all texts, in [0, 1].

    Higher is better: texts that repeat each other share n-grams.

    Args:
        n: Words of an n-gram.

    >>> metric = Distinct(1)
    >>> metric.update(["a red star", "a blue star"])
    >>> metric.compute()
    tensor(0.6667)
    """

    higher_is_better = True
    unit = "share"
    grams: list[Tensor]

    def __init__(self, n: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.n = n
        self.add_state("grams", [], dist_reduce_fx="cat")

    def update(self, preds: Sequence[str]) -> None:
        """Adds texts; there may be none."""
        texts = map(words, preds)
        grams = [
            _fingerprint(text[start : start + self.n])
            for text in texts
            for start in range(len(text) - self.n + 1)
        ]
        self.grams.append(torch.tensor(grams, dtype=torch.long, device=self.device))

    def compute(self) -> Tensor:
        """The share; nan without any n-gram."""
        grams = dim_zero_cat(self.grams)
        return torch.tensor(len({*grams.tolist()})) / len(grams)


def _fingerprint(gram: Sequence[str]) -> int:
    """63-bit hash of an n-gram, the same in every process."""
    return int.from_bytes(hashlib.sha256(" ".join(gram).encode()).digest()[:8], "big") >> 1


class RougeL(MeanScore):
    """Mean ROUGE-L F-measure of texts, each against its nearest reference, in [0, 1].

    Higher is better. torchmetrics' own ``ROUGEScore`` waits for ever where devices have different
    numbers of texts.

    >>> metric = RougeL()
    >>> metric.update(["a red star"], [["a big red star", "two boxes"]])
    >>> metric.compute()
    tensor(0.8571)
    """

    def update(self, preds: Sequence[str], target: Sequence[Sequence[str]]) -> None:  # type: ignore[override]
        """Adds texts, with the references of each."""
        if preds:
            scores = rouge_score(
                [*preds], [[*references] for references in target], "best", rouge_keys="rougeL"
            )
            super().update(scores["rougeL_fmeasure"], len(preds))


class Perplexity(Metric):
    """exp of the mean negative log-likelihood per token, over all tokens of all texts.

    At least 1; lower is better.

    >>> metric = Perplexity()
    >>> metric.update(torch.tensor([1.0, 2.0]), torch.tensor([3, 1]))
    >>> metric.compute()
    tensor(3.4903)
    """

    higher_is_better = False
    nll: Tensor
    tokens: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for name in ("nll", "tokens"):
            self.add_state(name, torch.tensor(0.0), dist_reduce_fx="sum")

    def update(self, mean_nll: Tensor, tokens: Tensor) -> None:
        """Adds N texts.

        Args:
            mean_nll: Nats per token, shape (N,).
            tokens: Tokens of each, shape (N,), on the same device.
        """
        self.nll += (mean_nll * tokens).sum().to(self.device)
        self.tokens += tokens.sum().to(self.device)

    def compute(self) -> Tensor:
        """The perplexity."""
        return (self.nll / self.tokens).exp()


class Retrieval(Metric):
    """Share of texts that are more similar to their own picture than to any other, in [0, 1].

    Higher is better. A picture as similar as the best counts, so that equal pictures do no harm.

    >>> metric = Retrieval()
    >>> pictures = torch.eye(3)
    >>> metric.update(pictures[[0, 1, 1]], pictures)
    >>> metric.compute()
    tensor(0.6667)
    """

    higher_is_better = True
    unit = "share"
    texts: list[Tensor]
    images: list[Tensor]
    width: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # Flat, as a device without texts cannot know how wide vectors are.
        self.add_state("texts", [], dist_reduce_fx="cat")
        self.add_state("images", [], dist_reduce_fx="cat")
        self.add_state("width", torch.tensor(1), dist_reduce_fx="max")

    def update(self, texts: Tensor, images: Tensor) -> None:
        """Adds N texts and the picture of each.

        Args:
            texts: Unit vectors, shape (N, d); NaN for a text that cannot be read.
            images: Unit vectors, shape (N, d).
        """
        self.texts.append(texts.flatten().to(self.device))
        self.images.append(images.flatten().to(self.device))
        self.width.fill_(texts.shape[1])

    def compute(self) -> Tensor:
        """The share; nan without any text."""
        if not len(self.texts):
            return torch.tensor(torch.nan)
        texts, images = (
            dim_zero_cat(flat).view(-1, int(self.width)) for flat in (self.texts, self.images)
        )
        # Not all cosines at once: there are as many as targets squared.
        best = torch.cat([(part @ images.T).amax(1) for part in torch.split(texts, ROWS)])
        return ((texts * images).sum(1) >= best - TIE).float().mean()
