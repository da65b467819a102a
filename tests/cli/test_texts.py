"""Texts, names and labels reach the search as they stand, from the command line and from YAML."""

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jsonargparse import ActionConfigFile

from fuse_lightning.cli.main import main
from fuse_lightning.cli.texts import TextParser, attached, is_list, plain
from fuse_lightning.data import TargetDataModule
from fuse_lightning.errors import FuseError
from fuse_lightning.optimizers import PromptOptimizer

ODD = (
    "Write a poem: short",
    "- a",
    "- a\n- b\n",
    "# Title",
    "null",
    "Null",
    "~",
    "true",
    "no",
    "1e3",
    "5",
    "{}",
    "{a: b}",
    "{a}",
    "[MASK] is a [MASK]",
    "[a",
    "'q'",
    '"q"',
    "*a",
    "&a",
    "!x",
    "@",
    "?",
    "%",
    "-x",
    "--x",
    "---",
    "...",
    "",
    " ",
    "a\nb: c",
    "a=b",
    "photo: 1.png",
    "config.yaml",
    "==UNSET==",
    "${x}",
)
MODEL = {
    "class_path": "AutoDAN",
    "init_args": {
        "terms": [
            {"class_path": "Fluency", "init_args": {"model": "zoo/gpt2"}},
            {"class_path": "Sentiment", "init_args": {"model": "zoo/sentiment"}},
        ]
    },
}
texts = st.text(st.characters(exclude_categories=("Cs",))) | st.sampled_from(ODD)


@pytest.fixture(scope="module")
def parser():
    parser = TextParser(exit_on_error=False)
    parser.add_argument("--config", action=ActionConfigFile)
    parser.add_lightning_class_args(PromptOptimizer, "model", subclass_mode=True, required=False)
    parser.add_lightning_class_args(TargetDataModule, "data", subclass_mode=True, required=False)
    return parser


def parsed(parser, *words):
    """What the command line gives; also once it was written as a run's configuration and read."""
    found = plain(parser.parse_args(attached(words)))
    Path("again.yaml").write_text(parser.dump(found, skip_none=False), encoding="utf-8")
    again = plain(parser.parse_args(["--config", "again.yaml"]))
    again.pop("config")
    found.pop("config")
    assert again == found
    return found


def data(parser, *words, kind="TextTargets"):
    return parsed(parser, f"--data={kind}", *words).data.init_args


def configured(parser, values, kind="TextTargets"):
    """The same by a YAML file."""
    content = {"data": {"class_path": kind, "init_args": values}}
    Path("given.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return parsed(parser, "--config", "given.yaml").data.init_args


@settings(max_examples=40)
@given(texts)
@example("[a, b]")
def test_any_text_is_taken_as_it_stands(parser, text):
    check(parser, text)


@pytest.mark.parametrize("text", ODD)
def test_a_text_that_looks_like_yaml_is_taken_as_it_stands(parser, text):
    check(parser, text)


def check(parser, text):
    assert configured(parser, {"texts": text}).texts == text
    assert configured(parser, {"texts": [text, "b"]}).texts == [text, "b"]
    if text == "--" or is_list(text):
        return
    found = data(parser, f"--data.texts={text}").texts
    assert found == text
    assert type(found) is str
    found = data(parser, "--data.texts=a", f"--data.texts+={text}").texts
    assert found == ["a", text]
    if not text.startswith("--"):
        assert data(parser, "--data.texts", text).texts == text


def test_a_list_stands_in_brackets_or_is_given_by_repeating_the_option(parser):
    assert data(parser, "--data.texts", '[a, "b: c"]').texts == ["a", "b: c"]
    assert data(parser, "--data.texts+=a", "--data.texts+=b").texts == ["a", "b"]
    assert data(parser, "--data.texts+=a", "--data.texts+=[b, c]").texts == ["a", "b", "c"]
    assert configured(parser, {"texts": ["- a", "null"]}).texts == ["- a", "null"]


@pytest.mark.parametrize("style", ["|", "|-", ">"])
def test_a_block_is_one_text(parser, style):
    Path("given.yaml").write_text(
        f"data:\n  class_path: TextTargets\n  init_args:\n    texts: {style}\n"
        "      - first\n      - second\n"
    )
    found = parsed(parser, "--config", "given.yaml").data.init_args.texts
    end = "" if style == "|-" else "\n"
    assert found == ("- first - second" if style == ">" else "- first\n- second") + end


@settings(max_examples=20)
@given(texts.filter(lambda text: text != "--" and not is_list(text)))
def test_so_is_every_other_text(parser, text):
    Path("model.yaml").write_text(yaml.safe_dump({"model": MODEL}), encoding="utf-8")
    options = ("prefix", "suffix")
    words = [f"--model.terms.{name}={text}" for name in options]
    term = parsed(parser, "--config", "model.yaml", *words).model.init_args.terms[1].init_args
    assert [term[name] for name in options] == [text, text]
    model = parsed(
        parser,
        "--config",
        "model.yaml",
        "--model.constraints.block+=a",
        f"--model.constraints.block+={text}",
        f"--model.constraints.allow+={text}",
    ).model.init_args
    assert model.constraints.block == ["a", text]
    assert model.constraints.allow == [text]
    found = data(parser, f"--data.images={text}", "--data.sentiment+=x", kind="SentimentTargets")
    # For what may be none, this is the word for it.
    assert found.images == (None if text == "null" else text)
    found = configured(parser, {"images": text, "sentiment": [text]}, "SentimentTargets")
    assert (found.images, found.sentiment) == (text, [text])


@pytest.mark.parametrize("text", ["a: b", "- a", "# a", "null", "1e3", "a\n- b"])
def test_a_prompt_to_start_from_is_a_text_or_a_captioner(parser, text):
    Path("model.yaml").write_text(yaml.safe_dump({"model": MODEL}))
    found = parsed(parser, "--config", "model.yaml", f"--model.initial_prompt={text}")
    assert found.model.init_args.initial_prompt == text
    captioner = "{class_path: CaptionModel, init_args: {model_id: a}}"
    found = parsed(parser, "--config", "model.yaml", f"--model.initial_prompt={captioner}")
    assert found.model.init_args.initial_prompt.init_args.model_id == "a"


def test_other_values_are_read_as_before(parser):
    Path("model.yaml").write_text(yaml.safe_dump({"model": MODEL}))
    found = parsed(
        parser,
        "--config",
        "model.yaml",
        "--model.steps=3",
        "--model.patience=null",
        "--model.stop_loss=1e-3",
        "--model.rescore=false",
        "--model.terms.weight=2",
        "--model.terms.name=null",
    ).model.init_args
    assert (found.steps, found.patience, found.stop_loss, found.rescore) == (3, None, 1e-3, False)
    assert (found.terms[1].init_args.weight, found.terms[1].init_args.name) == (2, None)
    found = data(parser, "--data.images=a.png", "--data.limit=null", kind="ImageTargets")
    assert (found.images, found.limit) == ("a.png", None)


def test_numbers_may_stand_in_quotes(parser):
    model = {"class_path": "CausalLM", "init_args": {"model_id": "a", "device_map": {"b": "0"}}}
    options = {
        "steps": "3",
        "stop_loss": "1e-3",
        "patience": "null",
        "constraints": {"block": ["1"]},
    }
    terms = [{"class_path": "Fluency", "init_args": {"model": model, "weight": "2"}}]
    content = {"model": {"class_path": "AutoDAN", "init_args": {"terms": terms, **options}}}
    Path("model.json").write_text(json.dumps(content))
    found = parsed(parser, "--config", "model.json").model.init_args
    assert (found.steps, found.stop_loss, found.patience) == (3, 1e-3, None)
    assert found.constraints.block == ["1"]
    (term,) = found.terms
    assert term.init_args.weight == 2
    assert term.init_args.model.init_args.device_map in ({"b": 0}, {"b": "0"})


def test_two_dashes_are_refused_and_not_lost(parser):
    with pytest.raises(FuseError, match=r"--data.texts cannot be '--'.*YAML"):
        data(parser, "--data.texts=--")


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("no", "expected str or list, got 'False'"),
        ("1.5", "expected str or list, got '1.5'"),
        ("[no, on]", "expected str"),
    ],
)
def test_what_yaml_reads_as_no_text_is_to_be_quoted(value, told, capsys):
    Path("run.yaml").write_text(
        f"{{model: {{class_path: PEZ, init_args: {{terms: []}}}}, "
        f"data: {{class_path: TextTargets, init_args: {{texts: {value}}}}}}}"
    )
    with pytest.raises(SystemExit, match="2"):
        main(["fit", "--config", "run.yaml"])
    error = capsys.readouterr().err.splitlines()[-1]
    assert told in error
    assert "in quotes" in error
