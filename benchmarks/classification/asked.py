"""Labelled texts as questions, for an optimizer of reasoning prompts."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.classification.tasks import Rows, Task
from fuse_lightning.data import LabelledExamples
from fuse_lightning.data.targets import Example, Target
from fuse_lightning.objectives import Reasoning


class Asked(Task):
    """A task whose texts are questions, answered without a chain: the same loss by another term."""

    @property
    def places(self) -> tuple[str, str]:
        """Layout up to its last field, where the text is the question, and what stands behind."""
        layout = self.layout.removesuffix("{answer}").replace("{text}", "{question}")
        place = layout.rindex("}") + 1
        return layout[:place], layout[place:].strip()

    def term(self) -> Any:
        """Term of a search, not loaded."""
        return Reasoning(self.model, self.places[0], max_chain_tokens=0, select_by="loss")

    def data(
        self,
        folder: Path,
        sizes: tuple[int | None, int, int],
        seed: int,
        rows: Rows | None = None,
    ) -> LabelledExamples:
        """Data of one draw of the examples, divided as the task divides them."""
        data = super().data(folder, sizes, seed, rows)
        read = data.read

        def asked(source: str, others: Mapping[str, str]) -> tuple[Target, str]:
            target, told = read(source, others)
            splits = {name: questions(getattr(target, name)) for name in SPLITS}
            return replace(target, answer="word", extractor=self.places[1], **splits), told

        data.read = asked  # type: ignore[method-assign]
        return data


SPLITS = ("examples", "select", "test")


def questions(examples: Sequence[Example]) -> list[Example]:
    """Examples whose text is a question.

    >>> questions([{"text": "a red sign", "label": "positive"}])
    [{'question': 'a red sign', 'label': 'positive'}]
    """
    return [{"question": example["text"], "label": example["label"]} for example in examples]
