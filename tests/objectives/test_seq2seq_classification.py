"""Classification by encoder-decoders against plain transformers: one text and word at a time."""

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuse_lightning.data.targets import Target
from fuse_lightning.engine.budget import Budget
from fuse_lightning.errors import FuseError
from fuse_lightning.evaluation.term_metrics import TermMetrics, as_prompts
from fuse_lightning.objectives import Objective, Seq2SeqClassification
from tests.factories.seq2seq_lms import SEQ2SEQ_LMS
from tests.near import assert_near, near

LAYOUT = "{prompt}: {text} it was {answer}"
MOODS = {"good": ["great", "good"], "bad": ["bad"]}
PLACES = {"sea": ["the sea"], "field": ["field", "green field"], "lake": ["lake"]}
PROMPTS = ["what is it", "red and  green", "the film"]
every_model = pytest.mark.parametrize("name", SEQ2SEQ_LMS)


def targets():
    moods = [
        {"text": "the film was great", "label": "good"},
        {"text": "nobody liked the ending", "label": "bad"},
        {"text": "hello world", "label": "bad"},
    ]
    places = [{"text": "two old boats", "label": "lake"}, {"text": "a dog runs", "label": "field"}]
    return [
        Target("moods", examples=moods, labels=MOODS),
        Target("places", examples=places, labels=PLACES),
    ]


def log_probs(model, text, labels):
    """Log probabilities of classes by plain transformers."""
    ids = model.tokenizer(text, return_tensors="pt").input_ids
    classes = []
    for words in labels.values():
        found = []
        for word in words:
            labels = model.tokenizer(word, return_tensors="pt").input_ids
            skipped = int(int(labels[0, 0]) in model.start_ids)
            with torch.no_grad():
                logs = model.module(input_ids=ids, labels=labels).logits[0].log_softmax(-1)
            places = torch.arange(skipped, labels.shape[1] - 1)
            found.append(logs[places, labels[0, places]].sum())
        classes.append(torch.stack(found).logsumexp(0))
    return torch.stack(classes).log_softmax(0)


def expected(model, prompt, target):
    """Cross-entropy of each example, and whether the answer to it is right."""
    found = []
    for example in target.examples:
        logs = log_probs(model, f"{prompt}: {example['text']} it was", target.labels)
        right = [*target.labels].index(example["label"])
        found.append((-logs[right], logs.argmax() == right))
    losses, right = zip(*found, strict=True)
    return torch.stack(losses), torch.stack(right).double()


def objective_of(model, given=None, **options):
    objective = Objective([Seq2SeqClassification(model, **{"layout": LAYOUT, **options})])
    objective.load()
    objective.set_targets(targets() if given is None else given)
    return objective


@every_model
def test_losses_are_those_of_plain_transformers_for_any_examples(name, in_double, monkeypatch):
    model = in_double(name)
    # T5 normalizes in float32 whatever the weights are.
    monkeypatch.setattr(torch, "float32", torch.float64)
    term = objective_of(model).terms[0]
    owners = [(prompt, owner) for prompt in PROMPTS for owner in (0, 1)]
    known = {pair: expected(model, pair[0], targets()[pair[1]]) for pair in owners}
    texts, of = zip(*owners, strict=True)
    prompts = as_prompts(Objective([term]), texts, of)
    sizes = [len(target.examples) for target in targets()]
    numbers = st.tuples(*(st.sets(st.integers(0, sizes[o] - 1), min_size=1) for o in of))

    @settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(numbers=numbers, tokens=st.integers(1, 300))
    def check(numbers, tokens):
        model.budget = Budget(tokens)
        chosen = [sorted(some) for some in numbers]
        reading = term.read(prompts, chosen)
        values = term.score(reading)
        losses = term.reduce(values, reading, len(reading.pairs))
        pairs = [known[pair] for pair in owners]
        losses_known, right_known = (
            torch.cat([each[part][some] for each, some in zip(pairs, chosen, strict=True)])
            for part in (0, 1)
        )
        assert_near(losses, losses_known)
        assert torch.equal(term.correct(values, reading).double(), right_known)

    check()


@every_model
def test_each_prompt_with_an_example_is_encoded_once_whatever_the_number_of_words(name, load):
    model = load(name)
    objective = objective_of(model)
    rows = []
    handle = model.module.get_encoder().register_forward_pre_hook(
        lambda _, args, given: rows.append(len(given["input_ids"])), with_kwargs=True
    )
    objective.losses(as_prompts(objective, PROMPTS, [0, 1, 0]))
    handle.remove()
    assert sum(rows) == 3 + 2 + 3


@every_model
def test_a_space_before_the_answer_changes_nothing(name, load):
    model = load(name)
    losses = []
    for layout in ("{prompt}: {text} it was {answer}", "{prompt}: {text} it was{answer}"):
        objective = objective_of(model, layout=layout)
        losses.append(objective.losses(as_prompts(objective, PROMPTS, [0, 1, 0])))
    assert torch.equal(*losses)


def test_words_of_the_term_stand_in_place_of_those_of_the_data(load):
    model = load("t5")
    words = {"good": ["red"], "bad": ["old", "small"]}
    target = targets()[0]
    objective = objective_of(model, [target], words={**words, "good": "red"})
    found = objective.losses(as_prompts(objective, PROMPTS[:1], [0]))
    losses, _ = expected(model, PROMPTS[0], Target("own", examples=target.examples, labels=words))
    assert_near(found[0, 0], losses.mean())


@every_model
def test_figures_are_the_mean_loss_and_the_share_of_right_answers(name, load):
    model = load(name)
    objective = objective_of(model)
    gauge = TermMetrics(objective, objective.terms[0])
    metrics = gauge.metrics()
    gauge.update(metrics, as_prompts(objective, PROMPTS[:2], [0, 1]))
    known = [expected(model, PROMPTS[n], targets()[n]) for n in (0, 1)]
    assert float(metrics["cross_entropy"].compute()) == near(
        sum(float(losses.mean()) for losses, _ in known) / 2
    )
    right = torch.cat([each for _, each in known])
    assert float(metrics["accuracy"].compute()) == near(float(right.mean()))


def test_gradients_are_refused(load):
    objective = objective_of(load("t5"))
    term = objective.terms[0]
    reading = term.read(as_prompts(objective, PROMPTS[:1], [0]))
    with pytest.raises(FuseError, match="gives no gradients; search with an optimizer that needs"):
        term.loss(reading, term.model.embed(reading.rows.ids))


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ("{prompt}: {text}", "layout of seq2seq_classification must end with {answer}"),
        ([{"role": "user", "content": "{prompt} {text}"}], "has no chat template"),
    ],
)
def test_a_layout_that_the_model_cannot_read_is_refused(layout, message, load):
    with pytest.raises(FuseError, match=message) as raised:
        objective_of(load("t5"), layout=layout)
    assert "\n" not in str(raised.value)


def test_a_field_that_examples_lack_is_refused(load):
    with pytest.raises(FuseError, match=r"has \{question\}, which is no text .* texts are: text"):
        objective_of(load("t5"), layout="{prompt} {question} so {answer}")


def test_a_word_without_tokens_of_its_own_is_refused(load):
    with pytest.raises(FuseError, match="the answer '猫' cannot be read by"):
        objective_of(load("t5"), words={"good": "猫", "bad": "bad"}, given=targets()[:1])


def test_an_example_that_is_too_long_is_refused(load):
    long = Target("long", examples=[{"text": "a " * 60, "label": "bad"}], labels=MOODS)
    with pytest.raises(FuseError, match="1 examples of target 'long' are longer than the 48"):
        objective_of(load("bart"), [long])
