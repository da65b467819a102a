"""Options of ``fuse decode``: words, short forms, files of options."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from fuse_lightning.cli.decode_options import expanded, parse, parser
from fuse_lightning.cli.texts import is_list
from fuse_lightning.errors import FuseError

WORDS = ["--a", "zoo/gpt2", "--b.prefix", "x", "--weights", "-1,2", "--prompts", "a"]


def refused(words):
    with pytest.raises(FuseError) as caught:
        parse(words)
    line = str(caught.value)
    assert "\n" not in line
    return line


def test_values_may_begin_with_a_dash():
    found = parse(WORDS)
    assert found.settings.weights == "-1,2"
    assert found.streams == {"a": {"model": "zoo/gpt2"}, "b": {"prefix": "x"}}


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=2))
def test_texts_that_are_given_again_are_one_list(texts):
    # A list in brackets is a list of texts.
    plain = [text for text in texts if not text.startswith("[")]
    (word,) = expanded(word for text in [*plain, "a", "b"] for word in (f"--prompts={text}",))
    value = word.removeprefix("--prompts=")
    assert is_list(value)
    assert yaml.safe_load(value) == [*plain, "a", "b"]


@pytest.mark.parametrize("text", ["", " ", "null", "1e3", "2,-1", "{a: b}", "yes", "-x", "=", "é"])
def test_one_prompt_is_taken_as_it_stands(text):
    wanted = None if text == "null" else text
    found = parse([*WORDS[:-1], text, f"--b.system={text}"])
    assert found.settings.prompts == wanted
    assert found.streams["b"].get("system") == wanted
    assert parse([*WORDS, "--prompts", text]).settings.prompts == ["a", text]


def test_switches_need_no_value():
    found = parse([*WORDS, "--json", "--b.chat", "--b.system", "s", "--stream", "false"])
    assert found.settings.json
    assert not found.settings.stream
    assert found.streams["b"] == {"chat": True, "system": "s", "prefix": "x"}
    assert expanded(["--help"]) == ["--help"]


def test_options_that_are_given_again_are_lists():
    found = parse([*WORDS, "--stop", ".", "--stop", '["!", "?"]'])
    assert found.writing.stop == (".", "!", "?")
    assert parse([*WORDS, "--stop", "."]).writing.stop == (".",)


def test_a_file_of_options_says_the_same_as_words():
    Path("run.yaml").write_text(
        "a: {model: zoo/gpt2}\nb:\n  prefix: x\n  layers: [1, 2]\nweights: [-1, 2]\n"
        "prompts: [a, 'b c']\nsamples: 3\nproperty: {pattern: '^a'}\n"
    )
    found = parse(["--config", "run.yaml", "--samples", "4"])
    assert found.streams["b"] == {"prefix": "x", "layers": (1, 2)}
    assert found.settings.weights == [-1, 2]
    assert found.settings.prompts == ["a", "b c"]
    assert found.writing.samples == 4
    assert found.property.pattern == "^a"


def test_the_kept_options_say_the_same_from_another_folder(monkeypatch):
    Path("prompts.txt").write_text("one\n")
    Path("model").mkdir()
    words = ["--a", "model", "--b.towards", "model", "--weights", "2,-1", "--sweep", "1,0;2,-1"]
    words += ["--prompts", "prompts.txt", "--prompts", "model", "--stop", "null x", "--out", "o"]
    first = parse([*words, "--json", "--temperature", ".5"])
    Path("kept.yaml").write_text(first.config)
    kept = Path("kept.yaml").resolve()
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    again = parse(["--config", str(kept)])
    assert again.streams == first.streams
    assert Path(again.streams["a"]["model"]).is_dir()
    assert Path(again.settings.prompts[0]).read_text() == "one\n"
    # It is a text, and no data set.
    assert again.settings.prompts[1] == "model"
    assert again.writing == first.writing
    assert (again.settings.sweep, again.settings.out, again.settings.json) == (
        "1,0;2,-1", None, False,
    )  # fmt: skip
    assert again.config == first.config


def test_every_option_can_be_printed(capsys):
    with pytest.raises(SystemExit) as end:
        parse([*WORDS, "--print_config"])
    assert end.value.code == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    assert printed["a"]["model"] == "zoo/gpt2"
    assert printed["weights"] == "-1,2"


def test_every_option_has_a_help():
    silent = [
        action.dest
        for action in parser()._actions
        if not action.help or action.help.startswith("(type")
    ]
    assert silent == []


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--nono", "1"], ["--nono"]),
        (["--b.nono", "1"], ["--b.nono"]),
        (["--samples", "few"], ["samples", "'few'"]),
        (["--samples", "0"], ["samples is 0", "1 or more"]),
        (["--b.quantization", "2bit"], ["b.quantization", "'2bit'"]),
        (["--gate", "x"], ["gate", "'x'", "cosine"]),
        (["word"], ["word"]),
        (["--b.prefix", "\udce9"], ["b.prefix is '\\udce9'", "no Unicode"]),
        (["--stop", "\udce9"], ["stop", "no Unicode"]),
        (["--config", "none.yaml"], ["none.yaml", "does not exist"]),
        (["--config", "broken.yaml"], ["broken.yaml", "options of fuse decode"]),
        (["--config", "."], ["folder", "options of fuse decode"]),
        (["--config", "other.yaml"], ["'nono'"]),
        (["--config", "short.yaml"], ["option --b is 'zoo/gpt2'", "b: {model: zoo/gpt2}"]),
        (["--temperature", "0", "--samples", "2"], ["samples is 2", "temperature"]),
    ],
)
def test_bad_options_are_told_in_one_line(more, told):
    Path("broken.yaml").write_text("a: [\n")
    Path("short.yaml").write_text("b: zoo/gpt2\n")
    Path("other.yaml").write_text("nono: 1\n")
    line = refused([*WORDS, *more])
    assert [part for part in told if part not in line] == [], line


@pytest.mark.parametrize(
    ("word", "meant"),
    [("--promts=x", "--prompts"), ("--weight=2,-1", "--weights"), ("--b.prefx=a", "--b.prefix")],
)
def test_a_mistyped_option_is_guessed(word, meant):
    with pytest.raises(FuseError, match=rf"did you mean {meant}\?$"):
        parse([*WORDS, word])


def test_no_option_is_guessed_far_off():
    with pytest.raises(FuseError) as error:
        parse([*WORDS, "--bogus", "3"])
    assert "did you mean" not in str(error.value)
