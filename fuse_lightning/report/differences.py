"""Page of the differences of two models: findings with their sizes, intervals and controls."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from markupsafe import Markup

from fuse_lightning.diffing.finding import Finding
from fuse_lightning.report.templates import environment_of_pages, own_file, write_page

HEADINGS = {
    "text": "What the texts of one have more often",
    "word": "Words that one finds likelier where they stand",
    "topic": "Groups of tokens that moved together",
    "token": "Tokens that became likelier or less likely",
    "prompt": "Prompts on which the two part",
}
"""Headings of the sections by the kind of their findings, in the order of the findings."""


def differences_page(
    findings: Sequence[Finding],
    path: Path,
    *,
    models: tuple[str, str],
    summary: str,
    notes: Sequence[str] = (),
    links: Mapping[str, str] | None = None,
    looked: Mapping[str, int] | None = None,
) -> Path:
    """Writes a page of findings, those of a kind together, in their order.

    The page needs no network and no script. All text in it is escaped.

    Args:
        findings: The findings.
        path: The file; folders above it are made, and an older file is replaced.
        models: Names of A and B.
        summary: A sentence about all of them.
        notes: Further sentences.
        links: Names and relative addresses of other pages.
        looked: For each kind how many differences were looked at.

    Returns:
        The path.

    Raises:
        FuseError: If the file cannot be written.
    """
    style = Markup("").join([own_file("report.css"), own_file("differences.css")])
    environment = environment_of_pages()
    environment.filters |= {
        "number": number,
        "chance": chance,
        "side": side,
        "together": together,
    }
    sections = [
        (heading, [each for each in findings if each.kind == kind], (looked or {}).get(kind, 0))
        for kind, heading in HEADINGS.items()
        if kind in (looked or {}) or any(each.kind == kind for each in findings)
    ]
    content = environment.get_template("differences.html.jinja").render(
        title=f"What changed: {models[0]} and {models[1]}",
        models=models,
        summary=summary,
        notes=notes,
        links=links or {},
        sections=sections,
        style=style,
    )
    return write_page(path, content)


def number(value: float) -> str:
    r"""A number of three digits, with a true minus sign.

    >>> number(-0.012345) == "\u22120.0123", number(12.0), number(12345.6)
    (True, '12', '12,346')
    """
    told = f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return told.replace("-", "\u2212")


def chance(p: float) -> str:
    """What a probability equals, by two digits; the smallest are below a bound.

    >>> chance(0.0312), chance(1e-9)
    ('= 0.031', '< 0.0001')
    """
    return "< 0.0001" if p < 1e-4 else f"= {p:.2g}"


def side(finding: Finding) -> str:
    """The model that has more of a difference: "a" or "b", and none of a divergence.

    >>> made = Finding("text", "", -0.1, "share of texts", -0.2, 0.0, None, 1, 0.0)
    >>> side(made)
    'b'
    """
    # A divergence says that two models differ, and not which has more of something.
    if finding.kind == "prompt":
        return ""
    return "a" if finding.effect > 0 else "b"


def together(finding: Finding) -> str:
    """What is told by one finding together with its claim; empty for nothing.

    >>> from dataclasses import replace
    >>> made = Finding("text", "", 0.1, "share of texts", 0.0, 0.2, None, 1, 0.0)
    >>> together(replace(made, detail={"also": ["words", "has 'so'"]}))
    "Told with it: words; has 'so'."
    >>> together(replace(made, kind="word", detail={"words": ["fine", "nice"]}))
    'All 2 words: fine, nice.'
    """
    also, words = (finding.detail.get(name, ()) for name in ("also", "words"))
    if also:
        return f"Told with it: {'; '.join(also)}."
    return f"All {len(words)} words: {', '.join(words)}." if len(words) > 1 else ""
