"""``fuse decode`` from words to files, with the zoo's models."""

import csv
import json
import re
import shlex
import signal
from pathlib import Path

import pytest
import yaml

from fuse_lightning.cli.decode import EXAMPLE, asked
from fuse_lightning.cli.decode_help import INTRODUCTION
from fuse_lightning.cli.decode_options import parse
from fuse_lightning.cli.decode_setup import property_of, streams, variants
from fuse_lightning.cli.help import HELP
from fuse_lightning.cli.main import main
from fuse_lightning.cli.named_configs import with_config_paths
from fuse_lightning.decoding import ContrastiveDecoder, DecodingOptions, Stream
from fuse_lightning.decoding.contrast import Contrast
from fuse_lightning.decoding.text_files import read_texts
from fuse_lightning.models import CausalLM

STREAMS = ["--a", "zoo/gpt2", "--b.prefix", "a lovely "]
SHORT = ["--max_new_tokens", "4"]
WRITE = [*STREAMS, "--weights", "2,-1", *SHORT]
TWO = ["--prompts", "photo of", "--prompts", "a small red"]


def found(run="logs/decode/version_0"):
    return read_texts(Path(run) / "texts.jsonl")


def rows(run="logs/decode/version_0"):
    with open(Path(run) / "prompts.csv") as file:
        return [*csv.DictReader(file)]


def test_texts_are_those_of_the_decoder_and_all_files_are_there(decode):
    code, out, err = decode(*WRITE, *TWO, "--samples", "2", "--alpha", ".01", "--top", "2")
    assert (code, err) == (0, [])
    model = CausalLM("zoo/gpt2")
    decoder = ContrastiveDecoder(
        [Stream(model), Stream(model, "a lovely ")], Contrast((2, -1), alpha=0.01), top=2
    )
    options = DecodingOptions(max_new_tokens=4, samples=2)
    assert found() == [*decoder.write(["photo of", "a small red"], options)]
    folder = Path("logs/decode/version_0")
    assert {each.name for each in folder.iterdir()} == {
        ".lock", "config.yaml", "prompts.csv", "report.html", "run.json", "texts.jsonl",
    }  # fmt: skip
    assert [(row["prompt"], row["texts"]) for row in rows()] == [
        ("photo of", "2"),
        ("a small red", "2"),
    ]
    one = [text for text in found() if text.prompt == "photo of"]
    mean = sum(text.divergence("kl") for text in one) / 2
    assert float(rows()[0]["kl"]) == pytest.approx(mean)
    assert "lovely" in (folder / "config.yaml").read_text()
    printed = "\n".join(out)
    assert "4 texts of 2 prompts, 16 tokens" in printed
    assert "KL(A‖B)" in printed
    assert str(folder) in printed
    # The page has at least one of the texts.
    assert "photo of" in (folder / "report.html").read_text()


def test_the_kept_options_write_the_same_texts_elsewhere(decode):
    assert decode(*WRITE, *TWO, "--print", "0")[0] == 0
    config = "logs/decode/version_0/config.yaml"
    assert decode("--config", config, "--out", "again")[0] == 0
    assert found("again") == found()
    # A second run has a folder of its own.
    assert decode("--config", config)[0] == 0
    assert found("logs/decode/version_1") == found()


def test_one_line_of_json_a_text_and_nothing_else(decode):
    code, out, err = decode(*WRITE, *TWO, "--json", "--top", "0")
    assert (code, err) == (0, [])
    assert [json.loads(line)["prompt"] for line in out] == [text.prompt for text in found()]
    assert len(out) == 2


def test_one_text_is_printed_as_it_is_written(decode):
    code, out, _ = decode(*WRITE, "--prompts", "photo of", "--stream", "true")
    assert code == 0
    assert not Path("logs").exists()
    decode(*WRITE, "--prompts", "photo of")
    assert "\n".join(out) == found()[0].text
    told = decode(*WRITE, *TWO, "--stream")[2]
    assert "stream prints one text, and 2 are asked for" in told[0]


def test_the_compared_streams_are_named(decode):
    out = decode(*WRITE[:-2], "--c.prefix", "a dark ", "--weights", "2,-1,0", "--compare", "C,A",
                 *SHORT, "--prompts", "photo of", "--prompts", "view of")[1]  # fmt: skip
    printed = "\n".join(out)
    assert "KL(C‖A) of a text" in printed
    assert "KL(A‖C)" in printed
    assert found()[0].pair == ("C", "A")


def test_the_empty_prompt_and_the_first_tokens_of_prompts(decode):
    decode(*WRITE, "--prompts", "", "--prompts", "a small red ball", "--prompt_tokens", "3")
    assert {text.prompt for text in found()} == {"", "a small red"}


def test_presets_layers_and_masks_are_taken(decode):
    words = ["--a", "zoo/gpt2", "--b.layers", "1", "--preset", "layers", "--alpha", ".3", *SHORT]
    assert decode(*words, "--prompts", "photo", "--temperature", "0")[0] == 0
    (text,) = found()
    assert text.weights == {"A": 1.0, "B": -1.0}
    assert json.loads(Path("logs/decode/version_0/run.json").read_text())["alpha"] == "0.3"


def test_a_run_goes_on_after_a_line_cut_short(decode):
    words = [*WRITE, *TWO, "--samples", "3"]
    decode(*words, "--out", "whole")
    decode(*words, "--out", "cut", "--batch_size", "2")
    file = Path("cut/texts.jsonl")
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:3]) + lines[3][:50])
    Path("cut/prompts.csv").unlink()
    code, _, err = decode("--resume", "cut", "--batch_size", "16")
    assert (code, err) == (0, [])
    keys = [(text.prompt_number, text.sample) for text in found("cut")]
    assert sorted(keys) == [(prompt, sample) for prompt in range(2) for sample in range(3)]
    by_key = {(text.prompt_number, text.sample): text.text for text in found("cut")}
    assert by_key == {(text.prompt_number, text.sample): text.text for text in found("whole")}
    assert [row["texts"] for row in rows("cut")] == ["3", "3"]
    # A run that is complete writes nothing twice, and may get more samples.
    assert decode("--resume", "cut")[0] == 0
    assert len(found("cut")) == 6
    assert decode("--resume", "cut", "--samples", "4")[0] == 0
    assert len(found("cut")) == 8
    assert decode("--resume", "cut")[0] == 0
    assert "samples is 2" in decode("--resume", "cut", "--samples", "2")[2][0]
    assert len(found("cut")) == 8
    # What was refused changed nothing.
    assert decode("--resume", "cut")[0] == 0


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (["--weights", "3,-1"], "weights is [[3.0, -1.0]], but was [[2.0, -1.0]]"),
        (["--b.prefix", "x"], "b.prefix is 'x', but was 'a lovely '"),
        (["--prompts", "x"], "prompts is"),
        (["--seed", "1"], "seed is 1, but was 0"),
        (["--out", "x"], "out is 'x'"),
        (["--overwrite"], "--overwrite"),
    ],
)
def test_a_run_goes_on_as_it_began(decode, change, told):
    decode(*WRITE, "--prompts", "a", "--out", "run")
    before = Path("run/texts.jsonl").read_bytes()
    code, _, err = decode("--resume", "run", *change)
    assert code == 2
    assert len(err) == 1
    assert told in err[0]
    assert Path("run/texts.jsonl").read_bytes() == before


def test_results_are_not_written_over_without_being_told(decode):
    decode(*WRITE, "--prompts", "a", "--out", "run")
    before = Path("run/texts.jsonl").read_bytes()
    code, _, err = decode(*WRITE, "--prompts", "b", "--out", "run")
    assert code == 2
    assert "texts.jsonl" in err[0]
    assert Path("run/texts.jsonl").read_bytes() == before
    assert decode(*WRITE, "--prompts", "b", "--out", "run", "--overwrite")[0] == 0
    assert [text.prompt for text in found("run")] == ["b"]


def test_what_is_found_stays_where_a_run_is_interrupted(decode, monkeypatch):
    write = ContrastiveDecoder.write

    def interrupted(self, *args, **options):
        for number, text in enumerate(write(self, *args, **options)):
            if number == 1:
                signal.raise_signal(signal.SIGINT)
            yield text

    # Jobs in the background of a shell ignore the signal from the beginning.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(ContrastiveDecoder, "write", interrupted)
            code, _, err = decode(*WRITE, *TWO, "--out", "a run")
    finally:
        signal.signal(signal.SIGINT, before)
    assert code == 130
    assert "1 text is in a run; go on with: fuse decode --resume 'a run'" in err[0]
    assert "Ctrl-C" in err[1]
    assert len(found("a run")) == 1
    assert decode("--resume", "a run")[0] == 0
    assert len(found("a run")) == 2


def test_an_option_that_is_wrong_leaves_no_folder(decode):
    assert decode(*WRITE, "--prompts", "a", "--a", "zoo/none")[0] == 2
    assert decode(*WRITE, "--prompts", "a", "--sort", "l2")[0] == 2
    assert decode(*WRITE, "--prompts", "a", "--b.layers", "7")[0] == 2
    assert not any(Path("logs").rglob("version_*"))


def test_given_texts_are_read(decode):
    Path("texts.jsonl").write_text(
        '{"prompt": "a", "text": " red ball"}\n{"prompt": "b", "text": " blue"}\n'
        '{"prompt": "a", "text": " green ball"}\n'
    )
    code, out, _ = decode(*STREAMS, "--score", "texts.jsonl", "--print", "1")
    assert code == 0
    assert [(text.prompt, text.sample, text.ended, dict(text.weights)) for text in found()] == [
        ("a", 0, "given", {}),
        ("b", 0, "given", {}),
        ("a", 1, "given", {}),
    ]
    assert [(row["prompt"], row["texts"]) for row in rows()] == [("a", "2"), ("b", "1")]
    assert "3 texts of 2 prompts" in "\n".join(out)
    # It goes on where it was cut, too.
    file = Path("logs/decode/version_0/texts.jsonl")
    whole = file.read_bytes()
    file.write_bytes(whole[: whole.index(b"\n") + 20])
    assert decode("--resume", "logs/decode/version_0")[0] == 0
    assert [(text.prompt, text.sample, text.text) for text in found()] == [
        ("a", 0, " red ball"),
        ("b", 0, " blue"),
        ("a", 1, " green ball"),
    ]


def test_lines_without_prompts_are_texts_of_their_own(decode):
    Path("texts.txt").write_text("a red ball\na red ball\n")
    assert decode(*STREAMS, "--score", "texts.txt", "--json")[0] == 0
    assert [(text.prompt, text.prompt_number) for text in found()] == [("", 0), ("", 1)]


def test_a_sweep_counts_a_property_along_a_path(decode):
    words = [*STREAMS, *SHORT, "--preset", "amplification", "--sweep", "0,1,2"]
    code, out, _ = decode(
        *words, *TWO, "--samples", "4", "--property.pattern", "a|e", "--at", "-0.5", "--print", "0"
    )
    assert code == 0
    texts = found()
    told = json.loads(Path("logs/decode/version_0/sweep.json").read_text())
    for amount, rate in zip((0, 1, 2), told["rates"], strict=True):
        some = [text.text for text in texts if text.weights == {"A": 1 + amount, "B": -amount}]
        assert (rate["amount"], rate["texts"]) == (amount, 8)
        assert rate["hits"] == sum("a" in text or "e" in text for text in some)
    assert told["wanted"] == -0.5
    assert '<svg class="rates"' in Path("logs/decode/version_0/report.html").read_text()
    assert len(rows()) == 6
    printed = "\n".join(out)
    assert "amount" in printed
    assert "3, -2" in printed


def test_weights_are_swept_together(decode):
    words = [*STREAMS, *SHORT, "--sweep", "1,0;2,-1", "--prompts", "a", "--json"]
    assert decode(*words)[0] == 0
    assert [dict(text.weights) for text in found()] == [{"A": 1, "B": 0}, {"A": 2, "B": -1}]
    assert not Path("logs/decode/version_0/sweep.json").exists()


def test_samples_of_a_alone_are_said_to_tell_the_divergence_of_texts(decode):
    told = "The texts are samples of A"
    assert told in "\n".join(decode(*STREAMS, *SHORT, "--weights", "1,0", "--prompts", "a")[1])
    cold = [*STREAMS, *SHORT, "--weights", "1,0", "--prompts", "a", "--temperature", ".5"]
    assert told not in "\n".join(decode(*cold)[1])
    assert told not in "\n".join(decode(*WRITE, "--prompts", "a")[1])


def test_the_most_divergent_texts_are_printed(decode):
    out = decode(*WRITE, *TWO, "--print", "1", "--sort", "js")[1]
    best = max(found(), key=lambda text: text.divergence("js"))
    assert [line for line in out if line.startswith("prompt ")] == [
        f"prompt {best.prompt_number}, sample 0: {best.prompt}"
    ]
    assert any("Jensen-Shannon" in line for line in out)
    first = decode(*WRITE, *TWO, "--print", "1", "--sort", "none")[1]
    assert [line for line in first if line.startswith("prompt ")] == [
        "prompt 0, sample 0: photo of"
    ]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (WRITE, "no prompts"),
        ([*WRITE, "--prompts", "none.txt"], "'none.txt'"),
        ([*STREAMS, "--prompts", "a"], "--weights"),
        ([*WRITE, "--prompts", "a", "--property.pattern", "x"], "--sweep"),
        ([*WRITE, "--prompts", "a", "--at", "1"], "at is 1"),
        ([*WRITE, "--prompts", "a", "--print", "-1"], "print is -1"),
        ([*WRITE, "--prompts", "a", "--json", "--stream"], "--stream and --json"),
        ([*STREAMS, "--score", "none.csv"], "'none.csv'"),
        ([*STREAMS, "--score", "a.txt", "--prompts", "a"], "--prompts=null"),
        (["--resume", "none"], "'none' holds no config.yaml"),
        (["--resume"], "holds no config.yaml"),
        ([*WRITE, "--prompts", "a", "--b", "zoo/instruct"], "tokenizers"),
        (
            [*STREAMS, "--sweep", "1,0;2,-1;3,-1", "--prompts", "a", "--property.pattern", "x"],
            "one line",
        ),
        (
            [*STREAMS, *SHORT, "--preset", "amplification", "--sweep", "0,1", "--prompts", "a",
             "--property.classifier", "zoo/sentiment", "--property.label", "odd"],
            "'odd'",
        ),
    ],
)  # fmt: skip
def test_bad_input_is_told_in_one_line_and_writes_nothing(decode, words, told):
    code, out, err = decode(*words)
    assert (code, out, len(err)) == (2, [], 1), err
    assert told in err[0]
    assert not any(Path("logs").rglob("version_*"))


@pytest.mark.parametrize("name", ["decode", "decode_smollm2"])
def test_files_of_options_are_read(name):
    path = Path(__file__).parents[2] / "configs" / f"{name}.yaml"
    request = asked(parse(["--config", str(path), "--prompts", "a"]))
    assert {each.model for each in request.streams} == {
        part.get("model", yaml.safe_load(path.read_text())["a"]["model"])
        for part in (yaml.safe_load(path.read_text())[letter] for letter in "ab")
    }


def commands():
    """Words of the commands that pages and the help show."""
    root = Path(__file__).parents[2]
    pages = [root / "README.md", root / "docs" / "decoding.md", *root.glob("configs/decode*.yaml")]
    for text in (HELP, INTRODUCTION, *(page.read_text() for page in pages)):
        joined = re.sub(r"\\\n#?\s*", "", text)
        for found in re.findall(r"fuse decode (-(?:(?! {2})[^`\n])*)", joined):
            words = shlex.split(found, comments=True)
            if (
                "[--b" not in words
                and "..." not in words
                and "--resume" not in words
                and not {"--help", "--help-all"} & {*words}
            ):
                yield tuple(with_config_paths(words))


@pytest.mark.parametrize("words", sorted({*commands()}), ids=" ".join)
def test_commands_of_the_pages_are_understood(words):
    parsed = parse(words)
    found = variants(parsed.settings)
    assert len(streams(parsed, found and len(found.contrast.weights))) > 1
    property_of(parsed.property)


def test_the_report_of_a_search_says_where_the_page_of_texts_is(decode, capsys):
    decode(*WRITE, "--prompts", "a", "--out", "run")
    with pytest.raises(SystemExit, match="2"):
        main(["report", "run"])
    assert "texts of fuse decode, whose page is report.html" in capsys.readouterr().err


def test_help_names_the_options(decode):
    code, out, _ = decode("--help")
    printed = "\n".join(out)
    assert code == 0
    assert "fuse decode --resume" in printed
    assert "--mask_top_p" in printed
    assert "--b.prefix" in printed


def test_it_is_said_which_models_the_streams_are(decode):
    line = "A is zoo/gpt2; B is zoo/gpt2, prefix 'a '"
    _, out, _ = decode("--a", "zoo/gpt2", "--b.prefix", "a ", "--weights", "2,-1", *SHORT,
                       "--prompts", "", "--out", "run")  # fmt: skip
    assert out[0] == line
    assert "prompt 0, sample 0: (the empty prompt)" in out
    assert any("run/report.html" in each for each in out)
    assert line.replace("'", "&#39;") in Path("run/report.html").read_text()


def test_without_words_an_example_is_given(decode):
    code, _, errors = decode()
    assert code == 2
    assert EXAMPLE in errors[0]
    assert "--help" in errors[0]
    assert parse(shlex.split(EXAMPLE)[2:]).settings.prompts == "a picture of"
