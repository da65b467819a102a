"""Portable prompts hold what the search's model reads; one file of each kind for each target."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from fuse_lightning.callbacks import PortablePrompts, PromptWriter
from fuse_lightning.callbacks.portable import portable
from fuse_lightning.data import Target
from fuse_lightning.errors import FuseError
from fuse_lightning.models import CausalLM
from fuse_lightning.objectives import Classification, Fluency, Objective, Reasoning
from fuse_lightning.results.portable import FILES, files
from fuse_lightning.results.portable_reasoning import FILES as REASONING
from fuse_lightning.results.result import Result
from fuse_lightning.results.run_folder import RunFolder
from tests.callbacks.stubs import Idle, trainer

CHAT = (
    "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}</>\n"
    "{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
)
TURNS = [
    {"role": "system", "content": "You {{judge}}."},
    {"role": "user", "content": "{prompt}\n{text}"},
    {"role": "assistant", "content": "It was {answer}"},
]


def target(name="moods", **changes):
    examples = [{"text": "a {red} star", "label": "good"}, {"text": "mud", "label": "bad"}]
    labels = {"good": ["fine", "nice"], "bad": ["grim"]}
    return Target(name, **{"examples": examples, "test": examples, "labels": labels, **changes})


def result(name, prompt, rank=1):
    return Result(name, prompt, [1], 1.0, {}, 1, 0, 1.0, rank)


def loaded(layout, **options):
    model = CausalLM("zoo/gpt2")
    model.load("cpu")
    model.tokenizer.chat_template = CHAT
    term = Classification(model, layout, **options)
    objective = Objective([term])
    objective.load("cpu")
    return objective, term


@pytest.mark.parametrize(
    "layout", ["{prompt} {text} It was {answer}", "{text} {{?}} {prompt}{answer}", TURNS]
)
def test_a_template_is_what_the_model_reads_before_the_answer(layout):
    objective, term = loaded(layout)
    found = target()
    objective.set_targets([found])
    text = files(portable(term, found, "the {mood}"))["prompt.template.txt"]
    for number, example in enumerate(found.examples):
        fields = {**term.contents(0, number)[0], "answer": ""}
        assert text.format(**example) == term.form.fill("the {mood}", fields).text


def test_a_chat_keeps_its_turns_and_the_beginning_of_an_answer():
    _, term = loaded(TURNS)
    messages = json.loads(files(portable(term, target(), "mood:"))["chat.json"])
    assert messages == [
        {"role": "system", "content": "You {{judge}}."},
        {"role": "user", "content": "mood:\n{text}"},
        {"role": "assistant", "content": "It was"},
    ]
    _, term = loaded([TURNS[1], {"role": "assistant", "content": "{answer}"}])
    messages = json.loads(files(portable(term, target(), "mood:"))["chat.json"])
    assert [each["role"] for each in messages] == ["user"]


def test_words_of_the_term_stand_for_those_of_the_data():
    _, term = loaded("{prompt} {text}{answer}", words={"good": "great", "bad": ["bad", "poor"]})
    assert portable(term, target(), "").words == {"good": ["great"], "bad": ["bad", "poor"]}


def write(objective, targets, results, *, rank=0, **options):
    """What a run writes into its folder."""
    fit = trainer(rank=rank, targets=["one"])
    fit.datamodule.targets = targets
    path = Path("run")
    path.mkdir(exist_ok=True)
    writer = PromptWriter()
    writer.files = SimpleNamespace(folder=RunFolder(path))
    fit.callbacks = [writer]
    PortablePrompts(**options).on_fit_end(fit, Idle(*results, objective=objective))
    return sorted(each.relative_to(path).as_posix() for each in path.rglob("*") if each.is_file())


def reasoning(layout):
    model = CausalLM("zoo/gpt2")
    model.load("cpu")
    model.tokenizer.chat_template = CHAT
    objective = Objective([Reasoning(model, layout, max_chain_tokens=5)])
    objective.load("cpu")
    return objective


@pytest.mark.parametrize(
    "layout",
    [
        None,
        "{question} {{?}} {prompt}\n",
        [TURNS[0], {"role": "user", "content": "{prompt}\n{question}"}],
    ],
)
def test_a_prompt_for_questions_is_what_the_model_reads_before_its_chain(layout):
    objective = reasoning(layout)
    rows = [{"question": "two {and} two?", "label": "4"}]
    found = Target("sums", examples=rows, test=rows, answer="number", extractor=" So")
    assert write(objective, [found], [result("sums", "the {way}")]) == sorted(REASONING)
    term = objective.terms[0]
    fields = {**rows[0], "answer": ""}
    text = Path("run/prompt.template.txt").read_text()
    assert text.format(**rows[0]) == term.form.fill("the {way}", fields).text
    told = json.loads(Path("run/reasoning.json").read_text())
    assert (told["extractor"], told["answer"], told["max_chain_tokens"]) == (" So", "number", 5)
    messages = json.loads(Path("run/chat.json").read_text())
    assert "the {way}" in messages[-1]["content"].format(**rows[0])


@pytest.fixture(scope="module")
def objective():
    return loaded("{prompt} {text} It was {answer}")[0]


def test_the_best_prompt_of_one_target_lies_in_the_folder(objective, capsys):
    plain = Target("star", text="a star")
    results = [result("moods", "mood:"), result("moods", "second", rank=2), result("star", "x")]
    assert write(objective, [target(), plain], results) == sorted(FILES)
    assert Path("run/prompt.txt").read_text() == "mood:"
    assert "prompt.txt" in capsys.readouterr().out


def test_several_targets_have_a_folder_each(objective):
    targets = [target("moods"), target("../Moods"), target("none yet")]
    results = [result("moods", "one"), result("../Moods", "two")]
    found = write(objective, targets, results)
    folders = {Path(each).parent.as_posix() for each in found}
    assert len(folders) == 2
    assert all(each.startswith("portable/") for each in folders)
    texts = {Path("run", each, "prompt.txt").read_text() for each in folders}
    assert texts == {"one", "two"}


def test_a_new_run_neither_takes_nor_leaves_the_files_of_another(objective):
    targets = [target("moods"), target("more")]
    found = write(objective, targets, [result("moods", "one"), result("more", "two")])
    folder = RunFolder(Path("run"))
    with pytest.raises(FuseError, match="would write over"):
        folder.check_free()
    Path("run/portable/moods/own.txt").write_text("mine")
    folder.clear()
    left = [each for each in Path("run").rglob("*") if each.is_file()]
    assert left == [Path("run/portable/moods/own.txt")]
    assert len(found) == 2 * len(FILES)


@pytest.mark.parametrize("case", ["fluency", "off", "second device", "no target", "no writer"])
def test_nothing_is_written_where_there_is_nothing_to_write(objective, case):
    other = objective if case != "fluency" else Objective([Fluency("zoo/gpt2")])
    targets = [target() if case != "no target" else Target("moods", text="a")]
    options = {"enabled": False} if case == "off" else {}
    if case == "no writer":
        fit = trainer(targets=["one"])
        fit.datamodule.targets, fit.callbacks = targets, []
        PortablePrompts().on_fit_end(fit, Idle(result("moods", "a"), objective=objective))
        assert not Path("run").exists()
        return
    rank = int(case == "second device")
    assert write(other, targets, [result("moods", "a")], rank=rank, **options) == []


def test_a_file_that_cannot_be_written_is_named(objective):
    Path("run/prompt.txt").mkdir(parents=True)
    with pytest.raises(FuseError, match=r"prompt\.txt' cannot be written .* in prompts\.jsonl"):
        write(objective, [target()], [result("moods", "a")])
