"""Messages of commands name options as they are typed, those of functions as arguments."""

import re
import shutil
from pathlib import Path

import pytest

from fuse_lightning.cli.main import main
from fuse_lightning.cli.zoo import scenes
from fuse_lightning.data import ImageTargets
from fuse_lightning.decoding import DecodingOptions
from fuse_lightning.errors import FuseError
from fuse_lightning.inversion import invert


def refused(capsys, *words):
    """The line of a command that is refused."""
    with pytest.raises(SystemExit, match="2"):
        main([*words])
    (line,) = capsys.readouterr().err.strip().splitlines()
    return line


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["invert", "--text", "a", "--top", "0"], "--top is 0"),
        (["invert", "--text", "a", "--weight", "flow=2"], "--weight 'flow' is of no term"),
        (
            ["invert", "--text", "a", "--preset", "clip", "--writer", "zoo/gpt2"],
            "--writer is of no",
        ),
        (["invert", "--text", "a", "--sidecar"], "leave --sidecar out"),
        (["decode", "--a", "zoo/gpt2", "--samples", "few"], "option --samples: expected int"),
        (["zoo", "sums", "--out", "a.csv", "--count", "0"], "--count is 0"),
        (["zoo", "train", "--jobs", "0", "--models", "[clip]"], "--jobs is 0"),
        (
            ["decode", "--a", "zoo/gpt2", "--weights", "1", "--prompts", "a", "--seed", "-1"],
            "--seed is -1",
        ),
    ],
)
def test_a_command_names_options_as_they_are_typed(words, named, capsys):
    assert named in refused(capsys, *words)


def test_a_function_names_its_arguments():
    with pytest.raises(FuseError, match=r"^top is 0"):
        invert("a", top=0)
    with pytest.raises(FuseError, match=r"leave sidecar out"):
        invert("a", sidecar=True)
    with pytest.raises(FuseError, match=r"^seed is -1"):
        DecodingOptions(seed=-1)


def test_the_words_of_a_command_do_not_stay_behind(capsys):
    refused(capsys, "invert", "--text", "a", "--top", "0")
    with pytest.raises(FuseError, match=r"^top is 0"):
        invert("a", top=0)


def test_the_number_of_foreign_pictures_is_told(capsys):
    scenes(Path("mixed"), 1, 5)
    Path("mixed/metadata.jsonl").unlink()
    for number in range(7):
        shutil.copy(Path(__file__).parents[2] / "docs/verdict.png", f"mixed/table-{number}.png")
    main(["invert", "mixed", "--preset", "clip", "--steps", "1", "--top", "1"])
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("7 pictures are no drawn scenes ('mixed/table-0.png', ")
    assert "'mixed/table-4.png' and 2 more)" in line
    assert "give another model as --clip, or --models hub" in line


def test_sidecars_are_counted_and_are_no_strays(capsys):
    scenes(Path("pair"), 2, 5)
    Path("pair/metadata.jsonl").unlink()
    Path("pair/readme.txt").write_text("about")
    words = ["invert", "pair", "--preset", "clip", "--steps", "1", "--top", "1", "--sidecar"]
    main(words)
    told = capsys.readouterr().err
    assert "wrote 2 prompts as texts beside the pictures in 'pair'" in told
    assert "folder 'pair': 1 left out: 'readme.txt'" in told
    main(words)
    told = capsys.readouterr().err
    assert "folder 'pair': 1 left out: 'readme.txt'" in told
    assert "wrote" not in told
    assert "2 texts beside pictures are there already and stay" in told
    assert "; --force replaces what is there" in told
    main([*words, "--force"])
    assert "wrote 2 prompts as texts beside" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("header", "reader"),
    [
        ("text,label", "labelled texts, which LabelledExamples reads"),
        ("question,answer", "questions with answers, which ReasoningExamples reads"),
        ("id,prompt", "texts, which TextTargets reads"),
    ],
)
def test_a_table_without_pictures_says_who_reads_it(header, reader):
    Path("table.csv").write_text(f"{header}\na,b\n")
    told = f"it seems to hold {reader}"
    with pytest.raises(FuseError, match=rf"{re.escape(told)}.*give data\.image_column one of"):
        ImageTargets("table.csv").all_targets()


def test_a_text_given_as_a_picture_says_who_reads_it():
    Path("lines.txt").write_text("a red star\n")
    with pytest.raises(FuseError, match="it is a text, which TextTargets reads"):
        ImageTargets("lines.txt").find_targets()


LACKING = """
from fuse_lightning.data import TargetDataModule
from fuse_lightning.evaluation import Measure
from fuse_lightning.objectives import CausalTerm
from fuse_lightning.optimizers import PromptOptimizer
from fuse_lightning.search import Frontier

class Data(TargetDataModule): ...
class Own(PromptOptimizer): ...
class Loss(CausalTerm): ...
class Front(Frontier): ...
class Figure(Measure): ...
"""
MEASURES = '{"class_path": "Evaluation", "init_args": {"measures": [{"class_path": "%s"}]}}'


@pytest.mark.parametrize(
    ("words", "lacks"),
    [
        (["--data", "lacking.Data"], "lacking.Data lacks the method all_targets, which a Target"),
        (["--model", "lacking.Own"], "lacking.Own lacks the method propose"),
        (["--model.terms+=lacking.Loss"], "lacking.Loss lacks the method loss"),
        (
            ["--trainer.callbacks+=lacking.Front"],
            "option trainer.callbacks: lacking.Front lacks the methods expand and update",
        ),
        (
            [f"--trainer.callbacks+={MEASURES % 'lacking.Figure'}"],
            "option trainer.callbacks.evaluation.measures: lacking.Figure lacks the "
            "methods metric and update",
        ),
        (["--data", "TargetDataModule"], "TargetDataModule is a class to derive from"),
    ],
)
def test_a_class_without_its_methods_is_told_which(words, lacks, capsys):
    Path("lacking.py").write_text(LACKING)
    with pytest.raises(SystemExit, match="2"):
        main(["fit", "--config", "quickstart", *words])
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert lacks in line
    assert "as docs/add_your_own.md shows" in line
