"""Judges that answer yes or no."""

import math

import pytest

from fuse_lightning.decoding.judged_properties import Judge
from fuse_lightning.diffing.chat import LocalChat, Reply
from fuse_lightning.diffing.endpoint_chat import EndpointChat
from fuse_lightning.diffing.judge import ChatJudge, graded, judge_of
from fuse_lightning.diffing.specification import Judged, Specification, read_specification
from fuse_lightning.errors import FuseError
from fuse_lightning.models import CausalLM
from tests.diffing.chats import Scripted
from tests.diffing.endpoint import completion, says, send, serving

ASKED = Specification(criterion="Is it {kind}?", judged=("Kind: thanks.", Judged("p", "t", "no")))


@pytest.mark.parametrize(
    ("text", "grade"),
    [
        ("Yes", 1.0),
        ("yes.", 1.0),
        ("**YES**, since", 1.0),
        ("\n\n'No', it is", 0.0),
        ("_no_", 0.0),
        ("<think>No? Yes.</think>\nno", 0.0),
        ("Not at all", None),
        ("Nothing", None),
        ("I know: no", None),
        ("now", None),
        ("Yesterday", None),
        ("no-one can say", None),
        ("Yes/No", None),
        ("No's", None),
        ("", None),
        ("It is, yes", None),
    ],
)
def test_the_first_word_counts(text, grade):
    found = graded(Reply(text, {}))
    assert found == grade if grade is not None else math.isnan(found)


def test_words_of_the_specification():
    yes, no = ("no doubt", "ja"), ("no", "nein")
    assert [graded(Reply(text, {}), yes, no) for text in ("No doubt!", "no", "Ja")] == [1, 0, 1]


def test_probabilities_of_first_tokens_are_summed():
    firsts = {"Yes": math.log(0.3), "ĠYES": math.log(0.1), " no": math.log(0.2), "Not": -0.1}
    assert graded(Reply("Not", firsts)) == pytest.approx(0.4 / 0.6)
    assert math.isnan(graded(Reply("Not", {"Not": -0.1})))
    assert graded(Reply("Yes", {"Not": -0.1})) == 1.0


def test_a_chat_judge_is_asked_once_for_each_text(caplog):
    chat = Scripted("Yes", FuseError("out of calls"), "No")
    judge = ChatJudge(chat, ASKED)
    grades = judge.grades(["a", "b", "a", "c"], ["q"] * 4)
    assert [grades[0], grades[2], grades[3]] == [1.0, 1.0, 0.0]
    assert math.isnan(grades[1])
    assert judge.unknown == 1
    assert "1 of 4 texts are not judged; the first: out of calls" in caplog.text
    assert [turns[-1]["content"] for turns, _ in chat.asked] == [
        f"Prompt: q\nResponse: {text}" for text in "abc"
    ]
    assert chat.asked[0] == (
        [
            {
                "role": "system",
                "content": "Is it {kind}?\n\nKind: thanks.\n\nAnswer with one word, Yes or No.",
            },
            {"role": "user", "content": "Prompt: p\nResponse: t"},
            {"role": "assistant", "content": "No"},
            {"role": "user", "content": "Prompt: q\nResponse: a"},
        ],
        {"temperature": 0.0, "max_tokens": 20, "firsts": 0},
    )


def test_an_endpoint_judges_several_texts_at_once_in_their_order(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")

    def act(handler):
        text = handler.fields["messages"][-1]["content"]
        send(handler, completion("Yes" if "even" in text else "No"))

    with serving(act) as served:
        judge = judge_of(ASKED, EndpointChat("tiny", served.url, key_variable=""), threshold=0.5)
        texts = [f"{'even' if n % 2 == 0 else 'odd'} {n}" for n in range(20)]
        assert judge.grades(texts, ["q"] * 20) == [float(n % 2 == 0) for n in range(20)]
    assert len(served.requests) == 20


def test_an_endpoint_with_probabilities(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    tops = [{"token": "Yes", "logprob": math.log(0.6)}, {"token": "No", "logprob": math.log(0.2)}]
    with serving(says("Yes", logprobs={"content": [{"top_logprobs": tops}]})) as served:
        chat = EndpointChat("tiny", served.url, key_variable="")
        judge = ChatJudge(chat, ASKED, logprobs=True)
        assert judge.grades(["a"], ["q"]) == [pytest.approx(0.75)]
    assert served.requests[0][2]["logprobs"] is True


def test_a_local_model_is_a_judge_by_its_probabilities():
    model = CausalLM("zoo/instruct")
    told = Specification(
        criterion="Is it {good}?", yes=("good", "good indeed"), no=("bad",), judged=ASKED.judged
    )
    judge = judge_of(told, LocalChat(model))
    assert isinstance(judge, Judge)
    assert (judge.yes, judge.no) == (("Good",), ("Bad",))
    plain = Judge(
        model,
        "Is it {{good}}?\n\nKind: thanks.\n\nPrompt: p\nResponse: t\nAnswer: No\n\n"
        "Prompt: {prompt}\nResponse: {text}\nAnswer with one word, Yes or No.",
        ["Good"],
        ["Bad"],
    )
    texts = ["a lovely {day}", "a bad day"]
    grades = judge.grades(texts, ["q", "q"])
    assert grades == plain.grades(texts, ["q", "q"])
    assert all(0 < grade < 1 for grade in grades)


@pytest.mark.parametrize("name", ["style", "facts", "formatting"])
def test_the_specifications_of_the_package_are_questions(name):
    judge = judge_of(read_specification(name), LocalChat("zoo/gpt2"))
    assert (judge.yes, judge.no) == (("Yes",), ("No",))
    assert judge.question.count("{text}") == 1


def test_a_question_that_is_too_long_for_a_local_model_is_told(caplog):
    judge = judge_of(ASKED, LocalChat("zoo/gpt2"))
    assert math.isnan(judge.grades(["lovely " * 1000], ["q"])[0])
    assert "1 of 1 texts are not judged; the first: the question is longer than" in caplog.text


def test_without_a_criterion_there_is_no_judge():
    assert judge_of(Specification(), Scripted("Yes")) is None
    with pytest.raises(FuseError, match="the specification has no criterion"):
        ChatJudge(Scripted("Yes"), Specification())
