"""Help pages in sections, those of ``fuse decode`` and ``fuse diff``."""

import re

import pytest

from fuse_lightning.cli import decode_help, decode_options, diff_help, diff_options
from fuse_lightning.cli.help import EVERY, WIDTH
from fuse_lightning.cli.main import main

COMMANDS = {
    "decode": (decode_options.parser, decode_help, "bcd"),
    "diff": (diff_options.parser, diff_help, "b"),
}
commands = pytest.mark.parametrize("command", COMMANDS)


def printed(command, option, capsys):
    with pytest.raises(SystemExit) as ended:
        main([command, option])
    assert ended.value.code == 0
    return capsys.readouterr().out


@commands
def test_the_short_page_is_short_and_names_every_option(command, capsys):
    parser, module, _ = COMMANDS[command]
    told = printed(command, "--help", capsys)
    assert told == printed(command, "-h", capsys) == parser().format_help()
    lines = told.splitlines()
    assert len(lines) <= 100
    assert max(map(len, lines)) <= WIDTH
    names = [name for section in module.SECTIONS for name in section.values]
    body = told.removeprefix(module.INTRODUCTION)
    for name in [*names, "help-all", "resume", "overwrite"]:
        option = re.escape(f"--{name.removesuffix('.model')}")
        assert re.search(rf"  {option}(?= |$)| {option}(?= --|$)", body, re.MULTILINE), name


@commands
def test_the_sections_hold_the_options_of_the_parser(command):
    parser, module, letters = COMMANDS[command]
    names = [name for section in module.SECTIONS for name in section.values]
    assert len(names) == len({*names})
    others = {f"{letter}{name[1:]}" for letter in letters for name in names if name[:2] == "a."}
    assert {action.dest for action in parser()._actions} == {*names} | others
    assert {name for section in module.SECTIONS for name in section.rare} < {*names}


@commands
def test_the_whole_page_tells_of_every_option_once(command, capsys):
    parser, module, _ = COMMANDS[command]
    told = printed(command, EVERY, capsys)
    assert told == parser(every=True).format_help()
    body = told.removeprefix(module.INTRODUCTION)
    names = [name for section in module.SECTIONS for name in section.values]
    for name in [*names, "help-all", "resume", "overwrite"]:
        option = f"--{name.removesuffix('.model')}"
        assert len(re.findall(rf"^  {option}(?= |$)", body, re.MULTILINE)) == 1, name
    # Of what is known of an option nothing is left out.
    assert "a space at its end is yours to give." in " ".join(told.split())


@pytest.mark.parametrize("columns", ["40", "100", "300"])
@pytest.mark.parametrize("every", [False, True])
@commands
def test_a_page_is_plain_and_fits(command, every, columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", columns)
    told = COMMANDS[command][0](every=every).format_help()
    assert max(map(len, told.splitlines())) <= WIDTH
    assert told.index("examples:") < told.index("--a.prefix TEXT")
    # Neither types of Python nor marks of reStructuredText.
    assert not re.search(r"type:|\| null|``|SUPPRESS", told)
    assert re.search(r"--seed N Seed of [\w\s,]+ \(default: 0\)", " ".join(told.split()))
