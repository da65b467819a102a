"""Several terms of one model, each behind a prefix of its own."""

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fuse_lightning.data import Target
from fuse_lightning.models import Classifier
from fuse_lightning.objectives import (
    Continuation,
    Fluency,
    Objective,
    Sentiment,
    embedding_gradient,
    label_changes,
    term_gradients,
)
from tests.factories.classifiers import CLASSIFIERS
from tests.factories.more_causal_lms import MORE_CAUSAL_LMS
from tests.objectives.causal import WORDS
from tests.objectives.literal import Plain

NAMES = ("tiny", "zoo", "opt", "gemma", "llama", "qwen2", "falcon", "phi", "llama2")
every_lm = pytest.mark.parametrize("name", NAMES)
PREFIXES = ("", "Q:", "An image of", "The film ", "user\n", "a:\n\n", "MARKuser\n", "x (")
SUFFIXES = ("", "is a", "\nA:", "MARK\n", "\n\n", "Answer: ")
LABELS = ("red", "\nred house", " it was", "12 cats!")
prompts = st.lists(st.sampled_from((*WORDS, ".", "sea.")), min_size=1, max_size=4).map(" ".join)
sides = st.tuples(st.sampled_from(PREFIXES), st.sampled_from(SUFFIXES))


@pytest.fixture(scope="module")
def folders(causal_folders, tmp_path_factory):
    root = tmp_path_factory.mktemp("families")
    more = {name: MORE_CAUSAL_LMS[name](root / name) for name in ("phi", "llama2")}
    return {**causal_folders, **more}


@pytest.fixture(scope="module")
def loaded(folders):
    """A model and its plain double by name."""
    made = {}

    def get(name):
        if name not in made:
            objective = Objective([Fluency(str(folders[name]))])
            objective.load()
            made[name] = objective.primary, Plain(objective.primary)
        return made[name]

    return get


def objective_of(model, frames, label="red"):
    mark = model.tokenizer.decode(list(model.start_ids[:1]))
    frames = [[part.replace("MARK", mark) for part in frame] for frame in frames]
    terms = [Fluency(model, prefix=prefix, suffix=suffix) for prefix, suffix in frames]
    prefix, suffix = frames[-1]
    terms.append(Continuation(model, prefix=prefix, suffix=suffix, label=label))
    objective = Objective([terms[-1], *terms[:-1]] if label == "\nred house" else terms)
    objective.load()
    objective.set_targets([Target("one")])
    return objective


@every_lm
@settings(max_examples=25, deadline=None)
@given(
    texts=st.lists(prompts, min_size=1, max_size=3),
    frames=st.lists(sides, min_size=2, max_size=3),
    label=st.sampled_from(LABELS),
)
def test_every_loss_is_that_of_the_text_as_it_is_written(loaded, name, texts, frames, label):
    model, plain = loaded(name)
    objective = objective_of(model, frames, label)
    states = objective.encode_prompts(texts)
    found = objective.prompts(states, [0] * len(states))
    rows = [row for row, canonical in enumerate(found.canonical) if canonical]
    assume(rows)
    losses = objective.losses(found.select(rows)).double()
    for row, told in zip(rows, losses, strict=True):
        text = texts[row]
        for term, loss in zip(objective.terms, told, strict=True):
            if isinstance(term, Continuation):
                expected = plain.continuation(term.prefix, text, term.suffix, label)
            else:
                expected = plain.fluency(term.prefix, text, term.suffix)
            if expected is not None:
                assert float(loss) == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_terms_of_a_byte_level_model_read_their_own_texts(loaded):
    model, plain = loaded("tiny")
    objective = objective_of(model, [("An image of", ""), ("", ""), ("Q:", "A:")])
    text = "two red houses"
    found = objective.losses(objective.prompts([objective.encode_prompt(text)], [0]))[0]
    expected = [
        *(plain.fluency(prefix, text) for prefix in ("An image of", "", "Q:")),
        plain.continuation("Q:", text, "A:", "red"),
    ]
    assert found.tolist() == pytest.approx(expected, rel=1e-4)
    glued = plain.mean_nll("", f" {text}")
    assert abs(float(found[1]) - glued) > 1e-2


def pair(model, first, second):
    objective = Objective([Fluency(model, prefix=first), Fluency(model, prefix=second, weight=2.0)])
    objective.load()
    objective.set_targets([Target("one")])
    return objective


def single(objective, tokens):
    """Those of some tokens that the second term reads as one."""
    openings = objective.terms[1].row_readers[0].openings(objective.terms[1].home)
    assert openings is not None
    return [token for token in tokens if len(openings.ids[token]) == 1]


def states_of(objective, texts):
    found = objective.prompts(objective.encode_prompts(texts), [0] * len(texts))
    assert all(found.canonical)
    return found


@pytest.mark.parametrize("name", ["tiny", "zoo", "qwen2"])
@pytest.mark.parametrize(("first", "second"), [("", "Q:"), ("An image of", ""), ("Q:", "user\n")])
def test_label_parts_are_exact_where_a_token_is_read_as_one(loaded, name, first, second):
    objective = pair(loaded(name)[0], first, second)
    allowed = objective.primary.allowed_tokens("words").nonzero().flatten().tolist()
    tokens = single(objective, allowed)
    found = objective.prompts([(token,) for token in tokens], [0] * len(tokens))
    # Of one token that both terms read as one, nothing but the label changes.
    rows = [row for row, canonical in enumerate(found.canonical) if canonical]
    totals = objective.total(objective.losses(found))
    assert len(rows) > 5
    change = label_changes(objective, found.select(rows[:3]))
    for place, start in enumerate(rows[:3]):
        for row in rows:
            wanted = float(totals[row] - totals[start])
            assert float(change[place, 0, tokens[row]]) == pytest.approx(wanted, abs=1e-3)


@pytest.mark.parametrize("name", ["tiny", "zoo", "qwen2"])
@pytest.mark.parametrize(("first", "second"), [("", "Q:"), ("An image of", ""), ("Q:", "user\n")])
def test_gradients_are_those_of_the_own_text(loaded, name, first, second):
    model, plain = loaded(name)
    objective = pair(model, first, second)
    found = states_of(objective, ["a red house by the sea"])
    reading = objective.terms[1].read(found)
    assert objective.terms[1].read(found, ids=True).rows.ids.equal(reading.rows.ids)
    # One plain forward in float64, differentiated at its embeddings.
    ids = plain.ids(f"{second}{'' if second[-1:] in ('', chr(10)) else ' '}{found.texts[0]}")
    assert ids == reading.rows.ids[0].tolist()
    embeds = plain.module.get_input_embeddings()(torch.tensor([ids])).detach().requires_grad_()
    log_probs = plain.module(inputs_embeds=embeds).logits[0].log_softmax(-1)
    places = reading.prompt[0].nonzero().flatten().tolist()
    loss = -2.0 * sum(log_probs[place - 1, ids[place]] for place in places) / len(places)
    (wanted,) = torch.autograd.grad(loss, embeds)
    heads = [
        head
        for part in term_gradients(
            objective, found, lambda term: term is objective.terms[1], [{*range(len(places))}]
        )
        for head in part.heads
    ]
    table = plain.module.get_input_embeddings().weight.detach()
    openings = objective.terms[1].row_readers[0].openings(objective.terms[1].home)
    for place, token in enumerate(found.states[0]):
        (head,) = [head for head in heads if head.valid[0, place]]
        scores = (head.grad[0, place] @ head.table.T).double()
        for other in single(objective, range(0, model.vocab_size, 7)):
            read = openings.ids[other][0] if place == 0 else other
            own = openings.ids[token][0] if place == 0 else token
            step = table[read] - table[own]
            expected = float(wanted[0, places[place]] @ step)
            told = float(scores[other] - scores[token])
            assert told == pytest.approx(expected, rel=1e-3, abs=1e-4)


@pytest.mark.parametrize(("first", "second"), [("", "Q:"), ("An image of", "")])
def test_losses_of_a_gradient_are_told_only_where_it_was_at_the_text(loaded, first, second):
    objective = pair(loaded("tiny")[0], first, second)
    texts = ["red houses", "houses", "dog's sea, 3", "unlikely", "xylo qua", "two"]
    found = states_of(objective, texts)
    _, losses = embedding_gradient(objective, found)
    exact = objective.losses(found)
    known = ~losses.isnan().any(1)
    assert known.any()
    torch.testing.assert_close(losses[known], exact[known], rtol=1e-4, atol=1e-4)


def test_a_classifier_as_primary_reads_behind_every_prefix(tmp_path):
    folder = CLASSIFIERS["roberta_classifier"](tmp_path / "classifier")
    model = Classifier(str(folder))
    model.load()
    label = model.labels[0]
    terms = [Sentiment(model, label=label), Sentiment(model, label=label, prefix="I say:")]
    objective = Objective(terms)
    objective.load()
    objective.set_targets([Target("one")])
    found = states_of(objective, ["red houses", "the film was great", "two"])
    gradient, losses = embedding_gradient(objective, found)
    exact = objective.losses(found)
    known = ~losses.isnan().any(1)
    assert known.any()
    torch.testing.assert_close(losses[known], exact[known], rtol=1e-4, atol=1e-4)
    assert gradient.abs().sum() > 0
