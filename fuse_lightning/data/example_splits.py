"""Division of the examples of one or several sources into train, select and test."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from fuse_lightning.data.labelled_splits import Amount, Pool, Splitter, amount, said
from fuse_lightning.data.labelled_told import warn
from fuse_lightning.data.names import some
from fuse_lightning.errors import FuseError

SHARE = 0.2
"""Usual share of the examples that choose prompts, and of those that report."""


@dataclass(frozen=True)
class Source:
    """Distinct examples of one source.

    Attributes:
        place: Name of the source in errors.
        pool: The examples.
    """

    place: str
    pool: Pool


@dataclass(frozen=True)
class Division:
    """Divider of sources into splits, of which no two share an example.

    Attributes:
        select: Amount of select examples.
        test: Amount of test examples.
        skip: Whether examples that another split has are left out of a source of its own.
        left_out: Number of left-out examples by the reason, which is added to.
    """

    select: Amount
    test: Amount
    skip: bool
    left_out: Counter[str] = field(default_factory=Counter)

    def splits(
        self, main: Source, others: Mapping[str, Source], splitter: Splitter, shots: int | None
    ) -> dict[str, Pool]:
        """Examples of the splits train, select and test.

        Args:
            main: Source of the train examples, and of splits without one of their own.
            others: Sources of the select and test examples, by split, where they have their own.
            splitter: Divider of one pool.
            shots: Train examples of each class; ``None`` for all that are left.

        Raises:
            FuseError: If a class has too few examples, or a split holds those of another.
        """
        wanted = {"test": self.test, "select": self.select}
        own = {
            split: 0 if split in others else amount(share, len(main.pool), SHARE)
            for split, share in wanted.items()
        }
        splits = splitter.divide(main.pool, own["test"], own["select"], shots)
        for split in ("select", "test"):
            if split in others:
                taken = {name: splits[name] for name in splits if name != split}
                fresh = self._fresh(others[split], split, taken)
                splits[split] = splitter.sample(
                    fresh, amount(wanted[split], len(fresh), 1.0), split
                )
        return {split: splits[split] for split in ("train", "select", "test")}

    def _fresh(self, source: Source, split: str, taken: Mapping[str, Pool]) -> Pool:
        """Examples of a source that no other split has."""
        known = [key for key in source.pool if any(key in pool for pool in taken.values())]
        if not known:
            return source.pool
        texts = some([said(source.pool[key]) for key in sorted(known)])
        found = f"{split} examples of {source.place} stand in {_named(known, taken)} too"
        if not self.skip:
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
