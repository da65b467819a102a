"""Results page of the classification benchmark, whose sections are written one at a time."""

import re
from statistics import mean, stdev

from benchmarks.machine import RESULTS, describe
from fuse_lightning.utilities.files import replace_file

TITLE = "# Prompts for classification, with their verdicts"
ORDER = ("Zoo", "Zoo, equal operations", "Real language model", "Null control", "Races")


def write_section(name: str, text: str, *, keep: bool) -> None:
    """Prints a section, and puts it in its place on the page.

    Args:
        name: One of ``ORDER``.
        text: What stands in it.
        keep: Whether to change the page.
    """
    section = f"## {name}\n\n{describe()}\n\n{text.strip()}\n"
    print(f"\n{section}", flush=True)
    if keep:
        path = RESULTS / "classification.md"
        old = path.read_text(encoding="utf-8") if path.exists() else ""
        replace_file(path, with_section(old, name, section))


def with_section(page: str, name: str, section: str) -> str:
    r"""The page with one section replaced or added, all in order.

    >>> with_section("# T\n\n## Races\n\nold\n", "Races", "## Races\n\nnew\n").split("\n")[2:]
    ['## Races', '', 'new', '']
    """
    found = {
        part.partition("\n")[0].strip(): f"## {part.strip()}\n"
        for part in re.split(r"^## ", page, flags=re.MULTILINE)[1:]
    }
    found[name] = section
    return "\n".join([f"{TITLE}\n", *(found[each] for each in ORDER if each in found)])


def spread(values: list[float], digits: int = 1) -> str:
    """Mean and standard deviation of some shares, in per cent.

    >>> spread([0.5, 0.7])
    '60.0 ± 14.1'
    """
    sd = f" ± {100 * stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{100 * mean(values):.{digits}f}{sd}"


def around(values: list[float], digits: int = 2) -> str:
    """Mean and standard deviation of some numbers.

    >>> around([0.5, 0.7])
    '0.60 ± 0.14'
    """
    sd = f" ± {stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{mean(values):.{digits}f}{sd}"
