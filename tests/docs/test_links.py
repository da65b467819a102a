"""Links of the README and the pages lead somewhere on GitHub, headings included."""

import re
from urllib.parse import unquote

import pytest

from tests.docs.pages import BLOCK, PAGES, ROOT, name

LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
GITHUB = "https://github.com/fuse-lightning/fuse-lightning/"


def anchors(page):
    """Names that GitHub gives to the headings of a page."""
    text = BLOCK.sub("", page.read_text("utf-8"))
    found = []
    for heading in re.findall(r"^#+ +(.*?) *$", text, re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        found.append(slug if slug not in found else f"{slug}-{found.count(slug)}")
    return found


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_of_a_page_lead_somewhere(page):
    text = BLOCK.sub("", page.read_text("utf-8"))
    for link in filter(None, (one or two for one, two in LINK.findall(text))):
        own = re.sub(rf"^{GITHUB}(blob|tree|raw)/main/", f"{ROOT}/", link)
        if re.match(r"\w+:", own):
            continue
        path, _, anchor = unquote(own).partition("#")
        place = (page.parent / path).resolve() if path else page
        assert place.exists(), f"{name(page)} links to {link}"
        if anchor and place.suffix == ".md":
            assert anchor in anchors(place), f"{name(page)} links to {link}"


def test_every_page_of_the_folder_is_in_the_navigation():
    listed = (ROOT / "mkdocs.yml").read_text("utf-8")
    for page in PAGES[1:]:
        assert page.relative_to(ROOT / "docs").as_posix() in listed
