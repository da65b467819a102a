"""Writes the notebooks of ``examples/notebooks`` from their scripts.

``python docs/tools/notebooks.py`` writes an ``.ipynb`` beside each script. In a script ``# %%``
begins a cell of code, and ``# %% [markdown]`` one of text. A test runs the scripts, and checks that
the notebooks hold what the scripts say.
"""

import json
from collections.abc import Iterator
from pathlib import Path

SCRIPTS = sorted((Path(__file__).parents[2] / "examples" / "notebooks").glob("*.py"))
MARK = "# %%"
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def cells(script: str) -> Iterator[tuple[str, str]]:
    r"""Kind of each cell, "markdown" or "code", and its text.

    >>> [*cells("# %% [markdown]\n# Two\n#\n# lines\n\n# %%\nx = 1\n")]
    [('markdown', 'Two\n\nlines'), ('code', 'x = 1')]
    """
    for part in f"\n{script}".split(f"\n{MARK}")[1:]:
        head, _, body = part.partition("\n")
        if "[markdown]" in head:
            lines = (line.removeprefix("#").removeprefix(" ") for line in body.split("\n"))
            yield "markdown", "\n".join(lines).strip("\n")
        else:
            yield "code", body.strip("\n")


def notebook(script: str) -> str:
    """The notebook of a script, as JSON (nbformat 4.5), without outputs."""
    found = []
    for number, (kind, text) in enumerate(cells(script)):
        cell = {"cell_type": kind, "id": f"cell-{number}", "metadata": {}}
        if kind == "code":
            cell |= {"execution_count": None, "outputs": []}
        found.append(cell | {"source": text.splitlines(keepends=True)})
    whole = {"cells": found, "metadata": METADATA, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for path in SCRIPTS:
        text = notebook(path.read_text(encoding="utf-8"))
        path.with_suffix(".ipynb").write_text(text, encoding="utf-8")
