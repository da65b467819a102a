"""Generated files are those that their generators write today; the notebooks' scripts run."""

import doctest
import json
import re
import sys
from importlib.util import module_from_spec, spec_from_file_location

import pytest

from tests.docs.pages import ROOT

SMALLER = {
    "first_search": {"steps=28": "steps=2"},
    "own_term_and_optimizer": {"steps=40)": "steps=4)"},
    "classify_with_a_verdict": {"steps=16": "steps=1", "select=96, test=400": "select=8, test=16"},
}
"""What the tests of the notebooks' scripts make smaller."""
NAMES = sorted(path.stem for path in (ROOT / "examples" / "notebooks").glob("*.py"))
OPTION = re.compile(r"(?<![\w-])--[a-z][\w.+-]*\w")


def tool(name):
    """A module of the folder `docs/tools`, which is no package."""
    specification = spec_from_file_location(name, ROOT / "docs" / "tools" / f"{name}.py")
    module = module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_the_page_of_the_templates_is_current():
    page = tool("templates_page")
    assert {path.name for path in page.TEMPLATES.iterdir() if path.is_file()} == {*page.FILES}
    assert page.PAGE.read_text(encoding="utf-8") == page.text(), (
        "python docs/tools/templates_page.py writes it anew"
    )


def test_the_reference_of_the_command_line_is_current():
    reference = tool("cli_reference")
    written, now = reference.PAGE.read_text(encoding="utf-8"), reference.text()
    hint = "python docs/tools/cli_reference.py writes it anew"
    sections = [re.split(r"^##+ ", text, flags=re.MULTILINE) for text in (written, now)]
    for old, new in zip(*sections, strict=True):
        assert {*OPTION.findall(old)} == {*OPTION.findall(new)}, hint
    # Later releases of argparse lay the same options out in another way.
    if sys.version_info[:2] == (3, 11):
        assert written == now, hint


def test_no_page_of_the_command_line_names_a_path_of_a_machine():
    assert not re.search(r"/(home|root|tmp|usr)/", tool("cli_reference").PAGE.read_text())


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_that_of_its_script(name):
    path = ROOT / "examples" / "notebooks" / f"{name}.py"
    written = path.with_suffix(".ipynb").read_text(encoding="utf-8")
    hint = "python docs/tools/notebooks.py writes it anew"
    assert written == tool("notebooks").notebook(path.read_text(encoding="utf-8")), hint
    kinds = [cell["cell_type"] for cell in json.loads(written)["cells"]]
    assert {*kinds} == {"markdown", "code"}


def test_the_example_of_the_generator_gives_what_it_says():
    failed, tried = doctest.testmod(tool("notebooks"))
    assert tried
    assert not failed


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_script_of_a_notebook_runs(name, capsys):
    code = (ROOT / "examples" / "notebooks" / f"{name}.py").read_text(encoding="utf-8")
    for old, new in SMALLER[name].items():
        assert old in code
        code = code.replace(old, new)
    names = {"__name__": name}
    exec(compile(code, name, "exec"), names)
    results = names["search"].results
    assert results
    assert results[0].prompt in capsys.readouterr().out
