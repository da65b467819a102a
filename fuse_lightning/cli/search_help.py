"""Help page of ``fuse fit``: options by what a user sets, search, terms and data first."""

import inspect
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from docstring_parser import parse
from lightning.pytorch import LightningDataModule

import fuse_lightning
from fuse_lightning.cli.classes import options
from fuse_lightning.cli.help import EVERY, MARKUP, entry, first_sentence, usage
from fuse_lightning.objectives import Term
from fuse_lightning.optimizers import PromptOptimizer
from fuse_lightning.search import BeamSearch, Frontier, SearchModule

CLASSES, OPTIONS = 26, 36
"""Columns where the words about a class and about an option begin."""
COMMON = (
    "steps",
    "prompt_length",
    "initial_prompt",
    "patience",
    "stop_loss",
    "max_evaluations",
    "max_seconds",
    "max_flops",
    "top",
    "gradient_samples",
    "max_batch_tokens",
)
"""Options of every optimizer that the page shows; ``--model.help`` shows all."""
OF_A_TERM = ("weight", "prefix", "suffix", "layout", "name")
RUN = {
    "-c, --config FILE": "YAML file; options behind it change what it says",
    "--resume RUN": "go on with an interrupted run",
    "--overwrite": "replace what an earlier run left in the folder",
    "-q, --quiet": "print warnings and errors alone",
    "--seed_everything N (0)": "seed of all random draws",
    "--print_config": "print all options as YAML, and end",
    "--trainer.devices N": "devices; several share the targets out and find the same prompts",
    "--trainer.accelerator NAME": "cpu, gpu or auto",
    "--trainer.precision NAME": "32-true, bf16-mixed, bf16-true ...",
    "--trainer.default_root_dir DIR": "folder of runs, in place of logs",
    "--trainer.logger.version NAME": "name of the run's own folder",
    "--trainer.max_time DD:HH:MM:SS": "end after this time; the run can go on later",
    "--trainer.max_steps N": "end after so many steps; the run can go on later",
    "--trainer.fast_dev_run true": "one step, to see whether all options fit; writes nothing",
}
BASES = {
    "CausalTerm",
    "DescentOptimizer",
    "Frontier",
    "PromptOptimizer",
    "SearchModule",
    "SwapOptimizer",
    "TargetDataModule",
    "Term",
}
"""Public classes that are there to be derived from."""
SAID = re.compile(
    r"^[\w-]+ optimizer: |^Data module of |^Frontier (of|as|that keeps) | \(nats.*?\)|, in \[0, 2\]"
)
"""Words that a heading says, and ranges of numbers."""
MORE = f"""more:
  fuse help AutoDAN                 all options of a class, with their defaults
  fuse fit {EVERY}               every option of the command, Lightning's too
"""


def page(command: str) -> str:
    """Help page of a command that runs a search or measures one.

    Args:
        command: ``fit``, ``check``, ``validate``, ``test`` or ``predict``.
    """
    if command != "fit":
        return "\n".join(
            [*usage(command), "", "It takes the options of fuse fit too; see: fuse fit --help", ""]
        )
    frontiers = named_classes(Frontier)
    sections = (
        ["usage: fuse fit --config FILE [--OPTION VALUE ...]", *usage("fit")],
        ["search: --model CLASS", *_list(named_classes(SearchModule)), *_options(PromptOptimizer)],
        [
            "terms of the objective: --model.terms CLASS, one more with --model.terms+=CLASS",
            *_list(named_classes(Term)),
            *_options(Term, OF_A_TERM, "model.terms.NAME"),
        ],
        ["data: --data CLASS", *_list(named_classes(LightningDataModule))],
        [
            "frontier, the prompts kept between steps: --trainer.callbacks CLASS",
            *_list(frontiers),
            *_options(BeamSearch, ("beam_width",), "trainer.callbacks.beam_search"),
        ],
        ["run:", *(line for option in RUN.items() for line in entry(*option, OPTIONS))],
    )
    return "\n\n".join("\n".join(section) for section in sections) + f"\n\n{MORE}"


def class_page(kind: type) -> str:
    """Help page of one class: what it is, and all its options.

    Args:
        kind: A class of the package or of the user.
    """
    own = not kind.__module__.startswith(f"{fuse_lightning.__name__}.")
    name = f"{kind.__module__}.{kind.__name__}" if own else kind.__name__
    about = parse(kind.__doc__ or "")
    text = "\n\n".join(filter(None, (about.short_description, about.long_description)))
    said = [*MARKUP.sub(r"\1\2", text).splitlines(), ""] if text else []
    lines = [name, "", *said, "options:"]
    words = {each.arg_name: each.description or "" for each in about.params}
    for base in kind.__mro__[1:]:
        for each in parse(base.__doc__ or "").params:
            words.setdefault(each.arg_name, each.description or "")
    defaults = {
        option: parameter.default
        for each in reversed(kind.__mro__)
        if each is not object
        for option, parameter in inspect.signature(each).parameters.items()
    }
    for option in options(kind):
        default = defaults.get(option, inspect.Parameter.empty)
        needed = default is inspect.Parameter.empty
        shown = f"{option} {'(needed)' if needed else f'({_value(default)})'}"
        lines += entry(shown, MARKUP.sub(r"\1\2", " ".join(words.get(option, "").split())), OPTIONS)
    return "\n".join([*lines, ""])


def _value(default: Any) -> str:
    if isinstance(default, bool) or default is None or default == "":
        return json.dumps(default)
    return str(default)


def named_classes(base: type, *, bases: bool = False) -> list[type]:
    """Public classes of one kind that a configuration can name.

    Args:
        base: The kind.
        bases: Whether those count, too, that are there to be derived from.
    """
    return [
        value
        for part in fuse_lightning.PARTS
        for value in fuse_lightning.public_names(part).values()
        if isinstance(value, type)
        and issubclass(value, base)
        and (bases or value.__name__ not in BASES)
    ]


def _list(kinds: Iterable[type]) -> Iterator[str]:
    for kind in kinds:
        words = SAID.sub("", first_sentence(parse(kind.__doc__ or "").short_description or ""))
        yield from entry(kind.__name__, words, CLASSES)


def _options(kind: type, names: Iterable[str] = COMMON, place: str = "model") -> Iterator[str]:
    words = {each.arg_name: each.description or "" for each in parse(kind.__doc__ or "").params}
    known = inspect.signature(kind).parameters
    for name in names:
        default = known[name].default
        shown = "" if default in (None, "") else f" ({default})"
        yield from entry(f"--{place}.{name}{shown}", first_sentence(words[name]), OPTIONS)
