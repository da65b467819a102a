"""One target of questions with right answers: read, divided into splits and checked."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fuse_lightning.data.answer_kind import AnswerKind
from fuse_lightning.data.example_splits import Division, Source
from fuse_lightning.data.extractors import PUBLISHED, published_extractor, usual_extractor
from fuse_lightning.data.labelled_classes import Words
from fuse_lightning.data.labelled_columns import LABEL
from fuse_lightning.data.labelled_rows import Rows, RowSources
from fuse_lightning.data.labelled_splits import Amount, Pool, Splitter, content, distinct_examples
from fuse_lightning.data.labelled_told import warn
from fuse_lightning.data.names import some
from fuse_lightning.data.reasoning_columns import (
    ACCEPTED,
    QUESTION,
    QuestionColumns,
    question_columns,
)
from fuse_lightning.data.reasoning_labels import Answered, answered, kind_of, label_set, spellings
from fuse_lightning.data.reasoning_reader import SKIP, Questions, read_questions
from fuse_lightning.data.reasoning_told import Told
from fuse_lightning.data.targets import Example, Target
from fuse_lightning.errors import FuseError

FEWEST = 3
"""Fewest examples of a label that keep its share in each split; rarer labels count as one."""
RARE = ""
"""Name under which rare labels, and all open answers, count together."""


@dataclass(frozen=True)
class Options:
    """Options by which targets of questions are made.

    Attributes:
        sources: Opener of sources.
        question_column: Column or columns of questions; ``None`` to guess.
        answer_column: Column of right answers; ``None`` to guess.
        options_column: Column of the options of a question; ``None`` to guess.
        answer: Kind of the right answers; ``None`` to guess.
        labels: Words by label; ``None`` for the labels themselves.
        closed: Whether the answers are of a closed set; ``None`` to guess.
        extractor: Text between chain and answer; ``None`` for the usual one of the kind.
        train: Number of train examples; ``None`` for all that are left.
        select: Amount of select examples.
        test: Amount of test examples.
        seed: Seed of the splits.
        skip: Whether what is wrong with single examples leaves them out.
    """

    sources: RowSources
    question_column: str | Sequence[str] | None
    answer_column: str | None
    options_column: str | None
    answer: str | None
    labels: Words | None
    closed: bool | None
    extractor: str | None
    train: int | None
    select: Amount
    test: Amount
    seed: int
    skip: bool


@dataclass
class _Read:
    """Questions of one source, as they are written."""

    rows: Rows
    columns: QuestionColumns
    questions: Questions


@dataclass
class ReasoningTarget:
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
            FuseError: If a source cannot be read or divided, or its answers are of no one kind.
        """
        wanted = self.options
        main = self._read(source, "data.data")
        more = {split: self._read(other, f"data.{split}_from") for split, other in others.items()}
        place = main.rows.place
        written = [each for read in (main, *more.values()) for each in read.questions.found]
        kind = kind_of(written, wanted.answer, wanted.labels)
        known = {split: self._answered(each, kind) for split, each in [("", main), *more.items()]}
        spelled = spellings(
            [right for answers in known.values() for each in answers for right in each.rights], kind
        )
        known = {split: [each.spelled(spelled) for each in known[split]] for split in known}
        whole = [each for answers in known.values() for each in answers]
        labels = label_set(whole, kind, wanted.labels, wanted.closed, place)
        pools = {
            split: self._pool(answers, more.get(split, main)) for split, answers in known.items()
        }
        sources = {split: Source(more.get(split, main).rows.place, pools[split]) for split in pools}
        splits = self._splits(sources, labels)
        extractor = self._extractor(kind, labels, main.rows)
        told = Told(main.rows.name, main.columns, kind.name, wanted.answer is None, extractor)
        accepted = _accepted(whole)
        train, select, test = (
            [_example(key, each, accepted) for key, each in splits[split].items()]
            for split in ("train", "select", "test")
        )
        target = Target(
            main.rows.name,
            examples=train,
            select=select,
            test=test,
            labels=labels,
            answer=kind.name,
            extractor=extractor,
            source=main.rows.source,
        )
        return target, told.line(labels, splits, self.left_out, main.questions.starts)

    def _read(self, source: str, option: str) -> _Read:
        wanted = self.options
        rows = wanted.sources.open(source, option)
        columns = question_columns(
            rows.columns,
            wanted.question_column,
            wanted.answer_column,
            wanted.options_column,
            rows.place,
        )
        return _Read(rows, columns, read_questions(rows, columns, skip=wanted.skip))

    def _answered(self, read: _Read, kind: AnswerKind) -> list[Answered]:
        """Questions of a source with their answers in one spelling."""
        found, bad = [], [*read.questions.bad]
        for question in read.questions.found:
            try:
                found.append(answered(question, kind))
            except FuseError as error:
                if not self.options.skip:
                    raise FuseError(f"{error}; give data.answer another kind, or {SKIP}") from None
                bad.append(str(error))
        if bad:
            warn(f"{len(bad)} rows are left out; the first: {bad[0]}")
        if not found:
            raise FuseError(
                f"no answer in {read.rows.place} is of the kind {kind.name!r}; check data.answer "
                "and data.answer_column"
            )
        self.left_out["bad"] += len(bad)
        return found

    def _pool(self, answers: Sequence[Answered], read: _Read) -> Pool:
        found = distinct_examples({QUESTION: each.question, LABEL: each.label} for each in answers)
        if not found.pool:
            raise FuseError(
                f"every question of {read.rows.place} stands there with several answers, such as "
                f"{some(found.contested[:1])}; check data.question_column and data.answer_column"
            )
        self.left_out["repeated"] += found.repeated
        self.left_out["with several answers"] += len(found.contested)
        return found.pool

    def _splits(
        self, sources: dict[str, Source], labels: Mapping[str, Sequence[str]]
    ) -> dict[str, Pool]:
        wanted = self.options
        pools = [source.pool for source in sources.values()]
        names = sorted({each[LABEL] for pool in pools for each in pool.values()})
        main = sources.pop("")
        counts = Counter(each[LABEL] for each in main.pool.values())
        strata = {name: RARE for name in names if not labels or counts[name] < FEWEST}
        classes = [*dict.fromkeys(strata.get(name, name) for name in names)]
        splitter = Splitter(wanted.seed, classes, main.place, strata)
        division = Division(wanted.select, wanted.test, wanted.skip, self.left_out)
        splits = division.splits(main, sources, splitter, None)
        if wanted.train is not None:
            splits["train"] = splitter.first(splits["train"], wanted.train)
        for split, share in (("train", None), ("select", wanted.select), ("test", wanted.test)):
            if share != 0 and not splits[split]:
                option = (
                    "lower data.select and data.test" if split == "train" else f"data.{split}: 0"
                )
                raise FuseError(
                    f"{main.place} has {len(main.pool)} questions, which leave none for {split}; "
                    f"give more, or {option}"
                )
        self.left_out["unused"] += sum(map(len, pools)) - sum(map(len, splits.values()))
        return splits

    def _extractor(self, kind: AnswerKind, labels: Mapping[str, Sequence[str]], rows: Rows) -> str:
        given = self.options.extractor
        if given is None:
            shown = [words[0] for words in labels.values()]
            return usual_extractor(kind.name, shown)
        return published_extractor(rows.name) if given == PUBLISHED else given


def _accepted(answers: Sequence[Answered]) -> dict[str, list[str]]:
    """Other right answers by the content of their question."""
    found: dict[str, list[str]] = {}
    for each in answers:
        key = content({QUESTION: each.question})
        known = found.setdefault(key, [])
        known += [other for other in each.accepted if other not in (*known, each.label)]
    return found


def _example(key: str, found: Mapping[str, str], accepted: Mapping[str, list[str]]) -> Example:
    others = accepted.get(key)
    return {**found, ACCEPTED: others} if others else dict(found)
