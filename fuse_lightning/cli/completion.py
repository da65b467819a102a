"""``fuse completion``: a script that completes commands and options in a shell."""

import io
import re
from contextlib import redirect_stdout, suppress
from functools import cache
from importlib import import_module
from typing import Literal, get_args

from fuse_lightning.cli.help import COMMANDS, EVERY, usage
from fuse_lightning.errors import FuseError

Shell = Literal["bash", "zsh", "fish"]
STREAMS = {"decode": "bcd", "diff": "b"}
"""Streams beside A that a command has; its help page names the options of A alone."""
SEARCHES = ("check", "fit", "validate", "test", "predict")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9._-]*[a-z0-9]|(?<![\w-])-[a-zA-Z](?![\w-])")
BASH = """_fuse() {{
  local cur=${{COMP_WORDS[COMP_CWORD]}} words
  if [ "$COMP_CWORD" = 1 ]; then
    COMPREPLY=($(compgen -W "{commands}" -- "$cur"))
    return
  fi
  case "${{COMP_WORDS[1]}}" in
{cases}
  esac
  # Bash takes the part in front of a = for a word of its own.
  case "$cur" in -*) COMPREPLY=($(compgen -W "$words" -- "$cur")) ;; esac
}}
complete -o default -F _fuse fuse
"""
ZSH = "autoload -U +X bashcompinit && bashcompinit\n"


def command(words: list[str]) -> None:
    """Prints the script.

    Raises:
        FuseError: If the shell is none of those that have a script.
    """
    shells = get_args(Shell)
    if {"-h", "--help"} & {*words[1:]}:
        print(*usage("completion"), sep="\n")
        return
    if len(words) != 2 or words[1] not in shells:
        asked = " ".join(words[1:])
        raise FuseError(
            f"fuse completion {asked!r} names no shell; give one of {', '.join(shells)}, such as: "
            "fuse completion bash >> ~/.bash_completion"
        )
    print(script(words[1], {name: option_words(name) for name in COMMANDS}), end="")


def script(shell: str, options: dict[str, list[str]]) -> str:
    """Completion script of a shell.

    Args:
        shell: One of :data:`Shell`.
        options: The commands, each with its options.
    """
    if shell == "fish":
        lines = [f"complete -c fuse -n __fish_use_subcommand -xa '{' '.join(options)}'"]
        for name, words in options.items():
            seen = f"complete -c fuse -n '__fish_seen_subcommand_from {name}'"
            lines += [
                f"{seen} -l {word[2:]}" if word.startswith("--") else f"{seen} -s {word[1:]}"
                for word in words
            ]
        return "\n".join([*lines, ""])
    cases = "\n".join(f'  {name}) words="{" ".join(each)}" ;;' for name, each in options.items())
    return (ZSH if shell == "zsh" else "") + BASH.format(commands=" ".join(options), cases=cases)


def option_words(name: str) -> list[str]:
    """Options of a command, read from its help pages."""
    if name == "completion":
        return []
    pages = [_page(name, "--help")]
    if name in SEARCHES:
        pages += _search_pages()
    elif name in ("zoo", "adapter"):
        tools = re.findall(r"^    (\w+)  ", pages[0], re.MULTILINE)
        pages += [_page(name, tool, "--help") for tool in tools]
    found = {word for page in pages for word in OPTION.findall(page)}
    own = {word.removeprefix("--a.") for word in found if word.startswith("--a.")}
    for letter in STREAMS.get(name, ""):
        found |= {f"--{letter}", *(f"--{letter}.{option}" for option in own)}
    return sorted(word for word in found if word != EVERY and not word.endswith(".help"))


@cache
def _search_pages() -> list[str]:
    """Help pages that the commands of a search share: all options, and those of all classes."""
    options = [f"--{place}.help={name}" for place, name in _classes()]
    return [_page("fit", option) for option in (EVERY, *options)]


def _classes() -> list[tuple[str, str]]:
    from fuse_lightning.cli.search_help import named_classes
    from fuse_lightning.data import TargetDataModule
    from fuse_lightning.search import SearchModule

    kinds = (("model", SearchModule), ("data", TargetDataModule))
    return [(place, kind.__name__) for place, base in kinds for kind in named_classes(base)]


def _page(name: str, *words: str) -> str:
    run = import_module(f"fuse_lightning.cli.{COMMANDS[name]}").command
    stream = io.StringIO()
    with redirect_stdout(stream), suppress(SystemExit):
        run([name, *words])
    return stream.getvalue()
