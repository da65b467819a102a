"""Predictors of the loss of single-token swaps, over fixed chains."""

import random
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.greater import plain
from benchmarks.greater.plain import Ids, Setting


def slopes(
    model: Any, setting: Setting, items: Sequence[tuple[int, Ids, Ids]], position: int
) -> Tensor:
    """Gradient of each row's loss by the embedding of the prompt's token at a position.

    Args:
        model: A causal language model of transformers.
        setting: Questions and constants.
        items: A number of a question, a prompt and a fixed chain for each row.
        position: Place in the prompt.

    Returns:
        Shape ``(items, width)``.
    """
    table = model.get_input_embeddings().weight
    found = []
    for start in range(0, len(items), setting.batch):
        some = items[start : start + setting.batch]
        rows = [setting.row(*item) for item in some]
        width = max(map(len, rows))
        ids = torch.tensor([[*row] + [setting.pad] * (width - len(row)) for row in rows])
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
        ids, mask = ids.to(model.device), mask.to(model.device)
        embeds = F.embedding(ids, table).detach()
        places = torch.tensor([len(setting.before[number]) + position for number, *_ in some])
        which = torch.arange(len(rows)), places
        here = embeds[which].requires_grad_()
        logits = plain.wide(
            model(inputs_embeds=embeds.index_put(which, here), attention_mask=mask).logits
        )
        total = torch.zeros((), device=model.device)
        for row, (number, prompt, _) in enumerate(some):
            length = len(rows[row])
            answer, fluency = plain.losses(
                setting, number, ids[row, :length], logits[row, :length], len(prompt)
            )
            total = total + answer + setting.fluency * fluency
        (slope,) = torch.autograd.grad(total, here)
        found.append(plain.wide(slope))
    return torch.cat(found)


class Position:
    """One position of a prompt, whose token may change.

    Args:
        model: A causal language model of transformers.
        setting: Questions and constants.
        prompt: The prompt as it is.
        position: Place of the token.
        chains: Chains of the prompt as it is, by question.
        candidates: Tokens that may take the place.
    """

    def __init__(
        self,
        model: Any,
        setting: Setting,
        prompt: Ids,
        position: int,
        chains: Sequence[Ids],
        candidates: Sequence[int],
    ) -> None:
        self.model, self.setting = model, setting
        self.prompt, self.position = prompt, position
        self.chains, self.candidates = chains, candidates
        self.rows = model.get_input_embeddings().weight[
            torch.tensor([*candidates], device=model.device)
        ]

    def swap(self, token: int) -> Ids:
        """The prompt with a token at the position."""
        return plain.swapped(self.prompt, self.position, token)

    def gradient(self, tokens: Sequence[int]) -> Tensor:
        """Predicted loss of each candidate, from gradients at some tokens; lower is better.

        Args:
            tokens: Tokens at the position whose gradients are averaged.

        Returns:
            Shape ``(candidates,)``.
        """
        items = [
            (number, self.swap(token), chain)
            for token in tokens
            for number, chain in enumerate(self.chains)
        ]
        mean = slopes(self.model, self.setting, items, self.position).mean(0)
        return (plain.wide(self.rows) @ mean).cpu()

    def smoothed(self, samples: int, rng: random.Random) -> Tensor:
        """The same, averaged over random tokens at the position."""
        pool = self.setting.allowed.nonzero().squeeze(1).tolist()
        return self.gradient(rng.choices(pool, k=samples))

    def likelihood(self, log_probs: Tensor) -> Tensor:
        """Mean negative log-probability of each candidate by the model; lower is better."""
        return -log_probs[:, [*self.candidates]].mean(0).cpu()

    def exact(self, chains: Sequence[Sequence[Ids]]) -> Tensor:
        """Mean loss of the answers of each candidate, behind some chains; lower is better.

        Args:
            chains: Chains of each candidate, by question.
        """
        items = [
            (number, self.swap(token), chain)
            for token, own in zip(self.candidates, chains, strict=True)
            for number, chain in enumerate(own)
        ]
        told = plain.measure(self.model, self.setting, items)
        return told.answer_nll.view(len(self.candidates), -1).mean(1)

    def fresh(self) -> list[list[Ids]]:
        """Chains that the model writes behind each candidate, by question."""
        openings = [
            (*before, *self.swap(token))
            for token in self.candidates
            for before in self.setting.before
        ]
        found = plain.write(self.model, self.setting, openings)
        count = len(self.setting.before)
        return [found[start : start + count] for start in range(0, len(found), count)]
