"""Token swaps that a gradient says part two models at the first token behind a prompt."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import torch
from torch import Tensor

from fuse_lightning.decoding.ensemble import Ensemble
from fuse_lightning.decoding.stream import Stream
from fuse_lightning.diffing.first_token import FirstMeasure, FirstToken
from fuse_lightning.diffing.prompt_bank import BankEntry
from fuse_lightning.diffing.proposer import Proposer, randint
from fuse_lightning.errors import FuseError
from fuse_lightning.models.vocabulary import TokenSet


class GradientProposer(Proposer):
    """Proposer that swaps tokens of examples by the gradient of the models' divergence.

    The gradient of the divergence at the first token behind the prompt, by the prompt's one-hot
    tokens, goes back through both models (HotFlip, arXiv 1712.06751; GCG, arXiv 2307.15043). Random
    swaps among the best by it are then scored exactly, and the best are proposed. What is not read
    back as the same tokens is dropped.

    Args:
        top_k: Tokens that may stand at each place, the best by the gradient.
        tries: Swaps of each prompt that are scored exactly, in each round.
        rounds: Swaps that follow each other; each begins with the best prompts of the one before.
        tokens: Tokens that may be put in: "words", "ascii" or "any".
        measure: Divergence at the first token: "kl" for KL(A || B), "reverse_kl" or "js".
        text_batch: Most prompts that are read together.

    Raises:
        FuseError: If an option is out of its range.
    """

    def __init__(
        self,
        top_k: int = 32,
        tries: int = 32,
        rounds: int = 1,
        tokens: TokenSet = "words",
        measure: FirstMeasure = "kl",
        text_batch: int = 64,
    ) -> None:
        given = {"top_k": top_k, "tries": tries, "rounds": rounds, "text_batch": text_batch}
        for name, value in given.items():
            if value < 1:
                raise FuseError(f"{name} of GradientProposer is {value}; give 1 or more")
        if measure not in ("kl", "reverse_kl", "js"):
            raise FuseError(
                f"measure of GradientProposer is {measure!r}; give kl, reverse_kl or js"
            )
        self.top_k = top_k
        self.tries = tries
        self.rounds = rounds
        self.tokens: TokenSet = tokens
        self.measure: FirstMeasure = measure
        self.text_batch = text_batch

    def load(self, streams: Sequence[Stream]) -> None:
        """Takes the streams, and finds the tokens that may be put in."""
        super().load(streams)
        self.ensemble = Ensemble(streams, ("A", "B"), 0)
        self.first = FirstToken(self.ensemble, self.measure)
        known = self.ensemble.allowed.clone()
        allowed = self.ensemble.model.allowed_tokens(self.tokens)[: len(known)]
        known[: len(allowed)] &= allowed
        known[len(allowed) :] = False
        self._forbidden = ~known

    def propose(
        self, examples: Sequence[BankEntry], count: int, generator: torch.Generator
    ) -> list[str]:
        """The best swaps of each example, in turn."""
        begins = [entry.prompt for entry in examples] or [*self.seeds]
        # The random order spreads a small number over all examples, step by step.
        order = torch.randperm(len(begins), generator=generator).tolist()[:count]
        each = -(-count // len(order))
        found = [self._changed(begins[at], each, generator) for at in order]
        return [text for group in found for text in group][:count]

    def _changed(self, prompt: str, count: int, generator: torch.Generator) -> list[str]:
        """The best changed prompts of one prompt, best first."""
        beam, known = [prompt], {prompt: float(self.first.divergences([prompt])[0])}
        for _ in range(self.rounds):
            new = [text for each in beam for text in self._swaps(each, generator)]
            new = [text for text in dict.fromkeys(new) if text not in known]
            for start in range(0, len(new), self.text_batch):
                part = new[start : start + self.text_batch]
                known |= zip(part, self.first.divergences(part).tolist(), strict=True)
            beam = self._best(known, count)
        return self._best({text: value for text, value in known.items() if text != prompt}, count)

    def _best(self, known: dict[str, float], count: int) -> list[str]:
        return heapq.nlargest(count, known, key=lambda text: (known[text], text))

    def _swaps(self, prompt: str, generator: torch.Generator) -> list[str]:
        """Random swaps of one token among the best by the gradient."""
        if (found := self.first.gradient(prompt)) is None:
            return []
        ids, gradient = found
        choices = self.choices(ids, gradient)
        model = self.ensemble.model
        batch = model.encode([prompt], special=False)
        head = batch.ids[0][batch.mask[0]].tolist()[: -len(ids)]
        rows = []
        for _ in range(self.tries):
            place = randint(generator, len(ids))
            token = int(choices[place, randint(generator, choices.shape[1])])
            rows.append([*head, *ids[:place], token, *ids[place + 1 :]])
        texts = model.decode(rows)
        batch = model.encode(texts, special=False)
        read = [each[some].tolist() for each, some in zip(batch.ids, batch.mask, strict=True)]
        fits = zip(texts, rows, read, strict=True)
        return [text for text, row, own in fits if row == own and text == text.strip()]

    def choices(self, ids: Sequence[int], gradient: Tensor) -> Tensor:
        """Best other tokens at each place by the gradient, shape (n, top_k), best first.

        Args:
            ids: Ids at the end of the prompt.
            gradient: Change of the divergence for each token at each place, shape (n, V).
        """
        gains = gradient.masked_fill(self._forbidden, -torch.inf)
        gains[torch.arange(len(ids)), list(ids)] = -torch.inf
        count = min(self.top_k, int((~self._forbidden).sum()) - 1)
        return gains.topk(max(1, count)).indices
