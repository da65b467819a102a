"""Finds discrete text prompts for frozen models, with PyTorch Lightning."""

import os
from importlib import import_module
from importlib.util import find_spec
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
            return sorted({"FuseError", *(name for part in PARTS for name in public_names(part))})
        # `from fuse_lightning import zoo` asks for a name before it imports the module.
        if not name.startswith("_") and find_spec(f"{__name__}.{name}") is None:
            for part in PARTS:
                if name in (names := public_names(part)):
                    return globals().setdefault(name, names[name])
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__getattr__("__all__")})


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
