"""Kinds of answers: every rule by a table of texts, and answers found again in many phrasings."""

from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fuse_lightning.data.answer_choice import options
from fuse_lightning.data.answer_kinds import KINDS, find, guess
from fuse_lightning.data.answer_list import items
from fuse_lightning.errors import FuseError

LETTERS = {letter: [letter] for letter in "ABCDE"}
VALID = {"valid": ["valid"], "invalid": ["invalid"]}
TRUE = {"True": ["True"], "False": ["False"]}
THREE = {"True": ["True"], "False": ["False"], "Uncertain": ["Uncertain"]}
PLACES = {place: [place] for place in ("São Tomé", "New York", "York", "Paris", "London")}

CHOICES = [
    ("the answer is (B).", "B"),
    ("The answer is B", "B"),
    ("The answer is A.", "A"),
    ("so it is $B", "B"),
    ("Answer: $ B$", "B"),
    ("**B**", "B"),
    ("**Answer: B**", "B"),
    ("**C. Jamie**", "C"),
    ("B.", "B"),
    ("a", "A"),
    ("[B]", "B"),
    ("B) Sam", "B"),
    ("I think (c) is best", "C"),
    ("We get\nB\n", "B"),
    ("option A", "A"),
    ("Option D is correct.", "D"),
    ("The correct option is: **C**", "C"),
    ("Therefore the correct answer is option B.", "B"),
    ("the answer is the letter D", "D"),
    ("Final Answer: (B)", "B"),
    ("the answer to question 3 is C", "C"),
    ("The answer (use exact format: '$A' or '$B') is $B", "B"),
    ("The best answer is: A. Patrick", "A"),
    (r"$\boxed{B}$", "B"),
    (r"\boxed{\text{B}}", "B"),
    # What is said to be the answer counts before what is only named.
    ("The answer is (A) Patrick. (B) is Sam", "A"),
    ("The answer is B because (A) comes first.", "B"),
    ("(C) is right, although (D) is close", "C"),
    # Denied answers, and several at once, are none.
    ("(A) is wrong. (C) is right, not (D).", "C"),
    ("The answer is not (A) but (B)", "B"),
    ("It is neither (A) nor (B)", None),
    ("Either (A) or (B).", None),
    ("The answer is A or B.", None),
    ("(A), (B) or (C)", None),
    # Letters of prose.
    ("A dog barks at Bob.", None),
    ("A dog", None),
    ("The answer is a dog.", None),
    ("The answer is A dog", None),
    ("I am sure", None),
    ("Plan B failed", None),
    ("Vitamin C is good", None),
    ("E. coli is bad", None),
    ("option(s) are fine", None),
    ("(Z)", None),
    ("", None),
]
READ_CHOICES = [
    (" B", "B"),
    (" a", "A"),
    ("\n\nC", "C"),
    (" (B) Sam", "B"),
    (" B. Sam", "B"),
    (" B Sam and (C)", "B"),
    ("A: yes", "A"),
    (" $ B$.", "B"),
    (" $C$ . (D)", "C"),
    (" the correct option is C.", "C"),
    (" A dog", None),
    (" Sam", None),
]
NUMBERS = [
    ("The answer is 24.", "24"),
    ("24.0", "24"),
    ("24.", "24"),
    ("**24**", "24"),
    ("$24$", "24"),
    ("$1,200", "1200"),
    ("$1,234.50", "1234.5"),
    ("1,00,000 rupees", "100000"),
    ("1,2,3", "3"),
    ("3/4", "0.75"),
    ("1/3", "1/3"),
    ("1 1/2", "1.5"),
    (r"\frac{3}{4}", "0.75"),
    ("1e3", "1000"),
    (".5", "0.5"),
    ("25%", "25"),
    ("24kg", "24"),
    ("so -8840", "-8840"),
    ("(\u22125)", "-5"),
    ("-$5", "-5"),
    ("$-5", "-5"),
    ("answer: minus 5", "-5"),
    ("= - 5", "-5"),
    ("10-5", "5"),
    ("3 -5", "5"),
    ("total - 5", "5"),
    ("#### 42", "42"),
    (r"\boxed{-12}", "-12"),
    (r"\( 24 \)", "24"),
    ("The answer is 5. It took 3 steps.", "5"),
    ("The answer is 3 + 4 = 7 apples", "7"),
    ("answer is (3 + 4) * 2 = 14", "14"),
    (r"answer is 3 \times 4 = 12", "12"),
    ("1 - 3 = -2", "-2"),
    ("The answer is eight.", "8"),
    ("1. Take 2 apples\n2. Then we stop", "2"),
    ("The answer is not 5 but 7", "7"),
    ("one of them", None),
    ("H2O on the 3rd", None),
    ("5 or 6", None),
    ("3/4/2020", None),
    ("9" * 5000, None),
    ("1/0", None),
]
READ_NUMBERS = [
    (" 24", "24"),
    (" -5", "-5"),
    (" $24$. 3", "24"),
    ("24. The next is 25", "24"),
    (" 3 + 5 = 8 apples", "8"),
    (" eight", "8"),
    (" apples", None),
]
YES_NO = [
    ("So no.", "no"),
    ("TRUE", "yes"),
    ("Yes, there is no way.", "yes"),
    ("There are no steps", None),
    ("the answer is no.", "no"),
    ("The answer is no because yes", "no"),
    ("yes or no? Yes.", "yes"),
    ("yes or no", None),
    ("Now nothing knows", None),
    ("not True", "no"),
    ("not not True", "yes"),
    ("it isn't true", "no"),
]
WORDS = [
    (VALID, "it is invalid", "invalid"),
    (VALID, "The argument is deductively VALID", "valid"),
    (VALID, "not valid", "invalid"),
    (VALID, "is not a valid one", "invalid"),
    (VALID, "isn't invalid", "valid"),
    (VALID, "valid or invalid", None),
    (VALID, "validity", None),
    (THREE, "it is not true", None),
    (THREE, "So it is uncertain.", "Uncertain"),
    (PLACES, "sao tome!", "São Tomé"),
    (PLACES, "in new-york.", "New York"),
    (PLACES, "in New York City", "New York"),
    (PLACES, "in York", "York"),
    (PLACES, "The answer is Paris, near London", "Paris"),
    ({"good": ["great", "fine"], "bad": ["awful"]}, "simply great", "good"),
    ({"good": ["great", "fine"], "bad": ["awful"]}, "simply bad", "bad"),
    ({"A+": ["A+"], "A": ["A"]}, "an A+", "A+"),
    ({}, "The capital of France is Paris.", "Paris"),
    ({}, "The answer is cold, as it is.", "cold"),
    ({}, "", None),
]
READ_WORDS = [
    (" Paris is the capital", "Paris"),
    (" the New Delhi city", "New Delhi"),
    (" São Tomé.", "São Tomé"),
    (" **cold**", "cold"),
    ('"cold"', "cold"),
    (" ...", None),
]
LISTS = [
    ("The sorted list is: apple, banana and cherry.", "apple, banana, cherry"),
    ("The answer is apple, banana.", "apple, banana"),
    ("Sorted:\n1. apple\n2. banana\n", "apple, banana"),
    ("It is done.\nburley bela milky", "burley bela milky"),
    ("The answer is:\nb c", "b c"),
    ("", None),
]


@pytest.mark.parametrize(("text", "answer"), CHOICES)
def test_choice_in_a_chain(text, answer):
    assert find("choice").parse(text, LETTERS) == answer


@pytest.mark.parametrize(("text", "answer"), READ_CHOICES)
def test_choice_behind_an_extractor(text, answer):
    assert find("choice").read(text, LETTERS) == answer


@pytest.mark.parametrize(("text", "answer"), NUMBERS)
def test_number_in_a_chain(text, answer):
    assert find("number").parse(text) == answer


@pytest.mark.parametrize(("text", "answer"), READ_NUMBERS)
def test_number_behind_an_extractor(text, answer):
    assert find("number").read(text) == answer


@pytest.mark.parametrize(("text", "answer"), YES_NO)
def test_yes_or_no_in_a_chain(text, answer):
    assert find("yes_no").parse(text) == answer
    sides = {"yes": "True", "no": "False", None: None}
    assert find("yes_no").parse(text, TRUE) == sides[answer]


@pytest.mark.parametrize(
    ("text", "answer"),
    [(" True", "True"), ("No, it", "False"), (" not True", "False"), (" x", None)],
)
def test_yes_or_no_behind_an_extractor(text, answer):
    assert find("yes_no").read(text, TRUE) == answer


@pytest.mark.parametrize(("labels", "text", "answer"), WORDS)
def test_word_in_a_chain(labels, text, answer):
    assert find("word").parse(text, labels) == answer


@pytest.mark.parametrize(("text", "answer"), READ_WORDS)
def test_open_word_behind_an_extractor(text, answer):
    assert find("word").read(text) == answer


def test_the_first_word_of_a_set_behind_an_extractor():
    assert find("word").read(" London, not Paris", PLACES) == "London"
    assert find("word").read(" It is London or so", PLACES) == "London"


@pytest.mark.parametrize(("text", "answer"), LISTS)
def test_list_in_a_chain(text, answer):
    assert find("list").parse(text) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [(" apple, banana\nQ: x", "apple, banana"), ("\n- a\n- b", "a, b"), (" ] } >", "] } >")],
)
def test_list_behind_an_extractor(text, answer):
    assert find("list").read(text) == answer


@pytest.mark.parametrize(
    ("kind", "found", "right", "same"),
    [
        ("choice", "B", "(B)", True),
        ("choice", "b.", "B", True),
        ("choice", "A", "B", False),
        ("number", "24.0", "24", True),
        ("number", "1,200", "1200", True),
        ("number", "024", "24", True),
        ("number", "+24", "24", True),
        ("number", "$24", "24", True),
        ("number", "25%", "25", True),
        ("number", "25%", "0.25", False),
        ("number", "3/4", "0.75", True),
        ("number", "0.33", "1/3", False),
        ("number", "-2", "2", False),
        ("number", "1234567", "1234568", False),
        ("yes_no", "true", "Yes", True),
        ("yes_no", "No", "Yes", False),
        ("word", "the sao tome.", "São Tomé", True),
        ("word", "VALID", "valid", True),
        ("word", "valid", "invalid", False),
        ("word", "new-delhi", "New Delhi", True),
        ("list", "Bela, burley and milky.", "bela burley milky", True),
        ("list", "burley, bela", "bela, burley", False),
        ("list", "1. a\n2. b", "a, b", True),
        ("list", "] }", "]}", True),
        *((kind, None, "x", False) for kind in KINDS),
    ],
)
def test_same(kind, found, right, same):
    assert find(kind).same(found, right) is same


@pytest.mark.parametrize(
    ("rights", "kind"),
    [
        (["(A)", "(B)", "(A)"], "choice"),
        (["A", "B"], "choice"),
        (["a", "n", "x"], "word"),
        (["(C)"] * 20 + ["Monsters, Inc"], "choice"),
        (["24", "-1,200", "$3.50"], "number"),
        (["Yes", "no"], "yes_no"),
        (["True", "False"], "yes_no"),
        (["True", "False", "Uncertain"], "word"),
        (["valid", "invalid"], "word"),
        (["a, b", "c, d and e"], "list"),
        (["New Delhi", "Paris"], "word"),
        ([], "word"),
    ],
)
def test_guess(rights, kind):
    assert guess(rights) == kind


def test_a_label_set_decides_the_guess():
    assert guess(["x", "y"], ["Yes", "No"]) == "yes_no"


def test_unknown_kind():
    with pytest.raises(FuseError, match="'letter' is unknown; give one of: choice, number, yes_no"):
        find("letter")


class TestOptions:
    QUESTION = "Who is it?\nOptions:\n(A) Ann\n(B) Bob Lee\n(C) Bob"

    def test_text_of_an_option_counts_as_its_letter(self):
        kind = find("choice")
        labels = kind.asked(self.QUESTION, LETTERS)
        assert kind.parse("So Alice is dancing with Bob Lee.", labels) == "B"
        assert kind.parse("The answer is Ann (B)", labels) == "A"
        assert kind.parse("(A), as Bob Lee is out", labels) == "A"
        assert kind.read(" Bob", labels) == "C"
        assert kind.parse("So Alice is dancing with Bob Lee.", LETTERS) is None

    def test_shared_texts_tell_nothing(self):
        labels = find("choice").asked("Which?\n(A) red\n(B) red\n(C) blue", LETTERS)
        assert labels == {**LETTERS, "C": ["C", "blue"]}

    @pytest.mark.parametrize("sign", ["({}) ", "{}) ", "{}. ", "{}: "])
    def test_lines(self, sign):
        listed = "\n".join(
            sign.format(letter) + text for letter, text in zip("AB", "xy", strict=True)
        )
        assert options(f"What?\n{listed}\n") == {"A": "x", "B": "y"}

    def test_other_kinds_take_the_set_as_it_is(self):
        assert find("word").asked(self.QUESTION, VALID) is VALID


PHRASES = [
    "{}",
    " {}.",
    "So the answer is {}.",
    "The final answer is: {}",
    "Answer: {}",
    "**Answer:** {}",
    "Therefore, the correct answer is **{}**.",
    "Let's think step by step. It follows that the answer must be {}\n",
    "We compare both.\n\nFinal Answer:\n{}",
    "the answer, then, is {}!",
    "The answer is “{}”.",
    "The answer to the question is {}, as we saw.",
    r"The answer is \boxed{{{}}}.",
    "#### {}",
]
DISTRACTORS = [
    "",
    "A man walks in. I see him.",
    "There is no doubt about it.",
    "We look at all of the options in turn.",
    "It is a puzzle with a twist.",
]


@given(st.sampled_from("ABCDE"), st.sampled_from(PHRASES), st.sampled_from(DISTRACTORS))
def test_choices_are_found_again(letter, phrase, before):
    for written in (f"({letter})", letter, f"{letter}.", f"${letter}$"):
        text = f"{before}\n{phrase.format(written)}"
        assert find("choice").parse(text, LETTERS) == letter


NUMERALS = st.one_of(
    st.integers(-(10**9), 10**9).map(Fraction),
    st.decimals(-1000, 1000, places=3).map(Fraction),
)


@given(NUMERALS, st.sampled_from(PHRASES), st.sampled_from([*DISTRACTORS, "3 + 4 = 7."]))
def test_numbers_are_found_again(number, phrase, before):
    kind = find("number")
    shown = format(float(number), ",.3f") if number.denominator > 1 else format(int(number), ",")
    for written in (shown, f"**{shown}**", shown.replace(",", ""), f"{shown} apples"):
        found = kind.parse(f"{before}\n{phrase.format(written)}")
        assert kind.same(found, shown), (found, shown)
        assert kind.same(kind.read(f" {written}"), shown)


@given(st.sampled_from(["True", "False"]), st.sampled_from(PHRASES), st.sampled_from(DISTRACTORS))
def test_truth_is_found_again(side, phrase, before):
    for written in (side, side.lower(), side.upper(), f"'{side}'"):
        text = f"{before}\n{phrase.format(written)}"
        assert find("yes_no").parse(text, TRUE) == side
        assert find("word").parse(text, THREE) == side


@given(st.sampled_from([*PLACES]), st.sampled_from(PHRASES), st.sampled_from(DISTRACTORS))
def test_words_are_found_again(place, phrase, before):
    for written in (place, place.lower(), place.upper()):
        assert find("word").parse(f"{before}\n{phrase.format(written)}", PLACES) == place


@given(st.lists(st.sampled_from(["red", "blue", "dark green"]), min_size=2, max_size=5))
def test_lists_are_found_again(colours):
    kind, right = find("list"), " ".join(colours)
    for text in (", ".join(colours), " and ".join(colours), "; ".join(colours)):
        assert kind.same(kind.parse(f"We sort them.\nThe answer is: {text}."), right)
        assert kind.same(kind.read(f" {text}\nQuestion: a, b"), right)


@given(st.sampled_from([*KINDS]), st.text(max_size=60), st.sampled_from([{}, LETTERS, VALID]))
def test_any_text_is_read(name, text, labels):
    kind = find(name)
    for found in (kind.parse(text, labels), kind.read(text, labels)):
        assert found is None or (found and kind.same(found, found))
    if (label := kind.label(text)) is not None:
        assert kind.same(label, text)


@example("0:\n0")
@example("1. red\n2. blue")
@example("- - 0")
@example("0. ")
@example("[[\nand")
@example("and\n- and")
@given(st.text(" \n\t\x0b-*\u2022.,:;[](){}01and_$", max_size=14))
def test_label_of_a_list_is_one_line_with_the_same_items(text):
    kind = find("list")
    told = items(text)
    assert items(", ".join(told)) == told
    label = kind.label(text)
    assert label is None or ("\n" not in label and kind.same(label, text))


@given(st.sampled_from(DISTRACTORS))
def test_distractors_are_no_answers(text):
    assert find("choice").parse(text, LETTERS) is None
    assert find("number").parse(text) is None
    assert find("yes_no").parse(text) is None
    assert find("word").parse(text, VALID) is None
