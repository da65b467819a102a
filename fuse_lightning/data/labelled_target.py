"""One target of labelled examples: read, divided into splits and checked."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fuse_lightning.data.example_splits import Division, Source
from fuse_lightning.data.labelled_classes import Words, class_words
from fuse_lightning.data.labelled_columns import LABEL, Chosen, choose
from fuse_lightning.data.labelled_reader import read_examples
from fuse_lightning.data.labelled_rows import Rows, RowSources
from fuse_lightning.data.labelled_splits import (
    Amount,
    Pool,
    Splitter,
    check_splits,
    distinct_examples,
)
from fuse_lightning.data.labelled_told import told, warn
from fuse_lightning.data.names import some
from fuse_lightning.data.targets import Target
from fuse_lightning.errors import FuseError


@dataclass(frozen=True)
class Options:
    """Options by which targets of labelled examples are made.

    Attributes:
        sources: Opener of sources.
        text_column: Column or columns of texts; ``None`` to guess.
        label_column: Column of classes; ``None`` to guess.
        labels: Words by class; ``None`` for the names of the classes.
        shots: Train examples of each class; ``None`` for all that are left.
        select: Amount of select examples.
        test: Amount of test examples.
        seed: Seed of the splits.
        skip: Whether what is wrong with single examples leaves them out.
    """

    sources: RowSources
    text_column: str | Sequence[str] | None
    label_column: str | None
    labels: Words | None
    shots: int | None
    select: Amount
    test: Amount
    seed: int
    skip: bool


@dataclass
class _Source:
    """Distinct examples of one source."""

    rows: Rows
    chosen: Chosen
    pool: Pool

    @property
    def names(self) -> Sequence[str]:
        """Names of the classes by number, where the column of classes holds numbers."""
        return self.rows.class_names.get(self.chosen.label, ())


@dataclass
class LabelledTarget:
    """Maker of one target from its sources.

    Attributes:
        options: The options.
        left_out: Number of left-out rows by the reason.
    """

    options: Options
    left_out: Counter[str] = field(default_factory=Counter)

    def read(self, source: str, others: Mapping[str, str]) -> tuple[Target, str]:
        """The target, and a line about it for the user.

        Args:
            source: Source of the train examples, and of splits without one of their own.
            others: Sources of the select and test examples, by split, where they have their own.

        Raises:
            FuseError: If a source cannot be read or divided, or its classes have no proper words.
        """
        main = self._source(source, "data.data")
        more = {
            split: self._source(other, f"data.{split}_from", main)
            for split, other in others.items()
        }
        pools = [main.pool, *(each.pool for each in more.values())]
        found = {example[LABEL] for pool in pools for example in pool.values()}
        words = class_words(found, main.names, self.options.labels, main.rows.place)
        division = Division(
            self.options.select, self.options.test, self.options.skip, self.left_out
        )
        splits = division.splits(
            Source(main.rows.place, main.pool),
            {split: Source(each.rows.place, each.pool) for split, each in more.items()},
            Splitter(self.options.seed, [*words], main.rows.place),
            self.options.shots,
        )
        wanted = {"train": 1, "select": self.options.select, "test": self.options.test}
        check_splits({s: splits[s] for s in splits if wanted[s] != 0}, [*words], main.rows.place)
        self.left_out["unused"] += sum(map(len, pools)) - sum(map(len, splits.values()))
        line = told(main.rows.name, main.chosen, words, splits, self.left_out)
        train, select, test = ([*splits[split].values()] for split in ("train", "select", "test"))
        target = Target(
            main.rows.name,
            examples=train,
            select=select,
            test=test,
            labels=words,
            source=main.rows.source,
        )
        return target, line

    def _source(self, source: str, option: str, first: _Source | None = None) -> _Source:
        """Distinct examples of a source, with the fields of the first one."""
        wanted = self.options
        rows = wanted.sources.open(source, option)
        chosen = choose(
            rows.columns, [*rows.class_names], wanted.text_column, wanted.label_column, rows.place
        )
        if first and {*chosen.fields} != {*first.chosen.fields}:
            here, there = (", ".join(each.fields) for each in (chosen, first.chosen))
            raise FuseError(
                f"{rows.place} has the fields {here}, but {first.rows.place} has {there}; give "
                "data.text_column columns of both"
            )
        read = read_examples(rows, chosen, skip=wanted.skip)
        if read.bad:
            warn(f"{len(read.bad)} rows are left out; the first: {read.bad[0]}")
        found = distinct_examples(read.examples)
        if not found.pool:
            raise FuseError(
                f"every text of {rows.place} stands there with several classes, such as "
                f"{some(found.contested[:1])}; check data.text_column and data.label_column"
            )
        self.left_out["bad"] += len(read.bad)
        self.left_out["repeated"] += found.repeated
        self.left_out["with several classes"] += len(found.contested)
        return _Source(rows, chosen, found.pool)
