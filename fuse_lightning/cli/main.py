"""The ``fuse`` command: LightningCLI runs, zoo tools and adapter tools."""

import re
import sys
from argparse import ArgumentError
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

from fuse_lightning import __version__
from fuse_lightning.cli.messages import explain
from fuse_lightning.cli.quiet import keep_lines_apart, quiet, quiet_transformers
from fuse_lightning.errors import FuseError
from fuse_lightning.utilities.addresses import without_secrets
from fuse_lightning.utilities.interrupts import heard
from fuse_lightning.utilities.terminal import CLOSED_PIPE, flushed, say, settle_streams, visible

COMMANDS = ("invert", "fit", "validate", "test", "predict", "report", "zoo", "adapter")

HELP = """usage: fuse COMMAND ...

Finds discrete text prompts for frozen models.

only the prompt:
  fuse invert IMAGE... [--text TEXT] [--preset caption|clip|style|sentiment]
              [--models zoo|hub] [--join] [--json] prints prompts, best first

search (LightningCLI; `fuse fit --help` lists all options):
  fuse fit --config configs/quickstart.yaml        search prompts for the bundled scenes
  fuse fit --config FILE --data.images PATH        search prompts for your pictures
  fuse fit --resume logs/search/version_0          go on with an interrupted run
  fuse fit ... --overwrite                         replace what an earlier run left in the folder

what a run found:
  fuse report logs/search/version_0                one HTML file and a table of everything
  fuse validate --run RUN [--transfer MODEL ...] [--classifier MODEL]
                                                   losses, BLEU, ROUGE ... beside floors, also
                                                   under models that took no part
  fuse test --run RUN [--transfer MODEL ...] [--classifier MODEL]
                                                   the same, as Lightning's test
  fuse predict --run RUN [--out FILE.csv|.jsonl]   prompts of each target

models of the package:
  fuse zoo scenes --out DIR --count N --seed S     write pictures with captions
  fuse zoo train --out DIR                         rebuild the zoo's models
  fuse zoo evaluate                                measure the zoo's models

adapters between tokenizers:
  fuse adapter evaluate --source ID --target ID --texts FILE
                                                   how well gradients predict losses
"""


def main(args: Sequence[str] | None = None) -> None:
    """Runs a command.

    Args:
        args: Words of the command line, by default those of the process.

    Raises:
        SystemExit: With 1 where a search ends with targets that have no prompt; with 2 and a line
            on bad input; with 130 or 143 after Ctrl-C or SIGTERM; with 141 where nobody reads
            what is printed.
    """
    settle_streams()
    with heard():
        try:
            _run(args)
        finally:
            # What Python could not write later, it would say in a traceback.
            flushed(sys.stdout)


def _run(args: Sequence[str] | None) -> None:
    words = list(sys.argv[1:] if args is None else args)
    if not words or words[0] in ("-h", "--help"):
        print(HELP, end="")
        return
    if words[0] == "--version":
        print(f"fuse-lightning {__version__}")
        return
    quiet()
    try:
        _command(words)(words)
    except (ArgumentError, FuseError) as error:
        _fail(explain(error))
    except OSError as error:
        # A pipe may also be one of a library.
        if isinstance(error, BrokenPipeError) and not flushed(sys.stdout):
            raise SystemExit(CLOSED_PIPE) from None
        told = f"{error}; check the path, its permissions and the space left"
        _fail(explain(error, told))


def usage(command: str) -> list[str]:
    """What :data:`HELP` says of a command."""
    return re.findall(rf"^  fuse {command} .*(?:\n {{9,}}.*)*", HELP, re.MULTILINE)


def _fail(message: str) -> NoReturn:
    line = without_secrets(" ".join(message.splitlines()))
    say(f"error: {visible(line)}", error=True)
    raise SystemExit(2) from None


def _command(words: Sequence[str]) -> Callable[[list[str]], None]:
    match words[0]:
        case "invert":
            return _invert
        case "zoo" | "adapter" | "report":
            return _tool
        case word if word in COMMANDS or word.startswith("-"):
            return _lightning
        case word:
            raise FuseError(f"unknown command {word!r}; there are: {', '.join(COMMANDS)}")


def find_own_classes(words: Sequence[str]) -> None:
    """Lets class paths name modules of the current folder, or beside a configuration file.

    They stand last, so that no file there takes the place of a library.
    """
    files = [after for word, after in pairwise(words) if word in ("-c", "--config")]
    files += [word.removeprefix("--config=") for word in words if word.startswith("--config=")]
    for folder in (Path(), *(Path(file).parent for file in files)):
        with suppress(OSError):
            path = str(folder.resolve())
            if path not in sys.path:
                sys.path.append(path)


def _invert(words: list[str]) -> None:
    # It imports Lightning.
    import fuse_lightning.invert  # noqa: F401
    from fuse_lightning.cli.invert import invert_command

    keep_lines_apart()

    quiet_transformers()
    invert_command(words[1:])


def _tool(words: list[str]) -> None:
    from jsonargparse import auto_cli

    quiet_transformers()
    if words[0] == "zoo":
        from fuse_lightning.zoo import commands as zoo

        tools: Any = {"scenes": zoo.scenes, "train": zoo.train, "evaluate": zoo.evaluate}
    elif words[0] == "report":
        from fuse_lightning.report import report

        # A folder needs no name.
        named = words[1:2] and not words[1].startswith("-")
        words = [words[0], *(["--run"] if named else []), *words[1:]]
        tools = report
    else:
        from fuse_lightning.cli.adapter import evaluate

        tools = {"evaluate": evaluate}
    auto_cli(
        tools, args=words[1:], prog=f"fuse {words[0]}", as_positional=False, exit_on_error=False
    )


def _lightning(words: list[str]) -> None:
    from fuse_lightning.cli.own_folder import OwnFolder
    from fuse_lightning.cli.resume import OVERWRITE, expand, measured_folder, resumed_folder
    from fuse_lightning.cli.search import run

    keep_lines_apart()

    find_own_classes(words)
    if {"-h", "--help"} & {*words}:
        # Lightning's help does not know the short words.
        print(*usage(words[0]), sep="\n")
    quiet_transformers()
    own = OwnFolder(resumed_folder(words), OVERWRITE in words, measured_folder(words))
    run(expand(words), own)
