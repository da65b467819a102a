"""Tables of questions that an instruction must explain, with prompts that cost nothing."""

import csv
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "tables"
DEFAULT = (
    "Use proper logical reasoning and think step by step. Finally give the actual correct answer."
)
"""Instruction that published searches begin with."""


@dataclass(frozen=True)
class Question:
    """A question with its right answers.

    Attributes:
        question: The bare question, such as a country.
        answer: The right answer.
        accepted: Other right answers.
    """

    question: str
    answer: str
    accepted: tuple[str, ...] = ()

    @property
    def right(self) -> tuple[str, ...]:
        """All right answers, the first one first."""
        return (self.answer, *self.accepted)

    def example(self) -> dict[str, object]:
        """The question as an example of a target."""
        return {
            "question": self.question,
            "label": self.answer,
            "accepted": [*self.accepted],
        }


STOCK = {
    "capital": (
        "What is the capital of this country?",
        "Which city is the capital?",
        "Name the capital city.",
        "What is the capital? Answer in one short sentence.",
        "Answer with the capital of the country.",
        "Tell me the capital of this country in one sentence.",
        "Let's think step by step.",
        "Answer the question.",
    ),
    "antonym": (
        "What is the opposite of this word?",
        "Name a word with the opposite meaning.",
        "Write the antonym of the word.",
        "What is the opposite? Answer in one short sentence.",
        "Answer with a word that means the opposite.",
        "Tell me the opposite of this word in one sentence.",
        "Let's think step by step.",
        "Answer the question.",
    ),
    "category": (
        "What kind of thing is it?",
        "Name the category of this thing.",
        "Which category does it belong to?",
        "What is it? Answer in one short sentence.",
        "Answer with the category of the word.",
        "Tell me in one sentence what kind of thing this is.",
        "Let's think step by step.",
        "Answer the question.",
    ),
}
"""Instructions that anybody would try first, by table; the fourth is the best by hand."""


def read_table(name: str) -> list[Question]:
    """All questions of a table of the benchmark.

    Args:
        name: ``capital``, ``antonym`` or ``category``.
    """
    with (FOLDER / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return [
            Question(
                row["question"], row["answer"], tuple(filter(None, row["accepted"].split("|")))
            )
            for row in csv.DictReader(file)
        ]
