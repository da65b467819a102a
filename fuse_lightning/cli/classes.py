"""Suggestions for misspelt class names, and the options of a class."""

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Any

from jsonargparse import ArgumentParser
from lightning.pytorch import Callback, LightningDataModule, LightningModule
from lightning.pytorch.loggers import Logger

from fuse_lightning.diffing import Grader, Proposer
from fuse_lightning.evaluation import Floor, Measure
from fuse_lightning.models.base import FrozenModel
from fuse_lightning.objectives import Term

BASES: tuple[type[Any], ...] = (
    LightningModule,
    LightningDataModule,
    Callback,
    Logger,
    Term,
    FrozenModel,
    Measure,
    Floor,
    Proposer,
    Grader,
)


def alike(name: str) -> str | None:
    """The known class whose name is closest to a misspelt one; ``None`` if none is close."""
    short = name.rpartition(".")[2].lower()
    names = {kind.lower(): kind for kind in class_names()}
    if name in names.values():
        # It is no class for the option, and no other one is meant.
        return None
    return next((names[close] for close in get_close_matches(short, names, 1)), None)


def class_names(bases: Sequence[type] = BASES) -> list[str]:
    """Names of the imported classes of some kinds; by default all that a configuration may name."""
    return [kind.__name__ for kind in all_classes(bases)]


def all_classes(bases: Sequence[type] = BASES) -> list[type]:
    """Imported classes of some kinds; by default all that a configuration may name."""
    return [kind for base in bases for kind in _all(base)]


def _all(base: type[Any]) -> Iterator[type[Any]]:
    yield base
    for kind in base.__subclasses__():
        yield from _all(kind)


def options(kind: type) -> list[str]:
    """Names of the options of a class, with those that it passes on to its base classes."""
    names: list[str] = ArgumentParser(exit_on_error=False).add_class_arguments(
        kind, fail_untyped=False
    )
    return names
