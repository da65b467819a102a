"""Import of classes from the user's own files, named by ``class_path: module.Class``."""

import sys
from collections.abc import Container, Iterable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from traceback import walk_tb
from types import ModuleType

from fuse_lightning.errors import FuseError
from fuse_lightning.utilities.terminal import quoted

MOST_NAMED = 8
"""Most classes of a file that a message lists."""


class OwnClasses(MetaPathFinder):
    """Import finder for modules in the user's folders that are not installed.

    Other than folders on ``sys.path``, it knows which of them were used, and an error inside a
    module is one line that names the file and the line in it.

    Args:
        folders: Absolute folders, those that are looked through first at the front.
    """

    def __init__(self, folders: Iterable[str]) -> None:
        self.folders = list(dict.fromkeys(folders))
        self.modules: dict[str, str] = {}
        self.files: set[str] = set()
        self.depth = 0

    def install(self) -> None:
        """Adds the finder to Python's import system in place of an earlier one."""
        for earlier in _installed():
            self.files |= earlier.files
            # Modules that are loaded are not looked for again.
            self.modules |= {
                name: folder
                for name, folder in earlier.modules.items()
                if folder in self.folders and name in sys.modules
            }
        sys.meta_path[:] = [self, *(each for each in sys.meta_path if not _is_own(each))]

    def used(self) -> list[str]:
        """Folders from which a module was imported."""
        return [folder for folder in self.folders if folder in self.modules.values()]

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Spec of a module in the user's folders; ``None`` for any other module."""
        parent = fullname.rpartition(".")[0]
        if parent not in self.modules and (parent or self._is_installed(fullname)):
            return None
        spec = PathFinder.find_spec(fullname, path if parent else self.folders)
        if spec is None or spec.origin is None:
            return None
        file = Path(spec.origin)
        root = file.parents[1] if file.stem == "__init__" else file.parent
        self.modules[fullname] = self.modules[parent] if parent else str(root)
        self.files.add(spec.origin)
        if isinstance(spec.loader, SourceFileLoader):
            places = spec.submodule_search_locations
            loader = _OneLineLoader(fullname, str(file), self)
            spec = spec_from_file_location(
                fullname, file, loader=loader, submodule_search_locations=places
            )
        return spec

    def _is_installed(self, name: str) -> bool:
        """Whether a module lies outside the folders, some of which may be on ``sys.path`` too."""
        for finder in sys.meta_path:
            spec = None if _is_own(finder) else finder.find_spec(name, None)
            # A folder without a file of Python is a package, too, but counts less than a file.
            if spec is not None and spec.origin is not None:
                file = Path(spec.origin)
                root = file.parents[1] if file.stem == "__init__" else file.parent
                return str(root) not in self.folders
        return False


class _OneLineLoader(SourceFileLoader):
    """Module loader that turns any error of the user's module into a :class:`FuseError`."""

    def __init__(self, name: str, file: str, finder: OwnClasses) -> None:
        super().__init__(name, file)
        self.finder = finder

    def exec_module(self, module: ModuleType) -> None:
        """Executes a module.

        Raises:
            FuseError: If it fails. An error in a module that another one of the user imports
                reaches that one as it is: it may have an answer to it.
        """
        self.finder.depth += 1
        try:
            super().exec_module(module)
        except FuseError:
            raise
        except Exception as error:
            if self.finder.depth > 1:
                raise
            cause = _cause(error, self.finder.files, quoted(self.path))
            raise FuseError(f"module {self.name!r} cannot be imported: {cause}") from error
        finally:
            self.finder.depth -= 1


def _is_own(finder: object) -> bool:
    return isinstance(finder, OwnClasses)


def _cause(error: BaseException, files: Container[str], otherwise: str = "") -> str:
    """File, line and text of an error that comes from the user's files; empty for others."""
    places = [
        f"{quoted(frame.f_code.co_filename)} line {line}"
        for frame, line in walk_tb(error.__traceback__)
        if frame.f_code.co_filename in files
    ]
    if isinstance(error, SyntaxError) and error.filename:
        places = [f"{quoted(error.filename)} line {error.lineno}"]
    place = places[-1] if places else otherwise
    reason = f"{type(error).__name__}: {getattr(error, 'msg', None) or error}"
    return f"{place}: {reason}; mend it there" if place else ""


def own_failure(error: BaseException | None) -> str:
    """One line about an error that a user's class raised; empty for other errors.

    Args:
        error: The error, or one that was raised for it.
    """
    files = [file for finder in _installed() for file in finder.files]
    while error is not None:
        if line := _cause(error, files):
            return line
        error = error.__cause__ or error.__context__
    return ""


def own_folders() -> list[str]:
    """Folders that are searched for the user's classes."""
    return [folder for finder in _installed() for folder in finder.folders]


def used_folders() -> list[str]:
    """Folders of :func:`own_folders` from which a module was imported."""
    return [folder for finder in _installed() for folder in finder.used()]


def _installed() -> list[OwnClasses]:
    return [finder for finder in sys.meta_path if isinstance(finder, OwnClasses)]


def no_module(name: str) -> str:
    """One line about a module that is neither installed nor in the user's folders."""
    places = " or ".join(quoted(folder) for folder in own_folders())
    beside = f" or lies in {places}" if places else ""
    return (
        f"no module {name!r} is installed{beside}; check its name, or start from the folder that "
        "holds it"
    )


def no_class(name: str) -> str | None:
    """One line about a user's module that lacks a class, or that a library's module hides.

    Args:
        name: The class with its module, such as ``my_terms.Rhyme``.

    Returns:
        The line; ``None`` where the module is none of the user's.
    """
    module, _, kind = name.rpartition(".")
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None:
        return None
    line = f"no class {name!r} is known: {quoted(file)} has no {kind!r}"
    for finder in _installed():
        if module in finder.modules:
            names = [
                each.__name__
                for each in vars(sys.modules[module]).values()
                if isinstance(each, type) and each.__module__ == module
            ]
            some = ", ".join(names[:MOST_NAMED])
            return f"{line}; it has: {some}" if names else f"{line}; check its spelling"
    for folder in own_folders():
        hidden = Path(folder, f"{module}.py")
        if hidden.is_file() and not hidden.samefile(file):
            return f"{line}, and hides {quoted(hidden)}; give that file another name"
    return None


def wrong_class(name: str, base: str) -> str:
    """One line about a class of another kind than an option takes.

    >>> wrong_class("nowhere.Rhyme", "Term")
    "'Rhyme' is no Term; give a class derived from Term"
    """
    module, _, kind = name.rpartition(".")
    file = getattr(sys.modules.get(module), "__file__", None)
    place = f" in {quoted(file)}" if file else ""
    return f"{kind!r}{place} is no {base}; give a class derived from {base}"
