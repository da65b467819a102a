"""Tasks of the classification benchmark: examples, layout, words, and stock instructions."""

import csv
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.classification.countries import COUNTRIES
from fuse_lightning.data import LabelledExamples
from fuse_lightning.evaluation.floor_options import FloorOptions
from fuse_lightning.objectives import Classification
from fuse_lightning.zoo import instructions
from fuse_lightning.zoo.moods import mood_captions
from fuse_lightning.zoo.scenes import sample_scene, sample_wording

Rows = list[dict[str, str]]

NEWS = {
    "business": "business",
    "entertainment": "entertainment",
    "politics": "politics",
    "sports": "sport",
    "tech": "technology",
}
"""Folder of BBC news to its word."""


@dataclass(frozen=True)
class Task:
    """Labelled texts, and how a model is asked about them.

    Attributes:
        name: Name, which is that of the target.
        model: Model id.
        layout: Layout of a prompt, a text and an answer.
        labels: Word of each class.
        rows: Makes the texts with their labels.
        stock: Instructions that anybody would try first; ``None`` for the package's own.
    """

    name: str
    model: str
    layout: str
    labels: dict[str, str]
    rows: Callable[[], Rows]
    stock: list[str] | None = None

    @property
    def settings(self) -> list[Any]:
        """What results of the task depend on, beside its texts."""
        return [self.name, self.model, self.layout, self.labels, self.stock]

    def term(self) -> Classification:
        """Term of a search, not loaded."""
        return Classification(self.model, self.layout)

    def floors(self) -> FloorOptions:
        """Options of the prompts that cost nothing."""
        return FloorOptions(stock=self.stock)

    def data(
        self,
        folder: Path,
        sizes: tuple[int | None, int, int],
        seed: int,
        rows: Rows | None = None,
    ) -> LabelledExamples:
        """Data of one draw of the examples.

        Args:
            folder: Where the table is written.
            sizes: Train examples of each class (``None`` for all that are left), select examples,
                and test examples.
            seed: Seed of the division.
            rows: Texts in place of the task's own.
        """
        name = f"{self.name}.csv"
        with (folder / name).open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, ("text", "label"))
            writer.writeheader()
            writer.writerows(self.rows() if rows is None else rows)
        shots, select, test = sizes
        labels: dict[str, str | list[str]] = {**self.labels}
        # A target's name is part of its random stream; the folder must not be.
        return LabelledExamples(
            name,
            labels=labels,
            shots=shots,
            select=select,
            test=test,
            seed=seed,
            root=str(folder),
        )


@cache
def numbers(count: int = 2000) -> Rows:
    """Captions of one object or of several alike, labelled by their number."""
    rng = random.Random("numbers")
    found: dict[str, str] = {}
    while len(found) < count:
        scene = sample_scene(rng)
        if len(scene.kinds) > 1:
            continue
        wording, _ = sample_wording(scene, rng, rng.choice(["none", "positive", "negative"]))
        label = "one" if wording.phrases[0].number == 1 else "many"
        # A pronoun at the end would tell.
        if wording.mood_place != "end" and label == ("one", "many")[len(found) % 2]:
            found.setdefault(wording.text(), label)
    return [{"text": text, "label": label} for text, label in found.items()]


def news(folder: Path) -> Rows:
    """Titles of BBC news that stand under one topic only.

    Args:
        folder: A folder of texts for each topic, the title in the first line.
    """
    titles = {topic: {_title(file) for file in (folder / topic).glob("*.txt")} for topic in NEWS}
    count = Counter(title for some in titles.values() for title in some)
    return [
        {"text": title, "label": topic}
        for topic, some in titles.items()
        for title in sorted(some)
        if count[title] == 1
    ]


def _title(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace").splitlines()[0].strip()


def continents() -> Rows:
    """Countries, labelled by their continent."""
    return [
        {"text": country, "label": continent}
        for continent, countries in COUNTRIES.items()
        for country in countries
    ]


def shuffled(rows: Sequence[dict[str, str]], seed: int) -> Rows:
    """The same texts with labels dealt out at random."""
    labels = [row["label"] for row in rows]
    random.Random(f"labels {seed}").shuffle(labels)
    return [{"text": row["text"], "label": label} for row, label in zip(rows, labels, strict=True)]


ZOO = {
    "moods": Task(
        "moods",
        "zoo/instruct",
        instructions.LAYOUT,
        {"positive": "good", "negative": "bad"},
        mood_captions,
        [*instructions.STOCK],
    ),
    "number": Task(
        "number",
        "zoo/gpt2",
        "{text} {prompt}{answer}",
        {"one": "it", "many": "them"},
        numbers,
        [
            *("An image of", "This shows", "We see", "Look at", "Here is", "how many"),
            *("one or two", "a single or a pair", "a picture with", "a scene containing"),
            *("it or them", "a count of"),
        ],
    ),
}
"""Tasks whose models come with the package."""


def real(model: str, texts: Path) -> dict[str, Task]:
    """Tasks for a real language model.

    Args:
        model: Id or folder of the model.
        texts: Folder of BBC news.
    """
    return {
        "news": Task(
            "news",
            model,
            "{prompt} {text} It was about{answer}",
            NEWS,
            lambda: news(texts),
            [
                "News headline:",
                "Classify the topic of this news headline as {labels}.",
                "The following text is a news story. Read it and name its topic.",
                "What is this headline about?",
                "Is this headline about {labels}?",
                "The topic is one of {labels}.",
                "Name the topic of the headline.",
                "Label the following text as {labels}.",
                "Read the headline. Answer with one of: {labels}.",
                "You are a news editor. Sort the headline under {labels}.",
                "Below is a headline from the BBC.",
                "Headline:",
            ],
        ),
        "continent": Task(
            "continent",
            model,
            "{prompt} {text}:{answer}",
            {name: name for name in COUNTRIES},
            continents,
            [
                "On which continent is this country?",
                "Name the continent of the country.",
                "Countries and their continents.",
                "The continent of the country, one of {labels}.",
                "Answer with one of: {labels}.",
                "Geography quiz.",
                "Is the following country in {labels}?",
                "Classify the country as {labels}.",
                "Where in the world is it?",
                "You are an expert in geography. Label the country as {labels}.",
                "Country: continent.",
                "Read the name of the country and give its continent.",
            ],
        ),
    }
