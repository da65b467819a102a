"""Build hooks of the documentation's site: Python reference, and links out of `docs/`."""

import ast
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import get_plugin_logger
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

REPOSITORY = "https://github.com/fuse-lightning/fuse-lightning"
ROOT = Path(__file__).parents[2]
PARTS = {
    "inversion": "Prompts by one call",
    "optimizers": "Optimizers",
    "objectives": "Terms and objectives",
    "data": "Data",
    "models": "Models",
    "search": "Searches and frontiers",
    "callbacks": "Callbacks",
    "evaluation": "Evaluation",
    "adapters": "Adapters",
    "decoding": "Contrastive decoding",
    "diffing": "Differences of models",
    "metrics": "Metrics",
    "report": "Reports",
}
"""Folders of the package that have a page, each with its title."""
LINK = re.compile(r"(?<=\]\()((?:\.\./)+[^)#\s]+)(?=[)#])")
CODE_IN_TABLE = re.compile(r"`[^`\n]*`")
SEARCH = '<div class="md-search" data-md-component="search" role="dialog"'
log = get_plugin_logger("fuse-lightning")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Puts a page of each part into the navigation, below "Python"."""
    reference = next(entry["Reference"] for entry in config.nav or [] if "Reference" in entry)
    for entry in reference:
        if isinstance(entry, dict) and "Python" in entry:
            entry["Python"] = [{title: _address(part)} for part, title in PARTS.items()]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages of the Python reference, which the docstrings fill."""
    for part, title in PARTS.items():
        text = reference_page(part, title)
        files.append(File.generated(config, _address(part), content=text))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Points links to files outside `docs/` at the repository, and unescapes pipes in tables."""
    folder = posixpath.dirname(page.file.src_uri)
    lines = (_row(line) if line.startswith("|") else line for line in markdown.split("\n"))
    return LINK.sub(lambda found: _outside(found[1], folder, page), "\n".join(lines))


def on_post_page(output: str, **_: Any) -> str:
    """Names the dialog of the search for readers of the screen."""
    return output.replace(SEARCH, f'{SEARCH} aria-label="Search"')


def reference_page(part: str, title: str) -> str:
    """Markdown of the page of a part: each public name is filled in from its docstring."""
    names = public_places(part)
    listed = ", ".join(f"[`{name}`][{place}]" for name, place in names.items())
    lines = [f"# {title}", "", f"Public names of `fuse_lightning.{part}`: {listed}.", ""]
    return "\n".join(lines + [f"::: {place}\n" for place in names.values()])


def public_places(part: str) -> dict[str, str]:
    """Public names of a part, each with the full name of what it stands for."""
    tree = ast.parse((ROOT / "fuse_lightning" / part / "__init__.py").read_text(encoding="utf-8"))
    return {
        alias.asname: f"{node.module}.{alias.name}"
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname and not alias.asname.startswith("_")
    }


def _address(part: str) -> str:
    return f"reference/{part}.md"


def _row(line: str) -> str:
    """Row of a table without escapes of pipes in code, which Python-Markdown would show."""
    return CODE_IN_TABLE.sub(lambda code: code[0].replace("\\|", "|"), line)


def _outside(link: str, folder: str, page: Page) -> str:
    path = posixpath.normpath(posixpath.join("docs", folder, link))
    if path.startswith("docs/"):
        return link
    if not (ROOT / path).exists():
        log.warning(f"{page.file.src_uri} links to {link!r}, which is not in the repository")
    kind = "tree" if (ROOT / path).is_dir() else "blob"
    return f"{REPOSITORY}/{kind}/main/{path}"
