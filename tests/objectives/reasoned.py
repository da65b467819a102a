"""Reasoning by plain calls: float64, no cache, one question and one token at a time."""

from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch

from fuse_lightning.data import Target, answer_kinds

LAYOUT = "{question} {prompt}\n"


@dataclass
class Answered:
    """One question with one chain: what is written, and the parts of its loss.

    Attributes:
        head: Ids up to the chain.
        chain: Ids of the chain.
        behind: Ids written behind the extractor.
        ended: Whether the model ended the chain.
        tokens: -log P of each token of the right answer, at the given temperature.
        labels: -log P of the right label among all labels; ``None`` for open answers.
        fluency: Mean -log P of the prompt's tokens.
        right: Whether the answer is right, by judge.
    """

    head: list
    chain: list
    behind: list
    ended: bool
    tokens: torch.Tensor
    labels: torch.Tensor | None
    fluency: torch.Tensor
    right: dict


class Oracle:
    """A reasoning term's model in float64, which reads one row at a time.

    Args:
        term: The loaded term, of whose options the lengths, the temperature and the seed count.
        extractor: Text behind chains, with the space that stands before it.
        gap: White space between the extractor and an answer.
        layout: The layout as text.
        other: An oracle of the same term, with whose network it reads.
    """

    def __init__(self, term, extractor, gap=" ", layout=LAYOUT, other=None):
        self.term, self.model = term, term.model
        self.extractor, self.gap, self.layout = extractor, gap, layout
        self.module = other.module if other else deepcopy(term.model.module).double()
        self.module.set_attn_implementation("eager")
        self.table = self.module.get_input_embeddings()
        self.known = other.known if other else {}

    def ids(self, text):
        """Ids of a text that stands behind another."""
        tokenizer = self.model.tokenizer
        known = len(tokenizer("a", add_special_tokens=False).input_ids)
        return tokenizer(f"a{text}", add_special_tokens=False).input_ids[known:]

    def embed(self, ids):
        return self.table(torch.tensor(ids, dtype=torch.long)).detach()

    def logits(self, embeds):
        return self.module(inputs_embeds=embeds[None], use_cache=False).logits[0].double()

    @torch.no_grad()
    def next(self, ids):
        if (*ids,) not in self.known:
            self.known[*ids,] = self.logits(self.embed(ids))[-1, : self.model.vocab_size]
        return self.known[*ids,]

    def write(self, ids, most, choose):
        """Tokens behind some ids, and whether the model ended them."""
        found = []
        while len(found) < most:
            token = choose(self.next([*ids, *found]), len(found))
            if token in self.model.end_ids:
                return found, True
            found.append(token)
        return found, False

    def _sampled(self, stream, sample):
        drawn = np.random.default_rng([self.term.seed, stream, sample])
        drawn = drawn.random(self.term.max_chain_tokens)

        def choose(logits, place):
            reached = np.cumsum((logits / self.term.temperature).softmax(0).numpy())
            return int(np.searchsorted(reached, drawn[place] * reached[-1], side="right"))

        return choose

    def answer(self, target, example, prompt, stream=0, sample=0, temperature=1.0, embeds=None):
        """What the model makes of a question with a prompt.

        Args:
            target: The target.
            example: One of its questions.
            prompt: Text of the prompt.
            stream: Number of the question's random stream.
            sample: Number of the chain.
            temperature: Divisor of the logits in the loss.
            embeds: Embeddings in place of those of the prompt's ids; the chain is that of the ids.
        """

        def likeliest(logits, place):
            return int(logits.argmax())

        term = self.term
        text = self.layout.format(question=example["question"], prompt=prompt)
        head = [*self.model.encode([text]).rows[0]]
        behind = [*self.ids(self.extractor)]
        words = {name: next(iter(some), name) for name, some in target.labels.items()}
        right = example["label"]
        known = {name: self.ids(f"{self.gap}{word}") for name, word in words.items()}
        answer = known.get(right) or self.ids(f"{self.gap}{right}")
        rights = [
            self.ids(f"{self.gap}{words.get(some['label'], some['label'])}") for some in target.seen
        ]
        reserved = max([term.max_answer_tokens, *map(len, rights), *map(len, known.values())])
        room = self.model.max_tokens - len(head) - len(behind) - reserved
        most = min(term.max_chain_tokens, room)
        choose = self._sampled(stream, sample) if term.temperature else likeliest
        chain, ended = self.write(head, most, choose)
        before = [*head, *chain, *behind]
        told, _ = self.write(before, reserved, likeliest)
        place, size = self.place(example["question"], prompt)
        inside = self.embed(head[place : place + size]) if embeds is None else embeds
        whole = [*before, *answer]
        given = [self.embed(whole[:place]), inside, self.embed(whole[place + size :])]
        logits = self.logits(torch.cat(given))
        log_probs = (logits / temperature).log_softmax(-1)
        tokens = torch.stack([-log_probs[n - 1, whole[n]] for n in range(len(before), len(whole))])
        plain = logits.log_softmax(-1)
        fluency = -sum(plain[n - 1, head[n]] for n in range(place, place + size)) / size
        labels, first = self._labels(logits[len(before) - 1 :] / temperature, answer, known)
        kind = answer_kinds.find(target.answer)
        decode = self.model.tokenizer.decode
        asked = kind.asked(example["question"], target.labels)
        found = {
            "parse": kind.parse(decode(chain, skip_special_tokens=True), asked),
            "read": kind.read(decode(told, skip_special_tokens=True), asked),
        }
        accepted = [right, *example.get("accepted", [])]
        told_right = {
            judge: any(kind.same(each, some) for some in accepted) for judge, each in found.items()
        }
        best = logits[len(before) - 1 : -1, : self.model.vocab_size].argmax(-1).tolist()
        told_right |= {"forced": best == [*answer], "labels": first}
        return Answered(head, chain, told, ended, tokens, labels, fluency, told_right)

    def place(self, question, prompt):
        """First token of a prompt with the space before it, and how many there are."""
        before = self.layout.split("{prompt}")[0].format(question=question)
        encoded = self.model.encode([self.layout.format(question=question, prompt=prompt)])
        spans = encoded.spans[0].tolist()[: len(encoded.rows[0])]
        start, stop = len(before.removesuffix(" ")), len(before) + len(prompt)
        inside = [n for n, (a, b) in enumerate(spans) if start < b and a < stop and a < b]
        return inside[0], len(inside)

    @staticmethod
    def _labels(logits, answer, known):
        """-log P of a label where nothing but labels may be written, and whether it comes first."""
        if not known:
            return None, None
        total, first = torch.zeros((), dtype=torch.float64), True
        for place, token in enumerate(answer):
            rest = [some for some in known.values() if some[:place] == answer[:place]]
            options = sorted({some[place] for some in rest})
            scores = logits[place, options]
            total = total + scores.logsumexp(0) - logits[place, token]
            first = first and bool(logits[place, token] >= scores.max())
        return total, first


def questions(name, answer, pairs, labels=(), **options):
    """A target of questions with right answers."""
    return Target(
        name,
        examples=[{"question": question, "label": label} for question, label in pairs],
        answer=answer,
        labels={label: [label] for label in labels},
        **options,
    )


TARGETS = [
    questions(
        "choice",
        "choice",
        [("two large squares (A) red (B) blue", "A"), ("a star (A) sea (B) sky", "B")],
        "AB",
        extractor=" it was",
    ),
    questions("number", "number", [("3 and 4 boxes", "7"), ("-1 dots", "-3")], extractor=" so $ "),
    questions(
        "word",
        "word",
        [("here is a disc", "red box"), ("tile", "red star"), ("snow at night", "blue")],
        ["red box", "red star", "blue"],
        extractor="\nso:",
    ),
]
EXTRACTORS = [(" it was", " "), (" so $", " "), ("\nso:", " ")]
PROMPTS, OWNERS = ("a small red", "two dots", "box", "so"), (0, 1, 2, 2)
