"""Layouts as text and as chats; rows as ids and as text."""

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fuse_lightning.data import Target
from fuse_lightning.errors import FuseError
from fuse_lightning.models import CausalLM
from fuse_lightning.objectives import Fluency, Objective
from fuse_lightning.objectives.context import Context
from fuse_lightning.objectives.layout import Layout
from tests.factories.terms import Labels, Wanted
from tests.factories.tokenizers import gpt2_tokenizer
from tests.objectives.causal import every_lm, prompts

SPACES = st.sampled_from(["", " ", "  ", "\n", "\n\n", " \n"])
TEXTS = st.text("ab .{}\n", max_size=6)


@given(TEXTS, TEXTS, SPACES, SPACES, st.text("ab c", min_size=1, max_size=8))
def test_white_space_and_braces_are_kept_as_they_are_written(before, behind, left, right, prompt):
    written = [part.replace("{", "{{").replace("}", "}}") for part in (before, behind)]
    given = f"{written[0]}{left}{{prompt}}{right}{written[1]}"
    filled = Layout.read(given).fill(prompt.strip() or "a")
    start, stop = filled.prompt
    assert filled.text[:start] == before + left
    assert filled.text[start:stop] == (prompt.strip() or "a")
    assert filled.text[stop:] == right + behind


@given(TEXTS, TEXTS, st.sampled_from(["", "a", "two red"]), TEXTS)
def test_a_context_fills_as_its_layout_does(text, answer, prompt, part):
    layout = Layout.read("{text} - {prompt}\n{text}:{answer}")
    fields = {"text": text, "answer": answer}
    assert Context(layout, fields).fill(prompt) == layout.fill(prompt, fields)
    joined = Layout.around(text, part, {"b."}, answer=True)
    assert Context(joined, {"answer": answer}).fill(prompt) == joined.fill(
        prompt, {"answer": answer}
    )


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ("no field", r"holds \{prompt\} 0 times; write it once"),
        ("{prompt} {prompt}", r"holds \{prompt\} 2 times"),
        ("{prompt} {", "cannot be read.*a brace"),
        ("{prompt:3}", "is no field"),
        ("{prompt!r}", "is no field"),
        ("{0} {prompt}", "is no field"),
        ("{answer} {prompt}", r"goes on behind \{answer\}"),
        ("{prompt}{answer}.", r"goes on behind \{answer\}"),
        ("{text}{prompt}", r"right beside \{text\}; put a space"),
        ("{prompt}{text}", r"right beside \{text\}"),
    ],
)
def test_what_is_no_layout_is_refused_before_a_model_is_loaded(layout, message):
    with pytest.raises(FuseError, match=message):
        Fluency("zoo/gpt2", layout=layout)


@pytest.mark.parametrize(
    ("term", "message"),
    [
        (lambda: Fluency("zoo/gpt2", layout="{text} {prompt}"), "which Fluency does not fill"),
        (lambda: Wanted("zoo/gpt2", layout="{text} {prompt}"), r"must end with \{answer\}"),
        (lambda: Wanted("zoo/gpt2", layout="{txt} {prompt}{answer}"), "fields are: prompt, text"),
        (
            lambda: Fluency("zoo/gpt2", layout=[{"role": "user", "content": "{prompt}"}]),
            "has no chat template",
        ),
    ],
)
def test_a_layout_that_a_term_cannot_fill_is_refused(term, message):
    with pytest.raises(FuseError, match=message):
        Objective([term()]).load()


def test_a_layout_and_a_prefix_are_not_given_together():
    with pytest.raises(FuseError, match="has a layout and a prefix or suffix"):
        Fluency("zoo/gpt2", layout="{prompt}", prefix="An image of")


CHAT = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] | trim }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TURNS = [
    {"role": "system", "content": "You {{judge}} texts."},
    {"role": "user", "content": "{text}\n\n{prompt}"},
    {"role": "assistant", "content": "It is{answer}"},
]


def chatting(template):
    tokenizer = gpt2_tokenizer()
    tokenizer.chat_template = template
    return tokenizer


def test_a_chat_is_what_its_template_writes():
    tokenizer = chatting(CHAT)
    layout = Layout.read(TURNS, tokenizer)
    fields = {"text": " So {text}!", "answer": " fine"}
    expected = tokenizer.apply_chat_template(
        [
            {"role": "system", "content": "You {judge} texts."},
            {"role": "user", "content": "X\n\nSay it"},
        ],
        tokenize=False,
        add_generation_prompt=True,
    ).replace("X", fields["text"])
    filled = layout.fill("Say it", fields)
    assert filled.text == f"{expected}It is fine"
    start, stop = filled.prompt
    assert filled.text[start:stop] == "Say it"
    start, stop = filled.answer
    assert filled.text[start:stop] == " fine"


@pytest.mark.parametrize(
    ("turns", "message"),
    [
        ([{"role": "poet", "content": "{prompt}"}], "role 'poet'.*none of system"),
        ([{"content": "{prompt}"}], "must have a role and a content"),
        ([{"role": "user", "content": "hello"}], "0 times"),
        (
            [{"role": "user", "content": "{prompt}"}, {"role": "user", "content": "{prompt}"}],
            "2 times",
        ),
    ],
)
def test_turns_that_are_no_chat_are_refused(turns, message):
    tokenizer = chatting(CHAT)
    with pytest.raises(FuseError, match=message):
        Layout.read(turns, tokenizer)


def test_a_template_that_refuses_is_told_in_one_line():
    tokenizer = chatting("{{ raise_exception('no system turns here') }}")
    with pytest.raises(FuseError, match="chat template refuses the layout: no system turns here"):
        Layout.read(TURNS, tokenizer)


LAYOUTS = (
    "{prompt} {text} It was{answer}",
    "{text} {prompt}: It was{answer}",
    "Q: {text}\n{prompt}\nA:{answer}",
    "{text}\n\n({prompt}){answer}",
    "{text} {prompt}{answer}",
    "{text} -{prompt}\n{answer}",
)
examples = st.lists(
    st.tuples(
        st.text("abr'!. \n猫", min_size=1, max_size=8).map(str.strip),
        st.sampled_from([" red", "\nsea", " a b", "ß"]),
    ),
    min_size=1,
    max_size=3,
)


@pytest.fixture(scope="module")
def loaded(causal_folders):
    made = {}

    def get(name):
        if name not in made:
            made[name] = CausalLM(str(causal_folders[name]))
            made[name].load()
        return made[name]

    return get


@every_lm
@settings(max_examples=25, deadline=None)
@given(
    texts=st.lists(prompts, min_size=1, max_size=3),
    pairs=examples,
    layout=st.sampled_from(LAYOUTS),
)
def test_rows_are_the_tokens_of_their_whole_text(loaded, name, texts, pairs, layout):
    """Whether as ids or as text; and the pieces are where their texts stand."""
    model = loaded(name)
    term = Wanted(model, layout=layout)
    objective = Objective([term])
    objective.load()
    objective.set_targets([Target("one", metadata={"pairs": pairs})])
    states = objective.encode_prompts(texts)
    found = objective.prompts(states, [0] * len(states))
    rows = [row for row, canonical in enumerate(found.canonical) if canonical]
    assume(rows)
    found = found.select(rows)
    reading = term.read(found)
    tokenizer = model.tokenizer
    for row in range(len(reading)):
        text, answer = pairs[int(reading.example[row])]
        fields = {"text": text, "answer": answer}
        filled = term.form.fill(found.texts[int(reading.of[row])], fields)
        ids = reading.rows.ids[row][reading.rows.mask[row]].tolist()
        start = list(model.start_ids)
        plain = tokenizer(filled.text, return_offsets_mapping=True, add_special_tokens=False)
        whole = plain.input_ids if plain.input_ids[: len(start)] == start else None
        assert ids == (whole or [*start, *plain.input_ids])
        for piece, (first, last) in filled.spans.items():
            inside = reading.pieces[piece][row][reading.rows.mask[row]][len(ids) - len(plain[0]) :]
            for (a, b), here in zip(plain.offset_mapping, inside.tolist(), strict=True):
                overlaps = a < last and b > first and a < b and first < last
                # The space before a piece belongs to its first token.
                spaced = filled.text[first - 1 : first] == " " and (a, b) == (first - 1, first)
                assert here == overlaps or (here and spaced) or not filled.text[a:b].strip()


def test_rows_of_many_examples_are_read_as_ids(loaded):
    """Tokenizing every row's whole text would cost more than the network."""
    model = loaded("zoo")
    term = Labels(model, ["red", "blue"], layout="{text}\n{prompt}\nIt was{answer}")
    objective = Objective([term])
    objective.load()
    texts = [(f"a small {w} box", 0) for w in ("red", "blue", "large", "two")]
    objective.set_targets([Target("one", metadata={"examples": texts})])
    found = objective.prompts(objective.encode_prompts(["on the left", "a star"]), [0, 0])
    reading = term.read(found)
    assert reading.own is not None
    assert len(reading) == 2 * 4 * 2
    assert torch.equal(reading.rows.ids, term.read(found, ids=True).rows.ids)
