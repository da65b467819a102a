"""Help pages, and the script that completes commands and options."""

import re
import subprocess
from pathlib import Path

import pytest

import fuse_lightning
from fuse_lightning.cli.completion import SHELLS, script
from fuse_lightning.cli.completion_words import Words, completion_words
from fuse_lightning.cli.help import WIDTH
from fuse_lightning.cli.main import main
from fuse_lightning.cli.own_help import help_page
from fuse_lightning.cli.search_help import page
from fuse_lightning.errors import FuseError
from fuse_lightning.objectives import Term
from fuse_lightning.optimizers import PromptOptimizer


def shown(capsys, *words):
    main(words)
    return capsys.readouterr().out


def test_the_page_of_a_search_is_short_and_names_every_class_and_every_term(capsys):
    text = shown(capsys, "fit", "--help")
    assert text == page("fit") == shown(capsys, "help", "fit")
    lines = text.splitlines()
    assert len(lines) <= 100
    assert max(map(len, lines)) <= WIDTH
    for part, base in (("optimizers", PromptOptimizer), ("objectives", Term)):
        for name, kind in fuse_lightning.public_names(part).items():
            derived = isinstance(kind, type) and issubclass(kind, base)
            if derived and not kind.__abstractmethods__:
                assert re.search(rf"^  {name}\b", text, re.MULTILINE), name


def test_the_page_offers_nothing_that_a_search_refuses():
    for option in ("accumulate_grad_batches", "gradient_clip_val", "strategy", "overfit_batches"):
        assert option not in page("fit")


@pytest.mark.parametrize("command", ["check", "validate", "test", "predict"])
def test_other_commands_of_a_search_have_their_own_lines(command, capsys):
    text = shown(capsys, command, "--help")
    assert text.startswith(f"  fuse {command} ")
    assert text.endswith("see: fuse fit --help\n")
    assert len(text.splitlines()) < 10


def test_a_class_has_a_page_with_all_its_options(capsys):
    text = shown(capsys, "help", "AutoDAN")
    assert text == help_page("AutoDAN")
    assert re.search(r"^  terms \(needed\) ", text, re.MULTILINE)
    assert re.search(r"^  steps \(16\) +Most steps for each target", text, re.MULTILINE)
    assert re.search(r"^  rescore \(true\) ", text, re.MULTILINE)
    assert re.search(r"^  logit_weight \(1.0\) ", text, re.MULTILINE)
    assert re.search(r"^  patience \(null\) ", text, re.MULTILINE)


@pytest.mark.parametrize("name", ["Term", "PromptOptimizer", "TargetDataModule"])
def test_classes_to_derive_from_have_a_page_too(name):
    assert help_page(name).startswith(f"{name}\n\n")


@pytest.mark.parametrize(
    ("name", "told"), [("fluncy", "fuse help Fluency?"), ("fitt", "fuse help fit?"), ("?", "lists")]
)
def test_an_unknown_name_gets_a_near_one(name, told):
    with pytest.raises(FuseError, match=re.escape(told)):
        help_page(name)


WORDS = Words(
    {"fit": ["--model.steps", "--model.terms", "-c"], "zoo": ["--count"], "configs": []},
    {"configs": ["agnews", "style"], "help": ["fit", "GCG"]},
    {("-c", "--config"): ["agnews", "style"]},
)


def completed(*words):
    """What bash proposes for the last word."""
    text = script("bash", WORDS)
    ask = f"COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}; _fuse"
    ask += '; echo "${COMPREPLY[@]}"'
    run = subprocess.run(["bash", "-c", text + ask], capture_output=True, text=True, check=True)
    return run.stdout.split()


def test_bash_completes_commands_and_options():
    assert completed("fuse", "f") == ["fit"]
    assert completed("fuse", "fit", "--model.s") == ["--model.steps"]
    assert completed("fuse", "fit", "-") == ["--model.steps", "--model.terms", "-c"]
    assert completed("fuse", "zoo", "--") == ["--count"]
    assert completed("fuse", "fit", "a.y") == []


def test_bash_completes_names_and_values(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stars.yaml").touch()
    assert completed("fuse", "h") == ["help"]
    assert completed("fuse", "help", "G") == ["GCG"]
    assert completed("fuse", "configs", "s") == ["style"]
    assert completed("fuse", "configs", "style", "s") == []
    assert completed("fuse", "fit", "-c", "st") == ["style", "stars.yaml"]


def test_other_shells_get_the_same_words():
    assert script("zsh", WORDS).endswith(script("bash", WORDS))
    fish = script("fish", WORDS).splitlines()
    assert fish[0].endswith("-xa 'fit zoo configs help'")
    assert [line.partition("subcommand_from ")[2] for line in fish[1:]] == [
        "fit' -l model.steps",
        "fit' -l model.terms",
        "fit' -s c -ra 'agnews style'",
        "zoo' -l count",
        "configs' -xa 'agnews style'",
        "help' -xa 'fit GCG'",
    ]


def test_names_are_those_that_a_command_takes():
    names = completion_words(SHELLS).names
    assert {"fit", "decode", "AutoDAN", "Term"} <= {*names["help"]}
    assert "quickstart" in names["configs"]
    assert names["completion"] == ("bash", "zsh", "fish")
    assert {"scenes", "train"} <= {*names["zoo"]}
    assert names["adapter"] == ["evaluate"]


def test_options_are_those_of_the_help_pages():
    known = {name: {*words} for name, words in completion_words(SHELLS).options.items()}
    assert {"--model.terms.fluency.weight", "--model.terms.kl_divergence.name"} <= known["fit"]
    assert "--trainer.callbacks.beam_search.beam_width" in known["check"]
    assert {"--model.steps", "--data.images", "--trainer.devices", "--resume"} <= known["fit"]
    assert {"--count", "--models"} <= known["zoo"]
    assert {"--weights", "--a.chat", "--d.amount", "--property.label"} <= known["decode"]
    assert {"--texts", "--a.chat", "--b", "--b.trust_remote_code"} <= known["diff"]
    assert "--c.chat" not in known["diff"]
    assert not any(word.endswith(".help") for word in known["fit"])


def test_completion_has_a_help_page(capsys):
    assert shown(capsys, "completion", "--help").startswith("  fuse completion bash|zsh|fish")


def test_a_shell_without_a_script_is_refused(capsys):
    with pytest.raises(SystemExit):
        main(["completion", "csh"])
    assert "'csh' names no shell; give one of bash, zsh, fish" in capsys.readouterr().err


OWN = '''
from fuse_lightning.objectives import CausalTerm

class Rhyme(CausalTerm):
    """Term of rhymes.

    Args:
        strength: How much rhymes count.
    """

    def __init__(self, strength: float = 2.5) -> None: ...
'''


def test_a_class_of_the_users_own_has_a_page(capsys):
    Path("my_rhymes.py").write_text(OWN)
    text = shown(capsys, "help", "my_rhymes.Rhyme")
    assert text.startswith("my_rhymes.Rhyme\n\nTerm of rhymes.")
    assert re.search(r"strength \(2\.5\) +How much rhymes count", text)
    for name in ("my_rhymes", "my_rhymes.py"):
        with pytest.raises(FuseError, match=r"give a class in it: fuse help my_rhymes\.Rhyme"):
            help_page(name)
    with pytest.raises(FuseError, match=r"has no 'Rime'; it has: Rhyme"):
        help_page("my_rhymes.Rime")
    with pytest.raises(FuseError, match="no module 'no_rhymes' is installed or lies in"):
        help_page("no_rhymes.Rhyme")


def test_a_file_that_cannot_be_imported_says_its_line():
    Path("bad_rhymes.py").write_text("import os\nboom\n")
    with pytest.raises(FuseError, match=r"bad_rhymes\.py' line 2: NameError"):
        help_page("bad_rhymes.Rhyme")
