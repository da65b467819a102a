"""Every command of the README and of the pages is understood, and the quick ones run."""

import json
from pathlib import Path

import pytest
from PIL import Image

from fuse_lightning.cli import invert
from fuse_lightning.cli.decode_options import parse as parse_decode
from fuse_lightning.cli.diff_options import parse as parse_diff
from fuse_lightning.cli.main import main
from fuse_lightning.cli.named_configs import shipped_configs, with_config_paths
from tests.docs.pages import fuse_commands, lines

RUN = "logs/search/version_0"
TINY = ("--model.steps", "1", "--model.batch_size", "4", "--model.gradient_samples", "2")
STAND_INS = {
    "PATH": "picture.png",
    "MODEL": "zoo/clip-judge",
    "FOLDER": RUN,
    "RUN": RUN,
    "FILE": "quickstart",
}
"""Words that a reader replaces, and what stands for them here."""
NAMED = {
    ("fit", "--resume"),
    ("invert", "--join"),
    ("decode", "--resume", "DIR"),
    ("diff", "--resume", "DIR"),
}
"""Options that a sentence names, or whose run takes minutes; tests of these commands have them."""
OTHER_PROGRAMS = {
    *("cd", "cp", "jupyter", "lm_eval", "pip", "printf", "promptfoo", "python", "python3"),
    *(".", "mypy", "ruff", "srun", "torchrun"),
}
"""First words of lines that start no command of this package, or start it on several machines."""
QUICK = {
    ("configs", "quickstart"): (),
    ("help", "fit"): (),
    ("help", "AutoDAN"): (),
    ("completion", "bash"): (),
    ("zoo", "scenes", "--out", "scenes", "--count", "4", "--seed", "1"): (),
    ("invert", "scenes/scene-0.png"): ("--steps", "1"),
    ("report", RUN): (),
    ("predict", "--run", RUN, "--out", "prompts.csv"): (),
    ("validate", "--run", RUN): (),
    ("test", "--run", RUN, "--transfer", "zoo/clip-judge"): (),
    ("fit", "--resume", RUN): (),
}
"""Commands that run as a page has them, each with options that make it small, in this order."""
COMMANDS = fuse_commands()
SEARCHES = ("fit", "check", "validate", "test", "predict")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with what the commands name: a run, pictures, texts, configurations."""
    place = tmp_path_factory.mktemp("pages")
    for picture in ("picture.png", "photo.jpg", "a.png", "b.png"):
        Image.effect_noise((32, 32), 90).convert("RGB").save(place / picture)
    for config, source in {"search": "distill", "mine": "quickstart", "run": "greater"}.items():
        text = shipped_configs()[source].read_text(encoding="utf-8")
        (place / f"{config}.yaml").write_text(text, encoding="utf-8")
    (place / "texts.csv").write_text("prompt,text\na picture of, a red ball\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["fuse"])
        patch.chdir(place)
        small = ("--trainer.callbacks.beam_search.beam_width", "2")
        main(["fit", "--config", "quickstart", *TINY, *small])
    return place


@pytest.fixture
def here(folder, monkeypatch):
    monkeypatch.setattr("sys.argv", ["fuse"])
    monkeypatch.chdir(folder)
    return folder


def test_every_line_of_bash_starts_a_program_that_is_known():
    known = {"fuse", *OTHER_PROGRAMS}
    assert {line.split()[0] for _, line in lines()} <= known


@pytest.mark.slow
@pytest.mark.parametrize("words", sorted({*COMMANDS} - NAMED - {*QUICK}), ids=" ".join)
def test_a_command_is_understood(words, here, capsys):
    words = with_config_paths([STAND_INS.get(word, word) for word in words])
    name, *rest = words
    if name == "invert":
        assert invert.parser().parse_args(rest)
    elif name == "decode":
        if not {"--help", "--help-all"} & {*rest}:
            assert parse_decode(rest)
    elif name == "diff":
        assert parse_diff(rest)
    else:
        assert name in (*SEARCHES, "zoo", "adapter")
        with pytest.raises(SystemExit, match="0"):
            main([*words, "--print_config"])
        assert capsys.readouterr().out.strip()


@pytest.mark.slow
def test_quick_commands_run_one_after_the_other(here, capsys):
    for words, options in QUICK.items():
        assert words in COMMANDS, f"no page has {' '.join(words)}"
        main([*words, *options])
        assert capsys.readouterr().out.strip(), words
    assert (here / RUN / "report.html").exists()
    assert (here / RUN / "evaluation.csv").exists()
    assert len((here / "prompts.csv").read_text().splitlines()) == 5
    rows = [json.loads(line) for line in Path(RUN, "prompts.jsonl").read_text().splitlines()]
    assert len(rows) == 4
