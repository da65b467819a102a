"""The step of :mod:`benchmarks.greater.plain`, done by this package."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import torch
from torch import Tensor

from benchmarks.greater import plain
from benchmarks.greater.plain import Ids, Setting, Step
from fuse_lightning.data.targets import Target
from fuse_lightning.models import CausalLM
from fuse_lightning.objectives import Objective, Prompts, Reasoning
from fuse_lightning.optimizers.greater_options import GreaterOptions
from fuse_lightning.optimizers.greater_positions import Slot
from fuse_lightning.optimizers.greater_proposals import Proposer


@dataclass
class Ours:
    """A reasoning term on one target, in the published setting.

    Args:
        model: The loaded model.
        target: Its questions.
        chain: Most tokens of a chain.
    """

    model: CausalLM
    target: Target
    chain: int

    def __post_init__(self) -> None:
        self.term = Reasoning(self.model, preset="code", max_chain_tokens=self.chain)
        self.objective = Objective([self.term])
        self.objective.load(self.model.device)
        self.objective.set_targets([self.target])
        self.questions = len(self.target.examples)

    def prompts(self, states: Sequence[Ids]) -> Prompts:
        """Prompts of the target."""
        return self.objective.prompts([*states], [0] * len(states))

    def setting(self, prompt: Ids, **sizes: int) -> Setting:
        """The same rows for the plain step.

        Args:
            prompt: Any prompt.
            **sizes: Fields of the setting.
        """
        heads, questions = self.term.heads(self.prompts([prompt])), self.term.batch[0]
        starts = heads.start.tolist()
        rows = [*zip(heads.rows.rows, starts, strict=True)]
        row, start = rows[0]
        # Tokens that stand behind a space, as the prompt's own do.
        allowed = torch.tensor(
            [text[:1] == " " and text[1:].isalpha() for text in self.model.pieces]
        )
        return Setting(
            before=[row[:start] for row, start in rows],
            answers=questions.answers,
            between=row[start + len(prompt) :],
            extractor=questions.extractor,
            allowed=allowed,
            stop=frozenset(self.model.end_ids),
            pad=self.model.pad_id,
            chain_tokens=self.chain,
            **sizes,
        )

    def next_tokens(self, setting: Setting, prompt: Ids, position: int) -> Tensor:
        """See :func:`plain.next_tokens`; no chain is read."""
        rows = [(*before, *prompt[:position]) for before in setting.before]
        return self.model.next_log_probs(rows)

    def gradient(self, prompt: Ids, position: int, candidates: Sequence[int]) -> Tensor:
        """See :func:`plain.gradient`, up to a constant; unknown chains are written."""
        slot, options = Slot(prompt, 0, position), GreaterOptions.of("code", {})
        everything = torch.ones(self.model.vocab_size, dtype=torch.bool, device=self.model.device)
        proposer = Proposer(self.objective, options, everything, 0)
        means = [torch.zeros(self.model.vocab_size)]
        change = proposer.changes([slot], means, [torch.Generator()])[0]
        return change[torch.tensor([*candidates], device=change.device)] * self.questions

    def scores(self, prompts: Sequence[Ids]) -> list[float]:
        """What the published code decides by, of each prompt behind fresh chains."""
        losses: list[float] = self.objective.losses(self.prompts(prompts))[:, 0].tolist()
        return losses

    def chains(self, prompts: Sequence[Ids]) -> list[list[Ids]]:
        """Chains of each prompt, by question."""
        count = self.questions
        found = [each[0].ids for each in self.term.chains(self.term.heads(self.prompts(prompts)))]
        return [found[start : start + count] for start in range(0, len(found), count)]

    def step(
        self, setting: Setting, prompt: Ids, position: int, rng: Random | None = None
    ) -> tuple[Step, list[float]]:
        """One step, and the scores of its shortlist; see :func:`plain.step`."""
        log_probs = self.next_tokens(setting, prompt, position)
        candidates = plain.propose(setting, prompt, position, log_probs, rng or Random(0))
        slope = self.gradient(prompt, position, candidates)
        tried = plain.most_promising(candidates, slope, setting.shortlist)
        prompts = [plain.swapped(prompt, position, token) for token in tried]
        scores = self.scores(prompts)
        (chains,), fresh = self.chains([prompt]), self.chains(prompts)
        chosen = plain.best(tried, scores)
        return Step(chains, log_probs, candidates, slope, tried, fresh, [], chosen), scores
