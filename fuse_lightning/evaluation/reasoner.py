"""Answers of a model to questions, read from the chains that it writes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from fuse_lightning.evaluation.answerer import Answerer, Replies
from fuse_lightning.evaluation.answers import LONGEST, TOGETHER
from fuse_lightning.evaluation.deciding import Marked
from fuse_lightning.evaluation.term_metrics import as_prompts
from fuse_lightning.evaluation.verdict import ChainScore, ChainSettings, Way
from fuse_lightning.objectives import Objective, Prompts, Reasoning
from fuse_lightning.objectives.questions import Questions
from fuse_lightning.objectives.row_values import row_values
from fuse_lightning.objectives.written import UNREAD, Written

NAMED = ("choice", "yes_no")
"""Kinds of answers whose labels the question names, so that the likeliest label is an answer."""
MOST_UNREAD = 60
"""Most characters of a text that holds no answer."""
UNLIKELY = 1e-30
"""Least probability of an answer."""


def measure_of(judge: str, kind: str, has_labels: bool) -> Way:
    """Way to read chains that a verdict goes by.

    The likeliest label is taken where the question itself names the labels. Of other labels it
    flatters: a model that never writes an answer has a likeliest one, too. What a model says of
    the right answer when it is given is no answer at all, and what it writes is read.

    Args:
        judge: The ``judge`` of the term.
        kind: Kind of the answers, such as "choice".
        has_labels: Whether there is a label set.

    >>> measure_of("labels", "choice", True), measure_of("labels", "word", True)
    ('labels', 'read')
    >>> measure_of("forced", "number", False), measure_of("parse", "number", False)
    ('read', 'parse')
    """
    if judge == "parse":
        return "parse"
    return "labels" if judge == "labels" and has_labels and kind in NAMED else "read"


@dataclass(frozen=True, eq=False)
class ReasonedReplies(Replies):
    """Answers read from chains.

    Attributes:
        written: For each of N prompts and E examples what the model has written: the first chain,
            and what stands behind it.
        measure: The way to read them.
        ways: All ways to read them, the measure among them.
        shares: Share of right answers over all chains of each pair, shape (N, E); ``None`` where
            there is one chain.
    """

    written: Sequence[Sequence[Written]]
    measure: Way
    ways: tuple[Way, ...]
    shares: Tensor | None = None

    @property
    def right(self) -> Tensor:  # type: ignore[override]
        """Whether the answer of each first chain is right, shape (N, E)."""
        return torch.stack([_right(row, self.measure) for row in self.written])

    @property
    def loss(self) -> Tensor:  # type: ignore[override]
        """Minus the log probability of the right answer behind the first chain, shape (N, E)."""
        chances = [[one.probability for one in row] for row in self.written]
        return -torch.tensor(chances, dtype=torch.double).clamp_min(UNLIKELY).log()

    def only(self, prompt: int) -> ReasonedReplies:
        """Answers of one of the prompts."""
        shares = None if self.shares is None else self.shares[[prompt]]
        return replace(self, written=self.written[prompt : prompt + 1], shares=shares)

    def marked(self, name: str, text: str, select: float, select_loss: float) -> Marked:
        """Answers of the only prompt, by each way to read them."""
        (row,) = self.written
        chances = torch.tensor([one.probability for one in row], dtype=torch.double)
        loss = -chances.log().mean().item()
        return Marked(
            name=name,
            text=text,
            right=_right(row, self.measure),
            select=select,
            select_loss=select_loss,
            cross_entropy=loss if loss < torch.inf else None,
            readings=tuple((way, _right(row, way)) for way in self.ways),
            chains=self.chains,
        )

    @property
    def chains(self) -> ChainScore:
        """Figures of the only prompt's chains."""
        (row,) = self.written
        told = self.right if self.shares is None else self.shares
        return ChainScore(
            readable=_share(one.parsed is not None for one in row),
            written=_share(one.read is not None for one in row),
            cut=_share(one.cut for one in row),
            right=told.double().mean().item(),
        )

    @property
    def unread(self) -> str:
        """End of a text of the only prompt that holds no answer; empty if all hold one."""
        for one in self.written[0]:
            text, answer = (one.chain, one.parsed) if self.by_chain else (one.answer, one.read)
            if answer is None and text.strip():
                return text.strip()[-MOST_UNREAD:]
        return ""

    @property
    def by_chain(self) -> bool:
        """Whether the chain itself is read."""
        return self.measure == "parse"

    def shown(self, example: int) -> dict[str, Any]:
        """The first chain, what is read from it, and whether that is right."""
        one = self.written[0][example]
        return {
            "answers": (one.parsed if self.by_chain else one.read) or "",
            "probabilities": one.probability,
            "right": bool(_right([one], self.measure)),
            "chains": one.chain,
            "behind": one.answer,
            "parsed": one.parsed or "",
        }


def _right(row: Sequence[Written], way: Way) -> Tensor:
    """Whether each answer is right by a way to read it, shape (E,)."""
    told = {
        "read": [one.right_read for one in row],
        "parse": [one.right_parse for one in row],
        "labels": [bool(one.right_labels) for one in row],
    }
    return torch.tensor(told[way], dtype=torch.bool)


def _share(told: Iterable[bool]) -> float:
    """Share of what is true."""
    some = [*told]
    return sum(some) / len(some)


class Reasoner(Answerer):
    """Answerer of questions: a reasoning term, and its objective.

    The model writes a chain for each prompt and question, the likeliest token each time unless the
    term draws. Of several chains for a question the first one counts.

    Args:
        objective: The objective, loaded.
        term: One of its terms.
    """

    term: Reasoning

    def __init__(self, objective: Objective, term: Reasoning) -> None:
        super().__init__(objective, term)

    @property
    def questions(self) -> Questions:
        """Questions of the target that was given last."""
        return self.term.batch[0]

    @property
    def groups(self) -> list[list[int]]:
        """Numbers of the given target's examples of each label; one group where they are open."""
        found: dict[str, list[int]] = {}
        for number, right in enumerate(self.questions.right):
            found.setdefault(right[0] if self.questions.labels else "", []).append(number)
        return [*found.values()]

    def example_text(self, number: int) -> str:
        """Text of a question of the given target with its right answer."""
        return self.term.shown(0, number)

    @property
    def measure(self) -> Way:
        """The way to read chains by which right answers are counted."""
        questions = self.questions
        return measure_of(self.term.judge, questions.kind.name, questions.branches is not None)

    @torch.no_grad()
    def replies(self, texts: Sequence[str], numbers: Sequence[int]) -> ReasonedReplies:
        """Answers to questions of the target that was given last."""
        prompts = as_prompts(self.objective, texts, [0] * len(texts))
        written: list[list[Written]] = [[] for _ in texts]
        shares = []
        size = max(1, TOGETHER // max(1, len(texts) * self.term.chains_per_question))
        for begin in range(0, len(numbers), size):
            some = numbers[begin : begin + size]
            told = iter(self.term.written(prompts, [some] * len(texts)))
            for row in written:
                row.extend(next(told) for _ in some)
            if self.term.chains_per_question > 1:
                shares.append(self._shares(prompts, some))
            # Nothing extends these rows any more.
            self.term.writer.take_cache()
        ways: tuple[Way, ...] = ("parse", "read")
        if self.questions.branches is not None:
            ways = (*ways, "labels")
        return ReasonedReplies(
            written, self.measure, ways, torch.cat(shares, dim=1) if shares else None
        )

    def _shares(self, prompts: Prompts, numbers: Sequence[int]) -> Tensor:
        """Share of right answers over all chains of each prompt and question, shape (N, E)."""
        examples = [numbers] * len(prompts.states)
        if self.measure == "labels":
            reading = self.term.read(prompts, examples)
            right = self.term.correct(row_values(self.term, reading, self.term.score), reading)
            return right.cpu().view(len(examples), -1)
        heads = self.term.heads(prompts, examples)
        shares = []
        for number, chains in zip(heads.example.tolist(), self.term.chains(heads), strict=True):
            told = [Written.of(self.term.model, self.questions, number, one) for one in chains]
            shares.append(_right(told or [UNREAD], self.measure).double().mean())
        return torch.stack(shares).view(len(examples), -1)

    def fits(self, text: str) -> bool:
        """Whether the longest questions leave room for a whole chain, or half of the usual room."""
        fields = self.questions.fields
        order = sorted(range(len(fields)), key=lambda n: -sum(map(len, fields[n].values())))
        prompts = as_prompts(self.objective, ["", text], [0, 0])
        heads = self.term.heads(prompts, [order[:LONGEST]] * 2)
        bare, whole = (int(heads.lengths[heads.of == n].max()) for n in (0, 1))
        reserved = len(self.questions.extractor) + self.questions.behind
        room = self.term.model.max_tokens - reserved
        return room - whole >= max(1, min(self.term.max_chain_tokens, (room - bare) // 2))

    @property
    def settings(self) -> ChainSettings:
        """How chains are written and read."""
        term = self.term
        return ChainSettings(
            self.measure,
            term.chains_per_question,
            term.temperature,
            term.seed,
            term.max_chain_tokens,
        )
