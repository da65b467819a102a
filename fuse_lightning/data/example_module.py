"""Base of the data modules whose targets hold many examples."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

from lightning.pytorch.utilities import rank_zero_info

from fuse_lightning.data.labelled_rows import RowSources
from fuse_lightning.data.labelled_splits import Amount
from fuse_lightning.data.module import TargetDataModule
from fuse_lightning.data.names import Root
from fuse_lightning.data.targets import Target, distinct
from fuse_lightning.errors import FuseError
from fuse_lightning.utilities.terminal import visible


class ExampleDataModule(TargetDataModule):
    """Base of data modules that make one target of each source of many examples.

    Args:
        data: A source or a list of sources: tables, saved data sets or data sets of the hub.
        select: Number of select examples, or their share; ``None`` for the usual one.
        test: Number of test examples, or their share, likewise.
        select_from: Source of the select examples; a list of one for each source if there are
            several.
        test_from: Source of the test examples, likewise.
        revision: Branch, tag or commit of data sets of the hub.
        stream: Rows to read of each data set of the hub, in place of downloading it whole.
        batch_size: Targets searched together.
        limit: Only the first so many targets.
        **options: Options of every :class:`TargetDataModule`.

    Attributes:
        data: The sources.
        sources: Opener of the sources.
        amounts: Amount of the select and of the test examples.
        others: Sources of the select and test examples, by split.
    """

    def __init__(
        self,
        data: str | list[str],
        select: int | float | None = None,
        test: int | float | None = None,
        select_from: str | list[str] | None = None,
        test_from: str | list[str] | None = None,
        revision: str | None = None,
        stream: int | None = None,
        batch_size: int = 1,
        limit: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(batch_size, limit, **options)
        at_least_one("stream", stream)
        self.data = [data] if isinstance(data, str) else list(data)
        if not self.data or "" in self.data:
            raise FuseError("data.data is empty or names nothing; give a table or a data set")
        if wrong := [source for source in self.data if not isinstance(source, str)]:
            raise FuseError(f"data.data holds {wrong[0]!r}, which is no text; put it in quotes")
        self.sources = RowSources(Root(self.root), revision, stream)
        self.amounts = {"select": _checked(select, "select"), "test": _checked(test, "test")}
        self.others = {
            "select": self._one_each(select_from, "select_from"),
            "test": self._one_each(test_from, "test_from"),
        }
        for split, amount in self.amounts.items():
            if amount == 0 and self.others[split] is not None:
                raise FuseError(
                    f"data.{split} is 0, but data.{split}_from is given; leave one of them out"
                )
        self._told: set[str] = set()

    @abstractmethod
    def read(self, source: str, others: Mapping[str, str]) -> tuple[Target, str]:
        """The target of a source, and a line about it for the user.

        Args:
            source: Source of the train examples, and of splits without one of their own.
            others: Sources of the select and test examples, by split, where they have their own.

        Raises:
            FuseError: If a source cannot be read or divided.
        """

    def _one_each(self, given: str | list[str] | None, option: str) -> list[str] | None:
        """A source for each source of ``data``; ``None`` if none is given."""
        sources = [given] if isinstance(given, str) else given
        if sources is not None and (len(sources) != len(self.data) or "" in sources):
            raise FuseError(
                f"data.{option} is {given!r}; give one source for each of data.data, which has "
                f"{len(self.data)}"
            )
        return sources

    def all_targets(self) -> list[Target]:
        """All targets, one for each source.

        Raises:
            FuseError: If a source cannot be read or divided.
        """
        found = []
        for number, source in enumerate(self.data):
            others = {split: each[number] for split, each in self.others.items() if each}
            try:
                target, line = self.read(source, others)
            except FuseError as error:
                self.skip(Target(source), str(error))
                continue
            found.append(target)
            # Targets may be looked for several times.
            if line not in self._told:
                self._told.add(line)
                rank_zero_info(visible(line))
        self._need(found)
        return distinct(found)


def at_least_one(name: str, value: int | None) -> None:
    """Checks an option that is a number of things or left out.

    Raises:
        FuseError: If it is below 1.
    """
    if value is not None and value < 1:
        raise FuseError(f"data.{name} is {value}; it must be at least 1")


def _checked(wanted: Amount, split: str) -> Amount:
    """Amount of a split, with no share of 0.

    Raises:
        FuseError: If it is neither a number of examples nor a share.
    """
    if wanted is None or (isinstance(wanted, int) and wanted >= 0):
        return wanted
    if not 0 <= wanted < 1:
        raise FuseError(
            f"data.{split} is {wanted}; give a whole number of examples, or a share from 0 to "
            "below 1"
        )
    return wanted or 0
