"""Rows of one step of classification prompts, and counts of what is read of them."""

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from benchmarks.engine import layer_flops
from fuse_lightning.data.targets import Example, Target
from fuse_lightning.models import CausalLM
from fuse_lightning.objectives import Classification, Objective, Reading, State, embedding_gradient

CANDIDATES, EXAMPLES, PROMPT, TEXT = 128, 32, 8, 20


@dataclass(frozen=True)
class Case:
    """Rows that a step scores.

    Attributes:
        name: Name in the table.
        layout: The layout.
        label: Tokens of each label.
        stem: Tokens with which all examples begin alike.
        swaps: Whether candidates differ from one prompt in one token, as of GCG; else in all.
    """

    name: str
    layout: str = "{prompt} {text}{answer}"
    label: int = 1
    stem: int = 0
    swaps: bool = True


CASES = (
    Case("prompt first"),
    Case("prompt first, unlike prompts", swaps=False),
    Case("prompt first, examples begin alike (10 tokens)", stem=10),
    Case("prompt first, labels of 3 tokens", label=3),
    Case("prompt between", "{first} {prompt} {second}{answer}"),
    Case("prompt between, labels of 3 tokens", "{first} {prompt} {second}{answer}", label=3),
    Case("prompt behind", "{text} {prompt}{answer}"),
    Case("prompt behind, labels of 3 tokens", "{text} {prompt}{answer}", label=3),
)


class Kept(Classification):
    """Classification that keeps the rows of its last scoring."""

    def loss(self, reading: Reading, embeds: Tensor | None = None) -> Tensor:
        """-log P(word | all before) of each row."""
        found = super().loss(reading, embeds)
        self.rows, self.nll = reading, found.detach()
        return found


@dataclass
class Positions:
    """Positions that the layers and the output read."""

    layers: int = 0
    head: int = 0

    def flops(self, model: CausalLM) -> float:
        """Floating-point operations of products with weights."""
        head = model.module.get_output_embeddings().weight.numel()
        return layer_flops(model) * self.layers + 2.0 * head * self.head


class Step:
    """One step of a case.

    Args:
        model: The model.
        case: The case.
        candidates: How many prompts are scored.
        device: Where the model is loaded.
    """

    def __init__(self, model: CausalLM, case: Case, candidates: int, device: str = "cpu") -> None:
        rng = random.Random(0)
        self.model = model
        pieces = model.pieces
        inner = [n for n, text in enumerate(pieces) if text[:1] == " " and text[1:].isalpha()]
        inner = [n for n in inner if len(pieces[n]) > 4]
        # A prompt that stands first has no space before it.
        leads = [n for n in inner if not case.layout.startswith("{prompt}")]
        leads = leads or self._leads(rng)

        def text(size: int) -> str:
            return "".join(pieces[n] for n in rng.choices(inner, k=size)).strip()

        labels = {name: [text(case.label)] for name in ("yes", "no")}
        stem, self.examples = text(case.stem) if case.stem else "", []
        for number in range(EXAMPLES):
            own: Example = {"label": [*labels][number % 2]}
            if "{text}" in case.layout:
                own["text"] = f"{stem} {text(TEXT - case.stem)}".strip()
            else:
                own |= {"first": text(TEXT // 2), "second": text(TEXT // 2)}
            self.examples.append(own)
        parent = (rng.choice(leads), *rng.choices(inner, k=PROMPT - 1))
        states: dict[State, None] = {}
        while len(states) < candidates:
            if case.swaps:
                place = rng.randrange(PROMPT)
                new = rng.choice(inner if place else leads)
                states[(*parent[:place], new, *parent[place + 1 :])] = None
            else:
                states[(rng.choice(leads), *rng.choices(inner, k=PROMPT - 1))] = None
        self.term = Kept(model, case.layout)
        self.objective = Objective([self.term])
        self.objective.load(device)
        self.objective.set_targets([Target("one", examples=self.examples, labels=labels)])
        self.prompts = self.objective.prompts([*states], [0] * candidates)

    def _leads(self, rng: random.Random) -> list[int]:
        pieces = self.model.pieces
        words = [n for n, text in enumerate(pieces) if text.isalpha() and len(text) > 3]
        some = rng.sample(words, min(3000, len(words)))
        read = self.model.encode([pieces[n] for n in some], special=False)
        return [n for n, size in zip(some, read.mask.sum(1).tolist(), strict=True) if size == 1]

    def score(self) -> float:
        """Seconds of one scoring of all rows."""
        self.objective.scores.forget()
        begun = time.process_time()
        self.objective.losses(self.prompts)
        return time.process_time() - begun

    def gradient(self) -> None:
        """Takes the gradient of one prompt over all examples."""
        embedding_gradient(self.objective, self.prompts.select([0]))

    def rows(self) -> list[tuple[list[int], list[int]]]:
        """Ids of each row before the label, and of the label."""
        reading = self.term.rows
        assert reading.wanted is not None
        sizes, labels = reading.lengths.tolist(), reading.wanted.sum(1).tolist()
        return [
            (row[: size - label], row[size - label : size])
            for row, size, label in zip(reading.rows.ids.tolist(), sizes, labels, strict=True)
        ]

    def distinct(self) -> Positions:
        """Distinct (prefix, token) pairs of the rows, and those whose next token is asked for."""
        pairs, asked = set(), set()
        for before, label in self.rows():
            row = (*before, *label)
            pairs.update(row[:end] for end in range(1, len(row)))
            asked.update(row[:end] for end in range(len(before), len(row)))
        return Positions(len(pairs), len(asked))


@contextmanager
def counting(model: CausalLM) -> Iterator[Positions]:
    """Counts the positions that go through the layers and the output, padding included."""
    found = Positions()

    def layer(_: Any, inputs: tuple[Any, ...], given: dict[str, Any]) -> None:
        hidden = inputs[0] if inputs else given["hidden_states"]
        found.layers += hidden.shape[0] * hidden.shape[1]

    def head(_: Any, inputs: Any, output: Tensor) -> None:
        found.head += output.numel() // output.shape[-1]

    handles = (
        model.module.transformer.h[0].register_forward_pre_hook(layer, with_kwargs=True),
        model.module.get_output_embeddings().register_forward_hook(head),
    )
    yield found
    for handle in handles:
        handle.remove()
