"""Labelled examples: sources, columns and what is told of them."""

import json
import logging
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuse_lightning.data import LabelledExamples
from fuse_lightning.data.labelled_columns import field_name
from fuse_lightning.objectives.layout import ANSWER, PROMPT, Layout
from tests.data.labelled import all_of, error_of, parts, rows, target_of, write

datasets.disable_progress_bars()

FEATURES = datasets.Features(
    {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])}
)


def data_set(count=20, first=0):
    texts = [f"text number {index}" for index in range(first, first + count)]
    labels = [index % 2 for index in range(count)]
    return datasets.Dataset.from_dict({"text": texts, "label": labels}, features=FEATURES)


def arrow(path, kind):
    table = data_set().with_format("arrow")[:]
    with pa.OSFile(path, "wb") as file, kind(file, table.schema) as writer:
        writer.write_table(table)
    return path


@pytest.fixture
def lines(caplog):
    """What is told to the user."""
    caplog.set_level(logging.INFO)
    return caplog


class TestKinds:
    @pytest.mark.parametrize("name", ["d.csv", "d.json", "d.jsonl", "d.x.csv"])
    def test_texts_by_rows(self, name):
        target = target_of(write(rows(), name))
        assert (target.id, target.source) == (name, name)
        assert target.labels == {"bad": ["bad"], "good": ["good"]}
        assert sorted(all_of(target), key=str) == sorted(rows(), key=str)
        assert [*map(len, parts(target))] == [12, 4, 4]

    @pytest.mark.parametrize("kind", ["parquet", "saved", "stream", "file"])
    def test_tables_name_their_classes(self, kind):
        if kind == "parquet":
            data_set().to_parquet("d")
            Path("d").rename("d.parquet")
            source = "d.parquet"
        elif kind == "saved":
            data_set().save_to_disk("d", num_shards=2)
            source = "d"
        else:
            source = arrow("d.arrow", pa.ipc.new_stream if kind == "stream" else pa.ipc.new_file)
        target = target_of(source)
        assert target.id == source
        assert target.labels == {"neg": ["neg"], "pos": ["pos"]}
        assert len(all_of(target)) == 20
        assert {each["label"] for each in all_of(target) if each["text"][-1] in "13579"} == {"pos"}

    def test_every_kind_gives_the_same_splits(self):
        named = [{**row, "label": {"bad": "neg", "good": "pos"}[row["label"]]} for row in rows()]
        data_set().to_parquet("d.parquet")
        first = target_of("d.parquet")
        for name in ("d.csv", "d.json", "d.jsonl"):
            assert parts(target_of(write(named, name))) == parts(first)

    def test_a_saved_set_of_several_splits_is_named(self):
        both = {"train": data_set(), "test": data_set(10, first=100)}
        datasets.DatasetDict(both).save_to_disk("all")
        assert "has several splits; give one of all/test, all/train" in error_of("all")
        target = target_of("all/train", test_from="all/test")
        assert [*map(len, parts(target))] == [16, 4, 10]

    def test_sources_are_found_from_the_root(self):
        Path("deep").mkdir()
        write(rows(), "deep/d.csv")
        assert target_of("d.csv", root="deep").id == "d.csv"

    @pytest.mark.parametrize(
        ("source", "message"),
        [
            ("gone.csv", "source 'gone.csv' does not exist; check data.data"),
            ("user/data", "or give hub:user/data for a data set of the hub"),
            ("folder", "folder 'folder' was not written by save_to_disk; give data.data a file"),
            ("a.txt", "source 'a.txt' is no table by its ending; give data.data a file of .jsonl"),
            ("empty.csv", "table 'empty.csv' is empty"),
            ("broken.jsonl", "table 'broken.jsonl' cannot be read: line 2 is no JSON"),
            ("none.parquet", "data set 'none.parquet' has no row"),
            ("", "data.data is empty or names nothing"),
            ([], "data.data is empty or names nothing"),
            ([5], "data.data holds 5, which is no text; put it in quotes"),
        ],
    )
    def test_what_is_no_source(self, source, message):
        Path("folder").mkdir()
        Path("a.txt").write_text("a")
        Path("empty.csv").write_text("text,label\n")
        Path("broken.jsonl").write_text('{"text": "a", "label": "b"}\n{"text"\n')
        strings = pa.array([], pa.string())
        pq.write_table(pa.table({"text": strings, "label": strings}), "none.parquet")
        with pytest.raises(ValueError, match=r".") as error:
            LabelledExamples(source).find_targets()
        assert message in str(error.value)


class TestHub:
    @pytest.fixture
    def hub(self, monkeypatch):
        """A hub of local files, one a split; says how it was asked."""
        data_set().to_parquet("train.parquet")
        data_set(10, first=100).to_parquet("validation.parquet")
        asked = []
        load = datasets.load_dataset

        def stand_in(*args, **options):
            asked.append((args, options))
            return load(
                "parquet",
                data_files=f"{options['split'].partition('[')[0]}.parquet",
                split="train",
                streaming=options["streaming"],
                cache_dir="cache",
            )

        monkeypatch.setattr(datasets, "load_dataset", stand_in)
        return asked

    def test_splits_of_the_hub(self, hub):
        target = target_of(
            "hub:user/data:en@train[:20]", test_from="hub:user/data:en@validation", revision="v1"
        )
        options = {"revision": "v1", "streaming": False}
        assert hub == [
            (("user/data", "en"), {"split": "train[:20]", **options}),
            (("user/data", "en"), {"split": "validation", **options}),
        ]
        assert (target.id, target.source) == ("hub:user/data:en", "hub:user/data:en@train[:20]")
        assert [*map(len, parts(target))] == [16, 4, 10]
        assert target.labels == {"neg": ["neg"], "pos": ["pos"]}

    def test_a_stream_is_read_as_far_as_wanted(self, hub):
        target = target_of("hub:user/data", stream=12, select=2, test=2)
        assert hub[0][1]["streaming"] is True
        numbers = {int(example["text"].split()[-1]) for example in all_of(target)}
        assert numbers == {*range(12)}


class TestColumns:
    @pytest.mark.parametrize(
        ("columns", "fields", "label"),
        [
            ("text label", ["text"], "label"),
            ("idx sentence label", ["text"], "label"),
            ("x y", ["text"], "y"),
            ("input target", ["text"], "target"),
            ("question answer", ["text"], "answer"),
            ("premise hypothesis label", ["premise", "hypothesis"], "label"),
            ("sentence1 sentence2 label idx", ["sentence1", "sentence2"], "label"),
            ("question passage answer", ["question", "passage"], "answer"),
            ("label title text", ["title", "text"], "label"),
            ("label title content", ["title", "content"], "label"),
            ("text label label_text", ["text"], "label_text"),
            ("review sentiment", ["text"], "sentiment"),
            ("goal target final_target", ["text"], "target"),
        ],
    )
    def test_usual_names_are_guessed(self, columns, fields, label):
        content = [
            {name: f"{name} {n}" for name in columns.split()} | {label: "ab"[n % 2]}
            for n in range(20)
        ]
        target = target_of(content)
        assert {*all_of(target)[0]} == {*fields, "label"}
        assert target.labels == {"a": ["a"], "b": ["b"]}

    @pytest.mark.parametrize(
        ("columns", "options", "told"),
        [
            (
                "sentence topic",
                {},
                "{text} is column sentence (guessed), the class is column topic",
            ),
            (
                "tweet topic",
                {"text_column": "tweet"},
                "{text} is column tweet, the class is column",
            ),
            ("topic tweet", {"label_column": "topic"}, "{text} is column tweet (guessed), the"),
            ("label tweet", {}, "{text} is column tweet (guessed), the class is column label (gue"),
        ],
    )
    def test_the_last_column_is_what_is_missing(self, columns, options, told, lines):
        label = "label" if "label" in columns else "topic"
        content = [
            {name: f"{name} {n}" for name in columns.split()} | {label: "ab"[n % 2]}
            for n in range(20)
        ]
        target = target_of(content, **options)
        assert target.labels == {"a": ["a"], "b": ["b"]}
        assert f"data.jsonl: {told}" in lines.text
        assert ("(guessed); train" in lines.text) == ("label_column" not in options)

    def test_the_only_column_of_classes_by_type_is_guessed(self):
        features = datasets.Features({"text": FEATURES["text"], "mood": FEATURES["label"]})
        data = {"text": [f"t{n}" for n in range(20)], "mood": [n % 2 for n in range(20)]}
        datasets.Dataset.from_dict(data, features=features).to_parquet("d.parquet")
        assert target_of("d.parquet").labels == {"neg": ["neg"], "pos": ["pos"]}

    def test_given_columns(self):
        content = [{"Review Text": f"r{n}", "2nd": f"s{n}", "stars": n % 3} for n in range(30)]
        target = target_of(content, text_column="Review Text", label_column="stars")
        assert {*target.examples[0]} == {"text", "label"}
        assert target.labels == {"0": ["0"], "1": ["1"], "2": ["2"]}
        target = target_of(content, text_column=["Review Text", "2nd"], label_column="stars")
        assert {*target.examples[0]} == {"Review_Text", "_2nd", "label"}
        target = target_of(content, text_column=["2nd"], label_column="stars")
        assert {*target.examples[0]} == {"_2nd", "label"}

    @pytest.mark.parametrize(
        ("columns", "options", "message"),
        [
            ("text label", {"text_column": "body"}, "has no column 'body'; give data.text_column"),
            ("text label", {"label_column": "y"}, "give data.label_column one of: text, label"),
            ("a b", {}, "has no column of a usual name for classes; give data.label_column one of"),
            (
                "text a b",
                {},
                "no column of a usual name for classes; give data.label_column one of",
            ),
            ("text id", {}, "has no column of a usual name for classes; give data.label_column"),
            ("text content", {}, "no column of a usual name for classes; give data.label_column"),
            ("premise label", {}, "no column of a usual name for texts; give data.text_column one"),
            ("a b label", {}, "no column of a usual name for texts; give data.text_column one or"),
            ("text label", {"label_column": "text", "text_column": "text"}, "is both text and cla"),
            ("a-b a.b label", {"text_column": ["a-b", "a.b"]}, "would both be the field {a_b}"),
        ],
    )
    def test_what_cannot_be_chosen(self, columns, options, message):
        content = [{name: f"{name} {n}" for name in columns.split()} for n in range(20)]
        told = error_of(content, **options)
        assert message in told
        assert "table 'data.jsonl'" in told

    @given(st.text())
    def test_a_layout_can_hold_every_field(self, name):
        field = field_name(name)
        layout = Layout.read(f"{{prompt}} {{{field}}}{{answer}}")
        assert layout.names == [field, "answer"]
        assert field not in (PROMPT, ANSWER, "label")
        if name.isidentifier() and name not in (PROMPT, ANSWER, "label"):
            assert field == name

    def test_several_columns_of_classes(self):
        features = datasets.Features(
            {"text": FEATURES["text"], "coarse": FEATURES["label"], "fine": FEATURES["label"]}
        )
        data = {"text": ["a", "b"], "coarse": [0, 1], "fine": [0, 1]}
        datasets.Dataset.from_dict(data, features=features).to_parquet("d.parquet")
        assert "several columns for classes; give data.label_column one of: coarse, fine" in (
            error_of("d.parquet")
        )


class TestHeaders:
    @pytest.mark.parametrize("separator", [";", "\t", "|"])
    def test_columns_that_no_comma_separates(self, separator):
        Path("d.csv").write_text(f"text{separator}label\na{separator}0\nb{separator}1\n")
        told = error_of("d.csv")
        assert f"its header has {separator!r} between the columns in place of a comma" in told

    def test_two_columns_of_one_name(self):
        Path("d.csv").write_text(
            "text,label,text\n" + "".join(f"a{n},{n % 2},b\n" for n in range(9))
        )
        assert "'d.csv' cannot be read: its header has the column 'text' twice" in error_of("d.csv")


class TestRows:
    def test_texts_stand_as_written_but_for_white_space_around(self):
        content = [{"text": f"  A\tB\n {n} ", "label": "xy"[n % 2]} for n in range(20)]
        assert {each["text"] for each in all_of(target_of(content))} == {
            f"A\tB\n {n}" for n in range(20)
        }

    @pytest.mark.parametrize(
        ("row", "message"),
        [
            ({"text": " ", "label": "good"}, "row 3 of table 'data.jsonl' has an empty text"),
            ({"label": "good"}, "row 3 of table 'data.jsonl' has an empty text"),
            ({"text": 5, "label": "good"}, "has '5' of type int as text; data.text_column takes"),
            ({"text": ["a"], "label": "good"}, "of type list as text"),
            ({"text": "a", "label": " "}, "row 3 of table 'data.jsonl' has an empty label"),
            ({"text": "a"}, "row 3 of table 'data.jsonl' has an empty label"),
            ({"text": "a", "label": 0.5}, "has '0.5' as label, which names no class"),
            ({"text": "a", "label": ["x"]}, "as label, which names no class"),
            ({"text": "\ud800", "label": "good"}, "has a text that is no Unicode"),
            (5, "row 3 of table 'data.jsonl' is '5', no object with 'label'"),
        ],
    )
    def test_a_bad_row_is_an_error_or_left_out(self, row, message, lines):
        content = [*rows(2), row, *rows(20)[2:]]
        told = error_of(content)
        assert message in told
        assert told.endswith("; mend it, or leave such rows out by data.on_error: skip")
        assert len(all_of(target_of(content, on_error="skip"))) == 20
        assert any("1 rows are left out; the first: row 3" in each for each in lines.messages)
        assert "1 bad" in lines.messages[-1]

    def test_a_cell_too_many(self):
        Path("d.csv").write_text("text,label\na, b,good\n")
        assert "row 1 of table 'd.csv' has more cells than the header" in error_of("d.csv")

    def test_classes_without_a_name(self):
        table = data_set().with_format("arrow")[:]
        numbers = pa.array([-1, *table.column("label").to_pylist()[1:]], pa.int64())
        changed = table.set_column(1, "label", numbers).replace_schema_metadata(
            table.schema.metadata
        )
        pq.write_table(changed, "d.parquet")
        assert "row 1 of data set 'd.parquet' has '-1' as label" in error_of("d.parquet")

    def test_no_row_is_left(self):
        message = error_of([{"text": 1, "label": 2}, {"text": 2, "label": 2}], on_error="skip")
        assert "none of 2 rows is an example; row 1 of table" in message


class TestTold:
    def test_one_line_says_what_was_read(self, lines):
        content = [*rows(20), {**rows(1)[0], "text": "TEXT  number 0"}]
        content += [{"text": "x", "label": "good"}, {"text": "x ", "label": "bad"}]
        write(content)
        data = LabelledExamples("data.jsonl", labels={"good": ["fine", "nice"], "bad": "awful"})
        data.find_targets()
        data.find_targets()
        assert lines.messages == [
            "data.jsonl: {text} is column text (guessed), the class is column label (guessed); "
            "train/select/test: good ('fine', 'nice') 6/2/2, bad ('awful') 6/2/2; "
            "left out: 1 repeated, 1 with several classes"
        ]

    def test_many_classes_are_counted(self, lines):
        target_of(rows(60, classes=[f"c{n}" for n in range(12)]), select=0, test=0)
        assert "train: c0 ('c0') 5, " in lines.messages[-1]
        assert lines.messages[-1].endswith("c5 ('c5') 5, 4 more classes")

    def test_escapes_do_not_reach_the_terminal(self, lines):
        target_of(rows(classes=("a\x1b[31m", "b")))
        assert "\x1b" not in lines.messages[-1]


class TestTargets:
    def test_each_source_is_a_target(self):
        for name in ("a.csv", "b.csv"):
            write(rows(classes=(f"{name}1", f"{name}2")), name)
        targets = LabelledExamples(["a.csv", "b.csv", "./a.csv"]).find_targets()
        assert [target.id for target in targets] == ["a.csv", "b.csv"]
        assert [*targets[1].labels] == ["b.csv1", "b.csv2"]
        assert len(LabelledExamples(["a.csv", "b.csv"], limit=1).find_targets()) == 1

    def test_a_bad_source_ends_the_run_or_is_left_out(self, caplog):
        write(rows(), "a.csv")
        assert "source 'gone.csv' does not exist" in error_of_all(["a.csv", "gone.csv"])
        data = LabelledExamples(["a.csv", "gone.csv"], on_error="skip")
        assert [target.id for target in data.find_targets()] == ["a.csv"]
        assert [*data.skipped] == ["gone.csv"]
        told = error_of_all(["gone.csv", "gone.json"], on_error="skip")
        assert told.startswith("none of 2 targets can be read; the first, 'gone.csv': source")

    @pytest.mark.parametrize("option", ["select_from", "test_from"])
    def test_other_sources_are_one_for_each(self, option):
        for name, first in (("a.csv", 0), ("b.csv", 0), ("c.csv", 50), ("d.csv", 60)):
            write(rows(70)[first : first + 10], name)
        others = {option: ["c.csv", "d.csv"], "select" if option == "test_from" else "test": 0}
        targets = LabelledExamples(["a.csv", "b.csv"], **others).find_targets()
        split = option.removesuffix("_from")
        assert [{e["text"] for e in getattr(target, split)} for target in targets] == [
            {f"text number {n}" for n in range(first, first + 10)} for first in (50, 60)
        ]
        for wrong in ("c.csv", ["c.csv"], ["c.csv", ""]):
            told = error_of_all(["a.csv", "b.csv"], **{option: wrong})
            assert f"data.{option} is {wrong!r}; give one source for each" in told

    def test_the_digest_is_of_the_content(self):
        first, again = target_of(rows()), target_of(rows()[::-1])
        assert first.digest == again.digest
        assert target_of(rows(), seed=1).digest != first.digest
        assert target_of(rows(), labels={"good": "A", "bad": "B"}).digest != first.digest

    def test_moods_of_the_zoo(self):
        target = target_of("zoo/moods")
        assert (target.id, target.source) == ("zoo/moods", "zoo/moods")
        assert [*map(len, parts(target))] == [1200, 400, 400]
        assert target.labels == {"negative": ["negative"], "positive": ["positive"]}


def error_of_all(sources, **options):
    with pytest.raises(ValueError, match=r".") as error:
        LabelledExamples(sources, **options).find_targets()
    return str(error.value)


def test_examples_are_plain_data():
    target = target_of(rows())
    assert json.loads(json.dumps(all_of(target))) == all_of(target)
