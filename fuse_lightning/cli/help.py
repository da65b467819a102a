"""Table of the commands, the text of ``fuse --help``, and how help pages are laid out."""

import re
import textwrap
from collections.abc import Iterator

COMMANDS = {
    "invert": "invert",
    "configs": "configs",
    "check": "check",
    "fit": "search",
    "validate": "search",
    "test": "search",
    "predict": "search",
    "report": "report",
    "decode": "decode",
    "diff": "diff",
    "zoo": "zoo",
    "adapter": "adapter",
    "completion": "completion",
}
"""Commands, each with the module of this folder whose function ``command`` runs it."""

HELP_WORD = "help"
"""Word behind which a command or a class stands, whose page is printed."""
WIDTH = 100
"""Characters of a line."""
EVERY = "--help-all"
"""Option of ``fuse fit``, ``fuse decode`` and ``fuse diff`` for a page of all options."""
MARKUP = re.compile(r":\w+:`~?[\w.]*?(\w+)`|``(.*?)``")
"""Marks of reStructuredText, which docstrings have and help pages lack."""
HELP = """usage: fuse COMMAND ...

Finds discrete text prompts for frozen models.

only the prompt:
  fuse invert IMAGE... [--text TEXT] [--preset caption|clip|style|sentiment]
              [--models hub] [--writer MODEL] [--clip MODEL] [--encoder MODEL]
              [--weight TERM=VALUE] [--join] [--sidecar] [--json]
                                                   prints prompts, best first

before a search:
  fuse configs [NAME]                              configurations of the package; --config NAME
  fuse check --config FILE [options of fuse fit] [--json]
                                                   room for a better prompt, and what it will cost

search (LightningCLI; `fuse fit --help` lists all options):
  fuse fit --config quickstart                     search prompts for the bundled scenes
  fuse fit --config FILE --data.images PATH        search prompts for your pictures
  fuse fit --config greater                        a prompt for questions, with a verdict
  fuse fit --resume logs/search/version_0          go on with an interrupted run
  fuse fit ... --overwrite                         replace what an earlier run left in the folder

what a run found:
  fuse report logs/search/version_0                one HTML file and a table of everything
  fuse validate --run RUN [--transfer MODEL ...] [--classifier MODEL]
                                                   losses, BLEU, ROUGE ... beside floors, also
                                                   under models that took no part
  fuse test --run RUN [--transfer MODEL ...] [--classifier MODEL]
                                                   the same, as Lightning's test
  fuse test --run RUN --generate PIPELINE|zoo/scenes [--judge CLIP] [--sentences ENCODER]
                                                   pictures of the prompts beside the targets';
                                                   zoo/scenes is judged by zoo/clip-judge, for a
                                                   PIPELINE of diffusers name a --judge
  fuse predict --run RUN [--out FILE.csv|.jsonl]   prompts of each target

texts of two or more models:
  fuse decode --a ID --b ID --weights 2,-1 --prompts TEXT|FILE
                                                   write texts that the models disagree about
  fuse decode --a ID --b ID --score FILE           where two models part on given texts
  fuse decode ... --preset amplification --sweep 0,1,2,4 --property.pattern REGEX
                                                   how often something happens, by amount
  fuse diff A B [--a.chat true --b.chat true] [--texts FILE]
                                                   what changed between two models, as one page
  fuse diff --answers FILE.csv                     the same from answers that are there already
  fuse decode --resume logs/decode/version_0       go on with interrupted texts
  fuse diff --resume logs/diff/version_0           go on with an interrupted comparison

models of the package:
  fuse zoo scenes --out DIR --count N --seed S     write pictures with captions
  fuse zoo moods --out FILE.csv --count N --seed S write captions of good or bad mood
  fuse zoo sums --out FILE.csv --count N --seed S  write questions with answers
  fuse zoo train --out DIR                         rebuild the zoo's models
  fuse zoo evaluate                                measure the zoo's models

adapters between tokenizers:
  fuse adapter evaluate --source ID --target ID --texts FILE
                                                   how well gradients predict losses

more help:
  fuse help fit                                    options of a command
  fuse help AutoDAN                                options of a class
  fuse help my_terms.Rhyme                         the same of a class of your own, in my_terms.py
  fuse completion bash|zsh|fish                    script that completes options in a shell
"""


def usage(command: str) -> list[str]:
    """Lines of :data:`HELP` about a command.

    >>> usage("predict")
    ['  fuse predict --run RUN [--out FILE.csv|.jsonl]   prompts of each target']
    """
    return re.findall(rf"^  fuse {command} .*(?:\n {{9,}}.*)*", HELP, re.MULTILINE)


def entry(option: str, about: str, column: int, width: int = WIDTH) -> Iterator[str]:
    """Lines about an option: its name and value, and beside or below them what it is.

    >>> list(entry("--out DIR", "Folder of the run.", 14, 27))
    ['  --out DIR   Folder of the', '              run.']
    """
    lines = textwrap.wrap(about, width - column, break_on_hyphens=False)
    if len(option) + 4 > column:
        yield f"  {option}"
    else:
        yield (f"  {option}".ljust(column) + (lines.pop(0) if lines else "")).rstrip()
    yield from (" " * column + line for line in lines)


def first_sentence(text: str) -> str:
    """First sentence of a docstring, or the part of it before a semicolon.

    >>> first_sentence("Most steps; ``None`` for all. Less is faster.")
    'Most steps'
    """
    text = MARKUP.sub(r"\1\2", " ".join(text.split()))
    return re.split(r"(?<=\w)[.;] ", text)[0].removesuffix(".")
