"""Commands, snippets and links of the README and of the pages in `docs/`."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`(fuse \w[^`\n]*)`")


def name(page: Path) -> str:
    """Path of a page within the repository."""
    return page.relative_to(ROOT).as_posix()


def blocks(language: str) -> dict[str, list[str]]:
    """Blocks of code in a language, by page."""
    found = {
        name(page): [
            text for kind, text in BLOCK.findall(page.read_text("utf-8")) if kind == language
        ]
        for page in PAGES
    }
    return {page: texts for page, texts in found.items() if texts}


def lines() -> Iterator[tuple[str, str]]:
    """Page and text of each command in a block of bash, continued lines joined."""
    for page, texts in blocks("bash").items():
        for line in "\n".join(texts).replace("\\\n", " ").splitlines():
            for part in line.split(" && "):
                if part.strip() and not part.startswith("#"):
                    yield page, part.strip()


def inline() -> Iterator[tuple[str, str]]:
    """Page and text of each command within a line of text that has options."""
    for page in PAGES:
        text = BLOCK.sub("", page.read_text("utf-8"))
        for line in INLINE.findall(text):
            if " --" in line and not re.search(r"\.\.\.|…", line):
                yield name(page), line.replace("\\|", "|")


def fuse_commands() -> dict[tuple[str, ...], str]:
    """Words of each command of `fuse`, with the first page that has it."""
    found: dict[tuple[str, ...], str] = {}
    for page, line in [*lines(), *inline()]:
        if line.startswith("fuse "):
            found.setdefault(words(line), page)
    return found


def words(line: str) -> tuple[str, ...]:
    """What a shell hands to `fuse`; bash writes new lines in ``$'…'``."""
    line = re.sub(r"\$'([^']*)'", lambda text: "'" + text[1].replace("\\n", "\n") + "'", line)
    given = shlex.split(line, comments=True)[1:]
    end = next((n for n, word in enumerate(given) if word in (">", ">>", "|")), len(given))
    return tuple(given[:end])
