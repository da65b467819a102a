"""Splits of labelled examples: disjoint, without repetitions, with the same share of each class."""

import json
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from fuse_lightning.data.labelled_columns import LABEL
from fuse_lightning.data.names import turn
from fuse_lightning.errors import FuseError

Labelled = dict[str, str]
"""One example: its texts by field, and its class."""
Pool = Mapping[str, Labelled]
"""Distinct examples by their content."""
Amount = int | float | None
"""Number of examples, their share of all, or ``None`` for the usual one."""


def content(example: Labelled) -> str:
    """Content of an example by which it is found again: its texts without case and spacing.

    Letters count alike whether Unicode writes them as one sign or as a letter and an accent.

    >>> content({"text": "A  Star", "label": "good"})
    '[["text", "a star"]]'
    """
    texts = [[name, text] for name, text in sorted(example.items()) if name != LABEL]
    return json.dumps([[name, " ".join(_folded(text).split())] for name, text in texts])


def _folded(text: str) -> str:
    """Text without case; equal for all spellings that Unicode calls equivalent."""
    # Lower case may bring accents in another order, and the other way round.
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold())


@dataclass
class Distinct:
    """Distinct examples of a source.

    Attributes:
        pool: The examples by their content.
        repeated: Number of left-out repetitions.
        contested: Texts with several classes, which are left out.
    """

    pool: dict[str, Labelled] = field(default_factory=dict)
    repeated: int = 0
    contested: list[str] = field(default_factory=list)


def distinct_examples(examples: Iterable[Labelled]) -> Distinct:
    """Examples without repetitions and without texts of several classes, in any order.

    >>> star, box = {"text": "star", "label": "good"}, {"text": "box", "label": "good"}
    >>> other = [{"text": "Star", "label": "good"}, {"text": "box", "label": "bad"}]
    >>> found = distinct_examples([star, box, *other])
    >>> [*found.pool.values()], found.repeated, found.contested
    ([{'text': 'Star', 'label': 'good'}], 1, ['box'])
    """
    groups = defaultdict[str, list[Labelled]](list)
    for example in examples:
        groups[content(example)].append(example)
    found = Distinct()
    for key, group in groups.items():
        # Which spelling is kept is no matter of the order of rows.
        kept = min(group, key=lambda example: [*example.items()])
        if len({example[LABEL] for example in group}) > 1:
            found.contested.append(said(kept))
            continue
        found.pool[key] = kept
        found.repeated += len(group) - 1
    found.contested.sort()
    return found


def said(example: Labelled) -> str:
    """Text of an example for messages.

    >>> said({"premise": "It rains.", "hypothesis": "It is wet.", "label": "yes"})
    'It rains. / It is wet.'
    """
    return " / ".join(text for name, text in example.items() if name != LABEL)


def amount(wanted: Amount, count: int, usual: float) -> int:
    """Number of examples of a split.

    Args:
        wanted: A number, a share below 1, or ``None`` for the usual share.
        count: Number of all examples.
        usual: The usual share.

    >>> amount(30, 100, 0.2), amount(0.25, 10, 0.2), amount(None, 100, 0.2)
    (30, 3, 20)
    """
    share = usual if wanted is None else wanted
    return share if isinstance(share, int) else int(share * count + 0.5)


def seats(
    wanted: int, counts: Mapping[str, int], room: Mapping[str, int], split: str, place: str
) -> dict[str, int]:
    """Number of examples of each class in a split, within one of the class's share of them.

    Classes that would have none come first where shares are rounded.

    Args:
        wanted: Number of examples in the split.
        counts: Number of examples of each class, by which shares go.
        room: Most examples that may be taken of each class.
        split: Name of the split for the error.
        place: Name of the source for the error.

    Raises:
        FuseError: If there are not so many.

    >>> seats(3, {"a": 5, "b": 4, "c": 1}, {"a": 5, "b": 4, "c": 1}, "test", "it")
    {'a': 1, 'b': 1, 'c': 1}
    """
    whole = sum(counts.values())
    # In whole numbers, so that rounding is the same everywhere.
    exact = {name: divmod(wanted * count, whole) for name, count in counts.items()}
    given = {name: min(floor, room[name]) for name, (floor, _) in exact.items()}
    left = wanted - sum(given.values())
    order = sorted(
        (name for name in given if given[name] < room[name] and exact[name][1]),
        key=lambda name: (given[name] > 0, -exact[name][1], name),
    )
    if left > len(order):
        # Open answers have no classes.
        kept = "each class keeps one for train" if len(counts) > 1 else "one stays for train"
        raise FuseError(
            f"data.{split} asks for {wanted} of {whole} examples of {place}, but {kept}; give a "
            "smaller number or share"
        )
    for name in order[:left]:
        given[name] += 1
    return given


@dataclass(frozen=True)
class Splitter:
    """Divider of distinct examples into splits by a seed and by their content alone.

    Attributes:
        seed: Seed of the order in which examples are taken.
        classes: The classes, in order.
        place: Name of the source for errors.
        strata: Class that an example of another label counts as, by its label.
    """

    seed: int
    classes: Sequence[str]
    place: str
    strata: Mapping[str, str] = field(default_factory=dict)

    def ordered(self, pool: Pool) -> dict[str, list[str]]:
        """Contents of the examples of each class, in the order of the seed."""
        found: dict[str, list[str]] = {name: [] for name in self.classes}
        for key in sorted(pool, key=lambda key: turn(self.seed, key)):
            label = pool[key][LABEL]
            found[self.strata.get(label, label)].append(key)
        return found

    def divide(self, pool: Pool, test: int, select: int, shots: int | None) -> dict[str, Pool]:
        """Examples of the splits; test and select take theirs first.

        Args:
            pool: All examples.
            test: Number of test examples.
            select: Number of examples that choose prompts.
            shots: Train examples of each class; ``None`` for all that are left.

        Raises:
            FuseError: If a class has too few examples.
        """
        left = self.ordered(pool)
        counts = {name: len(keys) for name, keys in left.items()}
        taken: dict[str, Pool] = {}
        for split, wanted in (("test", test), ("select", select)):
            room = {name: max(0, len(keys) - 1) for name, keys in left.items()}
            taken[split] = self._take(pool, left, seats(wanted, counts, room, split, self.place))
        for name, keys in left.items():
            if shots is not None and shots > len(keys):
                raise FuseError(
                    f"data.shots is {shots}, but class {name!r} of {self.place} has {len(keys)} "
                    "examples left for train; lower data.shots, data.select or data.test"
                )
        wanted_shots = {name: len(keys) if shots is None else shots for name, keys in left.items()}
        return {"train": self._take(pool, left, wanted_shots), **taken}

    def sample(self, pool: Pool, wanted: int, split: str) -> Pool:
        """So many of the examples, with the same share of each class.

        Raises:
            FuseError: If there are not so many.
        """
        left = self.ordered(pool)
        counts = {name: len(keys) for name, keys in left.items()}
        if wanted > len(pool):
            raise FuseError(
                f"data.{split} asks for {wanted} examples for {self.place}, but data.{split}_from "
                f"has {len(pool)}; give a smaller number"
            )
        return self._take(pool, left, seats(wanted, counts, counts, split, self.place))

    def first(self, pool: Pool, wanted: int) -> Pool:
        """So many of the train examples that select and test left.

        Raises:
            FuseError: If there are not so many.
        """
        if wanted > len(pool):
            raise FuseError(
                f"data.train is {wanted}, but select and test leave {len(pool)} examples of "
                f"{self.place}; lower data.train, data.select or data.test"
            )
        left = self.ordered(pool)
        counts = {name: len(keys) for name, keys in left.items()}
        return self._take(pool, left, seats(wanted, counts, counts, "train", self.place))

    def _take(self, pool: Pool, left: dict[str, list[str]], counts: Mapping[str, int]) -> Pool:
        keys = []
        for name, count in counts.items():
            keys += left[name][:count]
            left[name] = left[name][count:]
        return {key: pool[key] for key in sorted(keys, key=lambda key: turn(self.seed, key))}


def check_splits(splits: Mapping[str, Pool], classes: Sequence[str], place: str) -> None:
    """Checks that every split that holds examples holds some of each class.

    Raises:
        FuseError: If one lacks a class.
    """
    for split, pool in splits.items():
        there = {example[LABEL] for example in pool.values()}
        if missing := [name for name in classes if name not in there]:
            raise FuseError(
                f"class {missing[0]!r} of {place} has no example in {split} ({len(pool)} in all); "
                "give more of it, or name in data.labels only the classes that have examples"
            )
