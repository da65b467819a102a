"""Losses and gradients against one prompt at a time, with plain transformers calls."""

import random
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fuse_lightning.adapters import AdapterSettings
from fuse_lightning.data import Target
from fuse_lightning.errors import FuseError
from fuse_lightning.models import CLIP, CausalLM, Classifier
from fuse_lightning.objectives import (
    Fluency,
    ImageSimilarity,
    Objective,
    Sample,
    Sentiment,
    TextSimilarity,
    predicted_change,
    resample,
    smoothed_gradient,
    term_gradients,
)
from tests.near import SINGLE, assert_near, near

WORDS = [
    *("a", "two", "red", "crimson", "star", "stars", "above"),
    *("circle", "teal", "in", "the", "snow,", "how", "lovely"),
]


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    paths = []
    rng = np.random.default_rng(0)
    for index in range(3):
        path = tmp_path_factory.mktemp("images") / f"{index}.png"
        Image.fromarray(rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)).save(path)
        paths.append(path)
    return paths


@pytest.fixture(scope="module")
def objective(folders, picture):
    terms = [
        Fluency(folders["gpt2"], weight=1.0, prefix="An image of"),
        ImageSimilarity(folders["clip"], weight=8.0, prefix="A photo of", suffix="outside"),
        Sentiment(folders["classifier"], weight=-0.5),
    ]
    objective = Objective(terms, AdapterSettings(cache=False), max_batch_tokens=64)
    objective.load()
    for term in objective.terms:
        term.model.module.double()
    objective.set_targets(
        [
            Target("one", pictures=picture[:1], sentiment="Positive"),
            Target("several", pictures=picture, sentiment="0"),
        ]
    )
    return objective


def random_prompts(objective, count, seed=0):
    rng = random.Random(seed)
    texts = [" ".join(rng.choices(WORDS, k=rng.randint(1, 9))) for _ in range(count)]
    states = [objective.encode_prompt(text) for text in texts]
    return objective.prompts(states, [rng.randrange(2) for _ in states]), texts


def test_states_spell_their_text_and_read_back(objective):
    prompts, texts = random_prompts(objective, 50)
    assert prompts.texts == texts
    assert all(prompts.canonical)


def test_texts_are_encoded_together_as_one_by_one(objective):
    texts = ["a red dog", "two stars at night", "x"]
    assert objective.encode_prompts(texts) == [objective.encode_prompt(text) for text in texts]
    assert objective.encode_prompts([]) == []


def test_states_that_read_back_otherwise_are_not_canonical(objective):
    vocabulary = objective.primary.tokenizer.get_vocab()
    # " red" spelled letter by letter, a word glued to the prefix, half a UTF-8 character.
    letters = tuple(vocabulary[letter] for letter in ("Ġ", "r", "e", "d"))
    glued = (vocabulary["s"],)
    half = (vocabulary["Ġ"], vocabulary["Ã"])
    trailing = (*objective.encode_prompt("red"), vocabulary["Ġ"])
    prompts = objective.prompts([letters, glued, half, trailing], [0] * 4)
    assert prompts.canonical == [False] * 4


def test_fluency_is_the_mean_nll_of_plain_transformers(objective):
    prompts, _ = random_prompts(objective, 20)
    losses = objective.losses(prompts)[:, 0]
    model = objective.terms[0].model
    head = [*model.start_ids, *model.tokenizer("An image of", add_special_tokens=False).input_ids]
    for state, loss in zip(prompts.states, losses, strict=True):
        ids = torch.tensor([[*head, *state]])
        with torch.no_grad():
            log_probs = model.module(ids).logits[0].log_softmax(-1)
        nll = -sum(log_probs[len(head) + i - 1, token] for i, token in enumerate(state))
        assert float(loss) == near(float(nll) / len(state))


def test_image_similarity_is_the_mean_cosine_distance_of_plain_transformers(objective, picture):
    prompts, texts = random_prompts(objective, 20)
    losses = objective.losses(prompts)[:, 1]
    model = objective.terms[1].model
    features = []
    for path in picture:
        pixels = model.processor(images=Image.open(path), return_tensors="pt")["pixel_values"]
        with torch.no_grad():
            features.append(model.module.get_image_features(pixels.double()).pooler_output[0])
    for text, owner, loss in zip(texts, prompts.owners, losses, strict=True):
        encoded = model.tokenizer(
            [f"A photo of {text} outside"], padding="max_length", max_length=48, return_tensors="pt"
        )
        with torch.no_grad():
            vector = model.module.get_text_features(**encoded).pooler_output[0]
        shown = features[:1] if owner == 0 else features
        cosines = [torch.cosine_similarity(vector, image, dim=0) for image in shown]
        assert float(loss) == near(1 - float(sum(cosines)) / len(cosines), size=1)


def test_sentiment_is_the_cross_entropy_of_plain_transformers(objective):
    prompts, texts = random_prompts(objective, 20)
    losses = objective.losses(prompts)[:, 2]
    model = objective.terms[2].model
    for text, owner, loss in zip(texts, prompts.owners, losses, strict=True):
        with torch.no_grad():
            logits = model.module(**model.tokenizer(text, return_tensors="pt")).logits[0]
        wanted = (2, 0)[owner]
        assert float(loss) == near(-float(logits.log_softmax(0)[wanted]), size=1)


def test_total_is_the_weighted_sum_and_infinite_where_a_counted_term_is(objective):
    losses = torch.tensor([[1.0, 2.0, 4.0], [torch.inf, 1.0, 1.0], [1.0, 1.0, torch.inf]])
    assert objective.total(losses).tolist() == [1 + 16 - 2, torch.inf, torch.inf]


def test_duplicates_are_computed_once(objective, monkeypatch):
    prompts, _ = random_prompts(objective, 1)
    prompts = prompts.select([0] * 40)
    term = objective.terms[1]
    rows = []
    loss = type(term).loss
    monkeypatch.setattr(
        type(term), "loss", lambda self, r, e=None: rows.append(len(r.owner)) or loss(self, r, e)
    )
    assert len(set(objective.losses(prompts)[:, 1].tolist())) == 1
    assert rows == [1]


def test_text_beyond_the_model_is_infinitely_bad(objective):
    long = objective.encode_prompt("red " * 60)
    losses = objective.losses(objective.prompts([long, objective.encode_prompt("red")], [0, 0]))
    assert torch.isinf(losses[0]).all()
    assert torch.isfinite(losses[1]).all()


def test_gradients_at_embeddings_equal_finite_differences(objective, monkeypatch):
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    prompts, _ = random_prompts(objective, 3, seed=1)
    for term in objective.terms:
        reading = term.read(prompts)
        embeds = term.model.embed(reading.rows.ids).detach().double().requires_grad_()
        (grad,) = torch.autograd.grad(term.loss(reading, embeds).sum(), embeds)
        assert grad.abs().sum() > 0
        generator = torch.Generator().manual_seed(0)
        direction = torch.randn(embeds.shape, generator=generator, dtype=torch.float64)
        step = 1e-4
        with torch.no_grad():
            ahead = term.loss(reading, embeds + step * direction).sum()
            behind = term.loss(reading, embeds - step * direction).sum()
        parts = grad * direction
        assert_near(parts.sum(), (ahead - behind) / (2 * step), float(parts.abs().sum()), 1e-5)


def test_gradient_of_the_likelihood_reaches_every_prompt_embedding_but_the_last(objective):
    state = objective.encode_prompt("two crimson stars above a circle")
    term = objective.terms[0]
    reading = term.read(objective.prompts([state], [0]))
    embeds = term.model.embed(reading.rows.ids).detach().requires_grad_()
    (grad,) = torch.autograd.grad(term.loss(reading, embeds).sum(), embeds)
    reached = grad[0][reading.prompt[0]].abs().sum(-1) > 0
    assert reached.tolist() == [True] * (len(state) - 1) + [False]


def test_lookup_gradient_is_the_exact_first_order_change_of_whole_words(objective):
    text = "two red stars above a circle"
    state = objective.encode_prompt(text)
    pieces = objective.primary.pieces
    slot = next(i for i, token in enumerate(state) if pieces[token] == " red")
    term = objective.terms[1]
    heads = smoothed_gradient(
        objective, [Sample(state, 0, {slot})], [1], lambda other: other is term
    )
    tokens = [
        index
        for index, piece in enumerate(pieces)
        if piece in (" red", " two", " a", " above", " star", " large", " small")
        and len(term.model.encode([piece.strip()], special=False).ids[0]) == 1
    ]
    allowed = objective.primary.allowed_tokens()
    change = predicted_change(heads, [(0, slot)], allowed)[0, tokens]
    reading = term.read(objective.prompts([state], [1]))
    embeds = term.model.embed(reading.rows.ids).detach().requires_grad_()
    (grad,) = torch.autograd.grad(term.weight * term.loss(reading, embeds).sum(), embeds)
    filled = term.home.fill(text)
    full, (offset, _) = filled.text, filled.prompt
    place = next(
        i
        for i, (a, b) in enumerate(reading.rows.spans[0].tolist())
        if full[a:b] == "red" and a >= offset
    )
    ids = torch.stack(
        [term.model.encode([pieces[t].strip()], special=False).ids[0, 0] for t in tokens]
    )
    exact = (term.model.embedding_table[ids] @ grad[0, place]).float()
    assert_near(change - change.mean(), exact - exact.mean(), size=float(exact.abs().max()))


def test_every_word_gets_its_own_gradient(objective):
    """Published code gives all words the gradient of the first."""
    state = objective.encode_prompt("two red stars above a circle")
    term = objective.terms[1]
    for kind in ("t_product", "least_squares", "lookup"):
        other = Objective(objective.terms, AdapterSettings(kind=kind, cache=False))
        samples = [Sample(state, 0, set(range(len(state))))]
        for head in smoothed_gradient(other, samples, [0], lambda t: t is term):
            rows = head.grad[0][head.valid[0]]
            distinct = (rows[:, None] - rows).abs().amax(-1) + torch.eye(len(rows))
            assert (distinct > SINGLE * head.grad.abs().max()).all()


def test_smoothed_gradient_is_the_mean_over_samples_that_count(objective):
    state = objective.encode_prompt("two red stars above a circle")
    term = objective.terms[1]

    def wanted(other):
        return other is term

    allowed = objective.primary.allowed_tokens().nonzero().squeeze(1)
    generator = torch.Generator().manual_seed(0)
    samples = resample(state, 0, range(len(state)), 12, 0.4, allowed, generator)
    assert all(len(sample.slots) == round(0.4 * len(state)) for sample in samples)
    for sample in samples:
        changed = {i for i, (a, b) in enumerate(zip(state, sample.state, strict=True)) if a != b}
        assert changed <= sample.slots
    times = Counter(slot for sample in samples for slot in sample.slots)
    assert len(times) == len(state)
    assert max(times.values()) - min(times.values()) <= 1
    together = smoothed_gradient(objective, samples, [0], wanted)
    single = [smoothed_gradient(objective, [s], [0], wanted) for s in samples]
    for head in together:
        for slot in range(len(state)):
            rows = [
                one.grad[0, slot]
                for sample, heads in zip(samples, single, strict=True)
                for one in heads
                if one.table is head.table and slot in sample.slots and one.valid[0, slot]
            ]
            expected = torch.stack(rows).mean(0) if rows else torch.zeros(head.grad.shape[2])
            assert_near(head.grad[0, slot], expected, size=float(head.grad.abs().max()))


@given(st.integers(1, 9), st.integers(1, 9), st.floats(0.01, 1), st.integers(0, 2**32))
def test_what_is_drawn_is_drawn_in_turns(slots, samples, rate, seed):
    """The order of draws decides which prompts a seed finds."""
    ids = torch.arange(100, 140)
    found = resample(
        (0,) * slots, 0, range(slots), samples, rate, ids, torch.Generator().manual_seed(seed)
    )
    generator = torch.Generator().manual_seed(seed)
    count, deck = len(found[0].slots), []
    for sample in found:
        hand, deck = deck[:count], deck[count:]
        if len(hand) < count:
            turns = torch.rand(slots, generator=generator).tolist()
            shuffled = sorted(range(slots), key=turns.__getitem__)
            new = [slot for slot in shuffled if slot not in hand][: count - len(hand)]
            hand, deck = hand + new, [slot for slot in shuffled if slot not in new]
        tokens = ids[torch.randint(len(ids), (count,), generator=generator)].tolist()
        dealt = dict(zip(hand, tokens, strict=True))
        assert sample.state == tuple(dealt.get(slot, 0) for slot in range(slots))


def test_no_resampling_takes_the_gradient_at_the_prompt_itself():
    (sample,) = resample((1, 2, 3), 5, [2], 0, 1.0, torch.tensor([1]), torch.Generator())
    assert sample == Sample((1, 2, 3), 5, {2}, (1, 2, 3))


@given(st.integers(1, 20), st.integers(1, 9), st.floats(0.01, 1), st.integers(0, 2**32))
def test_every_slot_is_replaced_equally_often(slots, samples, rate, seed):
    generator = torch.Generator().manual_seed(seed)
    ids = torch.tensor([1])
    found = resample((0,) * slots, 0, range(slots), samples, rate, ids, generator)
    least = max(1, round(rate * slots))
    assert all(len(sample.slots) == sum(sample.state) >= least for sample in found)
    times = Counter(slot for sample in found for slot in sample.slots)
    assert len(times) == slots
    assert max(times.values()) - min(times.values()) <= 1


def test_a_lookup_speaks_for_the_first_tokens_of_a_text_too(folders):
    """Without a prefix they have no space before them."""
    terms = [Fluency(folders["gpt2"]), TextSimilarity(folders["clip"], text="a red star")]
    objective = Objective(terms, AdapterSettings(cache=False))
    objective.load()
    objective.set_targets([Target("t")])
    state = objective.encode_prompt("red house")
    samples = [Sample(state, 0, {0, 1})]
    heads = smoothed_gradient(objective, samples, [0], lambda term: term is terms[1])
    allowed = objective.primary.allowed_tokens()
    change = predicted_change(heads, [(0, 0)], allowed)[0]
    states = [(token, *state[1:]) for token in allowed.nonzero().squeeze(1).tolist()]
    prompts = objective.prompts(states, [0] * len(states))
    firsts = [state[0] for state, good in zip(states, prompts.canonical, strict=True) if good]
    told = [token for token in firsts if change[token] != 0]
    assert len(firsts) > 50
    assert len(told) > 0.9 * len(firsts)


def test_names_of_terms_stay_distinct_when_terms_are_used_again(folders):
    terms = [TextSimilarity(folders["clip"], text=text) for text in ("a", "b", "c", "d")]
    Objective(terms[:2])
    Objective([*terms[:2], terms[2], terms[3]])
    assert len({term.name for term in terms}) == 4
    assert [term.name for term in terms[:2]] == ["text_similarity", "text_similarity_2"]


def test_words_beyond_all_cases_use_smaller_ones_and_are_never_noise(objective):
    term = objective.terms[1]
    settings = AdapterSettings(kind="t_product", cache=False, max_subtokens=2)
    other = Objective(objective.terms, settings)
    # A made-up word of many tokens in both models.
    state = other.encode_prompt("xqzvkjwxqzvkj")
    samples = [Sample(state, 0, set(range(len(state))))]
    first = smoothed_gradient(other, samples, [0], lambda t: t is term)[0]
    again = smoothed_gradient(other, samples, [0], lambda t: t is term)[0]
    assert max(max(case) for case in other.adapter(term.model).maps) == 2
    assert torch.equal(first.grad, again.grad)
    assert first.valid.sum() > 2


def test_text_similarity_of_the_target_text_itself_is_zero(folders):
    term = TextSimilarity(CLIP(folders["clip"]))
    objective = Objective([term], AdapterSettings(cache=False))
    objective.load()
    objective.set_targets([Target("t", text="a red star")])
    prompts = objective.prompts([objective.encode_prompt("a red star")], [0])
    assert float(objective.losses(prompts)[0, 0]) == near(0, size=1)


def test_terms_with_one_model_share_its_weights(folders):
    terms = [Fluency(folders["gpt2"]), Fluency(folders["gpt2"], prefix="A photo of")]
    objective = Objective(terms)
    objective.load()
    assert terms[0].model is terms[1].model
    assert [term.name for term in objective.terms] == ["fluency", "fluency_2"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda f: Objective([]), "no terms"),
        (lambda f: Objective([Fluency(f["gpt2"], weight=0)]), "all weights"),
        (lambda f: Fluency(f["gpt2"], weight=float("nan")), "weight of Fluency is nan"),
        (lambda f: Objective([Fluency(CausalLM(f["clip"]))]).load(), "not a causal language model"),
        (lambda f: Objective([Sentiment(Classifier(f["classifier"]), label="joy")]).load(), "joy"),
        (lambda f: Objective([Fluency(f["gpt2"], prefix="red " * 60)]).load(), "shorten"),
    ],
)
def test_bad_objectives_are_refused(folders, make, message):
    with pytest.raises(FuseError, match=message):
        make(folders)


@pytest.mark.parametrize("target", [Target("bare"), Target("bare", sentiment="joy")])
def test_targets_without_what_a_term_needs_are_refused(objective, target):
    for term in objective.terms[1:]:
        with pytest.raises(FuseError, match=r"bare|joy"):
            term.set_targets([target])


def test_the_last_token_has_no_gradient_of_its_likelihood_and_that_is_no_error(
    objective, monkeypatch
):
    """A model reads all but the last token, so nothing may be left to differentiate."""
    monkeypatch.setattr(objective.primary, "worth", 0)
    state = objective.encode_prompt("a red star above two circles")
    samples = [(*state[:-1], token) for token in state for _ in range(8)]
    prompts = objective.prompts(samples, [0] * len(samples))
    slots = [{len(state) - 1}] * len(samples)
    (found,) = term_gradients(objective, prompts, lambda term: term is objective.terms[0], slots)
    (head,) = found.heads
    assert not head.grad[:, -1].any()
    assert_near(found.losses, objective.losses(prompts)[:, 0])
