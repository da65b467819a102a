"""Torchmetrics of captions. Numbers, never texts, travel between devices."""

import hashlib
import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import MeanMetric, Metric
from torchmetrics.functional.text import rouge_score
from torchmetrics.utilities import dim_zero_cat

TIE = 1e-6
ROWS = 1024
"""Captions compared with all pictures at once."""


def words(text: str) -> list[str]:
    """Words in lower case, without punctuation."""
    return re.findall(r"\w+(?:['-]\w+)*", text.lower())


class Distinct(Metric):
    """Share of the n-grams of words of all captions that are distinct, in [0, 1].

    Args:
        n: Words of an n-gram.
    """

    grams: list[Tensor]

    def __init__(self, n: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.n = n
        self.add_state("grams", [], dist_reduce_fx="cat")

    def update(self, preds: Sequence[str]) -> None:
        """Adds captions."""
        texts = map(words, preds)
        grams = [
            _fingerprint(text[start : start + self.n])
            for text in texts
            for start in range(len(text) - self.n + 1)
        ]
        self.grams.append(torch.tensor(grams, dtype=torch.long, device=self.device))

    def compute(self) -> Tensor:
        """The share, no number where there is no n-gram."""
        grams = dim_zero_cat(self.grams)
        return torch.tensor(len({*grams.tolist()})) / len(grams)


def _fingerprint(gram: Sequence[str]) -> int:
    """63 bits, the same in every process."""
    return int.from_bytes(hashlib.sha256(" ".join(gram).encode()).digest()[:8], "big") >> 1


class RougeL(MeanMetric):
    """Mean ROUGE-L F-measure of captions, each against the reference that it is nearest to.

    torchmetrics' own ``ROUGEScore`` waits for ever where devices have different numbers of texts.
    """

    def update(self, preds: Sequence[str], target: Sequence[Sequence[str]]) -> None:  # type: ignore[override]
        """Adds captions, with the references of each."""
        if preds:
            scores = rouge_score(
                [*preds], [[*references] for references in target], "best", rouge_keys="rougeL"
            )
            super().update(scores["rougeL_fmeasure"].to(self.device), len(preds))


class Perplexity(Metric):
    """exp of the mean negative log-likelihood per token, over all tokens of all captions."""

    nll: Tensor
    tokens: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for name in ("nll", "tokens"):
            self.add_state(name, torch.tensor(0.0), dist_reduce_fx="sum")

    def update(self, mean_nll: Tensor, tokens: Tensor) -> None:
        """Adds N captions.

        Args:
            mean_nll: Nats per token, shape (N,).
            tokens: Tokens of each, shape (N,).
        """
        self.nll += (mean_nll * tokens).sum().to(self.device)
        self.tokens += tokens.sum().to(self.device)

    def compute(self) -> Tensor:
        """The perplexity."""
        return (self.nll / self.tokens).exp()


class Retrieval(Metric):
    """Share of the captions whose own picture is the most similar one of all, in [0, 1].

    A picture as similar as the best counts, so that equal pictures do no harm.
    """

    texts: list[Tensor]
    images: list[Tensor]
    width: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # Flat, as a device without captions cannot know how wide vectors are.
        self.add_state("texts", [], dist_reduce_fx="cat")
        self.add_state("images", [], dist_reduce_fx="cat")
        self.add_state("width", torch.tensor(1), dist_reduce_fx="max")

    def update(self, texts: Tensor, images: Tensor) -> None:
        """Adds N captions and the picture of each.

        Args:
            texts: Unit vectors, shape (N, d); no numbers for a caption that cannot be read.
            images: Unit vectors, shape (N, d).
        """
        self.texts.append(texts.flatten().to(self.device))
        self.images.append(images.flatten().to(self.device))
        self.width.fill_(texts.shape[1])

    def compute(self) -> Tensor:
        """The share, no number where there is no caption."""
        if len(self.texts) == 0:
            return torch.tensor(torch.nan)
        texts, images = (
            dim_zero_cat(flat).view(-1, int(self.width)) for flat in (self.texts, self.images)
        )
        # Not all cosines at once: there are as many as targets squared.
        best = torch.cat([(part @ images.T).amax(1) for part in torch.split(texts, ROWS)])
        return ((texts * images).sum(1) >= best - TIE).float().mean()
