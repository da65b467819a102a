"""Writes the page that shows the templates whole.

``python docs/tools/templates_page.py`` writes ``docs/templates.md`` from ``examples/templates``. A
test checks that the page says what the files say.
"""

from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "templates.md"
TEMPLATES = ROOT / "examples" / "templates"
FILES = (
    "term.py",
    "optimizer.py",
    "frontier.py",
    "data.py",
    "measure.py",
    "search.yaml",
    "lines.txt",
)
KINDS = {".py": "python", ".yaml": "yaml", ".txt": "text"}
HEAD = """# Templates

Files to begin a class of your own with. [Add your own](add_your_own.md) explains them. Copy those
that you need into a folder, under the names above them. All seven together are a search that runs
in a minute:

```bash
fuse fit --config search.yaml
```
"""


def text() -> str:
    """The whole page, in Markdown."""
    return "\n".join([HEAD, *map(_section, FILES)])


def _section(name: str) -> str:
    path = TEMPLATES / name
    body = path.read_text(encoding="utf-8").strip("\n")
    return f"## `{name}`\n\n```{KINDS[path.suffix]}\n{body}\n```\n"


if __name__ == "__main__":
    PAGE.write_text(text(), encoding="utf-8", newline="\n")
