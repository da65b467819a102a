"""Base of terms in which a language model writes a chain between a question and its answer."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property

from fuse_lightning.data.targets import Target
from fuse_lightning.errors import FuseError
from fuse_lightning.models import CausalLM
from fuse_lightning.models.options import ModelSource
from fuse_lightning.objectives.causal_term import CausalTerm
from fuse_lightning.objectives.chains import Asked, Chain, ChainWriter
from fuse_lightning.objectives.layout import ANSWER, PROMPT, Fields, Layout, Message, Piece
from fuse_lightning.objectives.prompts import Prompts
from fuse_lightning.objectives.questions import Questions
from fuse_lightning.objectives.reading import Reading
from fuse_lightning.objectives.reasoned_rows import Behind, extended
from fuse_lightning.objectives.target_cache import PerTarget
from fuse_lightning.utilities.numbers import check_number

QUESTION = "question"
PLAIN_LAYOUT = "{question} {prompt}\n"
PROMPT_ROOM = 32
"""Tokens that a prompt is taken to have where room is planned."""
CHAT_LAYOUT: list[Message] = [{"role": "user", "content": "{question} {prompt}"}]


class Chained(CausalTerm):
    """Base of terms whose rows hold a question with the prompt, a chain, an extractor, an answer.

    Args:
        model: The language model, or its id.
        layout: Text or turns of a chat up to where the chain begins; ``None`` for a usual one.
        extractor: Text between chain and answer, in place of the data's.
        max_chain_tokens: Most tokens of a chain; 0 for answers without reasoning.
        max_answer_tokens: Tokens that the model writes behind the extractor, or more where a right
            answer of the target is longer.
        chains_per_question: Chains that are written for each question.
        temperature: Divisor of the logits as chains are written; 0 takes the likeliest tokens.
        seed: Seed of chains.
        weight: Factor in the objective.
        name: Name in logs and results.
        score_weight: Factor in the number by which prompts are selected.
    """

    splits = True
    chained = True
    batch: list[Questions]

    def __init__(
        self,
        model: ModelSource | CausalLM,
        layout: str | list[Message] | None,
        extractor: str | None,
        max_chain_tokens: int,
        max_answer_tokens: int,
        chains_per_question: int,
        temperature: float,
        seed: int,
        weight: float,
        name: str | None,
        score_weight: float | None,
    ) -> None:
        super().__init__(model, weight, name=name, layout=layout, score_weight=score_weight)
        check_number("max_chain_tokens", max_chain_tokens, 0)
        for option, value in (
            ("max_answer_tokens", max_answer_tokens),
            ("chains_per_question", chains_per_question),
        ):
            check_number(option, value, 1)
        check_number("temperature", temperature, 0)
        check_number("seed", seed, 0)
        if chains_per_question > 1 and not temperature:
            raise FuseError(
                f"chains_per_question is {chains_per_question} with temperature 0, which writes "
                "the same chain each time; give a temperature above 0"
            )
        if extractor is not None and not extractor.strip():
            raise FuseError(f"extractor is {extractor!r}, which asks for nothing; give a text")
        self.extractor = extractor
        self.max_chain_tokens = max_chain_tokens
        self.max_answer_tokens = max_answer_tokens
        self.chains_per_question = chains_per_question
        self.temperature = temperature
        self.seed = seed
        self._questions = PerTarget(lambda targets: [self._read(target) for target in targets])
        self._writer: ChainWriter | None = None
        self._longest = 0
        """Most tokens of a question with a short prompt and of what stands behind its chain."""

    @abstractmethod
    def mark(self, questions: Questions, example: int, chain: Chain) -> float:
        """Number that is noted of a chain."""

    @property
    def given(self) -> str | list[Message]:
        """Layout as it was given to the loaded model, or the usual one."""
        if self.layout is not None:
            return self.layout
        return CHAT_LAYOUT if getattr(self.model.tokenizer, "chat_template", None) else PLAIN_LAYOUT

    @cached_property
    def form(self) -> Layout:
        """Layout of the loaded model up to the chain, where an empty answer stands."""
        form = Layout.read(self.given, self.model.tokenizer)
        if ANSWER in form.names:
            raise FuseError(
                f"layout of {self.name} has {{answer}}, but it ends where the chain begins; leave "
                "{answer} out, and give the text before it as the extractor"
            )
        if not form.names:
            raise FuseError(
                f"layout of {self.name} holds no text of the examples, so that the model would "
                f"reason without a question; add {{{QUESTION}}}"
            )
        return Layout((*form.pieces, Piece(name=ANSWER)))

    @property
    def fills(self) -> tuple[str, ...]:  # type: ignore[override]
        """Fields of the layout, which the examples must have, and the answer."""
        return (*self._names, ANSWER)

    @property
    def _names(self) -> list[str]:
        return [name for name in self.form.names if name not in (ANSWER, PROMPT)]

    @property
    def writer(self) -> ChainWriter:
        """Writer of the chains of the current model."""
        if self._writer is None or self._writer.model is not self.model:
            options = self.chains_per_question, self.temperature, self.seed
            self._writer = ChainWriter(self.model, self.max_chain_tokens, *options)
        return self._writer

    def set_targets(self, targets: Sequence[Target]) -> None:
        """Reads the questions of every target.

        Raises:
            FuseError: If a question lacks a field or its right answer, or the model has no room
                for it.
        """
        self.batch = self._questions.of(targets)
        self.examples = [len(each.fields) for each in self.batch]

    def _read(self, target: Target) -> Questions:
        questions, longest = self._sized(target)
        self._longest = max(self._longest, longest)
        if target.test:
            # A verdict asks these behind the search, where an error would come too late.
            self._sized(target.tested())
        return questions

    def _sized(self, target: Target) -> tuple[Questions, int]:
        """Questions of a target, and the length of the longest row without prompt and chain.

        Raises:
            FuseError: As :meth:`set_targets`.
        """
        names, most = self._names, self.max_answer_tokens
        questions = Questions.read(target, names, self.extractor, most, self.model)
        texts = [self.form.fill("a", {**each, ANSWER: ""}).text for each in questions.fields]
        reserved = len(questions.extractor) + questions.behind
        most = self.model.max_tokens - reserved
        lengths = self.model.encode(texts).mask.sum(1).tolist() if texts else []
        if long := [(length, n) for n, length in enumerate(lengths) if length >= most]:
            length, number = max(long)
            which = "a question" if len(long) == 1 else f"{len(long)} questions"
            leave = "leaves" if len(long) == 1 else "leave"
            raise FuseError(
                f"{which} of target {target.id!r} {leave} no room for a chain in the "
                f"{self.model.max_tokens} tokens that {self.model.model_id!r} reads, such as "
                f"{next(iter(questions.fields[number].values())):.40}… with {length}; leave them "
                "out, or shorten them, the extractor or max_answer_tokens"
            )
        return questions, max((length + reserved for length in lengths), default=0)

    @property
    def together(self) -> int:
        """Most pairs whose keys and values a budget holds, so that answers are read from these."""
        whole = self._longest + PROMPT_ROOM + self.max_chain_tokens
        return max(1, self.model.budget.tokens // (whole * self.chains_per_question))

    def longest(self, prompts: Prompts) -> dict[int, int]:
        """Length of the longest row with a chain of one token; no chain is written for it."""
        heads = self.heads(prompts)
        most = (
            int(length) + len(self.batch[owner].extractor) + self.batch[owner].behind + 1
            for length, owner in zip(heads.lengths.tolist(), heads.owner.tolist(), strict=True)
        )
        return {0: max(most, default=0)}

    def learnt(self) -> dict[Asked, list[Chain]]:
        """Chains that were written since this was last asked for."""
        return self.writer.take_new()

    def learn(self, learnt: object) -> None:
        """Remembers chains that another process has written."""
        assert isinstance(learnt, dict)
        for asked, chains in learnt.items():
            self.writer.remember(asked, chains)

    def contents(self, owner: int, example: int) -> Sequence[Fields]:
        """Fields of a question."""
        return ({**self.batch[owner].fields[example], ANSWER: ""},)

    def chains(self, heads: Reading) -> list[list[Chain]]:
        """Chains of rows that end where a chain begins; none for rows without room for one."""
        return self.writer.write(self._all_asked(heads))

    def known(self, heads: Reading) -> list[list[Chain]]:
        """Remembered chains of such rows; none for rows whose chains are not known."""
        return [self.writer.known(asked) for asked in self._all_asked(heads)]

    def _all_asked(self, heads: Reading) -> list[Asked]:
        rows = heads.rows.rows
        found = []
        for row, owner, example in zip(
            rows, heads.owner.tolist(), heads.example.tolist(), strict=True
        ):
            questions = self.batch[owner]
            stream = questions.streams[example]
            found.append(Asked(row, questions.extractor, questions.behind, stream))
        return found

    def heads(
        self,
        prompts: Prompts,
        examples: Sequence[Sequence[int]] | None = None,
        *,
        ids: bool = False,
    ) -> Reading:
        """Reading of questions with prompts, up to where the chains begin; see :meth:`read`."""
        return super().read(prompts, examples, ids=ids)

    def read(
        self,
        prompts: Prompts,
        examples: Sequence[Sequence[int]] | None = None,
        *,
        ids: bool = False,
    ) -> Reading:
        """Reading of prompts: questions, chains, extractors and right answers.

        Unknown chains are written, all in one batch.

        Args:
            prompts: N prompts.
            examples: Numbers of the questions that each of them is read with; by default those of
                the step.
            ids: Whether the ids of prompts are read in any case, as gradients need.

        Returns:
            A row for each prompt, question and chain.
        """
        heads = self.heads(prompts, examples, ids=ids)
        sources = heads
        if prompts.chains_of is not None:
            sources = self.heads(prompts.chains_of, examples)
        owners, numbers = heads.owner.tolist(), heads.example.tolist()
        tails = []
        for row, chains in enumerate(self.chains(sources)):
            questions, example = self.batch[owners[row]], numbers[row]
            answer = questions.answers[example]
            for number, chain in enumerate(chains):
                mark = questions.noted(example, chain, self.mark)
                tails.append(Behind(row, number, chain.ids, questions.extractor, answer, mark))
            if not chains:
                # Too long to be read, so that its loss is infinite.
                filler = (self.model.pad_id,) * (self.model.max_tokens + 1)
                tails.append(Behind(row, 0, filler, questions.extractor, answer, 0.0))
        return extended(heads, tails, self.model.pad_id)
