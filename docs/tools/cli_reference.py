"""Writes the reference of the command line from the help pages.

``python docs/tools/cli_reference.py`` writes ``docs/reference/cli.md``. A test checks that the file
says what the commands say.
"""

import io
import os
import re
import sys
from contextlib import redirect_stdout, suppress
from importlib import import_module
from pathlib import Path

from fuse_lightning.cli.help import COMMANDS, EVERY, HELP
from fuse_lightning.cli.search_help import page

PAGE = Path(__file__).parents[1] / "reference" / "cli.md"
TOOLS = {
    "zoo": ("scenes", "moods", "sums", "train", "evaluate"),
    "adapter": ("evaluate",),
}
"""Commands that have commands of their own."""
WHOLE = ("decode", "diff")
"""Commands whose ``--help`` leaves out what is rarely needed."""
HEAD = """# Command line

The pages that `fuse help COMMAND` prints; those of `fuse decode` and `fuse diff` are what they
print with `--help-all`. `fuse help CLASS`, such as `fuse help AutoDAN`, prints
the options of a class; [the Python reference](index.md) holds the same words.
`fuse help my_terms.Rhyme` does so for a class of your own. `fuse completion bash` prints a script
that completes commands, names and options in a shell.
"""


def text() -> str:
    """The whole page, in Markdown."""
    sections = [HEAD, _section("fuse", HELP)]
    for name in COMMANDS:
        sections.append(_section(f"fuse {name}", help_page(name)))
        tools = TOOLS.get(name, ())
        sections += [_section(f"fuse {name} {tool}", help_page(name, tool), 3) for tool in tools]
    return "\n".join(sections)


def help_page(name: str, *words: str) -> str:
    """The whole help page of a command, in lines of at most 100 characters."""
    if COMMANDS[name] in ("search", "check"):
        return page(name)
    os.environ["COLUMNS"] = "100"
    asked = EVERY if name in WHOLE else "--help"
    stream = io.StringIO()
    argv, sys.argv = sys.argv, ["fuse"]
    try:
        with redirect_stdout(stream), suppress(SystemExit):
            import_module(f"fuse_lightning.cli.{COMMANDS[name]}").command([name, *words, asked])
    finally:
        sys.argv = argv
        del os.environ["COLUMNS"]
    return stream.getvalue()


def _section(title: str, shown: str, level: int = 2) -> str:
    body = re.sub(r"[ \t]+$", "", shown, flags=re.MULTILINE).strip("\n")
    return f"{'#' * level} {title}\n\n```text\n{body}\n```\n"


if __name__ == "__main__":
    PAGE.write_text(text(), encoding="utf-8")
