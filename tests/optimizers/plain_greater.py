"""A reasoning objective and steps of GReaTer by plain forwards, one question at a time, no cache.

Everything is computed from ids with the bare network, in the precision that it has. Only random
draws and the text of prompts come from elsewhere.
"""

from dataclasses import dataclass, field

import torch
from torch.nn import functional as F

from fuse_lightning.data import Target
from fuse_lightning.objectives import Reasoning
from fuse_lightning.search.target_search import hash_seed

EXTRACTOR = " so"
THINGS = ("dog", "house", "sea", "boat", "star", "night", "lake", "film", "field", "car")


def questions(count, first=0):
    """Questions with right answers in turn."""
    return [
        {"question": f"is the {THINGS[n % 10]} red?", "label": ("yes", "no")[n * 3 % 5 % 2]}
        for n in range(first, first + count)
    ]


def target(count=6, select=0, name="questions", first=0):
    """A target of questions with two labels."""
    labels = {"yes": ["yes"], "no": ["no"]}
    chosen = questions(select, first + count)
    return Target(name, examples=questions(count, first), select=chosen, labels=labels)


def term(model, **options):
    """A reasoning term over such targets, with short chains."""
    given = {"extractor": EXTRACTOR, "max_chain_tokens": 5, "max_answer_tokens": 2}
    return Reasoning(model, "{question} {prompt}\n", **{**given, **options})


@dataclass
class Plain:
    """Losses and gradients of a prompt for questions.

    Attributes:
        model: The loaded model.
        target: Its questions.
        most: Most tokens of a chain.
        among: Whether answers are compared among the labels only.
        temperature: Divisor of the logits of answers.
        fluency: Factor of the prompt's own likelihood in the loss.
        score_fluency: The same in the score.
        perplexity: Whether that is a perplexity.
        select_by: "loss", "error" or "both".
    """

    model: object
    target: object
    most: int = 5
    among: bool = False
    temperature: float = 1.0
    fluency: float = 0.0
    score_fluency: float = 0.0
    perplexity: bool = False
    select_by: str = "both"
    chains: dict = field(default_factory=dict)

    def __post_init__(self):
        self.table = self.model.module.get_input_embeddings().weight.detach()
        self.labels = [self.ids(f" {label}") for label in self.target.labels]

    def ids(self, text):
        return self.model.tokenizer(text, add_special_tokens=False).input_ids

    def logits(self, ids, place=None, embed=None):
        """Logits of a row, with another embedding at one place."""
        points = self.table[torch.tensor(ids)]
        if embed is not None:
            points = torch.cat([points[:place], embed[None], points[place + 1 :]])
        return self.model.module(inputs_embeds=points[None]).logits[0]

    def head(self, state, number):
        """Ids up to the chain, and the first place of the prompt."""
        question = self.ids(self.target.seen[number]["question"])
        before = [*self.model.start_ids, *question]
        return [*before, *state, *self.ids("\n")], len(before)

    def chain(self, state, number):
        """The chain that the model writes, greedily."""
        if (state, number) not in self.chains:
            ids, _ = self.head(state, number)
            written = []
            while len(written) < self.most:
                token = int(self.logits([*ids, *written])[-1, : self.model.vocab_size].argmax())
                if token in self.model.end_ids:
                    break
                written.append(token)
            self.chains[state, number] = written
        return self.chains[state, number]

    def parts(self, state, number, parent=None, place=None, embed=None):
        """Cross-entropy of the right answer, whether it is the likeliest, -log P of the prompt."""
        ids, first = self.head(state, number)
        right = self.ids(f" {self.target.seen[number]['label']}")
        before = [*ids, *self.chain(state if parent is None else parent, number)]
        before += self.ids(EXTRACTOR)
        told = self.logits([*before, *right], None if place is None else first + place, embed)
        own = told[first - 1 : first + len(state) - 1].log_softmax(-1)
        fluent = -own[range(len(state)), state].mean()
        asked = told[len(before) - 1 : len(before) + len(right) - 1]
        if self.among:
            # The labels differ in their first token.
            asked = asked[:1]
            known = torch.tensor([label[0] for label in self.labels])
            likely = (asked[0, known] / self.temperature).log_softmax(-1)
            answer = -likely[known.tolist().index(right[0])]
            best = bool(asked[0, known].argmax() == known.tolist().index(right[0]))
        else:
            likely = (asked / self.temperature).log_softmax(-1)
            answer = -likely[range(len(right)), right].mean()
            best = asked.argmax(-1).tolist() == right
        return answer, float(best), fluent.exp() if self.perplexity else fluent

    def loss(self, state, number, parent=None, place=None, embed=None):
        """What is differentiated."""
        answer, _, fluent = self.parts(state, number, parent, place, embed)
        return answer + self.fluency * fluent

    @torch.no_grad()
    def score(self, state, numbers):
        """What selects: mean over questions."""
        found = []
        for number in numbers:
            answer, right, fluent = self.parts(state, number)
            value = {"loss": answer, "error": 1 - right, "both": answer + 1 - right}[self.select_by]
            found.append(float(value + self.score_fluency * fluent))
        return sum(found) / len(found)

    def gradient(self, state, place, numbers, parent=None):
        """Gradient of the mean loss at the one-hot vector of a place, shape (V,)."""
        one = F.one_hot(torch.tensor(state[place]), len(self.table)).to(self.table.dtype)
        total = torch.zeros_like(one)
        for number in numbers:
            point = one.clone().requires_grad_()
            with torch.enable_grad():
                loss = self.loss(state, number, parent, place, point @ self.table)
                total += torch.autograd.grad(loss, point)[0] / len(numbers)
        return total

    @torch.no_grad()
    def next(self, state, place, number):
        """Log-probabilities of the tokens at a place, shape (V,)."""
        ids, first = self.head(state, number)
        return self.logits(ids[: first + place])[-1, : self.model.vocab_size].log_softmax(-1)


@dataclass
class Steps:
    """The steps of GReaTer with one prompt, as the paper and the published code have them.

    Attributes:
        plain: Losses and gradients.
        allowed: Tokens that may be candidates, shape (V,).
        admits: Whether a prompt may stand.
        pieces: Text of each token.
        options: Options by name: top_k, intersect, pools, least, shortlist, keep, force, most,
            samples, favoured.
        steps: Most steps.
        seed: Seed of the search.
    """

    plain: Plain
    allowed: torch.Tensor
    admits: object
    pieces: list
    options: dict
    steps: int
    seed: int = 0

    def __post_init__(self):
        self.generator = torch.Generator().manual_seed(hash_seed(self.seed, self.plain.target.id))
        self.numbers = range(len(self.plain.target.examples))
        self.scores = {}
        self.trace = []

    def score(self, state):
        if state not in self.scores:
            self.scores[state] = self.plain.score(state, self.numbers)
        return self.scores[state]

    def pool(self, state, place, told):
        """Tokens that all lists of a draw share, of several draws; the lists grow."""
        mask = self.allowed.clone()
        if place:
            mask[state[place - 1]] = False
        if place < len(state):
            mask[state[place]] = False
        size, most = min(self.options["top_k"], int(mask.sum())), int(mask.sum())
        while True:
            lists = []
            for row in told:
                order = [t for t in row.argsort(descending=True).tolist() if mask[t]]
                lists.append({*order[:size]})
            found = set()
            for _ in range(self.options["pools"]):
                drawn = torch.randperm(len(told), generator=self.generator)
                drawn = drawn[: self.options["intersect"]].tolist()
                found |= set.intersection(*(lists[n] for n in drawn))
            if len(found) >= min(self.options["least"], most) or size >= most:
                return found, mask
            size = min(size + 2, most)

    def change(self, state, place, parent, mask):
        """Predicted change of the loss for every token at a place."""
        samples = self.options["samples"]
        if not samples:
            return self.plain.gradient(state, place, self.numbers, parent)
        ids = self.allowed.nonzero().flatten()
        total = torch.zeros(len(self.plain.table), dtype=self.plain.table.dtype)
        for sample in range(samples):
            torch.rand(1, generator=self.generator)
            drawn = int(ids[torch.randint(len(ids), (1,), generator=self.generator)])
            numbers = [*self.numbers][sample % len(self.numbers) :: samples]
            changed = (*state[:place], drawn, *state[place + 1 :])
            total += self.plain.gradient(changed, place, numbers, parent) / samples
        return total

    def run(self, state):
        """The prompts from step to step; the best of all; its score."""
        place, begun = 0, len(state)
        self.score(state)
        for _ in range(self.steps):
            self.trace.append((state, place))
            drawn = torch.randperm(len(self.numbers), generator=self.generator)
            count = self.options["intersect"] * self.options["pools"]
            filler = int(self.allowed.nonzero()[0])
            held = (*state[:place], filler, *state[place + 1 :])
            told = [self.plain.next(held, place, n) for n in sorted(drawn[:count].tolist())]
            pool, mask = self.pool(state, place, told)
            if not self.options["keep"] and place < len(state):
                pool.add(state[place])
            mean = torch.stack(told).mean(0)
            likeliest = int(mean.masked_fill(~self.allowed, -torch.inf).argmax())
            held = state if place < len(state) else (*state, likeliest)
            change = self.change(held, place, state, mask)
            favoured = change[: len(mask)].masked_fill(~mask, torch.inf)
            pool |= {*favoured.argsort()[: self.options["favoured"]].tolist()}
            ranked = sorted(pool, key=lambda token: (float(change[token]), token))
            children = [(*state[:place], token, *state[place + 1 :]) for token in ranked]
            children = [child for child in children if self.admits(child)]
            children = children[: self.options["shortlist"]]
            best = self.chosen(state, place, children, begun)
            refused = place >= len(state) and best == state
            ended = any(sign in self.pieces[best[-1]] for sign in ".?!")
            full = self.options["most"] is not None and len(best) >= self.options["most"]
            if place + 1 < len(best):
                place += 1
            else:
                place = 0 if refused or ended or full else len(best)
            state = best
        found = min(self.scores, key=lambda state: (self.scores[state], state))
        return found, self.scores[found]

    def chosen(self, state, place, children, begun):
        for child in children:
            self.score(child)
        if self.options["force"] and place >= begun / 2:
            for child in children:
                if any(sign in self.pieces[child[place]] for sign in ".?!"):
                    return child
        compete = [*children, *([state] if self.options["keep"] else [])]
        return min(compete, key=lambda each: (self.score(each), each)) if compete else state
