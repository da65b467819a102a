"""The scene language: one derivation a text, true log-probabilities, false edits."""

import collections
import json
import math
import os
import random
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fuse_lightning.cli.main import main
from fuse_lightning.data import ImageTargets
from fuse_lightning.zoo import scenes as language
from fuse_lightning.zoo.false_captions import corruptions, edits, exchanges
from fuse_lightning.zoo.recipes.batches import (
    CAPTIONS,
    OBJECTS,
    UNNAMED,
    attributes,
    image_batch,
    pair_batch,
)
from fuse_lightning.zoo.recipes.text_batches import IGNORE, made_up, sentiment_example
from fuse_lightning.zoo.render import IMAGE_SIZE, layout, render
from fuse_lightning.zoo.vocabulary import COLORS, MOODS, SHAPES
from tests.factories.zoo_tokenizers import TOKENIZERS, tokenizer
from tests.zoo.captions import captions

rngs = st.integers(0, 10**9).map(random.Random)


def test_language_has_enough_words():
    rng = random.Random(0)
    texts = [language.sample_sentence(rng)[0] for _ in range(20_000)]
    words = {word for text in texts for word in text.lower().replace(",", " ").split()}
    assert len(words) >= 250


def test_equal_texts_have_equal_probability():
    rng = random.Random(0)
    seen = {}
    for _ in range(30_000):
        text, log_prob = language.sample_sentence(rng)
        assert seen.setdefault(text, log_prob) == pytest.approx(log_prob)


def test_log_probability_is_the_frequency_of_common_texts(monkeypatch):
    """With few words, texts repeat often enough to be counted."""
    for name in ("COLORS", "SHAPES", "BACKGROUNDS", "SIZES", "COUNTS", "MOODS", "RELATIONS"):
        table = getattr(language, name)
        keep = 4 if name == "RELATIONS" else 2
        small = {key: words[:1] for key, words in list(table.items())[:keep]}
        if name == "BACKGROUNDS":
            small = {key: (table[key][0][:1], table[key][1][:1]) for key in small}
        monkeypatch.setattr(language, name, small)
    for name in ("OPENERS", "SCENE_NOUNS", "SCENE_LINKS"):
        monkeypatch.setattr(language, name, getattr(language, name)[:1])
    rng = random.Random(0)
    count = 25_000
    texts, log_probs = collections.Counter(), {}
    for _ in range(count):
        text, log_prob = language.sample_sentence(rng)
        texts[text] += 1
        log_probs[text] = log_prob
    assert sum(map(math.exp, log_probs.values())) <= 1 + 1e-9
    for text, number in texts.most_common(40):
        expected = count * math.exp(log_probs[text])
        assert abs(number - expected) < 5 * math.sqrt(expected)


@settings(max_examples=100, deadline=None)
@given(rngs, st.sampled_from(language.SENTIMENTS))
def test_full_caption_tells_everything_and_names_the_objects(rng, sentiment):
    scene = language.sample_scene(rng)
    wording, _ = language.sample_wording(scene, rng, sentiment, full=True)
    text = wording.text()
    assert scene.mentioned_in(text)
    told = attributes(wording)
    expected = []
    for kind in (*scene.kinds, None)[:2]:
        expected += (
            [len(SHAPES), UNNAMED, UNNAMED, UNNAMED]
            if kind is None
            else [
                list(SHAPES).index(kind.shape),
                list(COLORS).index(kind.color),
                int(kind.size == "large"),
                kind.count - 1,
            ]
        )
    relation = {None: 2, "left of": 0, "above": 1}[scene.relation]
    assert told == [*expected, relation, list(language.BACKGROUNDS).index(scene.background)]
    moods = {word for words in MOODS.values() for word in words} & set(
        text.replace(",", "").split()
    )
    assert bool(moods) == (sentiment != "none")


@settings(max_examples=60, deadline=None)
@given(rngs)
def test_every_edit_is_false_and_every_value_is_edited(rng):
    scene = language.sample_scene(rng)
    wording, _ = language.sample_wording(scene, rng, full=True)
    truth = attributes(wording)
    values = collections.defaultdict(set)
    for attribute, value, edit in edits(scene, wording):
        assert edit.text() != wording.text()
        assert attributes(edit) != truth
        values[attribute].add(value)
    assert len(values["color"]) == len(COLORS) if scene.relation else len(COLORS) - 1
    assert len(values["background"]) == 5
    assert len(values["relation"]) == (3 if scene.relation else 0)
    exchanged = exchanges(wording)
    differ = (
        len({kind.count for kind in scene.kinds}) + len({kind.size for kind in scene.kinds}) - 2
    )
    assert len(exchanged) == (2 + differ + (differ > 0) if scene.relation else 0)
    for place, each in enumerate(exchanged):
        assert attributes(each) != truth
        # A colour or a shape alone makes other objects.
        assert scene.mentioned_in(each.text()) == (place > 1)
    for version in corruptions(wording.text(), rng).values():
        assert version != wording.text()


def test_edits_come_in_the_same_order_in_every_process():
    program = (
        "import random; from fuse_lightning.zoo.scenes import *; "
        "from fuse_lightning.zoo.false_captions import edits; rng = random.Random(3);"
        "scene = sample_scene(rng); wording = sample_wording(scene, rng, full=True)[0];"
        "print([edit.text() for *_, edit in edits(scene, wording)])"
    )
    found = [
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert found[0] == found[1] != b""


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("a tiny crimson disc above two teal boxes", {("red", "circle"), ("turquoise", "square")}),
        ("a crimson", set()),
        ("a red and blue star", {("blue", "star")}),
        ("three golden stars, how sad", {("yellow", "star")}),
    ],
)
def test_named_objects(text, named):
    assert language.named_objects(text) == named


@settings(max_examples=50, deadline=None)
@given(rngs)
def test_objects_lie_inside_the_picture_in_their_relation(rng):
    scene = language.sample_scene(rng)
    objects = layout(scene, rng)
    assert len(objects) == sum(kind.count for kind in scene.kinds)
    for placed in objects:
        assert placed.radius * 0.9 <= min(placed.x, IMAGE_SIZE - placed.x) + 4
        assert placed.radius * 0.9 <= min(placed.y, IMAGE_SIZE - placed.y) + 4
    if scene.relation:
        axis = "x" if scene.relation == "left of" else "y"
        first = [getattr(p, axis) for p in objects if p.kind == scene.kinds[0]]
        second = [getattr(p, axis) for p in objects if p.kind == scene.kinds[1]]
        assert max(first) + 8 < min(second)
    image = render(scene, rng)
    assert image.size == (IMAGE_SIZE, IMAGE_SIZE)
    assert image.mode == "RGB"


def test_a_third_of_the_words_split_differently():
    rng = random.Random(1)
    texts = [language.sample_sentence(rng)[0] for _ in range(5000)]
    words = {word for text in texts for word in text.lower().replace(",", " ").split()}
    splits = 0
    for word in words:
        pieces = set()
        for name in TOKENIZERS:
            tokens = tokenizer(name).tokenize(f" {word}" if name == "byte" else word)
            pieces.add(tuple(t.strip("Ġ#").removesuffix("</w>") for t in tokens))
        splits += len(pieces) > 1
    assert splits / len(words) >= 1 / 3


def test_command_writes_an_image_folder(tmp_path, capsys):
    main(["zoo", "scenes", "--out", str(tmp_path), "--count", "5", "--seed", "3"])
    main(["zoo", "scenes", "--out", str(tmp_path / "again"), "--count", "5", "--seed", "3"])
    rows = [json.loads(line) for line in (tmp_path / "metadata.jsonl").read_text().splitlines()]
    assert (tmp_path / "metadata.jsonl").read_text() == (
        tmp_path / "again" / "metadata.jsonl"
    ).read_text()
    assert len(rows) == 5
    for row in rows:
        assert set(row) >= {"file_name", "caption", "references", "objects", "background"}
        assert language.names_all(row["caption"], row["objects"])
    targets = ImageTargets(str(tmp_path)).find_targets()
    assert [target.references[0] for target in targets] == [row["caption"] for row in rows]
    assert all(target.sentiment is None for target in targets)
    # Names, and with them what is found, do not depend on where the folder lies.
    assert [target.id for target in targets] == [f"scene-{index}" for index in range(5)]


def test_scenes_load_as_an_image_folder_of_datasets(tmp_path):
    import datasets

    main(["zoo", "scenes", "--out", str(tmp_path / "s"), "--count", "3", "--sentiment", "positive"])
    data = datasets.load_dataset(
        "imagefolder", data_dir=str(tmp_path / "s"), split="train", cache_dir=str(tmp_path / "c")
    )
    assert set(data["sentiment"]) == {"positive"}
    assert data[0]["image"].size == (IMAGE_SIZE, IMAGE_SIZE)


def test_image_batches_mark_the_cells_of_every_object():
    batch = image_batch(6, 8, random.Random(0))
    assert batch.cells.shape == (6, 64)
    for row in range(6):
        classes = set(batch.cells[row].tolist()) - {40}
        shape, color = batch.labels[row, 0], batch.labels[row, 1]
        assert int(shape * 8 + color) in classes
        assert len(classes) == (1 if batch.labels[row, 4] == 5 else 2)


def test_pair_batches_begin_with_the_true_caption():
    batch = pair_batch(tokenizer("clip"), 12, random.Random(0))
    assert batch.pixels.shape == (12, 3, IMAGE_SIZE, IMAGE_SIZE)
    assert batch.valid[:, 0].all()
    for row in range(12):
        if not batch.whole[row]:
            continue
        told = batch.labels[row, 0] != UNNAMED
        both = told & (batch.image_labels[row] != UNNAMED)
        assert torch.equal(batch.labels[row, 0][both], batch.image_labels[row][both])
        for other in batch.labels[row, 1 : CAPTIONS - 1]:
            assert not torch.equal(other, batch.labels[row, 0])


@pytest.mark.parametrize("cut_share", [0.0, 0.5])
def test_objects_are_those_that_a_caption_names_and_a_picture_shows(cut_share):
    reader = tokenizer("clip")
    batch = pair_batch(reader, 20, random.Random(1), flawed=2, cut_share=cut_share)
    texts = iter(reader.batch_decode(captions(batch.trees), skip_special_tokens=True))
    for row, whole in enumerate(batch.whole.tolist()):
        shown = {OBJECTS[index] for index in batch.image_objects[row].nonzero()}
        assert 1 <= len(shown) <= 2
        assert batch.image_objects[row].sum() == len(shown)
        for column in range(CAPTIONS):
            shares = batch.objects[row, column]
            told = {OBJECTS[index] for index in shares.nonzero()}
            named = {(shape, color) for color, shape in language.named_objects(next(texts))}
            named = set() if whole and column >= CAPTIONS - 2 else named
            assert {(shape, color) for shape, color, *_ in told} == named
            # An object whose size is not told has half for each.
            assert shares.sum() == len(named)
            if column == 0:
                known = told & shown
                assert len(known) == len(named)
                assert {kind[:2] + kind[3:] for kind in told} == {k[:2] + k[3:] for k in known}


@pytest.mark.parametrize("flawed", [1, 2])
@pytest.mark.parametrize("name", ["clip", "pieces"])
def test_flaws_begin_after_the_first_word_that_departs_from_the_true_caption(name, flawed):
    reader = tokenizer(name)
    batch = pair_batch(reader, 40, random.Random(3), flawed)
    grammatical = CAPTIONS - flawed
    flaws, places = batch.flaws, batch.trees.places
    ids = batch.trees.ids.gather(1, places.clamp(min=0).flatten(1)).view_as(places)
    assert (flaws[places < 0] == IGNORE).all()
    ends = batch.trees.last[..., None]
    verdicts = flaws.gather(2, ends).squeeze(2)
    assert (verdicts[~batch.whole] == IGNORE).all()
    assert (verdicts[batch.whole, :grammatical] == 0).all()
    assert (verdicts[batch.whole, grammatical:] == 1).all()
    body = flaws.scatter(2, ends, 0)[..., 1:]
    assert not (body[:, :grammatical] == 1).any()
    assert (flaws[..., 0] == 0).all()
    for row in batch.whole.nonzero().flatten().tolist():
        for column in range(grammatical, CAPTIONS):
            flawed = (body[row, column] == 1).nonzero().flatten() + 1
            if not len(flawed):
                continue
            first, last = int(flawed[0]), int(ends[row, column])
            assert flawed.tolist() == list(range(first, last))
            sound, true = (
                reader.decode(part).replace(" ,", ",").split()
                for part in (ids[row, column, 1:first], ids[row, 0, 1 : int(ends[row, 0])])
            )
            assert sound[:-1] == true[: len(sound) - 1]
            assert sound != true[: len(sound)]


def test_captions_of_a_half_grown_row_differ_from_the_true_one():
    batch = pair_batch(tokenizer("clip"), 60, random.Random(5), cut_share=1.0)
    assert not batch.whole.any()
    rows = tokenizer("clip").batch_decode(captions(batch.trees), skip_special_tokens=True)
    cut_words = nouns = 0
    for row, valid in enumerate(batch.valid.tolist()):
        true, *false = rows[row * CAPTIONS : (row + 1) * CAPTIONS]
        assert [text != true for text in false] == valid[1:]
        last = true.replace(" ,", ",").split()[-1]
        cut_words += last not in WORDS
        nouns += last.strip(",") in NOUNS
    # Half of the rows end up to four words behind a noun, half of the others within a word, unless
    # it is short.
    assert 10 < nouns < 35
    assert 5 < cut_words < 25


_corpus = random.Random(0)
NOUNS = {noun for nouns in SHAPES.values() for pair in nouns for noun in pair}
WORDS = {word for _ in range(3000) for word in language.sample_sentence(_corpus)[0].lower().split()}


@settings(max_examples=200, deadline=None)
@given(rngs)
def test_only_true_mood_words_carry_a_sentiment(rng):
    text, label = sentiment_example(rng)
    words = set(text.replace(",", " ").split())
    moods = [bool(words & set(MOODS[name])) for name in ("negative", "positive")]
    assert label == 1 - moods[0] + moods[1]


def test_made_up_mood_words_are_many_and_rarely_true_ones():
    rng = random.Random(0)
    true = [word for words in MOODS.values() for word in words]
    words = [made_up(rng.choice(true), rng) for _ in range(4000)]
    assert len(set(words)) > 2500
    assert sum(word in true for word in words) < 80
    assert not any(" " in word for word in words)


@pytest.mark.parametrize("count", ["0", "-3"])
def test_no_scenes_are_refused_in_one_line(tmp_path, capsys, count):
    with pytest.raises(SystemExit, match="2"):
        main(["zoo", "scenes", "--out", str(tmp_path), "--count", count])
    assert f"error: --count is {count}" in capsys.readouterr().err
