"""The wheel: what it holds, what its index page says, and that it runs away from the repository."""

import ast
import email
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
BUILD = """
import tarfile
from setuptools import build_meta

with tarfile.open(build_meta.build_sdist(".")) as file:
    file.extractall("unpacked", filter="data")
"""
WHEEL = "from setuptools import build_meta; build_meta.build_wheel('..')"
LARGEST = 12.5e6
"""Most bytes: almost all of them are weights of the zoo, which do not compress."""

pytestmark = pytest.mark.slow


def python(code, folder, **environment):
    """Standard output of a process that has only this code's modules and installed ones."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=folder,
        env=inherited | environment,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from the source archive, as an index of packages gets both."""
    folder = tmp_path_factory.mktemp("build")
    for name in ("fuse_lightning", "configs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    python(BUILD, folder)
    (unpacked,) = (folder / "unpacked").iterdir()
    python(WHEEL, unpacked)
    (built,) = (folder / "unpacked").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """Folder with the package as pip installs it."""
    folder = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target"]
    subprocess.run([*pip, folder, wheel], check=True)
    return folder


def test_it_holds_all_files_and_few_bytes(wheel):
    with zipfile.ZipFile(wheel) as file:
        names = {Path(name) for name in file.namelist()}
    package = ROOT / "fuse_lightning"
    kept = {
        path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    }
    assert names >= {path.relative_to(ROOT) for path in kept}
    configs = (ROOT / "configs").glob("*.yaml")
    assert names >= {Path("fuse_lightning", "configs", path.name) for path in configs}
    # Nothing else that the repository holds, such as tests.
    assert {name.parts[0].split("-")[0] for name in names} == {"fuse_lightning"}
    assert wheel.stat().st_size < LARGEST


def test_its_index_page_needs_no_repository(wheel):
    with zipfile.ZipFile(wheel) as file:
        (name,) = (name for name in file.namelist() if name.endswith("dist-info/METADATA"))
        about = email.message_from_string(file.read(name).decode())
        assert any(name.endswith("licenses/LICENSE") for name in file.namelist())
    assert about["License-Expression"] == "Apache-2.0"
    page = about.get_payload()
    links = re.findall(r"(!?)\[[^]]*\]\(([^)\s]+)\)", page)
    source = PROJECT["urls"]["Source"]
    pictures = source.replace("github.com", "raw.githubusercontent.com")
    own = {True: f"{pictures}/main/", False: f"{source}/blob/main/"}
    found = []
    for picture, link in links:
        assert link.startswith(("https://", "#")), link
        if link.startswith(own[bool(picture)]):
            path = link.removeprefix(own[bool(picture)]).partition("#")[0]
            assert (ROOT / path).is_file(), link
            found.append(path)
        else:
            assert not picture, link
    # All links of the README are there.
    relative = re.findall(r"\]\((?!https?://|#)([^)\s]+)\)", (ROOT / "README.md").read_text())
    assert found == [path.partition("#")[0] for path in relative]
    assert {"docs/quickstart.png", "docs/data.md"} <= {*found}


RUN = """
import contextlib, io, fuse_lightning
from fuse_lightning.cli.main import main
from fuse_lightning.cli.named_configs import shipped_configs
read = {}
for name, path in shipped_configs().items():
    command = path.read_text().partition("#   fuse ")[2].split()[0]
    out, words = io.StringIO(), [command, "--config", name]
    with contextlib.redirect_stdout(out):
        try:
            main([*words, "--print_config"])
        except SystemExit as ended:
            read[name] = ended.code, out.getvalue()[:8] and len(out.getvalue()) > 100
print([fuse_lightning.__file__, read])
main(["fit", "--config", "quickstart", "--model.steps=2", "--model.batch_size=4"])
"""


def test_it_runs_in_an_empty_folder(installed, tmp_path):
    place = tmp_path / "empty"
    place.mkdir()
    out = python(RUN, place, PYTHONPATH=str(installed))
    file, read = ast.literal_eval(out.splitlines()[0])
    assert Path(file).is_relative_to(installed)
    assert read == {path.stem: (0, True) for path in (ROOT / "configs").glob("*.yaml")}
    assert len((place / "logs/search/version_0/prompts.jsonl").read_text().splitlines()) >= 4
