"""The published step of GReaTer (arXiv 2412.09722), done plainly with transformers alone.

Every phase reads all rows anew: chains are written in left-padded batches, proposals and gradients
take one forward of the whole row for each question, with the logits of all positions, and every
candidate's rows are read again behind its fresh chains. Weights are frozen, which the published
code leaves out. A row is ``before + prompt + between + chain + extractor + answer``, all as ids, so
that a chain is never tokenized again. Losses are in nats; lower is better.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

Ids = tuple[int, ...]


@dataclass(frozen=True)
class Setting:
    """Questions as ids, and the constants of the published code.

    Attributes:
        before: Ids up to the prompt, for each question.
        answers: Ids of the right answer, for each question.
        between: Ids between prompt and chain.
        extractor: Ids between chain and answer.
        allowed: Whether a token may be proposed, shape ``(vocabulary,)``.
        stop: Ids that end a chain; they are no part of it.
        pad: Id that fills up rows.
        chain_tokens: Most tokens of a chain.
        batch: Rows of one call of ``generate``, and of one forward of scoring.
        top_k: Proposals of a question, before intersections.
        drawn: Questions of one intersection; fewer questions are all drawn.
        draws: Intersections whose union is proposed.
        least: Fewest proposals; ``top_k`` grows by two until there are as many.
        shortlist: Candidates whose chains are written.
        temperature: Divides the logits of the answer.
        fluency: Weight of the prompt's mean negative log-likelihood in the gradient.
        score_fluency: Its weight in the score.
    """

    before: Sequence[Ids]
    answers: Sequence[Ids]
    between: Ids
    extractor: Ids
    allowed: Tensor
    stop: frozenset[int] = frozenset()
    pad: int = 0
    chain_tokens: int = 128
    batch: int = 9
    top_k: int = 10
    drawn: int = 5
    draws: int = 5
    least: int = 6
    shortlist: int = 3
    temperature: float = 0.2
    fluency: float = 0.2
    score_fluency: float = 0.02

    def row(self, number: int, prompt: Ids, chain: Ids) -> Ids:
        """Whole row of a question."""
        opening = (*self.before[number], *prompt, *self.between)
        return (*opening, *chain, *self.extractor, *self.answers[number])


@dataclass(frozen=True)
class Judged:
    """What is measured of one prompt on all questions, each of shape ``(questions,)``.

    Attributes:
        errors: 1 where a token of the answer is not the likeliest one, else 0.
        answer_nll: Mean negative log-likelihood of the answer's tokens, at the temperature.
        prompt_nll: Mean negative log-likelihood of the prompt's tokens.
    """

    errors: Tensor
    answer_nll: Tensor
    prompt_nll: Tensor

    def score(self, setting: Setting) -> float:
        """What the published code decides by: error rate and a little fluency; lower is better."""
        return float(self.errors.mean() + setting.score_fluency * self.prompt_nll.mean())


@dataclass(frozen=True)
class Step:
    """Everything that a step finds.

    Attributes:
        chains: Chains of the prompt as it was, by question.
        log_probs: Log-probabilities of the next token at the position, ``(questions, vocabulary)``.
        candidates: Proposed tokens; the current one stands last.
        gradient: Derivative of the summed loss by the share of each candidate, in their order.
        shortlist: Tokens whose chains were written, the most promising first.
        fresh: Chains of each of these, by question.
        judged: What was measured of each of these.
        chosen: Token that takes the place.
    """

    chains: list[Ids]
    log_probs: Tensor
    candidates: list[int]
    gradient: Tensor
    shortlist: list[int]
    fresh: list[list[Ids]]
    judged: list[Judged]
    chosen: int


def swapped(prompt: Ids, position: int, token: int) -> Ids:
    """The prompt with another token at a position.

    >>> swapped((1, 2, 3), 1, 9)
    (1, 9, 3)
    """
    return (*prompt[:position], token, *prompt[position + 1 :])


def wide(values: Tensor) -> Tensor:
    """The values in float32, or in float64 if they are."""
    return values if values.dtype == torch.float64 else values.float()


def write_chains(model: Any, setting: Setting, prompt: Ids) -> list[Ids]:
    """Greedy chains of all questions, in left-padded batches."""
    return write(model, setting, [(*before, *prompt) for before in setting.before])


@torch.no_grad()
def write(model: Any, setting: Setting, openings: Sequence[Ids]) -> list[Ids]:
    """Greedy chains behind rows that end with their prompts, in left-padded batches."""
    found: list[Ids] = []
    rows = [(*opening, *setting.between) for opening in openings]
    for start in range(0, len(rows), setting.batch):
        some = rows[start : start + setting.batch]
        width = max(map(len, some))
        ids = [[setting.pad] * (width - len(row)) + [*row] for row in some]
        mask = [[0] * (width - len(row)) + [1] * len(row) for row in some]
        written = model.generate(
            input_ids=torch.tensor(ids, device=model.device),
            attention_mask=torch.tensor(mask, device=model.device),
            max_new_tokens=setting.chain_tokens,
            do_sample=False,
            eos_token_id=sorted(setting.stop) or None,
            pad_token_id=setting.pad,
        )
        found += [until(row, setting.stop) for row in written[:, width:].tolist()]
    return found


def until(ids: Sequence[int], stop: frozenset[int]) -> Ids:
    """Ids before the first that stops.

    >>> until([5, 6, 2, 7], frozenset({2}))
    (5, 6)
    """
    end = next((place for place, token in enumerate(ids) if token in stop), len(ids))
    return tuple(ids[:end])


@torch.no_grad()
def next_tokens(
    model: Any, setting: Setting, prompt: Ids, position: int, chains: Sequence[Ids]
) -> Tensor:
    """Log-probabilities of the token at a position, from one forward of each whole row."""
    found = []
    for number, chain in enumerate(chains):
        ids = torch.tensor([setting.row(number, prompt, chain)], device=model.device)
        logits = wide(model(input_ids=ids).logits[0])
        found.append(logits.log_softmax(-1)[len(setting.before[number]) + position - 1])
    return torch.stack(found)


def propose(
    setting: Setting, prompt: Ids, position: int, log_probs: Tensor, rng: random.Random
) -> list[int]:
    """Union of the intersections of some questions' likeliest tokens; the current one stands last.

    The token before the position is not proposed; before the first stands the prompt's last.

    Args:
        setting: Questions and constants.
        prompt: The prompt as it is.
        position: Place of the token that may change.
        log_probs: As :func:`next_tokens` gives them.
        rng: Draws the questions.
    """
    barred = ~setting.allowed.to(log_probs.device)
    barred[prompt[position - 1]] = True
    ranked = log_probs.masked_fill(barred, -torch.inf)
    order = ranked.argsort(dim=-1, descending=True, stable=True).tolist()
    most = int((~barred).sum())
    least = min(setting.least, most)
    width, drawn = setting.top_k, min(setting.drawn, len(order))
    while True:
        sets = [set(row[: min(width, most)]) for row in order]
        found: set[int] = set()
        for _ in range(setting.draws):
            found |= set.intersection(*rng.sample(sets, drawn))
        if len(found) >= least:
            return [*sorted(found - {prompt[position]}), prompt[position]]
        width += 2


def gradient(
    model: Any,
    setting: Setting,
    prompt: Ids,
    position: int,
    chains: Sequence[Ids],
    candidates: Sequence[int],
) -> Tensor:
    """Derivative of the summed loss by the share of each candidate at a position.

    The chains are held fixed. One forward and backward of the whole row for each question.

    Returns:
        Shape ``(candidates,)``; the most negative promises most.
    """
    table = model.get_input_embeddings().weight
    shares = torch.tensor([[float(token == prompt[position]) for token in candidates]])
    shares = shares.to(table).requires_grad_()
    rows = table[torch.tensor([*candidates], device=model.device)].detach()
    total = wide(torch.zeros_like(shares[0], requires_grad=False))
    for number, chain in enumerate(chains):
        ids = torch.tensor([setting.row(number, prompt, chain)], device=model.device)
        place = len(setting.before[number]) + position
        embeds = F.embedding(ids, table).detach()
        embeds = torch.cat([embeds[:, :place], (shares @ rows)[None], embeds[:, place + 1 :]], 1)
        logits = wide(model(inputs_embeds=embeds).logits[0])
        answer, fluency = losses(setting, number, ids[0], logits, len(prompt))
        (found,) = torch.autograd.grad(answer + setting.fluency * fluency, shares)
        total += wide(found[0])
    return total


def losses(
    setting: Setting, number: int, ids: Tensor, logits: Tensor, length: int
) -> tuple[Tensor, Tensor]:
    """Mean loss of the answer's tokens, at the temperature, and of the prompt's.

    Args:
        setting: Questions and constants.
        number: The question.
        ids: Its row, shape ``(tokens,)``.
        logits: Those of the row, shape ``(tokens, vocabulary)``.
        length: Tokens of the prompt.
    """
    begin = len(setting.before[number])
    prompt = slice(begin, begin + length)
    answer = slice(len(ids) - len(setting.answers[number]), len(ids))
    found = []
    for part, temperature in ((answer, setting.temperature), (prompt, 1.0)):
        before = logits[part.start - 1 : part.stop - 1] / temperature
        found.append(F.cross_entropy(before, ids[part]))
    return found[0], found[1]


def most_promising(candidates: Sequence[int], slope: Tensor, count: int) -> list[int]:
    """Tokens with the most negative derivative, the most promising first.

    >>> most_promising([7, 8, 9], torch.tensor([0.5, -2.0, -1.0]), 2)
    [8, 9]
    """
    order = slope.argsort(stable=True)[:count].tolist()
    return [candidates[place] for place in order]


def judge(model: Any, setting: Setting, prompt: Ids, chains: Sequence[Ids]) -> Judged:
    """Errors and losses of a prompt behind its chains, from whole rows with all their logits."""
    return measure(model, setting, [(number, prompt, each) for number, each in enumerate(chains)])


@torch.no_grad()
def measure(model: Any, setting: Setting, items: Sequence[tuple[int, Ids, Ids]]) -> Judged:
    """Errors and losses of rows, each a number of a question, a prompt and a chain."""
    found: list[tuple[Tensor, Tensor, Tensor]] = []
    rows = [setting.row(*item) for item in items]
    for start in range(0, len(rows), setting.batch):
        some = rows[start : start + setting.batch]
        width = max(map(len, some))
        ids = torch.tensor([[*row] + [setting.pad] * (width - len(row)) for row in some])
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in some])
        ids, mask = ids.to(model.device), mask.to(model.device)
        logits = wide(model(input_ids=ids, attention_mask=mask).logits)
        for place, row in enumerate(some):
            (number, prompt, _), length = items[start + place], len(row)
            own, own_ids = logits[place, :length], ids[place, :length]
            count = len(setting.answers[number])
            told = own[length - count - 1 : length - 1].argmax(-1)
            wrong = (told != own_ids[length - count :]).any().to(own.dtype)
            answer, fluency = losses(setting, number, own_ids, own, len(prompt))
            found.append((wrong, answer, fluency))
    errors, answers, prompts = (torch.stack(part).cpu() for part in zip(*found, strict=True))
    return Judged(errors, answers, prompts)


def step(
    model: Any, setting: Setting, prompt: Ids, position: int, rng: random.Random | None = None
) -> Step:
    """One published step at a position, from the refresh of the chains to the chosen token.

    Args:
        model: A causal language model of transformers.
        setting: Questions and constants.
        prompt: The prompt as it is.
        position: Place of the token that may change.
        rng: Draws the questions of the intersections.
    """
    model.requires_grad_(False)
    chains = write_chains(model, setting, prompt)
    log_probs = next_tokens(model, setting, prompt, position, chains)
    candidates = propose(setting, prompt, position, log_probs, rng or random.Random(0))
    slope = gradient(model, setting, prompt, position, chains, candidates)
    tried = most_promising(candidates, slope, setting.shortlist)
    prompts = [swapped(prompt, position, token) for token in tried]
    fresh = [write_chains(model, setting, each) for each in prompts]
    judged = [judge(model, setting, each, some) for each, some in zip(prompts, fresh, strict=True)]
    scores = [each.score(setting) for each in judged]
    chosen = best(tried, scores)
    return Step(chains, log_probs, candidates, slope, tried, fresh, judged, chosen)


def best(tokens: Sequence[int], scores: Sequence[float]) -> int:
    """Token of the lowest score; of equal ones the last, as published.

    >>> best([7, 8, 9], [0.5, 0.25, 0.25])
    9
    """
    return tokens[max(range(len(tokens)), key=lambda place: (-scores[place], place))]
