"""Data module of questions with answers, for prompts that make a language model reason."""

from collections.abc import Mapping
from typing import Any, Literal

from fuse_lightning.data.answer_kinds import find
from fuse_lightning.data.example_module import ExampleDataModule, at_least_one
from fuse_lightning.data.reasoning_target import Options, ReasoningTarget
from fuse_lightning.data.targets import Target
from fuse_lightning.errors import FuseError

Kind = Literal["choice", "number", "yes_no", "word", "list"]


class ReasoningExamples(ExampleDataModule):
    """Data module of questions with right answers: tables, saved data sets and those of the hub.

    A source is one target, whose examples are dicts with ``question``, the right answer as
    ``label`` and, where there are several, the others as ``accepted``. They are divided into those
    that the steps of a search read (train), those that choose prompts (select) and those that
    report (test): by seed and content, with the same share of each label, without repetitions.

    Args:
        data: A ``.csv``, ``.tsv``, ``.json``, ``.jsonl``, ``.parquet`` or ``.arrow`` file, a folder
            that ``save_to_disk`` wrote, a data set of the hub as "hub:USER/NAME",
            "hub:USER/NAME@SPLIT" or "hub:USER/NAME:CONFIG@SPLIT", or a list of them.
        question_column: Column of the questions, or a list of columns whose texts stand one below
            the other; by default one of a usual name.
        answer_column: Column of the right answers; by default one of a usual name. Of a worked
            solution what stands behind ``####`` counts.
        options_column: Column of lists of options, which are put below the question as "(A) text",
            each in a line; by default ``choices`` or ``options``, if there is one; "" for none.
        answer: Kind of the answers; by default the one that nine in ten of them fit.
        labels: A word or several words of each label of a closed set, the first of which is shown
            to models. By default the word of a label is the label.
        closed: Whether the right answers are of a closed set, so that their probabilities can be
            compared; by default those of choices, yes or no, and few short words are.
        extractor: Text between the chain and its answer; "published" for the one of a task of
            BIG-Bench Hard in the scripts of GReaTer (arXiv 2412.09722). By default one that asks
            for the kind of answers.
        train: Number of train examples; by default all that select and test leave.
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
            ``on_error`` is also for rows that are no questions with an answer of the kind, and for
            select or test examples that another split has.
    """

    def __init__(
        self,
        data: str | list[str],
        question_column: str | list[str] | None = None,
        answer_column: str | None = None,
        options_column: str | None = None,
        answer: Kind | None = None,
        labels: dict[str, str | list[str]] | None = None,
        closed: bool | None = None,
        extractor: str | None = None,
        train: int | None = None,
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
        at_least_one("train", train)
        if answer is not None:
            find(answer)
        if extractor is not None and not extractor.strip():
            raise FuseError(
                f"data.extractor is {extractor!r}; give the text before the answer, such as "
                "'The answer is:', or leave it out"
            )
        self.options = Options(
            self.sources,
            question_column,
            answer_column,
            options_column,
            answer,
            labels,
            closed,
            extractor,
            train,
            self.amounts["select"],
            self.amounts["test"],
            self.seed,
            self.on_error == "skip",
        )

    def read(self, source: str, others: Mapping[str, str]) -> tuple[Target, str]:
        """The target of a source, and a line about it for the user.

        Raises:
            FuseError: If a source cannot be read or divided, or its answers are of no one kind.
        """
        return ReasoningTarget(self.options).read(source, others)
