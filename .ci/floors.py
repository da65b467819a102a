"""Pins every requirement of pyproject.toml to the oldest version that it allows, for `pip -c`.

torch is left out: the tests take its release from constraints.txt. An older one would come with
gigabytes of libraries for GPUs.
"""

import re
import tomllib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
LOWEST = re.compile(r"(?P<name>[\w.-]+)(\[[\w,]+\])?>=(?P<floor>[\w.]+)(,<[\w.]+)?")
ELSEWHERE = ("torch",)
"""Packages whose version another file says."""


def floors(project: dict[str, Any]) -> Iterator[str]:
    """Pins such as ``rich==13``, the package's own before those of its extras.

    A package that an extra needs in a newer version keeps its first pin: the tests run without it.
    """
    known = {*ELSEWHERE}
    for requirement in chain(project["dependencies"], *project["optional-dependencies"].values()):
        found = LOWEST.fullmatch(requirement)
        if found is None:
            raise SystemExit(f"{requirement!r} says no oldest version; write NAME>=VERSION")
        if found["name"] not in known:
            known.add(found["name"])
            yield f"{found['name']}=={found['floor']}"


if __name__ == "__main__":
    print(*floors(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]), sep="\n")
