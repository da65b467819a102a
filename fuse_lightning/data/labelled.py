"""Data module of labelled examples, for prompts that make a language model classify."""

from collections.abc import Mapping
from typing import Any

from fuse_lightning.data.example_module import ExampleDataModule, at_least_one
from fuse_lightning.data.labelled_target import LabelledTarget, Options
from fuse_lightning.data.targets import Target


class LabelledExamples(ExampleDataModule):
    """Data module of labelled texts: tables, saved data sets and data sets of the hub.

    A source is one target, whose examples are dicts of texts by field, with the class as
    ``label``. They are divided into those that the steps of a search read (train), those that
    choose prompts (select) and those that report (test): by seed and content, with the same share
    of each class, without repetitions.

    Args:
        data: A ``.csv``, ``.tsv``, ``.json``, ``.jsonl``, ``.parquet`` or ``.arrow`` file, a folder
            that ``save_to_disk`` wrote, a data set of the hub as "hub:USER/NAME",
            "hub:USER/NAME@SPLIT" or "hub:USER/NAME:CONFIG@SPLIT", or a list of them. "zoo/moods"
            stands for the captions of good or bad mood that come with the package.
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
        super().__init__(
            data,
            select,
            test,
            select_from,
            test_from,
            revision,
            stream,
            batch_size,
            limit,
            **options,
        )
        at_least_one("shots", shots)
        self.options = Options(
            self.sources,
            text_column,
            label_column,
            labels,
            shots,
            self.amounts["select"],
            self.amounts["test"],
            self.seed,
            self.on_error == "skip",
        )

    def read(self, source: str, others: Mapping[str, str]) -> tuple[Target, str]:
        """The target of a source, and a line about it for the user.

        Raises:
            FuseError: If a source cannot be read or divided, or its classes have no proper words.
        """
        return LabelledTarget(self.options).read(source, others)
