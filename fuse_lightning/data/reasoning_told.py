"""Line about what was read of a source of questions, for the user to check."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fuse_lightning.data.extractors import unnamed
from fuse_lightning.data.labelled_splits import Pool
from fuse_lightning.data.names import some
from fuse_lightning.data.reasoning_columns import QuestionColumns


@dataclass(frozen=True)
class Told:
    """What is told of a target of questions.

    Attributes:
        name: Name of the source.
        columns: Columns that were read.
        kind: Kind of the answers.
        guessed: Whether the kind was guessed.
        extractor: The extractor.
    """

    name: str
    columns: QuestionColumns
    kind: str
    guessed: bool
    extractor: str

    def line(
        self,
        labels: Mapping[str, Sequence[str]],
        splits: Mapping[str, Pool],
        left_out: Mapping[str, int],
        starts: Sequence[str] = (),
    ) -> str:
        """One line: columns, kind of answers, label set, splits, extractor and what is left out.

        Args:
            labels: Words of each label; empty for open answers.
            splits: Examples of each split.
            left_out: Number of left-out rows by the reason.
            starts: Start prompts of the rows.

        >>> columns = QuestionColumns(["goal"], "final_target", guessed=["goal"])
        >>> told = Told("a.csv", columns, "yes_no", True, "The answer is:")
        >>> split = {"k": {"question": "x", "label": "Yes"}}
        >>> told.line({"Yes": ["Yes"], "No": ["No"]}, {"train": split, "test": {}}, {"bad": 1})
        "a.csv: the question is column goal (guessed), the answer is column final_target; answers \
are of kind yes_no (guessed), one of 2: 'Yes', 'No'; train/test: 1/0; extractor 'The answer is:'; \
left out: 1 bad"
        """
        columns = self.columns
        questions = " and ".join(map(self._column, columns.question))
        listed = f", the options are column {self._column(columns.options)}"
        parts = [
            f"{self.name}: the question is column {questions}, the answer is column "
            f"{self._column(columns.answer)}{listed if columns.options else ''}",
            f"answers are of kind {self.kind}{' (guessed)' if self.guessed else ''}, "
            + (f"one of {len(labels)}: {some([*labels])}" if labels else "open"),
            f"{'/'.join(splits)}: {'/'.join(str(len(pool)) for pool in splits.values())}",
            f"extractor {self.extractor!r}",
        ]
        if left := unnamed(self.extractor, [words[0] for words in labels.values()]):
            parts.append(f"the extractor does not name {some(left)}")
        if starts:
            parts.append(
                f"column {columns.start} is left out, whose text may be model.initial_prompt: "
                f"{some(sorted({*starts})[:1])}"
            )
        if out := [f"{count} {reason}" for reason, count in left_out.items() if count]:
            parts.append(f"left out: {', '.join(out)}")
        return "; ".join(parts)

    def _column(self, name: str) -> str:
        return f"{name} (guessed)" if name in self.columns.guessed else name
