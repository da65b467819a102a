"""Gradients averaged over prompts with random tokens."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from fuse_lightning.adapters import HeadGradient
from fuse_lightning.engine.devices import to_device
from fuse_lightning.objectives.gradients import term_gradients
from fuse_lightning.objectives.objective import Objective
from fuse_lightning.objectives.prompts import State
from fuse_lightning.objectives.term import Term


@dataclass
class Sample:
    """One prompt at which a gradient is taken.

    Attributes:
        state: Its ids.
        group: The prompt it is a variant of.
        slots: Positions whose gradient counts for that prompt.
        parent: Ids of that prompt, with whose chains the sample is read; ``None`` for its own.
    """

    state: State
    group: int
    slots: set[int]
    parent: State | None = None


def resample(
    state: State,
    group: int,
    slots: Sequence[int],
    samples: int,
    rate: float,
    allowed_ids: Tensor,
    generator: torch.Generator,
) -> list[Sample]:
    """Variants of a prompt with random tokens in a random subset of ``slots``.

    The loss is far from linear over a swap of tokens: the gradient at the current token
    describes one place, the average over random tokens the whole. ARCA (arXiv 2303.04381)
    does so one position at a time.

    Args:
        state: The prompt.
        group: Its number.
        slots: Positions that may be replaced.
        samples: How many variants; 0 gives the prompt itself, as published methods use it.
        rate: Share of ``slots`` replaced in each variant; more where some would never be.
        allowed_ids: Tokens that may be drawn, shape (A,), on the CPU.
        generator: Random stream that positions and tokens are drawn from.
    """
    if samples == 0:
        return [Sample(state, group, set(slots), state)]
    variants = []
    # Dealt like cards, slots are replaced equally often, and each of them at least once.
    count = max(1, round(rate * len(slots)), math.ceil(len(slots) / samples))
    deck: list[int] = []
    for _ in range(samples):
        replaced, deck = deck[:count], deck[count:]
        if (wanted := count - len(replaced)) > 0:
            turns = torch.rand(len(slots), generator=generator).tolist()
            shuffled = [slot for _, slot in sorted(zip(turns, slots, strict=True))]
            more = [slot for slot in shuffled if slot not in replaced][:wanted]
            replaced += more
            deck = [slot for slot in shuffled if slot not in more]
        tokens = list(state)
        drawn = allowed_ids[torch.randint(len(allowed_ids), (count,), generator=generator)]
        for slot, token in zip(replaced, drawn.tolist(), strict=True):
            tokens[slot] = token
        variants.append(Sample(tuple(tokens), group, set(replaced), state))
    return variants


def smoothed_gradient(
    objective: Objective,
    samples: Sequence[Sample],
    owners: Sequence[int],
    wanted: Callable[[Term], bool],
) -> list[HeadGradient]:
    """Mean gradient of each group at each position, over the samples that count there.

    Args:
        objective: The objective.
        samples: N variants of G prompts.
        owners: Target of each group.
        wanted: The terms to differentiate.

    Returns:
        One entry a term and head, ``grad`` of shape (G, L, d).
    """
    prompts = objective.prompts(
        [sample.state for sample in samples], [owners[sample.group] for sample in samples]
    )
    if any(term.chained for term in objective.terms):
        # A chain is held fixed: that of the prompt itself, not one for each variant.
        parents = [sample.parent or sample.state for sample in samples]
        if parents != prompts.states:
            prompts.chains_of = objective.prompts(parents, prompts.owners)
    dealt = _dealt(objective, samples, owners)
    length = max(len(sample.state) for sample in samples)
    counted = torch.zeros(len(samples), length, dtype=torch.bool)
    for row, sample in enumerate(samples):
        counted[row, list(sample.slots)] = True
    group = torch.tensor([sample.group for sample in samples])
    means = []
    slots = [sample.slots for sample in samples]
    for found in term_gradients(objective, prompts, wanted, slots, examples=dealt):
        for head in found.heads:
            groups = to_device(group, head.grad.device)
            weight = (head.valid & to_device(counted, head.grad.device)).float()
            shape = (len(owners), length, head.grad.shape[2])
            total = head.grad.new_zeros(shape).index_add_(
                0, groups, head.grad * weight.unsqueeze(-1)
            )
            number = weight.new_zeros(shape[:2]).index_add_(0, groups, weight)
            mean = total / number.clamp(min=1).unsqueeze(-1)
            means.append(HeadGradient(head.table, mean, number > 0, head.known))
    return means


def _dealt(
    objective: Objective, samples: Sequence[Sample], owners: Sequence[int]
) -> list[Sequence[int]] | None:
    """Numbers of the examples that each sample is read with.

    The examples of a step are dealt to the samples of a prompt: a mean over all of them with
    every sample would cost as many times more as there are samples, and tell hardly more.
    """
    term = next((term for term in objective.terms if term.examples is not None), None)
    if term is None:
        return None
    counts = Counter(sample.group for sample in samples)
    turns: Counter[int] = Counter()
    dealt: list[Sequence[int]] = []
    for sample in samples:
        numbers = term.numbers(owners[sample.group])
        turn, count = turns[sample.group], counts[sample.group]
        dealt.append(numbers[turn % len(numbers) :: count])
        turns[sample.group] += 1
    return dealt


def predicted_change(
    heads: Sequence[HeadGradient], places: Sequence[tuple[int, int]], allowed: Tensor
) -> Tensor:
    """First-order change of the objective for every token in some slots of some prompts.

    Constant shifts of a head carry no information; each is centred over the allowed tokens it
    speaks for, so that a token which it cannot judge counts as an average one.

    Args:
        heads: Mean gradients of G prompts.
        places: P pairs of a prompt and a position in it.
        allowed: Boolean, shape (V,).

    Returns:
        Shape (P, V) on the device of ``allowed``; lower is better.
    """
    rows, slots = torch.tensor(places).T
    change = torch.zeros(len(places), len(allowed), device=allowed.device)
    for head in heads:
        there = partial(to_device, device=head.grad.device)
        scores = (head.grad[there(rows), there(slots)] @ head.table.T).float()
        scores = to_device(scores, allowed.device)
        known = torch.ones_like(allowed) if head.known is None else head.known.to(allowed.device)
        counted = known & allowed
        centre = scores.masked_fill(~counted, 0.0).sum(1, keepdim=True) / counted.sum().clamp(min=1)
        change += torch.where(known, scores - centre, 0.0)
    return change
