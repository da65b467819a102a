"""Options that messages name: each must be one that the user can give."""

import ast
import inspect
import re
from pathlib import Path

import lightning as L
import pytest

import fuse_lightning
from fuse_lightning.data import TargetDataModule
from fuse_lightning.evaluation.floor_options import FloorOptions

PACKAGE = Path(fuse_lightning.__file__).parent
OPTION = re.compile(r"\b([a-z]\w*) of ([A-Z]\w+)\b")
"""An option of a class, as in "select_by of Reasoning"."""
DOTTED = re.compile(r"(?<![\w./])(data|trainer|floors)\.([a-z_]+)\b(?![.(/])")
"""An option of a part of a search, as in "trainer.max_time"."""
PLAIN = {"list", "weights"}
"""Words before "of" that are no options."""


def strings():
    """Each string of the package that is no docstring, with its file and line."""
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        nodes = [*ast.walk(tree)]
        alone = {id(each.value) for each in nodes if isinstance(each, ast.Expr)}
        for each in nodes:
            is_text = isinstance(each, ast.Constant) and isinstance(each.value, str)
            if is_text and id(each) not in alone:
                yield f"{path.relative_to(PACKAGE)}:{each.lineno}", each.value


def options(made):
    """Names of the options of a class, with those of the classes above it."""
    own = [each for each in made.__mro__ if "__init__" in vars(each)]
    return {name for each in own for name in inspect.signature(each).parameters}


def below(made):
    """A class, and all classes below it."""
    return [made, *(one for each in made.__subclasses__() for one in below(each))]


def unknown(found):
    """Lines about options that are none, of a place, an option and the options there are."""
    return [f"{place}: {name}" for place, name, known in found if name not in known]


def of_classes(texts):
    named = ((place, *match) for place, text in texts for match in OPTION.findall(text))
    classes = {name: getattr(fuse_lightning, name) for name in fuse_lightning.__all__}
    return [
        (place, name, options(classes[kind]))
        for place, name, kind in named
        if isinstance(classes.get(kind), type) and name not in PLAIN
    ]


def of_parts(texts):
    known = {
        "data": set().union(*map(options, below(TargetDataModule))),
        "trainer": options(L.Trainer),
        "floors": options(FloorOptions),
    }
    named = ((place, *match) for place, text in texts for match in DOTTED.findall(text))
    return [(place, name, known[part]) for place, part, name in named]


@pytest.mark.parametrize(
    ("find", "wrong"),
    [(of_classes, "score of Reasoning: error"), (of_parts, "raise trainer.max_tme")],
)
def test_options_that_messages_name_exist(find, wrong):
    found = find(strings())
    assert len(found) > 9
    assert not unknown(found)
    assert unknown(find([("here", wrong)]))
