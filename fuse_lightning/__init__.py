"""Finds discrete text prompts for frozen models, with PyTorch Lightning."""

import ast
import os
from functools import cache
from importlib import import_module
from importlib.resources import files
from types import ModuleType
from typing import TYPE_CHECKING, Any

from fuse_lightning.errors import FuseError as FuseError
from fuse_lightning.utilities.plugins import register

__version__ = "0.1.0"

# The shapes of a search hardly come again, and oneDNN would keep a compiled kernel for each:
# several hundred MB in a long run. It is read when torch first computes.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "32")

# Only scenes of the zoo can be measured by it, and evaluations know nothing of the zoo.
register("measure", "fuse_lightning.zoo.measures.ObjectsRight")
register("generator", "fuse_lightning.zoo.generator.SceneGenerator")
PARTS = (
    "data",
    "models",
    "adapters",
    "objectives",
    "evaluation",
    "search",
    "callbacks",
    "optimizers",
    "decoding",
    "diffing",
    "inversion",
)
"""Folders whose names are names of the package, each after those that it imports."""

if TYPE_CHECKING:
    # For editors and type checkers, which do not run the functions below.
    from fuse_lightning.adapters import *  # noqa: F403
    from fuse_lightning.callbacks import *  # noqa: F403
    from fuse_lightning.data import *  # noqa: F403
    from fuse_lightning.decoding import *  # noqa: F403
    from fuse_lightning.diffing import *  # noqa: F403
    from fuse_lightning.evaluation import *  # noqa: F403
    from fuse_lightning.inversion import *  # noqa: F403
    from fuse_lightning.models import *  # noqa: F403
    from fuse_lightning.objectives import *  # noqa: F403
    from fuse_lightning.optimizers import *  # noqa: F403
    from fuse_lightning.search import *  # noqa: F403
else:

    def __getattr__(name: str) -> Any:
        """Public name of one of the :data:`PARTS`, imported on first use."""
        if name == "__all__":
            return sorted({"FuseError", *_homes()})
        if name in _homes():
            part = import_module(f"{__name__}.{_homes()[name]}")
            return globals().setdefault(name, getattr(part, name))
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        """Public names, for completion; nothing is imported for it."""
        return sorted({*globals(), *__getattr__("__all__")})


@cache
def _homes() -> dict[str, str]:
    """Part of each public name, read from the lines of ``__init__.py`` without running them."""
    found: dict[str, str] = {}
    for part in PARTS:
        source = files(__name__).joinpath(part, "__init__.py").read_text(encoding="utf-8")
        for node in ast.parse(source).body:
            if isinstance(node, ast.ImportFrom):
                names = (each.asname for each in node.names)
                found |= {name: part for name in names if name and name not in found}
    return found


def public_names(part: str) -> dict[str, Any]:
    """Names of the classes and functions that a part of the package exports.

    >>> public_names("optimizers")["GCG"].__name__
    'GCG'
    """
    return {
        name: value
        for name, value in vars(import_module(f"{__name__}.{part}")).items()
        if not (name.startswith("_") or isinstance(value, ModuleType))
    }
