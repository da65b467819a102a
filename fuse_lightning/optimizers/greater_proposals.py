"""Candidate tokens of GReaTer at one position: the model's own, ranked by gradients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from fuse_lightning.engine.damping import damped
from fuse_lightning.engine.devices import to_device
from fuse_lightning.objectives import (
    Objective,
    Reasoning,
    label_changes,
    predicted_change,
    resample,
    smoothed_gradient,
)
from fuse_lightning.optimizers.greater_options import GreaterOptions
from fuse_lightning.optimizers.greater_pool import likeliest_first, likely_pool, ranked_tokens
from fuse_lightning.optimizers.greater_positions import Slot


class Proposer:
    """Proposer of candidate tokens at positions of prompts.

    Args:
        objective: The objective, loaded; its first term reasons.
        options: Options of the pool and of its ranking.
        allowed: The primary's tokens that may be candidates, shape (V,), on its device.
        samples: Prompts with a random token at the position that a gradient is averaged over.
    """

    def __init__(
        self, objective: Objective, options: GreaterOptions, allowed: Tensor, samples: int
    ) -> None:
        self.objective = objective
        self.options = options
        self.allowed = allowed
        self.allowed_ids = allowed.nonzero().squeeze(1).cpu()
        self.samples = samples

    @property
    def term(self) -> Reasoning:
        """The term that reasons, whose model is the primary."""
        term = self.objective.terms[0]
        assert isinstance(term, Reasoning)
        return term

    def ranked(
        self, slots: Sequence[Slot], generators: Sequence[torch.Generator]
    ) -> list[list[int]]:
        """Candidate tokens of each slot, the most promising first.

        Args:
            slots: S positions of prompts.
            generators: Random stream of each.
        """
        if not slots:
            return []
        log_probs = self.log_probs(slots, generators)
        masks = [self._mask(slot) for slot in slots]
        options = self.options
        pools = [
            likely_pool(
                *(told, mask, options.top_k, options.intersect, options.pools, options.least),
                generator,
            )
            for told, mask, generator in zip(log_probs, masks, generators, strict=True)
        ]
        if not options.keep_incumbent:
            # The token that stands there competes with the others.
            pools = [
                pool if slot.token is None else likeliest_first(told, [*pool, slot.token])
                for pool, told, slot in zip(pools, log_probs, slots, strict=True)
            ]
        if options.rank_by == "gradient" or options.screen:
            self._write_chains(slots)
        if options.rank_by == "random":
            return [
                [pool[n] for n in torch.randperm(len(pool), generator=generator).tolist()]
                for pool, generator in zip(pools, generators, strict=True)
            ]
        if options.rank_by == "likelihood":
            return pools
        means = [told.mean(0) for told in log_probs]
        changes = self.changes(slots, means, generators).cpu()
        found = []
        for pool, mask, mean, change in zip(pools, masks, means, changes, strict=True):
            likely = mean.masked_fill(~mask, -torch.inf)
            count = min(options.gradient_among, int(mask.sum()))
            more = ranked_tokens(change, likely.topk(count).indices.tolist())
            tokens = dict.fromkeys([*pool, *more[: options.gradient_pool]])
            found.append(ranked_tokens(change, [*tokens]))
        return found

    def _mask(self, slot: Slot) -> Tensor:
        """Tokens that may newly stand at a position: none that repeats the one before it."""
        mask = self.allowed.cpu().clone()
        if slot.place:
            mask[slot.state[slot.place - 1]] = False
        if slot.token is not None:
            mask[slot.token] = False
        return mask

    @torch.no_grad()
    def log_probs(
        self, slots: Sequence[Slot], generators: Sequence[torch.Generator]
    ) -> list[Tensor]:
        """Log-probabilities of the tokens at positions, behind some questions of the step.

        Args:
            slots: The positions.
            generators: Random stream of each, for the questions.

        Returns:
            For each slot shape (Q, V), on the CPU; Q is at most ``intersect`` times ``pools``.
        """
        count = self.options.intersect * self.options.pools
        drawn = []
        for slot, generator in zip(slots, generators, strict=True):
            numbers = self.term.numbers(slot.owner)
            order = torch.randperm(len(numbers), generator=generator)[:count].tolist()
            drawn.append(sorted(numbers[n] for n in order))
        # Where a token is added, another one holds its place.
        states = [slot.put(int(self.allowed_ids[0])) for slot in slots]
        prompts = self.objective.prompts(states, [slot.owner for slot in slots])
        heads = self.term.heads(prompts, drawn, ids=True)
        places = torch.tensor([slot.place for slot in slots])[heads.of]
        own = heads.own
        columns = heads.start + (places if own is None else own.column(places))
        rows = [row[:end] for row, end in zip(heads.rows.rows, columns.tolist(), strict=True)]
        told = self.term.model.next_log_probs(rows).float().cpu()
        if own is not None:
            for kind, openings in enumerate(own.kinds):
                if openings is not None:
                    first = (own.kind == kind) & (places == 0)
                    told[first] = told[first][:, openings.first.cpu()]
        return [*torch.split(told, heads.of.bincount(minlength=len(slots)).tolist())]

    def _write_chains(self, slots: Sequence[Slot]) -> None:
        """Writes the chains of the prompts, each in one of the processes that search together."""
        scores = self.objective.scores
        prompts = self.objective.prompts(
            [slot.state for slot in slots], [slot.owner for slot in slots]
        )
        for term, known in zip(self.objective.terms, scores.by_example, strict=True):
            if term.chained and term.weight:
                numbers = [term.numbers(slot.owner) for slot in slots]
                known.losses(scores.keys(prompts), prompts, numbers)

    def changes(
        self, slots: Sequence[Slot], means: Sequence[Tensor], generators: Sequence[torch.Generator]
    ) -> Tensor:
        """Predicted change of the objective for every token at each position.

        Chains are those of the prompts as they are.

        Args:
            slots: S positions.
            means: Mean log-probabilities of the tokens at each, shape (V,), on the CPU.
            generators: Random stream of each.

        Returns:
            Shape (S, V); lower is better.
        """
        allowed = self.allowed.cpu()
        states = [
            slot.state
            if slot.token is not None
            else slot.put(int(mean.masked_fill(~allowed, -torch.inf).argmax()))
            for slot, mean in zip(slots, means, strict=True)
        ]
        owners = [slot.owner for slot in slots]
        samples = [
            replace(sample, parent=slot.state)
            for group, (slot, state, generator) in enumerate(
                zip(slots, states, generators, strict=True)
            )
            for sample in resample(
                *(state, group, [slot.place], self.samples, 1.0, self.allowed_ids, generator)
            )
        ]
        with damped(self.options.residual_damping):
            wanted = smoothed_gradient(self.objective, samples, owners, lambda t: bool(t.weight))
        places = [(group, slot.place) for group, slot in enumerate(slots)]
        change = predicted_change(wanted, places, self.allowed)
        if not self.options.label_part:
            return change
        prompts = self.objective.prompts(states, owners)
        prompts.chains_of = self.objective.prompts([slot.state for slot in slots], owners)
        labels = label_changes(self.objective, prompts)
        if not isinstance(labels, float):
            rows, columns = (to_device(part, labels.device) for part in torch.tensor(places).T)
            change += to_device(labels[rows, columns], change.device)
        return change
