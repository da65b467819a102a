"""Captions of good or bad mood."""

from collections import Counter

from fuse_lightning.cli.main import main
from fuse_lightning.data import LabelledExamples
from fuse_lightning.data.labelled_rows import ZOO
from fuse_lightning.zoo.moods import mood_captions, moods_file
from fuse_lightning.zoo.vocabulary import MOODS


def test_the_file_of_the_package_is_what_the_grammar_gives():
    assert ZOO["zoo/moods"].read_text(encoding="utf-8") == moods_file()


def test_captions_are_distinct_and_of_equal_classes():
    rows = mood_captions(500, seed=3)
    assert len({row["text"] for row in rows}) == 500
    assert Counter(row["label"] for row in rows) == {"positive": 250, "negative": 250}


def test_one_word_tells_the_mood():
    for row in mood_captions(500, seed=1):
        words = row["text"].replace(",", "").split()
        told = [mood for mood, each in MOODS.items() for word in each if word in words]
        assert told == [row["label"]]


def test_the_first_captions_are_the_same_whatever_the_count():
    assert mood_captions(30) == mood_captions(100)[:30]
    assert mood_captions(30) != mood_captions(30, seed=1)


def test_command_writes_labelled_examples(tmp_path):
    main(["zoo", "moods", "--out", "few.csv", "--count", "50"])
    assert ZOO["zoo/moods"].read_text().startswith((tmp_path / "few.csv").read_text())
    main(["zoo", "moods", "--out", "other.csv", "--count", "50", "--seed", "1"])
    (target,) = LabelledExamples("few.csv", test_from="other.csv", select=0).find_targets()
    assert [*map(len, (target.examples, target.test))] == [50, 50]
