"""Classes that ``fuse help`` can name: those of the package, and the user's own."""

import sys
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path

from fuse_lightning.cli.help import COMMANDS
from fuse_lightning.cli.messages import explain
from fuse_lightning.cli.own_classes import OwnClasses, no_class, no_module
from fuse_lightning.cli.search_help import class_page, named_classes
from fuse_lightning.errors import FuseError


def help_page(name: str) -> str:
    """Help page of a class.

    Args:
        name: Name of a class of the package, such as ``Fluency``; or the path of a class as
            configurations take it, such as ``my_terms.Rhyme`` of the file ``my_terms.py`` in the
            current folder.

    Raises:
        FuseError: If there is no such class.
    """
    known = {kind.__name__: kind for kind in named_classes(object, bases=True)}
    if name in known:
        return class_page(known[name])
    if "." in name or Path(f"{name}.py").is_file():
        return class_page(_own_class(name))
    lower = {each.lower(): each for each in (*COMMANDS, *known)}
    near = get_close_matches(name.lower(), lower, 1)
    meant = f"did you mean fuse help {lower[near[0]]}?" if near else "fuse help lists commands"
    raise FuseError(
        f"there is no command or class {name!r}; {meant} (a class of your own has its file's name "
        "in front: my_terms.Rhyme)"
    )


def _own_class(name: str) -> type:
    """Class that a path of a class names.

    Raises:
        FuseError: If there is none, or its file cannot be imported.
    """
    OwnClasses([str(Path.cwd())]).install()
    module, _, kind = name.removesuffix(".py").rpartition(".")
    if not module or name.endswith(".py"):
        # The name of a file alone.
        module, kind = name.removesuffix(".py").replace("/", "."), ""
    try:
        holder = import_module(module)
    except ModuleNotFoundError as error:
        raise FuseError(no_module(module)) from error
    except ImportError as error:
        raise FuseError(explain(error)) from error
    found = getattr(holder, kind, None) if kind else None
    if isinstance(found, type):
        return found
    own = [
        f"fuse help {module}.{each.__name__}"
        for each in vars(holder).values()
        if isinstance(each, type) and each.__module__ == holder.__name__
    ]
    if kind:
        raise FuseError(no_class(f"{module}.{kind}") or f"no class {name!r} is known")
    place = getattr(sys.modules[module], "__file__", module)
    raise FuseError(
        f"{place!r} is a file; give a class in it: {', '.join(own)}"
        if own
        else f"{place!r} has no class of its own; give a file that has"
    )
