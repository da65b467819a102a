"""Term: whether a language model reasons to the right answers of questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Self

import torch
from torch import Tensor
from torchmetrics import Metric

from fuse_lightning.data.targets import Target
from fuse_lightning.engine.devices import to_device
from fuse_lightning.engine.focus import Focus
from fuse_lightning.engine.row_cache import RowCache
from fuse_lightning.errors import FuseError
from fuse_lightning.metrics import MeanLoss, MeanScore
from fuse_lightning.models import CausalLM, FrozenModel
from fuse_lightning.models.options import ModelSource
from fuse_lightning.objectives.chained import Chained
from fuse_lightning.objectives.chains import Chain
from fuse_lightning.objectives.layout import Message
from fuse_lightning.objectives.prompts import Prompts
from fuse_lightning.objectives.questions import Questions
from fuse_lightning.objectives.reading import Reading, mean_of
from fuse_lightning.objectives.reasoned_answers import (
    answer_focus,
    chances,
    fluency_label_change,
    focused,
)
from fuse_lightning.objectives.reasoning_options import (
    AnswerLoss,
    Judge,
    Preset,
    ReasoningOptions,
    SelectBy,
)
from fuse_lightning.objectives.term import Term
from fuse_lightning.objectives.transfer import nothing_to_compare
from fuse_lightning.objectives.written import UNREAD, Written
from fuse_lightning.utilities.identity import Identity

OWN = (
    *("extractor", "max_chain_tokens", "max_answer_tokens", "chains_per_question"),
    *("temperature", "seed"),
)
"""Options that a term of another model has from the search's own."""


class Reasoning(Chained):
    """Cross-entropy and errors of the answers that a model reasons to, mean over questions.

    The model reads a question with the prompt, writes a chain, and behind the chain and an
    extractor text it is asked for the answer. The chain is written anew for every prompt, and held
    fixed where the loss is differentiated (GReaTer, arXiv 2412.09722). Chains and answers are kept
    as ids. Lower is better. A prompt that leaves no room for a chain has infinite loss.

    Args:
        model: The language model, or its id.
        layout: Text or turns of a chat with ``{prompt}`` and ``{question}``, up to where the chain
            begins. By default one turn of a user, "{question} {prompt}", or these in a line where
            the model has no chat template.
        extractor: Text between chain and answer, in place of the data's. The spaces before it and
            before an answer may stand in it or not.
        max_chain_tokens: Most tokens of a chain; 0 for answers without reasoning.
        max_answer_tokens: Tokens that the model writes behind the extractor.
        chains_per_question: Chains that are written for each question, over which the loss is the
            mean; more than one needs a ``temperature``.
        temperature: Divisor of the logits as chains are written; 0 takes the likeliest tokens.
        seed: Seed of chains. Those of a question have the same random numbers with every prompt.
        preset: "paper" or "code" for the published values of the next options, which differ;
            ``None`` for the package's own.
        answer_loss: Cross-entropy of the right answer: "labels" among the labels of a closed set
            (by default), or "tokens"; see :class:`ReasoningOptions`, also for the next ones.
        answer_temperature: Divisor of the logits in the loss.
        judge: Which answers are right: "parse" (by default), "read", "forced" or "labels".
        select_by: By what prompts are selected: "loss", "error" or "both" (by default).
        fluency: Factor of the mean -log P of the prompt's tokens in the loss.
        score_fluency: The same in the number that selects.
        perplexity: Whether that is a perplexity.
        weight: Factor in the objective; negative repels.
        name: Name in logs and results.
        score_weight: Factor in the number by which prompts are selected; by default ``weight``.

    Raises:
        FuseError: If an option is out of its range.
    """

    def __init__(
        self,
        model: ModelSource | CausalLM,
        layout: str | list[Message] | None = None,
        extractor: str | None = None,
        max_chain_tokens: int = 128,
        max_answer_tokens: int = 8,
        chains_per_question: int = 1,
        temperature: float = 0.0,
        seed: int = 0,
        preset: Preset | None = None,
        answer_loss: AnswerLoss | None = None,
        answer_temperature: float | None = None,
        judge: Judge | None = None,
        select_by: SelectBy | None = None,
        fluency: float | None = None,
        score_fluency: float | None = None,
        perplexity: bool | None = None,
        weight: float = 1.0,
        name: str | None = None,
        score_weight: float | None = None,
    ) -> None:
        super().__init__(
            model,
            layout,
            extractor,
            max_chain_tokens=max_chain_tokens,
            max_answer_tokens=max_answer_tokens,
            chains_per_question=chains_per_question,
            temperature=temperature,
            seed=seed,
            weight=weight,
            name=name,
            score_weight=score_weight,
        )
        given = {
            "answer_loss": answer_loss,
            "answer_temperature": answer_temperature,
            "judge": judge,
            "select_by": select_by,
            "fluency": fluency,
            "score_fluency": score_fluency,
            "perplexity": perplexity,
        }
        self.options = ReasoningOptions.of(preset, given)

    def identity(self) -> Identity:
        """Settings of the loss, those of a preset included."""
        return {**super().identity(), **{k: repr(v) for k, v in asdict(self.options).items()}}

    @property
    def judge(self) -> Judge:
        """Which answers are right."""
        return self.options.judge

    def set_targets(self, targets: Sequence[Target]) -> None:
        """Reads the questions of every target.

        Raises:
            FuseError: As for every term with chains; or if labels judge, and a target has none.
        """
        super().set_targets(targets)
        for target, questions in zip(targets, self.batch, strict=True):
            if self.judge == "labels" and questions.branches is None:
                raise FuseError(
                    f"judge is labels, but target {target.id!r} has no closed set of labels that "
                    f"differ for {self.model.model_id!r}; give the judge parse or read"
                )

    def mark(self, questions: Questions, example: int, chain: Chain) -> float:
        """1 for a chain whose answer is right, else 0."""
        if self.judge == "labels":
            return 0.0
        told = Written.of(self.model, questions, example, chain)
        return float(getattr(told, f"right_{self.judge}"))

    def loss(self, reading: Reading, embeds: Tensor | None = None) -> Tensor:
        """Cross-entropy of the right answer, and the prompt's share of fluency, shape (R,)."""
        answer, _, prompt = self._likelihoods(reading, embeds, self.options.fluency, None)
        return answer + prompt

    def score(self, reading: Reading) -> Tensor:
        """Number that selects, and whether the answer is right, shape (R, 2)."""
        cache = self.writer.take_cache()
        options = self.options
        answer, likeliest, prompt = self._likelihoods(reading, None, options.score_fluency, cache)
        assert reading.marks is not None, "the reading is none of this term"
        right = to_device(reading.marks, answer.device)
        if options.judge == "labels":
            if options.answer_loss != "labels":
                focus = self._focus(reading, "labels", 1.0)
                _, likeliest = focused(self.model, reading, focus.places, focus, None, cache)
            right = likeliest.to(answer.dtype)
        error = 1 - right
        value = {"loss": answer, "error": error, "both": answer + error}[options.select_by]
        return torch.stack([value + prompt, right], dim=1)

    def _likelihoods(
        self, reading: Reading, embeds: Tensor | None, fluency: float, cache: RowCache | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Cross-entropy of answers, whether they are the likeliest, and the fluency of prompts.

        Args:
            reading: R rows.
            embeds: Input embeddings in place of those of the ids.
            fluency: Factor of the fluency.
            cache: Keys and values of the chains, if they are known.

        Returns:
            Each of shape (R,).
        """
        focus = self._focus(reading, self.options.answer_loss, self.options.answer_temperature)
        asked = focus.places
        # With gradients both are of one forward. Without, the chains' keys are known, but those of
        # the prompts tell nothing of the tokens behind them.
        together = asked | reading.prompt if fluency and embeds is not None else asked
        nll, likeliest = focused(self.model, reading, together, focus, embeds, cache)
        there = to_device(asked, nll.device)
        # Of labels it is one choice, whose probability is the product of its parts.
        counts = torch.where((focus.of < 0).all(1), asked.sum(1).clamp(min=1), 1)
        answer = (nll * there).sum(1) / to_device(counts, nll.device)
        prompt = torch.zeros_like(answer)
        if fluency:
            if embeds is None:
                nll = self.model.token_nll(reading.rows.ids, reading.prompt)
            inside = to_device(reading.prompt, nll.device)
            mean = (nll * inside).sum(1) / inside.sum(1).clamp(min=1)
            prompt = fluency * (mean.exp() if self.options.perplexity else mean)
        return answer, likeliest, prompt

    def _focus(self, reading: Reading, loss: AnswerLoss, temperature: float) -> Focus:
        return answer_focus(self.batch, reading, temperature, labels=loss == "labels")

    @torch.no_grad()
    def label_change(self, reading: Reading) -> Tensor | None:
        """Change of the fluency when a token of a prompt is replaced as a label; see ``Fluency``.

        Args:
            reading: R rows that read the ids of prompts.

        Returns:
            At the columns of each prompt, shape (R, P, V), float32; ``None`` without fluency.
        """
        fluency, perplexity = self.options.fluency, self.options.perplexity
        if not fluency:
            return None
        return fluency * fluency_label_change(self.model, reading, perplexity=perplexity)

    def reduce(self, losses: Tensor, reading: Reading, count: int) -> Tensor:
        """Mean over the chains of a question, shape (M,)."""
        return mean_of(losses if losses.dim() == 1 else losses[:, 0], reading.item, count)

    def correct(self, values: Tensor, reading: Reading) -> Tensor:
        """Share of the chains of a question whose answer is right, shape (M,)."""
        right = values[:, 1].masked_fill(values[:, 1].isinf(), 0.0)
        return mean_of(right, reading.item, len(reading.pairs))

    @torch.no_grad()
    def written(
        self, prompts: Prompts, examples: Sequence[Sequence[int]] | None = None
    ) -> list[Written]:
        """What the model writes for questions, the first chain of each, prompt by prompt.

        Args:
            prompts: N prompts.
            examples: Numbers of the questions of each; by default those of the step.
        """
        heads = self.heads(prompts, examples)
        numbers = zip(heads.owner.tolist(), heads.example.tolist(), strict=True)
        told = [
            Written.of(self.model, self.batch[owner], example, chains[0]) if chains else UNREAD
            for (owner, example), chains in zip(numbers, self.chains(heads), strict=True)
        ]
        reading = self.read(prompts, examples)
        reading = reading[(reading.number == 0).nonzero().squeeze(1)]
        cache = self.writer.take_cache()
        for row, (right, chance) in chances(self.model, self.batch, reading, cache).items():
            told[row] = replace(told[row], right_labels=right, probability=chance)
        return told

    def shown(self, owner: int, example: int) -> str:
        """Text of a question with its right answer, as a demonstration in a prompt."""
        questions = self.batch[owner]
        return "\n".join([*questions.fields[example].values(), questions.right[example][0]])

    def metrics(self) -> dict[str, Metric]:
        """Mean of the number that selects, and the share of right answers."""
        return {"loss": MeanLoss("nats"), "accuracy": MeanScore("share")}

    def update_metrics(
        self, metrics: Mapping[str, Metric], reading: Reading, losses: Tensor
    ) -> None:
        """Adds the answers to the questions of some prompts."""
        metrics["accuracy"].update(self.correct(losses, reading))

    @classmethod
    def for_transfer(
        cls, model: FrozenModel, targets: Sequence[Target], search: Sequence[Term]
    ) -> Self | None:
        """The term of another model, with the options of the search's first such term.

        Raises:
            FuseError: If a target has no questions.
        """
        own = next((term for term in search if isinstance(term, Reasoning)), None)
        if own is None or not isinstance(model, cls.model_class):
            return None
        if not all(target.examples for target in targets):
            raise nothing_to_compare(model, "questions")
        options = {name: getattr(own, name) for name in OWN}
        return cls(model, own.layout, name=model.model_id, **options, **asdict(own.options))
