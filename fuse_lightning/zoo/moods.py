"""Captions of good or bad mood: labelled texts of the scene language."""

import csv
import io
import random

from fuse_lightning.zoo.scenes import Sentiment, sample_scene, sample_wording
from fuse_lightning.zoo.vocabulary import MOODS

COUNT = 2000
"""Number of captions in the file that comes with the package."""


def mood_captions(count: int = COUNT, seed: int = 0) -> list[dict[str, str]]:
    """Captions of random scenes, each with a word of mood and the mood as its label.

    They are distinct, and of two captions in a row one is positive and one negative. The first
    captions are the same whatever the count.

    Args:
        count: Number of captions.
        seed: Seed of scenes and words.

    >>> [row["label"] for row in mood_captions(4)]
    ['negative', 'positive', 'negative', 'positive']
    """
    rng = random.Random(f"moods-{seed}")
    found: dict[str, str] = {}
    while len(found) < count:
        label: Sentiment = "positive" if len(found) % 2 else "negative"
        text = sample_wording(sample_scene(rng), rng, label)[0].text()
        found.setdefault(text, label)
    return [{"text": text, "label": label} for text, label in found.items()]


def has_mood(text: str, sentiment: Sentiment) -> bool:
    """Whether a text has a mood word of a sentiment; for "none", whether it has no mood word.

    >>> [has_mood("a star, how lovely", mood) for mood in ("positive", "negative", "none")]
    [True, False, False]
    """
    words = set(text.lower().replace(",", " ").split())
    if sentiment == "none":
        return not any(words & set(moods) for moods in MOODS.values())
    return bool(words & set(MOODS[sentiment]))


def moods_file(count: int = COUNT, seed: int = 0) -> str:
    r"""Captions as the text of a CSV file with the columns text and label.

    Args:
        count: Number of captions.
        seed: Seed of scenes and words.

    >>> moods_file(0)
    'text,label\n'
    """
    out = io.StringIO()
    writer = csv.DictWriter(out, ("text", "label"), lineterminator="\n")
    writer.writeheader()
    writer.writerows(mood_captions(count, seed))
    return out.getvalue()
