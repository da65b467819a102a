"""How the package is laid out: which way imports point, how large its parts are, what they say."""

import ast
import graphlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "fuse_lightning"
LAYERS = (
    "errors",
    "utilities",
    "results metrics engine",
    "data",
    "models",
    "adapters",
    "objectives",
    "evaluation",
    "search",
    "callbacks",
    "optimizers decoding",
    "diffing",
    "report zoo invert",
    "cli",
    "__main__",
)
"""Lowest first: a part imports from lower layers alone, not from its own layer's other parts."""
HEIGHT = {part: height for height, layer in enumerate(LAYERS) for part in layer.split()}
FOR_TYPES_ONLY = 5
"""Most imports that type checkers alone follow: each hides an arrow that points up or a circle."""
LONGEST_FILE, LONGEST_CLASS, LONGEST_TESTS = 350, 250, 500
"""In lines."""
OTHER_TESTS = {"docs", "factories", "fuzzing", "runs"}
"""Folders of tests that stand for no folder of the package."""
modules = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
trees = {name: ast.parse(path.read_text()) for name, path in modules.items()}
parts = [name for name in modules if name != PACKAGE.name]


def part(name):
    """The part of the package that a module belongs to: ``fuse_lightning.data.web`` to ``data``."""
    return name.split(".")[1]


def for_types(tree):
    """Statements that only a type checker follows."""
    return {
        child
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for statement in node.body
        for child in ast.walk(statement)
    }


def imported(name):
    """Modules of the package that a module imports, also in functions: line, name, for types."""
    tree = trees[name]
    hidden = for_types(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}:{node.lineno} imports by a relative name"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found = {each if each in modules else node.module for each in names}
        elif isinstance(node, ast.Import):
            found = {alias.name for alias in node.names}
        else:
            continue
        for each in sorted(found):
            if each.partition(".")[0] == PACKAGE.name:
                yield node.lineno, each, node in hidden


def points_up(name, other):
    """Whether one module imports another of a higher layer, or of another part of its own."""
    if PACKAGE.name == other or part(name) == part(other):
        return False
    return HEIGHT[part(other)] >= HEIGHT[part(name)]


def check_none(found):
    """Fails with a line for each."""
    assert not found, "\n".join(found)


def test_every_part_has_a_layer():
    assert {part(name) for name in parts} <= set(HEIGHT)


def test_imports_point_down():
    check_none(
        [
            f"{name}:{line} {other}"
            for name in parts
            for line, other, hidden in imported(name)
            if not hidden and points_up(name, other)
        ]
    )


def test_few_imports_are_for_types_only():
    found = [f"{name}:{line}" for name in parts for line, _, hidden in imported(name) if hidden]
    assert len(found) <= FOR_TYPES_ONLY, found


def test_there_are_no_circles():
    """Not even of two modules of one folder, or of a folder's list of names and a module in it."""
    graph = {
        name: {other for _, other, hidden in imported(name) if not hidden} - {PACKAGE.name}
        for name in parts
    }
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_what_is_imported_from_the_package_itself_is_its_version():
    for name, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module == PACKAGE.name:
                names = {alias.name for alias in node.names}
                whole = {f"{PACKAGE.name}.{each}" for each in names}
                assert names == {"__version__"} or whole <= set(modules), name


def test_few_files_lie_beside_the_folders():
    assert len([*PACKAGE.glob("*.py")]) <= 5


def test_no_file_is_long():
    check_none(too_long(PACKAGE, LONGEST_FILE) + too_long(ROOT / "tests", LONGEST_TESTS))


def too_long(folder, most):
    """Files with more lines."""
    lines = {path: len(path.read_text().splitlines()) for path in folder.rglob("*.py")}
    return sorted(f"{path.relative_to(ROOT)}: {n}" for path, n in lines.items() if n > most)


def test_no_class_is_long():
    check_none(
        [
            f"{name}.{node.name}: {lines}"
            for name, tree in trees.items()
            for node in ast.walk(tree)
            if isinstance(node, ast.ClassDef)
            and (lines := node.end_lineno - node.lineno + 1) > LONGEST_CLASS
        ]
    )


def test_what_is_public_says_what_it_is():
    check_none([name for name, tree in trees.items() if not summary(tree)])
    check_none(
        [
            f"{name}.{node.name}"
            for name, tree in trees.items()
            for node in public(tree)
            if not summary(node)
            and not any("override" in ast.unparse(each) for each in node.decorator_list)
        ]
    )


def public(node):
    """Classes, functions and methods that a user may call."""
    for child in node.body:
        if isinstance(child, ast.ClassDef | ast.FunctionDef) and not child.name.startswith("_"):
            yield child
            if isinstance(child, ast.ClassDef):
                yield from public(child)


def summary(node):
    """The first line of a docstring."""
    return (ast.get_docstring(node, clean=False) or "").partition("\n")[0].strip()


def test_what_lists_its_attributes_lists_all():
    found = []
    for name, tree in trees.items():
        for kind in (each for each in ast.walk(tree) if isinstance(each, ast.ClassDef)):
            text = ast.get_docstring(kind) or ""
            if "Attributes:" not in text or not any(
                "dataclass" in ast.unparse(each) for each in kind.decorator_list
            ):
                continue
            fields = [each.target.id for each in kind.body if isinstance(each, ast.AnnAssign)]
            listed = {line.strip().partition(":")[0] for line in text.splitlines()}
            missing = [each for each in fields if each not in listed and each[0] != "_"]
            found += [f"{name}.{kind.name}: {each}" for each in missing]
    check_none(found)


def test_tests_lie_as_the_package_does():
    folders = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()}
    tests = {path.name for path in (ROOT / "tests").iterdir() if (path / "__init__.py").is_file()}
    assert tests == folders | OTHER_TESTS


def test_the_quick_part_touches_every_part_of_the_package():
    quick = {path.parent.name for path in (ROOT / "tests").glob("*/test_*.py") if is_quick(path)}
    assert quick >= {path.parent.name for path in PACKAGE.glob("*/__init__.py")}


def is_quick(path):
    """Whether a file has tests without a mark that they are slow."""
    tree = ast.parse(path.read_text())
    marks = [node for node in tree.body if isinstance(node, ast.Assign)]
    if any("slow" in ast.unparse(node) for node in marks if "pytestmark" in ast.unparse(node)):
        return False
    return any(
        isinstance(node, ast.FunctionDef)
        and node.name.startswith("test_")
        and not any("slow" in ast.unparse(each) for each in node.decorator_list)
        for node in ast.walk(tree)
    )
