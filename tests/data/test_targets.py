import json
from pathlib import Path

import pytest
from PIL import Image

from fuse_lightning.data import ImageTargets, SentimentTargets, Target, TargetDataModule
from fuse_lightning.errors import FuseError

WHOLE = ["pictures/a.png", "pictures/b.jpg", "pictures/c.PNG", "pictures/style"]
"""Ids of the folder below."""


def picture(name):
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (9, 9), "red").save(path)
    return name


def manifest(name, text):
    Path(name).write_text(text, encoding="utf-8")
    return name


def rows(*found):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in found)


def found(data):
    return [(target.id, [path.as_posix() for path in target.pictures]) for target in data]


def ids(data):
    return [target.id for target in data.find_targets()]


@pytest.fixture
def folder():
    for name in ("b.jpg", "a.png", "c.PNG", "style/2.png", "style/1.png", "other/deep/1.png"):
        picture(f"pictures/{name}")
    Path("pictures/note.txt").write_text("no picture")
    return "pictures"


class TestSources:
    def test_one_file(self):
        assert found(ImageTargets(picture("a.png")).find_targets()) == [("a.png", ["a.png"])]

    def test_a_file_needs_no_suffix(self):
        Path(picture("a.png")).rename("a")
        assert ids(ImageTargets("a")) == ["a"]

    def test_a_folder_holds_pictures_and_folders_of_several_pictures(self, folder):
        assert found(ImageTargets(folder).find_targets()) == [
            ("pictures/a.png", ["pictures/a.png"]),
            ("pictures/b.jpg", ["pictures/b.jpg"]),
            ("pictures/c.PNG", ["pictures/c.PNG"]),
            ("pictures/style", ["pictures/style/1.png", "pictures/style/2.png"]),
        ]

    def test_all_pictures_of_a_target_are_read(self, folder):
        style = ImageTargets(folder).find_targets()[-1]
        assert [image.mode for image in style.images] == ["RGB", "RGB"]

    def test_hidden_files_are_left_out(self, folder):
        Path("pictures/._a.png").write_text("written beside pictures by some systems")
        picture("pictures/.thumbnails/a.png")
        assert ids(ImageTargets(folder)) == WHOLE

    def test_a_glob_pattern_matches_pictures_only(self, folder):
        assert ids(ImageTargets("pictures/[ab]*")) == WHOLE[:2]
        assert ids(ImageTargets("pictures/**/*.png")) == [
            "pictures/a.png",
            "pictures/other/deep/1.png",
            "pictures/style/1.png",
            "pictures/style/2.png",
        ]

    def test_a_name_that_looks_like_a_pattern_is_a_name_if_it_exists(self):
        assert ids(ImageTargets(picture("[x].png"))) == ["[x].png"]

    def test_a_list_keeps_its_order(self, folder):
        sources = ["pictures/b.jpg", folder]
        assert ids(ImageTargets(sources)) == [WHOLE[1], WHOLE[0], *WHOLE[2:]]

    def test_limit_takes_the_first(self, folder):
        assert ids(ImageTargets(folder, limit=2)) == WHOLE[:2]
        assert len(ids(ImageTargets(folder, limit=99))) == 4

    def test_pictures_beyond_the_limit_are_not_looked_at(self, folder):
        Path("pictures/b.jpg").write_text("broken")
        assert ids(ImageTargets(folder, limit=1)) == WHOLE[:1]

    def test_the_packages_own_scenes(self):
        targets = ImageTargets("zoo/scenes").find_targets()
        assert [(target.id, target.source) for target in targets] == [
            (f"scene-{index}", f"zoo/scenes/scene-{index}.png") for index in range(4)
        ]
        assert all(target.references for target in targets)

    def test_home_is_expanded(self, tmp_path, monkeypatch):
        picture("home/a.png")
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        assert ids(ImageTargets("~/a.png")) == ids(ImageTargets("~/*.png")) == ["home/a.png"]

    @pytest.mark.parametrize(
        ("images", "message"),
        [
            ("gone.png", "image 'gone.png' does not exist; check"),
            ("gone.jsonl", "'gone.jsonl' does not exist"),
            ("empty", "folder 'empty' holds no images; it needs pictures such as .jpg"),
            ("empty/*.png", "no image matches 'empty/*.png'; check the pattern"),
            ("text.png", "image 'text.png' cannot be read as a picture"),
            ("", "data.images is empty"),
            ([], "data.images is empty"),
        ],
    )
    def test_bad_sources_are_one_clear_error(self, images, message):
        Path("empty").mkdir()
        Path("text.png").write_text("hello")
        with pytest.raises(FuseError) as error:
            ImageTargets(images).find_targets()
        assert message in str(error.value)

    @pytest.mark.parametrize("options", [{"batch_size": 0}, {"limit": 0}, {"limit": -1}])
    def test_bad_numbers_are_refused_at_once(self, options):
        (name, value) = next(iter(options.items()))
        with pytest.raises(FuseError, match=rf"data\.{name} is {value}; it must be at least 1"):
            ImageTargets("a.png", **options)


class TestManifests:
    @pytest.fixture(autouse=True)
    def pictures(self):
        picture("p/a.png")
        picture("p/b.png")

    def test_json_lines(self):
        text = rows(
            {
                "file_name": "p/a.png",
                "id": "A",
                "caption": "a line\u2028separator",
                "references": ["one", "two"],
                "sentiment": "positive",
                "text": "words",
            },
            {"file_names": ["p/a.png", "p/b.png"], "references": "one"},
            {"file_name": "p/b.png", "id": 0, "sentiment": "none"},
        )
        first, second, third = ImageTargets(manifest("m.jsonl", "\n" + text)).find_targets()
        assert first == Target(
            "A",
            [Path("p/a.png")],
            "positive",
            "words",
            ["a line\u2028separator", "one", "two"],
        )
        assert second == Target("p/a.png", [Path("p/a.png"), Path("p/b.png")], references=["one"])
        assert [first.source, second.source] == ["p/a.png", "p/a.png, p/b.png"]
        assert third == Target("0", [Path("p/b.png")], references=[])

    def test_csv(self):
        text = (
            "file_name,file_names,id,caption,references,sentiment\r\n"
            'p/a.png,,A,"with, comma\nand line","[""one"", ""two""]",positive\r\n'
            ',"[""p/a.png"", ""p/b.png""]",,[sic] a text,,\r\n'
        )
        first, second = ImageTargets(manifest("m.csv", text)).find_targets()
        references = ["with, comma\nand line", "one", "two"]
        assert first == Target("A", [Path("p/a.png")], "positive", references=references)
        paths = [Path("p/a.png"), Path("p/b.png")]
        assert second == Target("p/a.png", paths, references=["[sic] a text"])

    def test_a_byte_order_mark_is_skipped(self):
        assert ids(ImageTargets(manifest("m.csv", "\ufefffile_name\np/a.png\n"))) == ["p/a.png"]
        assert ids(ImageTargets(manifest("M.CSV", "file_name\np/a.png\n"))) == ["p/a.png"]
        line = rows({"file_name": "p/a.png"})
        assert ids(ImageTargets(manifest("M.JsonL", line))) == ["p/a.png"]

    @pytest.mark.parametrize("name", ["metadata.jsonl", "metadata.csv"])
    def test_a_folders_manifest_says_what_it_holds(self, name):
        text = "file_name\nb.png\n" if name.endswith("csv") else rows({"file_name": "b.png"})
        manifest(f"p/{name}", text)
        assert found(ImageTargets("p").find_targets()) == [("p/b.png", ["p/b.png"])]

    @pytest.mark.parametrize(
        ("row", "message"),
        [
            ("[]", "row 2 of table 'm.jsonl' is no object"),
            ("5", "row 2 of table 'm.jsonl' is no object"),
            ("{}", "row 2 of table 'm.jsonl' names no picture"),
            ('{"file_name": 5}', "names no picture; give file_name or file_names"),
            ('{"file_name": ""}', "names no picture"),
            ('{"file_names": []}', "names no picture"),
            ('{"file_names": ["p/a.png", 5]}', "names no picture"),
            ('{"file_name": "p/a.png", "references": 5}', "row 2 .* has references 5"),
            (
                '{"file_name": "p/a.png", "references": [5]}',
                r"references \[5\]; give a text or a list",
            ),
            ('{"file_name": "p/a.png", "caption": 5}', "row 2 .* has caption 5; give a text"),
            ('{"file_name": "p/a.png", "text": []}', r"has text \[\]"),
            ('{"file_name": "p/a.png", "sentiment": ["sad"]}', r"has sentiment \['sad'\]"),
            ('{"file_name": "p/a.png", "id": {}}', "has id {}; give a name"),
            ('{"file_name": "gone.png"}', "image 'gone.png' does not exist"),
            ('{"file_name": ', "'m.jsonl' cannot be read: line 2 is no JSON"),
        ],
    )
    def test_bad_rows_are_named(self, row, message):
        manifest("m.jsonl", f'{{"file_name": "p/a.png"}}\n{row}\n')
        with pytest.raises(FuseError, match=message) as error:
            ImageTargets("m.jsonl").find_targets()
        assert "\n" not in str(error.value)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "is empty; it needs at least one row"),
            ("file_name\n", "is empty"),
            ("p/a.png\np/b.png\n", "no column file_names or .*one of: p/a.png"),
            ("file_name,caption\np/a.png,one, two\n", "row 1 .* more cells than the header"),
            ('file_name\n"p/a.png\n', "cannot be read"),
        ],
    )
    def test_bad_csv(self, text, message):
        with pytest.raises(FuseError, match=message):
            ImageTargets(manifest("m.csv", text)).find_targets()

    def test_other_encodings_are_refused(self):
        Path("m.jsonl").write_bytes(rows({"file_name": "p/a.png"}).encode("utf-16"))
        with pytest.raises(FuseError, match=r"m\.jsonl' cannot be read: 'utf-8'"):
            ImageTargets("m.jsonl").find_targets()


class TestSentiments:
    def test_alone(self):
        targets = SentimentTargets(["positive", "negative"]).find_targets()
        assert targets == [
            Target("positive", sentiment="positive"),
            Target("negative", sentiment="negative"),
        ]

    def test_a_label_that_is_added_changes_no_id(self):
        images = [picture("a.png"), picture("b.png")]
        assert [(t.id, t.sentiment) for t in SentimentTargets("good", images).find_targets()] == [
            ("a.png (good)", "good"),
            ("b.png (good)", "good"),
        ]
        both = ids(SentimentTargets(["good", "bad"], images))
        assert both == ["a.png (good)", "a.png (bad)", "b.png (good)", "b.png (bad)"]

    def test_every_picture_with_every_sentiment(self):
        data = SentimentTargets(["good", "bad"], [picture("a.png"), picture("b.png")], limit=1)
        assert [(t.id, t.sentiment, t.pictures) for t in data.find_targets()] == [
            ("a.png (good)", "good", [Path("a.png")]),
            ("a.png (bad)", "bad", [Path("a.png")]),
        ]

    def test_a_label_that_is_given_twice_counts_once(self, caplog):
        assert ids(SentimentTargets(["good", "good"])) == ["good"]
        assert caplog.messages == ["given more than once, searched once: 'good'"]
        data = SentimentTargets(["good", "good"], picture("a.png"))
        assert ids(data) == ["a.png (good)"]

    def test_from_the_manifest_unless_given(self):
        picture("a.png")
        manifest("m.jsonl", rows({"file_name": "a.png", "sentiment": "positive"}))
        assert SentimentTargets(images="m.jsonl").find_targets()[0].sentiment == "positive"
        assert SentimentTargets("bad", "m.jsonl").find_targets()[0].sentiment == "bad"

    def test_a_picture_without_sentiment_is_named(self):
        with pytest.raises(
            FuseError, match=r"target 'a.png' wants no sentiment; give data\.sentiment"
        ):
            SentimentTargets(images=picture("a.png")).find_targets()

    @pytest.mark.parametrize("sentiment", [None, [], "", [""]])
    def test_nothing_wanted(self, sentiment):
        with pytest.raises(FuseError, match=r"give .*(data\.sentiment|label)"):
            SentimentTargets(sentiment)


def test_targets_are_found_once():
    data = ImageTargets(picture("a.png"))
    data.setup("fit")
    Path("a.png").unlink()
    data.setup("fit")
    assert [target.id for target in data.targets] == ["a.png"]


class TestExamples:
    def test_they_are_part_of_what_a_target_is(self):
        plain = Target("a", text="a house")
        first, again, other = (
            Target("a", text="a house", examples=[{"text": "red", "label": label}])
            for label in (0, 0, 1)
        )
        assert len({plain.digest, first.digest, other.digest}) == 3
        assert first.digest == again.digest
        assert Target("b", text="a house", metadata={"label": 1}).digest == plain.digest

    def test_what_is_no_plain_data_is_refused(self):
        with pytest.raises(FuseError, match="target 'a' has an example that is no plain data"):
            Target("a", examples=[{"text": object()}])
        with pytest.raises(FuseError, match="no plain data"):
            Target("a", examples=["text"])


class Listed(TargetDataModule):
    """A data module that lists what it is given."""

    def __init__(self, listed):
        super().__init__()
        self.listed = listed

    def all_targets(self):
        return self.listed


@pytest.mark.parametrize("listed", [None, "ab", {"a": 1}, iter([Target("a")]), [Target("a"), "b"]])
def test_what_is_no_list_of_targets_is_named(listed):
    with pytest.raises(FuseError, match=r"Listed.all_targets gives .*; return a list of Target"):
        Listed(listed).setup("fit")


def test_targets_may_be_a_tuple():
    data = Listed((Target("a"), Target("b")))
    data.setup("fit")
    assert [target.id for target in data.targets] == ["a", "b"]


@pytest.mark.parametrize("name", [None, 5, Path("a.png")])
def test_an_id_that_is_no_text_is_named(name):
    with pytest.raises(FuseError, match=r"a target's id is .*, of type \w+; give a text"):
        Target(name)
