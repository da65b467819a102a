"""Classes of labelled examples and their words."""

import datasets
import pytest

from tests.data.labelled import all_of, error_of, rows, target_of, write


def labels_of(*values, **options):
    """Classes with words of a source whose labels are these in turn."""
    return target_of(rows(10 * len(values), classes=values), **options).labels


def numbered(names=("neg", "pos"), used=2):
    """A file whose column of classes holds numbers with names."""
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=list(names))}
    )
    data = {"text": [f"t{n}" for n in range(20)], "label": [n % used for n in range(20)]}
    datasets.Dataset.from_dict(data, features=features).to_parquet("d.parquet")
    return "d.parquet"


@pytest.mark.parametrize(
    ("values", "names"),
    [
        (("b", " a "), ["a", "b"]),
        ((2, 10, 1), ["1", "2", "10"]),
        ((True, False), ["false", "true"]),
        ((1.0, 0.0), ["0", "1"]),
        (("10", "9"), ["9", "10"]),
    ],
)
def test_names_are_the_values(values, names):
    assert labels_of(*values) == {name: [name] for name in names}


def test_numbers_of_csv_are_names():
    target = target_of(write(rows(classes=(0, 1)), "d.csv"))
    assert target.labels == {"0": ["0"], "1": ["1"]}


def test_the_order_of_named_numbers_is_kept():
    assert [*target_of(numbered(("z", "a"))).labels] == ["z", "a"]


class TestWords:
    def test_a_word_or_several(self):
        labels = labels_of("a", "b", labels={"b": [" yes ", "sure"], "a": "no"})
        assert labels == {"b": ["yes", "sure"], "a": ["no"]}
        assert [*labels] == ["b", "a"]

    def test_classes_by_name_or_by_number(self):
        wanted = {"neg": ["bad"], "pos": ["good"]}
        for names in (("neg", "pos"), ("0", "1"), ("0", "pos"), (0, 1)):
            labels = dict(zip(names, ("bad", "good"), strict=True))
            target = target_of(numbered(), labels=labels)
            assert target.labels == wanted
            assert {each["label"] for each in all_of(target)} == {*wanted}

    def test_a_name_goes_before_a_number(self):
        assert target_of(numbered(("1", "0")), labels={"1": "x", "0": "y"}).labels == {
            "1": ["x"],
            "0": ["y"],
        }

    def test_truth_values_of_yaml_are_names(self):
        assert labels_of(True, False, labels={True: "A", False: "B"}) == {
            "true": ["A"],
            "false": ["B"],
        }

    def test_a_class_without_examples_may_be_left_out(self):
        source = numbered(("neg", "pos", "none"))
        assert "class 'none' of data set 'd.parquet' has no example in" in error_of(source)
        labels = {"neg": "neg", "pos": "pos"}
        assert [*target_of(source, labels=labels).labels] == ["neg", "pos"]

    @pytest.mark.parametrize(
        ("labels", "message"),
        [
            ({"a": "x"}, "data.labels has no word for class 'b' of table 'data.jsonl'; give each"),
            ({}, "data.labels has no word for class 'a'"),
            ({"a": [], "b": "y"}, "data.labels gives class 'a' no word; give it at least one"),
            ({"a": " ", "b": "y"}, "data.labels gives class 'a' an empty word; write one"),
            ({"a": ["x", ""], "b": "y"}, "data.labels gives class 'a' an empty word"),
            ({"a": None, "b": "y"}, "gives class 'a' the word None, which is no text; put it in"),
            ({"a": [1], "b": "y"}, "gives class 'a' the word 1, which is no text"),
            ({"a": "x", "b": "x"}, "the word 'x' stands for the classes 'a' and 'b'; give each"),
            ({"a": ["x", "x"], "b": "y"}, "the word 'x' stands for class 'a' twice; give it once"),
            ({"a": "x", "c": "y"}, "names the class 'c', which table 'data.jsonl' has not; name"),
            ({"a": "x", "b2": "y"}, "'b2', which table 'data.jsonl' has not; did you mean b? name"),
            ({"a": "x", 1: "y"}, "names the class 1, which table 'data.jsonl' has not; name one"),
            ({"a": "x", "a ": "y"}, "data.labels names the class 'a' twice"),
        ],
    )
    def test_what_is_no_word(self, labels, message):
        assert message in error_of(rows(classes=("a", "b")), labels=labels)

    def test_a_class_by_name_and_by_number(self):
        assert "names the class 'neg' twice" in error_of(
            numbered(), labels={"neg": "a", "0": "b", "pos": "c"}
        )


class TestCounts:
    def test_a_class_alone_is_no_task(self):
        assert "has 'a' as its only class" in error_of(rows(classes=("a",)))

    def test_numbers_to_predict_are_no_classes(self):
        content = [{"text": f"t{n}", "label": n} for n in range(1001)]
        told = error_of(content)
        assert "the classes of table 'data.jsonl' are 1001, such as '0', '1'; at most 1000" in told
        assert told.endswith("check data.label_column")

    def test_texts_of_several_classes_are_dropped(self):
        content = [*rows(), {"text": "Text  Number 0", "label": "good"}]
        assert all("number 0" not in each["text"] for each in all_of(target_of(content)))
        both = [{"text": "a", "label": label} for label in ("x", "y")]
        assert "every text of table 'data.jsonl' stands there with several classes, such as" in (
            error_of(both)
        )

    def test_a_class_is_too_small_to_be_in_every_split(self):
        content = [*rows(40), {"text": "alone", "label": "odd"}]
        assert "class 'odd' of table 'data.jsonl' has no example in select (8 in all)" in (
            error_of(content)
        )
