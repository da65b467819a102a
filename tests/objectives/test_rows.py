"""Terms that read a prompt in many rows, against float64 with one row at a time."""

from copy import deepcopy
from itertools import product

import pytest
import torch
from torch.nn import functional as F

from fuse_lightning.data import Target
from fuse_lightning.models import CausalLM
from fuse_lightning.objectives import (
    Fluency,
    Objective,
    Sample,
    TextSimilarity,
    embedding_gradient,
    smoothed_gradient,
)
from fuse_lightning.objectives.backward import SHARE
from tests.factories.terms import Doubled, Labels, Surprise, Wanted
from tests.near import assert_near

LAYOUTS = (
    "{prompt} {text} It was{answer}",
    "{text} {prompt} It was{answer}",
    "{text}\nThe mood:\n{prompt}\nwas{answer}",
    "{text} It was {prompt}{answer}",
)
WORDS = ["lovely", "ugly", "so so"]
SETS = {
    "a": [
        ("a lovely red circle", 0),
        ("an ugly green box on the sand", 1),
        ("two big blue stars", 1),
    ],
    "b": [("a sad pink star at night, how gloomy", 1), ("one tile", 0)],
    "c": [("tiles", 2)],
}
PROMPTS = ("a small red", "two dots above", "the mood of this", "box", "so")
OWNERS = (0, 1, 0, 2, 1)
CLOSE = 1e-5


class Plain:
    """A loaded language model in float64, which reads one row at a time."""

    def __init__(self, model):
        self.model = model
        self.start = [*model.start_ids]
        self.module = deepcopy(model.module).double()
        self.module.set_attn_implementation("eager")
        self.table = self.module.get_input_embeddings()

    def ids(self, text):
        return self.model.tokenizer(text, add_special_tokens=False).input_ids

    def embed(self, ids):
        return self.table(torch.tensor(ids, dtype=torch.long)).detach()

    def log_probs(self, ids, embeds):
        return self.module(inputs_embeds=embeds[None]).logits[0].double().log_softmax(-1)

    def nll(self, before, prompt, behind, answer):
        """Sum of -log P of an answer, given embeddings of the prompt; how many tokens it has."""
        start = [*self.start, *self.ids(before)] if before else self.start
        tail, words = self.ids(behind) if behind else [], self.ids(answer)
        ids = [*start, *[0] * len(prompt), *tail, *words]
        embeds = torch.cat([self.embed(start), prompt, self.embed([*tail, *words])])
        told = self.log_probs(ids, embeds)
        places = range(len(ids) - len(words), len(ids))
        return -sum(told[place - 1, ids[place]] for place in places), len(words)


def filled(layout, text):
    """Text before and behind the prompt, without the space that belongs to its first token."""
    before, behind = layout.removesuffix("{answer}").replace("{text}", text).split("{prompt}")
    return before.removesuffix(" "), behind


def of_labels(plain, layout, examples, prompt):
    """The mean cross-entropy over examples, and the losses of all rows."""
    items, parts = [], []
    for text, label in examples:
        rows = [plain.nll(*_around(filled(layout, text), prompt), f" {w}")[0] for w in WORDS]
        items.append(F.cross_entropy(-torch.stack(rows)[None], torch.tensor([label])))
        parts += rows
    return torch.stack(items).mean(), torch.stack(parts)


def _around(sides, prompt):
    before, behind = sides
    return before, prompt, behind


def labels(model, layout, **options):
    objective = Objective([Labels(model, WORDS, layout=layout, **options)], max_batch_tokens=256)
    objective.load()
    objective.set_targets([Target(name, metadata={"examples": SETS[name]}) for name in SETS])
    return objective


def prompts_of(objective, texts=PROMPTS, owners=OWNERS):
    found = objective.prompts(objective.encode_prompts(texts), owners)
    assert all(found.canonical)
    return found


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["zoo", "llama", "mamba"])
def test_classification_is_that_of_one_row_at_a_time(causal_folders, name, layout):
    objective = labels(str(causal_folders[name]), layout)
    prompts, plain = prompts_of(objective), Plain(objective.primary)
    losses = objective.losses(prompts)[:, 0]
    gradient, told = embedding_gradient(objective, prompts)
    for row, (state, owner) in enumerate(zip(prompts.states, prompts.owners, strict=True)):
        leaf = plain.embed(state).requires_grad_()
        expected, parts = of_labels(plain, layout, [*SETS.values()][owner], leaf)
        (wanted,) = torch.autograd.grad(expected, leaf, retain_graph=True)
        # Where one label is nearly certain, what is left of the rows is small, their rounding not.
        (size,) = torch.autograd.grad(parts.mean(), leaf)
        assert_near(losses[row], expected, float(parts.max()), share=CLOSE)
        assert_near(told[row, 0], expected, float(parts.max()), share=CLOSE)
        error = (gradient[row, : len(state)].double() - wanted).norm()
        assert error < CLOSE * max(float(size.norm()), float(wanted.norm()))
        assert not gradient[row, len(state) :].any()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_classification_is_exact_in_float64(causal_folders, double, layout):
    objective = labels(str(causal_folders["llama"]), layout)
    objective.primary.module.double()
    prompts, plain = prompts_of(objective), Plain(objective.primary)
    gradient, told = embedding_gradient(objective, prompts)
    for row, (state, owner) in enumerate(zip(prompts.states, prompts.owners, strict=True)):
        leaf = plain.embed(state).requires_grad_()
        expected, _ = of_labels(plain, layout, [*SETS.values()][owner], leaf)
        (wanted,) = torch.autograd.grad(expected, leaf)
        assert_near(told[row, 0], expected, share=1e-6)
        assert_near(gradient[row, : len(state)], wanted, share=1e-6)


def test_a_prompt_behind_each_targets_own_text_has_its_own_gradient():
    targets = [
        Target("a", text="in the snow", metadata={"pairs": [("An image of two squares", " red")]}),
        Target("b", text="at night", metadata={"pairs": [("A star", " small")]}),
    ]
    objective = Objective([Wanted("zoo/gpt2", layout="{text} {prompt}{answer}")])
    objective.load()
    state = objective.encode_prompt("on the left side")

    def gradient(some):
        objective.set_targets(some)
        prompts = objective.prompts([state] * len(some), range(len(some)))
        return embedding_gradient(objective, prompts)

    together, losses = gradient(targets)
    for row, target in enumerate(targets):
        alone, loss = gradient([target])
        assert alone.norm() > 0
        assert_near(losses[row], loss[0], share=CLOSE)
        assert_near(together[row], alone[0], share=CLOSE)


@pytest.mark.parametrize("layout", LAYOUTS[:2])
def test_gradients_stay_within_the_budget(layout, monkeypatch):
    seen, budget = [], 2048
    examples = [("a lovely red circle", 0), ("an ugly green box", 1)] * 16
    objective = Objective(
        [Labels("zoo/gpt2", ["happy", "sad"], layout=layout)], max_batch_tokens=budget
    )
    objective.load()
    objective.set_targets([Target("one", metadata={"examples": examples})])
    pairs = product(("red", "blue", "small", "two"), ("star", "box", "a", "of"))
    texts = [" ".join(pair) for pair in pairs]
    prompts = prompts_of(objective, texts, [0] * len(texts))
    whole = CausalLM.logits_at

    def counted(self, places, ids, mask, embeds=None, positions=None):
        if torch.is_grad_enabled():
            seen.append(ids.numel())
        return whole(self, places, ids, mask, embeds, positions)

    monkeypatch.setattr(CausalLM, "logits_at", counted)
    embedding_gradient(objective, prompts)
    assert sum(seen) > budget
    assert max(seen) <= SHARE * budget


def test_losses_of_examples_are_remembered_and_none_is_read_twice(monkeypatch):
    objective = labels("zoo/gpt2", LAYOUTS[1])
    prompts = prompts_of(objective)
    whole = objective.losses(prompts)[:, 0]
    objective.scores.forget()
    read, term = [], objective.terms[0]
    loss = type(term).loss

    def counted(self, reading, embeds=None):
        read.extend(zip(reading.of.tolist(), reading.example.tolist(), strict=True))
        return loss(self, reading, embeds)

    monkeypatch.setattr(type(term), "loss", counted)
    first = objective.losses(prompts, [[0]] * len(prompts.owners))[:, 0]
    assert len(read) == len(PROMPTS) * len(WORDS)
    both = objective.losses(prompts, [[0, 1]] * len(prompts.owners))[:, 0]
    assert_near(objective.losses(prompts)[:, 0], whole, share=CLOSE)
    pairs = sum(len([*SETS.values()][owner]) for owner in OWNERS)
    assert len(read) == pairs * len(WORDS)
    assert_near(objective.losses(prompts, [[0]] * len(prompts.owners))[:, 0], first, share=0)
    assert len(read) == pairs * len(WORDS)
    for row, (state, owner) in enumerate(zip(prompts.states, OWNERS, strict=True)):
        plain = Plain(objective.primary)
        for found, count in ((first, 1), (both, 2)):
            some = [*SETS.values()][owner][:count]
            expected, parts = of_labels(plain, LAYOUTS[1], some, plain.embed(state))
            assert_near(found[row], expected, float(parts.max()), share=CLOSE)
    assert torch.equal(objective.losses(prompts, again=True)[:, 0], whole)


def test_a_gradient_leaves_its_losses_behind(monkeypatch):
    objective = labels("zoo/gpt2", LAYOUTS[0])
    prompts = prompts_of(objective)
    _, told = embedding_gradient(objective, prompts)
    monkeypatch.setattr(Labels, "loss", lambda *_: pytest.fail("all is known"))
    assert_near(objective.losses(prompts), told, share=CLOSE)


def test_many_rows_through_an_adapter_are_the_sum_of_each_alone(causal_folders):
    """Rows of a model with other tokens: what each counts is that of float64 losses."""
    writer, reader = str(causal_folders["qwen2"]), "zoo/gpt2"
    layout = LAYOUTS[1]
    terms = [Fluency(writer), Labels(reader, WORDS, layout=layout, weight=1.5)]
    objective = Objective(terms, max_batch_tokens=256)
    objective.load()
    targets = [Target(name, metadata={"examples": SETS[name]}) for name in SETS]
    objective.set_targets(targets)
    assert not terms[1].row_readers[0].own
    prompts = prompts_of(objective, ("red two", "a house", "night"), (0, 1, 2))
    plain = Plain(terms[1].model)
    samples = [Sample(state, n, {*range(len(state))}) for n, state in enumerate(prompts.states)]
    heads = smoothed_gradient(objective, samples, prompts.owners, lambda term: term is terms[1])
    losses = objective.losses(prompts)[:, 1]
    adapter, length = objective.adapter(terms[1].model), max(map(len, prompts.states))
    for row, (text, owner) in enumerate(zip(prompts.texts, prompts.owners, strict=True)):
        examples = [*SETS.values()][owner]
        own = plain.ids(f" {text}")
        leaves = [[plain.embed(own).requires_grad_() for _ in WORDS] for _ in examples]
        items = []
        for (example, label), some in zip(examples, leaves, strict=True):
            sides = filled(layout, example)
            rows = [
                plain.nll(*_around(sides, leaf), f" {word}")[0]
                for leaf, word in zip(some, WORDS, strict=True)
            ]
            items.append(F.cross_entropy(-torch.stack(rows)[None], torch.tensor([label])))
        expected = torch.stack(items).mean()
        assert_near(losses[row], expected, share=CLOSE)
        flat = [leaf for some in leaves for leaf in some]
        total = 1.5 * sum(torch.autograd.grad(expected, flat))
        words = objective_words(objective, prompts, row, terms[1])
        wanted = adapter.pull_back([words], length, total[None].float(), opening=True)
        slots = range(len(prompts.states[row]))
        expected = torch.stack([changes(wanted, 0, slot) for slot in slots])
        assert expected.any()
        assert_near(torch.stack([changes(heads, row, slot) for slot in slots]), expected)


def changes(heads, row, slot):
    """What the heads say together of each token at a place of a prompt."""
    return sum((head.table @ head.grad[row, slot]) * head.valid[row, slot] for head in heads)


def objective_words(objective, prompts, row, term):
    """Words of a prompt with the tokens of both tokenizers, counted from the prompt's first."""
    from fuse_lightning.adapters import align

    text, speller = prompts.texts[row], objective.speller
    raw = speller.spell([prompts.states[row]])[0]
    lead = len(raw) - len(raw.lstrip())
    source = [(a - lead, b - lead) for a, b in speller.spans(prompts.states[row], raw)]
    encoded = term.model.encode([f"a {text}"], special=False)
    target = (encoded.spans[0, 1:] - 2).tolist()
    return align(text, source, target)


def test_two_models_with_the_same_tokens_are_compared_in_one_term(tmp_path):
    from tests.factories import tiny

    folders = tiny.gpt2(tmp_path / "one", seed=1), tiny.gpt2(tmp_path / "two", seed=2)
    term = Surprise(*map(str, folders), prefix="The film")
    objective = Objective([term], max_batch_tokens=16)
    objective.load()
    objective.set_targets([Target("one")])
    prompts = prompts_of(objective, ("two red", "sea", "at night sea"), (0, 0, 0))
    losses = objective.losses(prompts)[:, 0]
    gradient, told = embedding_gradient(objective, prompts)
    plains = [Plain(model) for model in term.models]
    for row, state in enumerate(prompts.states):
        leaves = [plain.embed(state).requires_grad_() for plain in plains]
        parts = []
        for plain, leaf in zip(plains, leaves, strict=True):
            start = [*plain.model.start_ids, *plain.ids("The film")]
            whole = torch.cat([plain.embed(start), leaf])
            last = plain.log_probs([*start, *state], whole)[-1, : plain.model.vocab_size]
            parts.append(last.log_softmax(-1))
        p, q = parts
        expected = (p.exp() * (p - q)).sum()
        assert_near(losses[row], expected, share=CLOSE)
        assert_near(told[row, 0], expected, share=CLOSE)
        first, second = torch.autograd.grad(expected, leaves)
        _, weights = objective.back(term.models[1])
        moved = torch.einsum("ab,ib->ia", weights[0, 0].double(), second)
        assert_near(gradient[row, : len(state)], first + moved, share=1e-4)


def test_models_with_equal_tokens_share_ids_and_need_no_adapter(tmp_path, monkeypatch):
    from tests.factories import tiny

    folders = [str(tiny.gpt2(tmp_path / name, seed=seed)) for seed, name in enumerate("ab")]
    objective = Objective([Fluency(folders[0]), Fluency(folders[1], weight=2.0)])
    objective.load()
    objective.set_targets([Target("one")])
    assert objective.terms[1].row_readers[0].own
    monkeypatch.setattr(type(objective), "adapter", lambda *_: pytest.fail("not needed"))
    prompts = prompts_of(objective, ("two red", "sea"), (0, 0))
    samples = [Sample(state, n, {*range(len(state))}) for n, state in enumerate(prompts.states)]
    heads = smoothed_gradient(objective, samples, [0, 0], lambda term: term is objective.terms[1])
    (head,) = heads
    model = objective.terms[1].model
    assert torch.equal(head.table, model.embedding_table)
    for row, state in enumerate(prompts.states):
        ids = torch.tensor([[*model.start_ids, *state]])
        leaf = model.embed(ids).detach().requires_grad_()
        counted = torch.ones_like(ids, dtype=torch.bool)
        counted[:, : len(model.start_ids)] = False
        loss = 2 * model.token_nll(ids, counted, leaf).sum() / len(state)
        (wanted,) = torch.autograd.grad(loss, leaf)
        own = wanted[0, len(model.start_ids) :]
        assert_near(head.grad[row, : len(state)], own, share=CLOSE)


def test_what_selects_may_differ_from_what_is_differentiated(causal_folders):
    folder = str(causal_folders["tiny"])
    term = Doubled(folder, weight=1.0, score_weight=3.0)
    objective = Objective([term])
    objective.load()
    objective.set_targets([Target("one")])
    prompts = prompts_of(objective, ("two red", "sea"), (0, 0))
    losses = objective.losses(prompts)
    plain = Plain(objective.primary)
    for row, state in enumerate(prompts.states):
        told = plain.log_probs([], plain.embed([*objective.primary.start_ids, *state]))
        first = len(objective.primary.start_ids)
        expected = -sum(told[first + n - 1, token] for n, token in enumerate(state))
        assert_near(losses[row, 0], 2 * expected, share=CLOSE)
        assert_near(objective.total(losses)[row], 6 * expected, share=CLOSE)
    # A gradient's own losses are no scores.
    _, told = embedding_gradient(objective, prompts)
    assert told.isnan().all()


def test_a_prompt_too_long_for_one_row_has_no_loss_and_no_gradient(causal_folders):
    folder = str(causal_folders["tiny"])
    objective = Objective([Labels(folder, ["red", "sea"], layout="{text} {prompt}{answer}")])
    objective.load()
    long = "sea " * (objective.primary.max_tokens - 6)
    targets = [
        Target("short", metadata={"examples": [("two", 0), ("red", 1)]}),
        Target("long", metadata={"examples": [("two", 0), (long.strip(), 1)]}),
    ]
    objective.set_targets(targets)
    state = objective.encode_prompt("a night sea two red")
    prompts = objective.prompts([state, state], [0, 1])
    losses = objective.losses(prompts)[:, 0]
    assert losses[0].isfinite()
    assert losses[1].isinf()
    gradient, told = embedding_gradient(objective, prompts)
    assert_near(told[0, 0], losses[0], share=CLOSE)
    assert told[1, 0].isinf()
    assert gradient[0].any()
    assert not gradient[1].any()


@pytest.mark.parametrize("prefix", ["a photo of", "", "Look!\n"])
def test_a_layout_stands_for_prefix_and_suffix(prefix):
    layout = f"{prefix}{' ' * bool(prefix.strip() == prefix and prefix)}{{prompt}} in the snow"
    losses = []
    for options in ({"layout": layout}, {"prefix": prefix, "suffix": "in the snow"}):
        objective = Objective([TextSimilarity("zoo/clip", text="a red star", **options)])
        objective.load()
        objective.set_targets([Target("one")])
        losses.append(objective.losses(objective.prompts([objective.encode_prompt("a box")], [0])))
    assert torch.equal(*losses)
