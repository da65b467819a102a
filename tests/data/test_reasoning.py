"""Questions with answers: sources, columns, kinds of answers, label sets and what is told."""

import csv
import json
import logging
from pathlib import Path

import pytest

from fuse_lightning.data import ReasoningExamples, Target
from fuse_lightning.errors import FuseError
from tests.data.labelled import all_of, parts, write


def rows(answers, count=20, question="question", answer="answer"):
    """Rows whose answers repeat."""
    return [
        {question: f"Is number {index} so?", answer: answers[index % len(answers)]}
        for index in range(count)
    ]


def target_of(data, **options):
    """The one target of a source, or of rows."""
    source = data if isinstance(data, str) else write(data)
    (target,) = ReasoningExamples(source, **options).find_targets()
    return target


def error_of(data, **options):
    """The one line about what is wrong with a source, or with rows."""
    with pytest.raises(FuseError) as error:
        target_of(data, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.fixture
def lines(caplog):
    """What is told to the user."""
    caplog.set_level(logging.INFO)
    return caplog


LETTERED = "Which is it?\nOptions:\n(A) red {0}\n(B) blue {0}\n(C) green {0}"


def lettered(rights, count=20):
    return [
        {"goal": LETTERED.format(index), "target": "x", "final_target": rights[index % len(rights)]}
        for index in range(count)
    ]


class TestShapes:
    def test_big_bench_hard(self, lines):
        target = target_of(lettered(["(A)", "(B)"]))
        assert (target.answer, target.labels) == ("choice", {"A": ["A"], "B": ["B"], "C": ["C"]})
        assert target.extractor == "\nTherefore, the final answer (A, B or C) is:"
        assert [*map(len, parts(target))] == [12, 4, 4]
        assert {example["label"] for example in all_of(target)} == {"A", "B"}
        assert target.examples[0]["question"].startswith("Which is it?\nOptions:\n(A) red")
        assert (
            "data.jsonl: the question is column goal (guessed), the answer is column final_target "
            "(guessed); answers are of kind choice (guessed), one of 3: 'A', 'B', 'C'; "
            "train/select/test: 12/4/4; extractor "
            "'\\nTherefore, the final answer (A, B or C) is:'"
        ) in lines.text

    def test_csv_in_a_json_file(self):
        Path("task.json").write_text(Path(write(lettered(["(A)", "(B)"]), "x.csv")).read_text())
        assert all_of(target_of("task.json")) == all_of(target_of("x.csv"))

    def test_published_json_with_rows_in_an_object(self):
        given = {"canary": "x", "examples": rows(["Yes", "No"], question="input", answer="target")}
        Path("task.json").write_text(json.dumps(given))
        assert target_of("task.json").labels == {"Yes": ["Yes"], "No": ["No"]}

    def test_json_lines_in_a_json_file(self):
        Path("raw.json").write_text(Path(write(rows(["1", "2"]))).read_text())
        assert all_of(target_of("raw.json")) == all_of(target_of("data.jsonl"))

    def test_worked_solutions(self):
        solutions = ["6 * 7 = <<6*7=42>>42 eggs\n#### 42", "So 1 #### 1,200", "It is\n####-3"]
        target = target_of(rows(solutions))
        assert (target.answer, target.labels) == ("number", {})
        assert {example["label"] for example in all_of(target)} == {"42", "1200", "-3"}

    def test_tabs(self):
        content = rows(["1", "2"], question="goal", answer="final_target")
        with Path("train.tsv").open("w", newline="") as file:
            writer = csv.DictWriter(file, content[0], delimiter="\t")
            writer.writeheader()
            writer.writerows(content)
        assert all_of(target_of("train.tsv")) == all_of(target_of(write(content)))

    def test_start_prompts_are_told_and_left_out(self, lines):
        target = target_of([{**row, "prompt": "Use logic."} for row in rows(["A", "B"])])
        assert {*target.examples[0]} == {"question", "label"}
        assert (
            "column prompt is left out, whose text may be model.initial_prompt: 'Use logic.'"
            in (lines.text)
        )

    def test_several_columns_make_one_question(self):
        content = [
            {"premises": ["All rise.", f"{n} sits."], "conclusion": "So it is.", "label": label}
            for n, label in enumerate(["True", "False", "Uncertain"] * 6)
        ]
        target = target_of(content)
        assert target.answer == "word"
        assert target.examples[0]["question"].startswith("All rise.\n")
        assert target.examples[0]["question"].endswith(" sits.\nSo it is.")

    @pytest.mark.parametrize("kind", ["number", "text", "named", "digits"])
    def test_columns_of_options(self, kind, lines):
        texts = ["red", "dark blue", "green"]
        cells = {
            "number": (texts, 1),
            "text": (texts, "dark blue"),
            "named": ({"text": texts, "label": ["A", "B", "C"]}, "B"),
            "digits": ({"text": texts, "label": ["1", "2", "3"]}, "2"),
        }
        choices, answer = cells[kind]
        content = [
            {"question": f"q {n}", "choices": choices, "answerKey": answer} for n in range(20)
        ]
        target = target_of(content)
        assert target.examples[0]["question"].partition("\n")[2] == (
            "Options:\n(A) red\n(B) dark blue\n(C) green"
        )
        assert {example["label"] for example in all_of(target)} == {"B"}
        assert [*target.labels] == ["A", "B", "C"]
        assert "the options are column choices (guessed" in lines.text

    def test_induction(self):
        words = ["cold", "small", "sad", "New Delhi"]
        target = target_of(rows(words))
        assert (target.answer, [*target.labels]) == ("word", ["New Delhi", "cold", "sad", "small"])

    def test_given_columns(self):
        content = [{**row, "x": "text", "y": 3} for row in rows(["Yes", "No"])]
        target = target_of(content, question_column=["x", "question"], answer_column="y")
        assert target.examples[0]["question"].startswith("text\nIs number")
        assert {example["label"] for example in all_of(target)} == {"3"}


class TestAnswers:
    def test_cells_of_numbers_and_truth(self):
        assert target_of(rows([1, 2.5, 3.0])).answer == "number"
        assert {*target_of(rows([True, False])).labels} == {"True", "False"}

    def test_several_right_answers(self):
        content = rows([["Paris", "paris", "Lutetia"], ["Rome", "Roma"]])
        target = target_of(content, closed=False)
        right = {example["label"]: example["accepted"] for example in all_of(target)}
        assert right == {"Paris": ["Lutetia"], "Rome": ["Roma"]}
        assert {*target_of(content).labels} == {"Paris", "Lutetia", "Rome", "Roma"}

    def test_one_spelling_of_a_label(self):
        target = target_of(rows(["Yes", "Yes", "no", "yes", "No", "No"], 24))
        assert target.labels == {"Yes": ["Yes"], "No": ["No"]}

    def test_text_of_an_option_as_the_answer(self):
        content = [{"goal": LETTERED.format(0) + f"\n{n}", "answer": "blue 0"} for n in range(9)]
        content += [
            {"goal": LETTERED.format(0) + f"\n{n}", "answer": "Red 0"} for n in range(9, 20)
        ]
        target = target_of(content)
        assert (target.answer, {e["label"] for e in all_of(target)}) == ("choice", {"A", "B"})

    def test_given_words(self):
        target = target_of(lettered(["(A)", "(B)"]), labels={"(B)": "b", "A": ["a", "x"], "C": "c"})
        assert target.labels == {"B": ["b"], "A": ["a", "x"], "C": ["c"]}
        assert target.extractor == "\nTherefore, the final answer (b, a or c) is:"

    def test_open_and_closed_by_option(self):
        assert target_of(rows(["cold", "warm"]), closed=False).labels == {}
        assert {*target_of(rows(["1", "2"]), closed=True).labels} == {"1", "2"}

    def test_many_words_are_open(self):
        content = [{"question": f"q {n}", "answer": f"w{n}"} for n in range(300)]
        assert target_of(content).labels == {}

    def test_given_kind(self):
        content = rows(["b a", "d c"])
        assert target_of(content, answer="list").labels == {}
        assert target_of(content, answer="list").answer == "list"


class TestFaults:
    DIRTY = lettered(["(A)"] * 10 + ["(B)"] * 9 + ["Monsters, Inc"])

    def test_dirty_label_is_refused(self):
        assert error_of(self.DIRTY) == (
            "row 20 of table 'data.jsonl' has the answer 'Monsters, Inc', which is none of the "
            "kind 'choice'; give data.answer another kind, or mend it, or leave such rows out by "
            "data.on_error: skip"
        )

    def test_dirty_label_is_left_out(self, lines):
        target = target_of(self.DIRTY, on_error="skip")
        assert len(all_of(target)) == 19
        assert "1 rows are left out; the first: row 20 of" in lines.text
        assert "left out: 1 bad" in lines.text

    def test_answer_beside_the_options(self):
        assert "has the answer '(D)', but its question lists the options A, B, C; " in error_of(
            lettered(["(A)", "(D)"])
        )

    def test_ragged_rows(self):
        Path("d.csv").write_text("goal,target,final_target\nq,a, b,c,4\nq2,a\nq3,a,5\nq4,a,6\n")
        assert "row 1 of table 'd.csv' has more cells than the header" in error_of("d.csv")
        target = target_of("d.csv", on_error="skip", test=0, select=0)
        assert sorted(example["label"] for example in target.examples) == ["5", "6"]

    def test_empty_cells(self):
        content = [*rows(["1", "2"]), {"question": "x", "answer": ""}]
        assert "row 21 of table 'data.jsonl' has an empty answer; mend it" in error_of(content)
        content = [*rows(["1", "2"]), {"question": " ", "answer": "1"}]
        assert "row 21 of table 'data.jsonl' has an empty question; mend it" in error_of(content)

    def test_repeated_and_contested_questions(self, lines):
        content = [*rows(["1", "2"]), *rows(["1", "2"], 3), *rows(["7"], 1)]
        target = target_of(content)
        assert len(all_of(target)) == 19
        assert "left out: 2 repeated, 1 with several answers" in lines.text

    def test_one_answer_alone(self):
        assert "'Yes' is the only right answer in table 'data.jsonl', which tells no" in error_of(
            rows(["Yes"])
        )

    def test_whole_texts_as_answers(self):
        long = "He first adds both and then takes away what is left of them in the end"
        assert "have whole texts as answers" in error_of(rows([long, f"{long} too"]))

    def test_options_that_are_no_list(self):
        content = [{**row, "choices": "a, b"} for row in rows(["1", "2"])]
        assert "has 'a, b' as choices, which is no list of options; give data.options_col" in (
            error_of(content)
        )
        assert target_of(content, options_column="").answer == "number"

    @pytest.mark.parametrize(
        ("names", "options", "told"),
        [
            ({"answer": "answr"}, {}, "question (guessed), the answer is column answr (guessed)"),
            ({"question": "x"}, {}, "x (guessed), the answer is column answer (guessed)"),
            (
                {"question": "x", "answer": "y"},
                {"question_column": "x"},
                "x, the answer is column y (guessed)",
            ),
            (
                {"question": "x", "answer": "y"},
                {"answer_column": "y"},
                "x (guessed), the answer is column y",
            ),
        ],
    )
    def test_the_last_column_is_what_is_missing(self, names, options, told, lines):
        target_of([{**row, "prompt": "think"} for row in rows(["1", "2"], **names)], **options)
        assert f"the question is column {told};" in lines.text

    def test_columns(self):
        more = {"source": "a", "year": "b"}
        assert (
            "no column of a usual name for answers; give data.answer_column one of: question"
            in (error_of([{**row, **more} for row in rows(["1"], answer="x")]))
        )
        assert "no column of a usual name for questions; give data.question_column one or" in (
            error_of([{**row, **more} for row in rows(["1"], question="x")])
        )
        assert "has no column 'z'; give data.answer_column one of: question, answer" in error_of(
            rows(["1"]), answer_column="z"
        )
        assert "column 'answer' of table 'data.jsonl' is named twice" in error_of(
            rows(["1"]), question_column="answer", answer_column="answer"
        )

    @pytest.mark.parametrize(
        ("options", "line"),
        [
            ({"answer": "letter"}, "the kind of answers 'letter' is unknown; give one of: choice"),
            ({"extractor": " "}, "data.extractor is ' '; give the text before the answer"),
            ({"extractor": "published"}, "none was published for 'data.jsonl'; give a text, or"),
            ({"train": 0}, "data.train is 0; it must be at least 1"),
            ({"train": 13}, "data.train is 13, but select and test leave 12 examples of table"),
            ({"labels": {"Yes": "y"}}, "data.labels has no word for class 'No'"),
            ({"labels": {"Yes": "y", "No": "n"}, "closed": False}, "but data.closed is false"),
            ({"test": 0, "test_from": "x.csv"}, "data.test is 0, but data.test_from is given"),
            ({"test_from": ["a", "b"]}, "give one source for each of data.data, which has 1"),
        ],
    )
    def test_options(self, options, line):
        assert line in error_of(rows(["Yes", "No"]), **options)

    def test_too_few(self):
        assert "has 1 questions, which leave none for select; give more, or data.select: 0" in (
            error_of(rows(["1"], 1))
        )


class TestSplits:
    def test_share_of_each_label(self):
        target = target_of(rows(["Yes", "No", "No", "No"], 80), select=20, test=40)
        for part, count in zip(parts(target), (20, 20, 40), strict=True):
            assert len(part) == count
            assert sum(example["label"] == "Yes" for example in part) == count // 4

    def test_train_is_cut_last(self):
        content = rows(["Yes", "No"], 60)
        small, whole = target_of(content, train=6), target_of(content)
        assert len(small.examples) == 6
        assert (small.select, small.test) == (whole.select, whole.test)
        assert [*small.examples] == [e for e in whole.examples if e in small.examples]

    def test_labels_of_one_row_are_no_classes(self):
        content = [{"question": f"q {n}", "answer": f"w{n}"} for n in range(30)]
        target = target_of(content, select=10, test=10)
        assert (len(target.labels), [*map(len, parts(target))]) == (30, [10, 10, 10])

    def test_rare_labels_among_others(self):
        target = target_of([*rows(["Yes", "No"], 40)[:-1], {"question": "x", "answer": "true"}])
        assert [*map(len, parts(target))] == [24, 8, 8]

    def test_order_of_rows_is_no_matter(self):
        content = rows(["1", "2", "3"], 30)
        assert parts(target_of(content)) == parts(target_of(content[::-1]))
        assert parts(target_of(content)) != parts(target_of(content, seed=1))

    def test_sources_of_their_own(self):
        train, test = rows(["1", "2"], 20), rows(["3", "4"], 30)[20:]
        write(test, "test.jsonl")
        target = target_of(train, test_from="test.jsonl")
        assert [*map(len, parts(target))] == [16, 4, 10]
        write(test + train[:1], "test.jsonl")
        assert "1 test examples of table 'test.jsonl' stand in" in error_of(
            train, test_from="test.jsonl"
        )

    def test_kinds_and_labels_are_those_of_all_sources(self):
        write(rows(["C"], 30)[20:], "test.jsonl")
        assert {*target_of(rows(["A", "B"]), test_from="test.jsonl").labels} == {"A", "B", "C"}

    def test_several_targets(self):
        write(rows(["1", "2"]), "a.jsonl")
        write(rows(["Yes", "No"]), "b.jsonl")
        found = ReasoningExamples(["a.jsonl", "b.jsonl"]).find_targets()
        assert [(target.id, target.answer) for target in found] == [
            ("a.jsonl", "number"),
            ("b.jsonl", "yes_no"),
        ]


class TestExtractors:
    def test_published_text_that_omits_a_label_is_told(self, lines):
        content = [
            {"goal": f"q {n}\n(A) v\n(B) w\n(C) x", "final_target": f"({'ABC'[n % 3]})"}
            for n in range(20)
        ]
        target = target_of(write(content, "snarks.csv"), extractor="published")
        assert target.extractor.endswith("(use exact format: '$A' or '$B') is $")
        assert "the extractor does not name 'C'" in lines.text

    def test_given_text(self):
        assert target_of(rows(["1", "2"]), extractor="\nSo:").extractor == "\nSo:"

    def test_it_counts_as_content(self):
        content = rows(["1", "2"])
        one, other = target_of(content), target_of(content, extractor="\nSo:")
        assert one.digest != other.digest
        assert one.digest != Target("x", examples=one.examples).digest
        assert one.tested().extractor == one.extractor
