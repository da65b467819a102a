"""Data module of labelled examples, for prompts that make a language model classify."""

from typing import Any

from lightning.pytorch.utilities import rank_zero_info

from fuse_lightning.data.labelled_rows import RowSources
from fuse_lightning.data.labelled_splits import Amount
from fuse_lightning.data.labelled_target import LabelledTarget, Options
from fuse_lightning.data.module import TargetDataModule
from fuse_lightning.data.names import Root
from fuse_lightning.data.targets import Target, distinct
from fuse_lightning.errors import FuseError
from fuse_lightning.utilities.terminal import visible


class LabelledExamples(TargetDataModule):
    """Data module of labelled texts: tables, saved data sets and data sets of the hub.

    A source is one target, whose examples are dicts of texts by field, with the class as
    ``label``. They are divided into those that the steps of a search read (train), those that
    choose prompts (select) and those that report (test): by seed and content, with the same share
    of each class, without repetitions.

    Args:
        data: A ``.csv``, ``.json``, ``.jsonl``, ``.parquet`` or ``.arrow`` file, a folder that
            ``save_to_disk`` wrote, a data set of the hub as "hub:USER/NAME", "hub:USER/NAME@SPLIT"
            or "hub:USER/NAME:CONFIG@SPLIT", or a list of them. "zoo/moods" stands for the
            captions of good or bad mood that come with the package.
        text_column: Column of the texts, which become the field ``text``; or a list of columns,
            each a field of its own name. By default columns of usual names.
        label_column: Column of the classes; by default one of a usual name.
        labels: A word or several words of each class, by its name or by its number as a text. By
            default the word of a class is its name.
        shots: Train examples of each class; by default all that select and test leave.
        select: Number of select examples, or their share; by default a fifth, or all of
            ``select_from``. With 0, prompts are chosen by the train examples.
        test: Number of test examples, or their share; by default a fifth, or all of ``test_from``.
            With 0, there are none.
        select_from: Source of the select examples, such as another split; a list of one for each
            source if there are several.
        test_from: Source of the test examples, likewise.
        revision: Branch, tag or commit of data sets of the hub.
        stream: Rows to read of each data set of the hub, in place of downloading it whole.
        batch_size: Targets searched together.
        limit: Only the first so many targets.
        **options: Options of every :class:`TargetDataModule`. ``seed`` is also that of the splits;
            ``on_error`` is also for rows that are no examples, and for select or test examples
            that another split has.
    """

    def __init__(
        self,
        data: str | list[str],
        text_column: str | list[str] | None = None,
        label_column: str | None = None,
        labels: dict[str, str | list[str]] | None = None,
        shots: int | None = None,
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
        for name, value in (("shots", shots), ("stream", stream)):
            if value is not None and value < 1:
                raise FuseError(f"data.{name} is {value}; it must be at least 1")
        self.data = [data] if isinstance(data, str) else list(data)
        if not self.data or "" in self.data:
            raise FuseError("data.data is empty or names nothing; give a table or a data set")
        if wrong := [source for source in self.data if not isinstance(source, str)]:
            raise FuseError(f"data.data holds {wrong[0]!r}, which is no text; put it in quotes")
        self.options = Options(
            RowSources(Root(self.root), revision, stream),
            text_column,
            label_column,
            labels,
            shots,
            _checked(select, "select"),
            _checked(test, "test"),
            self.seed,
            self.on_error == "skip",
        )
        self.others = {
            "select": self._one_each(select_from, "select_from"),
            "test": self._one_each(test_from, "test_from"),
        }
        for split, amount in (("select", self.options.select), ("test", self.options.test)):
            if amount == 0 and self.others[split] is not None:
                raise FuseError(
                    f"data.{split} is 0, but data.{split}_from is given; leave one of them out"
                )
        self._told: set[str] = set()

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
            FuseError: If a source cannot be read or divided, or its classes have no proper words.
        """
        found = []
        for number, source in enumerate(self.data):
            others = {split: each[number] for split, each in self.others.items() if each}
            try:
                target, line = LabelledTarget(self.options).read(source, others)
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
