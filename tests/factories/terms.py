"""Terms that read a prompt in many rows, as users write them."""

import torch
from torch.nn import functional as F

from fuse_lightning.engine.devices import to_device
from fuse_lightning.models import CausalLM
from fuse_lightning.objectives.causal_term import CausalTerm
from fuse_lightning.objectives.id_rows import IdRow, read_id_rows
from fuse_lightning.objectives.term import Term


class Labels(CausalTerm):
    """Cross-entropy of the right label among all, in the mean over a target's examples.

    A target's metadata holds ``examples``: pairs of a text and the number of its label.
    """

    splits = True
    fills = ("text", "answer")

    def __init__(self, model, words, **options):
        super().__init__(model, **options)
        self.words = words

    def set_targets(self, targets):
        self.labelled = [target.metadata["examples"] for target in targets]
        self.examples = [len(examples) for examples in self.labelled]

    def contents(self, owner, example):
        text, _ = self.labelled[owner][example]
        return [{"text": text, "answer": f" {word}"} for word in self.words]

    def loss(self, reading, embeds=None):
        fixed, alike = reading.fixed, reading.alike
        nll = self.model.token_nll(reading.rows.ids, reading.wanted, embeds, fixed, alike=alike)
        return nll.sum(1)

    def reduce(self, losses, reading, count):
        pairs = zip(reading.owner.tolist(), reading.example.tolist(), strict=True)
        right = torch.tensor([self.labelled[owner][example][1] for owner, example in pairs])
        right = to_device(reading.per_pair(right), losses.device)
        return F.cross_entropy(-reading.table(losses), right, reduction="none")


class Wanted(CausalTerm):
    """-log P of a wanted text behind each of a target's examples, in the mean over them."""

    splits = True
    fills = ("text", "answer")

    def set_targets(self, targets):
        self.texts = [target.metadata["pairs"] for target in targets]
        self.examples = [len(pairs) for pairs in self.texts]

    def contents(self, owner, example):
        text, answer = self.texts[owner][example]
        return [{"text": text, "answer": answer}]

    def loss(self, reading, embeds=None):
        return self.mean_nll(reading, reading.wanted, embeds)


class Surprise(CausalTerm):
    """KL(P || Q) of what two models expect behind a prompt, P of the first (nats)."""

    readers = (0, 1)

    def __init__(self, model, other, **options):
        super().__init__(model, **options)
        self.other = CausalLM(other) if isinstance(other, str) else other

    def loss(self, reading, embeds=None):
        model = self.models[int(reading.reader[0])]
        last = F.one_hot(reading.lengths - 1, reading.rows.ids.shape[1]).bool()
        mask = reading.rows.mask
        logits = model.logits_at(last.cpu(), reading.rows.ids, mask, embeds)
        return logits[:, : model.vocab_size].log_softmax(-1)

    def reduce(self, losses, reading, count):
        first, second = (losses[reading.reader == number] for number in (0, 1))
        order = [reading.item[reading.reader == number].argsort() for number in (0, 1)]
        p, q = first[order[0]], second[order[1]]
        return (p.exp() * (p - q)).sum(-1)


class Doubled(Term):
    """What selects is twice what is differentiated."""

    model_class = CausalLM

    def loss(self, reading, embeds=None):
        nll = self.model.token_nll(reading.rows.ids, reading.prompt, embeds, reading.fixed)
        return nll.sum(1)

    def score(self, reading):
        return 2 * self.loss(reading)


class FixedChains(CausalTerm):
    """-log P(answer | question, prompt, chain, extractor), the chain written by the model itself.

    Chains are written greedily, in one batch for all prompts and examples that have none yet.
    """

    splits = True
    extractor = " so"
    new_tokens = 6

    def ids(self, text):
        return tuple(self.model.tokenizer(text, add_special_tokens=False).input_ids)

    def set_targets(self, targets):
        self.questions = [target.metadata["questions"] for target in targets]
        self.examples = [len(questions) for questions in self.questions]
        self.chains, self.written = {}, 0

    def reads_ids(self, prompts):
        return True

    def read(self, prompts, examples=None, *, ids=False):
        places = [
            (number, owner, example, state)
            for number, (owner, state) in enumerate(
                zip(prompts.owners, prompts.states, strict=True)
            )
            for example in (range(self.examples[owner]) if examples is None else examples[number])
        ]
        heads = [
            (*self.model.start_ids, *self.ids(f" {self.questions[owner][example][0]}"))
            for _, owner, example, _ in places
        ]
        new = {
            place[1:]: (*head, *place[3])
            for place, head in zip(places, heads, strict=True)
            if place[1:] not in self.chains
        }
        if new:
            found = self.model.generate([*new.values()], self.new_tokens, stop_ids=())
            self.chains.update(zip(new, map(tuple, found.ids), strict=True))
            self.written += len(new)
        rows = []
        for (number, owner, example, state), head in zip(places, heads, strict=True):
            answer = self.ids(f" {self.questions[owner][example][1]}")
            tail = (*self.chains[owner, example, state], *self.ids(self.extractor), *answer)
            rows.append(IdRow(number, head, state, tail, len(answer), example))
        return read_id_rows(rows, prompts, self.model.pad_id)

    def loss(self, reading, embeds=None):
        return self.mean_nll(reading, reading.wanted, embeds)
