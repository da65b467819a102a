"""One target of labelled examples: read, divided into splits and checked."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from fuse_lightning.data.labelled_classes import Words, class_words
from fuse_lightning.data.labelled_columns import LABEL, Chosen, choose
from fuse_lightning.data.labelled_reader import read_examples
from fuse_lightning.data.labelled_rows import Rows, RowSources
from fuse_lightning.data.labelled_splits import (
    Amount,
    Pool,
    Splitter,
    amount,
    check_splits,
    distinct_examples,
    said,
)
from fuse_lightning.data.labelled_told import told, warn
from fuse_lightning.data.names import some
from fuse_lightning.data.targets import Target
from fuse_lightning.errors import FuseError

SHARE = 0.2
"""Usual share of the examples that choose prompts, and of those that report."""


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
        splits = self._splits(main, more, [*words])
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

    def _splits(
        self, main: _Source, others: Mapping[str, _Source], classes: Sequence[str]
    ) -> dict[str, Pool]:
        wanted = self.options
        splitter = Splitter(wanted.seed, classes, main.rows.place)
        own = {
            split: 0 if split in others else amount(share, len(main.pool), SHARE)
            for split, share in (("test", wanted.test), ("select", wanted.select))
        }
        splits = splitter.divide(main.pool, own["test"], own["select"], wanted.shots)
        for split in ("select", "test"):
            if split in others:
                taken = {name: splits[name] for name in splits if name != split}
                fresh = self._fresh(others[split], split, taken)
                share = wanted.select if split == "select" else wanted.test
                splits[split] = splitter.sample(fresh, amount(share, len(fresh), 1.0), split)
        return {split: splits[split] for split in ("train", "select", "test")}

    def _fresh(self, source: _Source, split: str, taken: Mapping[str, Pool]) -> Pool:
        """Examples of a source that no other split has."""
        known = [key for key in source.pool if any(key in pool for pool in taken.values())]
        if not known:
            return source.pool
        texts = some([said(source.pool[key]) for key in sorted(known)])
        found = f"{split} examples of {source.rows.place} stand in {_named(known, taken)} too"
        if not self.options.skip:
            raise FuseError(
                f"{len(known)} {found}: {texts}; give other sources, or drop them from {split} by "
                "data.on_error: skip"
            )
        if len(known) == len(source.pool):
            raise FuseError(f"all {len(known)} {found}; give another source for {split}")
        warn(f"{len(known)} {found} and are left out: {texts}")
        self.left_out["in two splits"] += len(known)
        known_keys = {*known}
        return {key: each for key, each in source.pool.items() if key not in known_keys}


def _named(keys: Collection[str], splits: Mapping[str, Pool]) -> str:
    return " or ".join(name for name, pool in splits.items() if any(key in pool for key in keys))
