"""The site builds without a warning, and every link of it leads to a page and a heading."""

import re
import shutil
import subprocess
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

import pytest

from tests.docs.pages import ROOT

MKDOCS = shutil.which("mkdocs")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(MKDOCS is None, reason="the extra 'docs' is not installed: no mkdocs"),
]


class Names(HTMLParser):
    """Links, anchors, and what a page loads."""

    def __init__(self, text):
        super().__init__()
        self.links, self.anchors, self.loads = set(), set(), set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.anchors |= {found.get("id"), found.get("name")}
        if tag == "a" and found.get("href"):
            self.links.add(found["href"])
        if tag in ("img", "script", "iframe") and found.get("src"):
            self.loads.add(found["src"])
        if tag == "link" and found.get("rel") in ("stylesheet", "preconnect", "icon"):
            self.loads.add(found["href"])


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Folder of the built site; a warning ends the build."""
    place = tmp_path_factory.mktemp("site")
    command = [MKDOCS, "build", "--strict", "--site-dir", str(place)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return place


@pytest.fixture(scope="module")
def pages(site):
    """What stands in each page of the site, but for the one of an address that does not exist."""
    files = [path for path in site.rglob("*.html") if path.name != "404.html"]
    return {path: Names(path.read_text(encoding="utf-8")) for path in files}


def test_every_link_within_the_site_leads_to_a_heading(pages):
    for page, names in pages.items():
        for link in names.links:
            parts = urlsplit(link)
            if parts.scheme:
                continue
            place = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            place = place / "index.html" if place.is_dir() else place
            assert place.exists(), f"{page.name} links to {link}"
            if parts.fragment and place.suffix == ".html":
                known = {*pages[place].anchors, "__skip", "top"}
                assert unquote(parts.fragment) in known, f"{page.name} links to {link}"


def test_no_page_loads_anything_of_another_host(pages, site):
    for page, names in pages.items():
        assert not [load for load in names.loads if urlsplit(load).netloc], page.name
    for style in site.rglob("*.css"):
        assert not re.search(r"url\(\s*[\"']?https?:", style.read_text(encoding="utf-8"))


def test_links_out_of_the_folder_lead_to_the_repository(pages, site):
    outside = {link for names in pages.values() for link in names.links if "/main/" in link}
    assert any("/blob/main/benchmarks/results/" in link for link in outside)
    assert any(link.endswith("/tree/main/examples/templates") for link in outside)
    for link in outside:
        path = re.sub(r".*/(blob|tree)/main/", "", link).partition("#")[0]
        assert (ROOT / path).exists(), link


def test_the_python_reference_has_every_public_class(pages, site):
    anchors = pages[site / "reference" / "optimizers.html"].anchors
    assert "fuse_lightning.optimizers.autodan.AutoDAN" in anchors
    text = (site / "reference" / "objectives.html").read_text(encoding="utf-8")
    assert ":class:" not in text
    assert "ImageSimilarity" in text
