"""Classification by a language model, against float64 with one row at a time."""

import shutil

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from transformers import AutoTokenizer

from fuse_lightning.data import Target
from fuse_lightning.engine.token_batch import TokenBatch
from fuse_lightning.errors import FuseError
from fuse_lightning.objectives import Classification, Objective, embedding_gradient
from fuse_lightning.objectives.classification import Labelled
from fuse_lightning.objectives.example_scores import ExampleScores
from fuse_lightning.objectives.reading import Reading
from fuse_lightning.objectives.row_values import row_values
from fuse_lightning.objectives.verbalizers import Verbalizers
from fuse_lightning.utilities.identity import difference
from tests.near import assert_near
from tests.objectives.test_rows import Plain

BEFORE, BETWEEN, BEHIND = (
    "{prompt} {text} It was{answer}",
    "{text} {prompt} It was {answer}",
    "{text} It was {prompt}{answer}",
)
PAIRS = "{premise}\n{prompt}\n{hypothesis} so{answer}"
LAYOUTS = (BEFORE, BETWEEN, BEHIND, PAIRS)
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CHAT = [
    {"role": "user", "content": "So {prompt}: {text}"},
    {"role": "assistant", "content": "{answer}"},
]
CHAT_TEXT = "<|im_start|>user\nSo {prompt}: {text}<|im_end|>\n<|im_start|>assistant\n{answer}"


def example(text, label, more="at night"):
    return {"text": text, "premise": text, "hypothesis": more, "label": label}


TARGETS = [
    Target(
        "two classes, one of several words",
        examples=[example("a lovely red circle", "good"), example("an ugly box", "bad", "sea")],
        select=[example("two big blue stars", "bad", "on the sand")],
        labels={"good": ["lovely", "so so"], "bad": ["ugly"]},
    ),
    Target(
        "three classes",
        examples=[example("a sad pink star", "sky"), example("one tile", "sea")],
        labels={"sea": ["water"], "sky": ["clouds at night"], "land": ["sand"]},
    ),
    Target(
        "words of two classes",
        examples=[example("tiles", "b")],
        test=[example("tiles", "no class")],
        labels={"a": [" large", "big "], "b": ["small"]},
    ),
]
PROMPTS = ("a small red", "two dots above", "the mood of this", "box", "so")
OWNERS = (0, 1, 0, 2, 1)
CLOSE = 1e-5


def built(model, layout, targets=TARGETS, **options):
    objective = Objective([Classification(model, layout, **options)], max_batch_tokens=256)
    objective.load()
    objective.set_targets(targets)
    return objective


def prompts_of(objective, texts=PROMPTS, owners=OWNERS):
    found = objective.prompts(objective.encode_prompts(texts), owners)
    assert all(found.canonical)
    return found


def sides(layout, fields):
    """Texts before and behind a prompt, and the white space before a word."""
    text = layout.removesuffix("{answer}")
    gap = " " if not text.endswith("\n") else ""
    for name, value in fields.items():
        text = text.replace(f"{{{name}}}", value)
    before, behind = text.removesuffix(" ").split("{prompt}")
    return before.removesuffix(" "), behind.removesuffix(" "), gap


def plain_loss(plain, layout, target, each, prompt, words=None, error_weight=0.0):
    """Loss of one example, losses of its rows, and whether the answer is right."""
    before, behind, gap = sides(layout, each)
    parts, logits = [], []
    for name in target.labels:
        some = [
            plain.nll(before, prompt, behind, f"{gap}{word.strip()}")[0]
            for word in (words or target.labels)[name]
        ]
        parts += some
        logits.append(torch.logsumexp(-torch.stack(some), 0))
    number = [*target.labels].index(each["label"])
    found = torch.stack(logits)
    right = int(found.argmax()) == number
    loss = F.cross_entropy(found[None], torch.tensor([number])) + error_weight * (not right)
    return loss, torch.stack(parts), right


def whole(plain, layout, target, prompt, numbers=None, **options):
    """Mean loss over some examples, losses of their rows, and which answers are right."""
    some = target.seen if numbers is None else [target.seen[number] for number in numbers]
    told = [plain_loss(plain, layout, target, each, prompt, **options) for each in some]
    losses, parts, right = zip(*told, strict=True)
    return torch.stack(losses).mean(), torch.cat(parts), [*right]


def check(objective, layout, numbers=None, share=CLOSE, **options):
    """Compares losses and gradients of all prompts with those of one row at a time."""
    prompts, plain = prompts_of(objective), Plain(objective.primary)
    if layout.startswith("<|im_start|>"):
        # A chat begins as its template says.
        plain.start = []
    losses = objective.losses(prompts)[:, 0]
    objective.scores.forget()
    gradient, told = embedding_gradient(objective, prompts)
    for row, (state, owner) in enumerate(zip(prompts.states, prompts.owners, strict=True)):
        leaf = plain.embed(state).requires_grad_()
        some = None if numbers is None else numbers[owner]
        expected, parts, _ = whole(plain, layout, TARGETS[owner], leaf, some, **options)
        (wanted,) = torch.autograd.grad(expected, leaf, retain_graph=True)
        # Where one class is nearly certain, what is left of the rows is small, their rounding not.
        (size,) = torch.autograd.grad(parts.mean(), leaf)
        most = float(parts.detach().max())
        assert_near(losses[row], expected, most, share=share)
        assert_near(told[row, 0], expected, most, share=share)
        error = (gradient[row, : len(state)].double() - wanted).norm()
        assert error <= share * max(float(size.norm()), float(wanted.norm()))
        assert not gradient[row, len(state) :].any()


@pytest.fixture(scope="module")
def chatting(causal_folders, tmp_path_factory):
    """A model whose tokenizer writes chats."""
    folder = tmp_path_factory.mktemp("chat") / "qwen2"
    shutil.copytree(causal_folders["qwen2"], folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = CHATML
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["zoo", "llama"])
def test_losses_and_gradients_are_those_of_one_row_at_a_time(causal_folders, name, layout):
    check(built(str(causal_folders[name]), layout), layout)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_losses_and_gradients_are_exact_in_float64(causal_folders, double, layout):
    objective = built(str(causal_folders["llama"]), layout, error_weight=0.75)
    objective.primary.module.double()
    check(objective, layout, share=1e-7, error_weight=0.75)


@pytest.mark.parametrize("answer", ["{answer}", "So {answer}"])
def test_a_chat_is_read_as_its_template_writes_it(chatting, answer):
    turns = [CHAT[0], {**CHAT[1], "content": answer}]
    layout = CHAT_TEXT.replace("{answer}", answer)
    objective = built(chatting, turns)
    check(objective, layout)
    reading = objective.terms[0].read(prompts_of(objective))
    row = reading.rows.ids[0][reading.rows.mask[0]].tolist()
    text = objective.primary.tokenizer.decode(row)
    assert text.endswith(f"<|im_start|>assistant\n{answer.format(answer='lovely')}")


def test_a_space_before_the_answer_belongs_to_the_word(causal_folders):
    folder = str(causal_folders["zoo"])
    ids = []
    for layout in ("{text} {prompt} It was{answer}", "{text} {prompt} It was {answer}"):
        objective = built(folder, layout)
        ids.append(objective.terms[0].read(prompts_of(objective)).rows.ids)
    assert torch.equal(*ids)


@pytest.mark.parametrize("layout", [BEFORE, BEHIND])
def test_the_terms_own_words_stand_in_place_of_the_datas(causal_folders, layout):
    own = {"good": "red", "bad": ["box", "tile"]}
    objective = built(str(causal_folders["zoo"]), layout, TARGETS[:1], words=own)
    prompts = prompts_of(objective, PROMPTS[:2], (0, 0))
    plain = Plain(objective.primary)
    words = {"good": ["red"], "bad": ["box", "tile"]}
    for row, state in enumerate(prompts.states):
        expected, parts, _ = whole(plain, layout, TARGETS[0], plain.embed(state), words=words)
        found = objective.losses(prompts)[row, 0]
        assert_near(found, expected, float(parts.max()), share=CLOSE)


DRAWN = [[2, 0], [1], [0]]


def test_a_step_reads_the_examples_that_are_drawn(causal_folders, monkeypatch):
    objective = built(str(causal_folders["llama"]), BETWEEN)
    objective.draw(DRAWN)
    check(objective, BETWEEN, DRAWN)
    read, loss = set(), Classification.loss

    def noted(self, reading, embeds=None):
        read.update(zip(reading.owner.tolist(), reading.example.tolist(), strict=True))
        return loss(self, reading, embeds)

    monkeypatch.setattr(Classification, "loss", noted)
    objective.scores.forget()
    objective.losses(prompts_of(objective))
    embedding_gradient(objective, prompts_of(objective))
    assert read == {(owner, n) for owner, some in enumerate(DRAWN) for n in some}
    objective.draw(None)
    check(objective, BETWEEN)


def test_right_answers_are_those_with_the_most_likely_class(causal_folders, monkeypatch):
    objective = built(str(causal_folders["zoo"]), BEFORE)
    texts, owners = PROMPTS * 3, [0, 1, 2] * 5
    prompts, plain = prompts_of(objective, texts, owners), Plain(objective.primary)
    numbers = [[*range(len(TARGETS[owner].seen))] for owner in owners]
    scores = objective.scores
    keys = scores.keys(prompts)
    expected = []
    for state, owner in zip(prompts.states, owners, strict=True):
        expected += whole(plain, BEFORE, TARGETS[owner], plain.embed(state))[2]
    assert 0 < sum(expected) < len(expected)
    assert scores.by_example[0].correct(keys, prompts, numbers).tolist() == expected
    # So does a gradient, and nothing is read again.
    scores.forget()
    embedding_gradient(objective, prompts)
    monkeypatch.setattr(ExampleScores, "_read", lambda *_: pytest.fail("all is known"))
    assert scores.by_example[0].correct(keys, prompts, numbers).tolist() == expected
    term = objective.terms[0]
    metrics = {"accuracy": term.metrics()["accuracy"]}
    reading = term.read(prompts)
    term.update_metrics(metrics, reading, row_values(term, reading, term.score).cpu())
    assert_near(metrics["accuracy"].compute(), torch.tensor(expected).double().mean(), share=1e-6)


def reading_of(pairs, counts):
    """A reading without tokens: for each pair of an owner and an example a prompt of its own."""
    owner = [owner for (owner, _), count in zip(pairs, counts, strict=True) for _ in range(count)]
    number = [place for count in counts for place in range(count)]
    of = [place for place, count in enumerate(counts) for _ in range(count)]
    found = [pairs[place][1] for place in of]
    rows = torch.zeros(len(of), 1, dtype=torch.long)
    batch = TokenBatch(rows, rows.bool(), torch.zeros(len(of), 1, 2, dtype=torch.long))
    columns = map(torch.tensor, (of, owner, found, number))
    none = torch.zeros(len(of), dtype=torch.long)
    return Reading(batch, {}, *columns, none, none)


@settings(max_examples=50)
@given(st.data())
def test_a_class_is_the_sum_of_its_words(data):
    """In targets with more and with fewer classes and words, beside each other."""
    words = st.lists(st.integers(1, 3), min_size=2, max_size=4)
    sizes = data.draw(st.lists(words, min_size=1, max_size=3))
    owners = st.integers(0, len(sizes) - 1)
    pairs = data.draw(st.lists(st.tuples(owners, st.integers(0, 1)), min_size=1, max_size=5))
    scale = data.draw(st.sampled_from([0.1, 5.0, 300.0]))
    price = data.draw(st.sampled_from([0.0, 2.0]))
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 2**20)))
    term = Classification("zoo/gpt2", BEFORE, error_weight=price)
    term.batch = []
    for some in sizes:
        of = [number for number, count in enumerate(some) for _ in range(count)]
        verbalizers = Verbalizers(tuple(map(str, range(len(some)))), ("w",) * len(of), tuple(of))
        right = torch.randint(len(some), (2,), generator=generator)
        term.batch.append(Labelled(verbalizers, [], right))
    counts = [sum(sizes[owner]) for owner, _ in pairs]
    reading = reading_of(pairs, counts)
    values = torch.rand(len(reading), generator=generator, dtype=torch.float64) * scale
    logs, losses = term.log_probs(values, reading), term.reduce(values, reading, len(pairs))
    correct = term.correct(values, reading)
    parts = torch.split(values, counts)
    for row, (part, (owner, number)) in enumerate(zip(parts, pairs, strict=True)):
        groups = torch.split(-part, sizes[owner])
        expected = torch.stack([group.logsumexp(0) for group in groups]).log_softmax(0)
        right = int(term.batch[owner].right[number])
        assert_near(logs[row, : len(groups)], expected, scale)
        assert bool((logs[row, len(groups) :].exp() == 0).all())
        assert bool(correct[row]) == (int(expected.argmax()) == right)
        assert_near(losses[row], -expected[right] + price * (not correct[row]), scale)


LABELS = {"good": ["lovely"], "bad": ["ugly"]}


def target(labels=LABELS, label="good", **fields):
    return Target("a", examples=[{"text": "a box", "label": label, **fields}], labels=labels)


@pytest.mark.parametrize(
    ("given", "options", "message"),
    [
        (target({"good": ["fine"]}), {}, "'a' has 1 classes, but classification needs at least 2"),
        (target({}), {}, "target 'a' has 0 classes"),
        (target({**LABELS, "bad": []}), {}, "class 'bad' of target 'a' has no word; give it one"),
        (target({**LABELS, "bad": [" "]}), {}, "class 'bad' of target 'a' has no word"),
        (target(), {"words": {"good": "fine"}}, "'bad' of target 'a' has no word; give it one"),
        (
            target(),
            {"words": {"good": "fine", "bda": "ugly"}},
            "class 'bad' of target 'a' has no word; words of classification has 'bda', which is no "
            r"class of it; did you mean bad\? its classes are 'good', 'bad'",
        ),
        (target(), {"words": {"good": "fine", "bad": ["ugly", ""]}}, "class 'bad' .* has no word"),
        (
            target({**LABELS, "bad": ["ugly", " lovely"]}),
            {},
            "words 'lovely' of class 'good' and 'lovely' of class 'bad' of target 'a' are read as "
            "the same tokens",
        ),
        (
            target(),
            {"words": {"good": "box", "bad": ["tile", "tile "]}},
            "'tile' of class 'bad' and 'tile' of class 'bad'",
        ),
        (target(label="fine"), {}, "has the label 'fine', which is none of: good, bad; give it"),
        (target(label=None), {}, "has the label None, which is none of: good, bad"),
        (
            target(title="x"),
            {"layout": "{body} {prompt}{answer}"},
            r"layout of classification has \{body\}, which is no text .* texts are: text, title",
        ),
        (target(text=3), {}, r"has \{text\}, which is no text of .* their texts are: none"),
        (target(), {"layout": "{label} {prompt}{answer}"}, r"has \{label\}, which is no text"),
        (target(text="a box " * 40), {}, "1 examples of target 'a' are longer than the 48 tokens"),
        (Target("a", labels=LABELS), {}, "target 'a' has no example, which classification needs"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line(causal_folders, given, options, message):
    with pytest.raises(FuseError, match=message) as caught:
        built(str(causal_folders["tiny"]), options.pop("layout", BEFORE), [given], **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("layout", ["{prompt} {text}", "{prompt}{answer} {text}", "{text}{answer}"])
def test_a_layout_that_asks_for_no_answer_is_refused(causal_folders, layout):
    with pytest.raises(FuseError, match=r"answer|prompt"):
        built(str(causal_folders["tiny"]), layout)


def test_an_answer_that_cannot_be_read_is_wrong(causal_folders):
    """Of classes that all have no likelihood, none is the most likely one."""
    text = "sea " * 16
    long = [example(text.strip(), "good"), example(text.strip(), "bad")]
    given = Target("long", examples=long, labels=LABELS)
    objective = built(str(causal_folders["tiny"]), BEFORE, [given])
    prompts = prompts_of(objective, ["so many small red stars on the sand"], [0])
    term = objective.terms[0]
    assert objective.losses(prompts).isinf().all()
    told = objective.scores.by_example[0].correct(objective.scores.keys(prompts), prompts, [[0, 1]])
    assert told.tolist() == [0, 0]
    reading = term.read(prompts)
    values = row_values(term, reading, term.score)
    assert term.correct(values, reading).tolist() == [0, 0]


def test_options_that_change_the_loss_are_part_of_its_identity():
    given = {
        "layout": BEFORE,
        "words": {"good": "fine", "bad": ["ugly", "sad"]},
        "error_weight": 0.5,
        "weight": 1.0,
        "score_weight": 2.0,
    }
    known = Classification("zoo/gpt2", **given).identity()
    changes = {
        "layout": [BETWEEN, CHAT],
        "words": [
            None,
            {"good": "fine", "bad": ["ugly"]},
            {"good": "ugly", "bad": ["fine", "sad"]},
        ],
        "error_weight": [0.0],
        "weight": [2.0],
        "score_weight": [None],
    }
    for name, others in changes.items():
        for other in others:
            changed = Classification("zoo/gpt2", **{**given, name: other}).identity()
            assert difference(known, changed), (name, other)
    # One word stands for itself, and classes in no order.
    same = {"bad": ["ugly", "sad"], "good": ["fine"]}
    assert Classification("zoo/gpt2", **{**given, "words": same}).identity() == known


def test_words_and_examples_of_every_split_are_the_content_of_a_target():
    one = Target("a", examples=[{"text": "x", "label": "good"}], labels=LABELS)
    others = [
        Target("a", examples=one.examples, labels={**LABELS, "bad": ["sad"]}),
        Target("a", examples=[{"text": "x", "label": "bad"}], labels=LABELS),
        Target("a", examples=one.examples, select=one.examples, labels=LABELS),
        Target("a", examples=one.examples, test=one.examples, labels=LABELS),
    ]
    digests = {each.digest for each in (one, *others)}
    assert len(digests) == 5
    assert Target("b", examples=[*one.examples], labels={**LABELS}).digest == one.digest
