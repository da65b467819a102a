"""Verdicts on reasoning prompts, against plain greedy decoding in float64."""

import json
from dataclasses import replace

import pytest
import torch

from fuse_lightning.data import Target
from fuse_lightning.data.answer_kinds import find
from fuse_lightning.errors import FuseError
from fuse_lightning.evaluation.answering import answerer_of, has_answers
from fuse_lightning.evaluation.before import measured_headroom
from fuse_lightning.evaluation.drawn_examples import drawn_demonstrations
from fuse_lightning.evaluation.final import chosen_floors, final_verdict
from fuse_lightning.evaluation.floor_options import FloorOptions
from fuse_lightning.evaluation.reasoner import Reasoner
from fuse_lightning.evaluation.reasoning_floors import published_prompt, reasoning_offers
from fuse_lightning.evaluation.reasoning_stock import PUBLISHED_START, STEP_BY_STEP, STOCK
from fuse_lightning.evaluation.sentence import WAYS
from fuse_lightning.evaluation.term_metrics import as_prompts
from fuse_lightning.evaluation.verdict import read_verdict
from fuse_lightning.evaluation.verdict_files import (
    EXAMPLES,
    FILE,
    check_examples,
    read_examples,
    read_verdicts,
    write_verdicts,
)
from fuse_lightning.evaluation.verdict_table import expectations, print_verdict
from fuse_lightning.models import CausalLM
from fuse_lightning.objectives import Fluency, Objective, Reasoning
from fuse_lightning.objectives.written import UNREAD
from tests.near import assert_near

WORDS = ("three", "mist", "left", "orange", "midnight")
"""Words that the model of the zoo writes."""
LABELS = {word: [word] for word in WORDS}
TEXTS = ["so a", "on the", "Let's think step by step."]
CHAIN, BEHIND = 8, 4
OPTIONS = FloorOptions(stock=["on the", "next to a"], demonstrations=2, draws=2)


def questions(count, seed):
    generator = torch.Generator().manual_seed(seed)
    found = []
    for _ in range(count):
        parts = torch.randint(5, (4,), generator=generator).tolist()
        lists = (
            ("a", "two", "three", "one", "four"),
            ("small", "large", "tiny", "big", "tall"),
            ("red", "blue", "green", "pink", "black"),
        )
        words = [some[part] for some, part in zip(lists, parts, strict=False)]
        found.append({"question": " ".join(words), "label": WORDS[parts[3]]})
    return found


@pytest.fixture(scope="module")
def target():
    return Target(
        "shapes",
        examples=questions(8, 1),
        select=questions(10, 2),
        test=questions(12, 3),
        labels=LABELS,
        answer="word",
        extractor=" and a",
    )


@pytest.fixture(scope="module")
def model():
    found = CausalLM("zoo/gpt2")
    found.load("cpu")
    found.module.double()
    return found


def reasoner_of(model, **options):
    given = {"max_chain_tokens": CHAIN, "max_answer_tokens": BEHIND, **options}
    term = Reasoning(model, "{question} {prompt}", **given)
    objective = Objective([term])
    objective.load("cpu")
    return Reasoner(objective, term)


@pytest.fixture(scope="module")
def reasoner(model):
    return reasoner_of(model)


def greedy(model, ids, count):
    """What transformers writes behind ids: the text's ids, and whether it ended."""
    told = model.module.generate(
        torch.tensor([ids]),
        max_new_tokens=count,
        do_sample=False,
        eos_token_id=[*model.end_ids],
        pad_token_id=model.pad_id,
    )[0, len(ids) :].tolist()
    ended = told[-1] in model.end_ids
    return told[:-1] if ended else told, ended


def plain(model, question, text):
    """Chain, answer and chances of the labels, one question at a time."""

    def ids(words):
        return model.tokenizer(words, add_special_tokens=False).input_ids

    # A question that stands alone has no space behind it.
    # Demonstrations stand before it.
    whole = f"{text}\n{question}" if "\n" in text else f"{question} {text}"
    head = [*model.start_ids, *ids(whole if text else f" {question}")]
    chain, ended = greedy(model, head, CHAIN)
    whole = [*head, *chain, *ids(" and a")]
    answer, _ = greedy(model, whole, BEHIND)
    logits = model.module(torch.tensor([whole])).logits[0, -1]
    firsts = [ids(f" {word}")[0] for word in WORDS]
    chances = logits[firsts].softmax(0)
    decode = model.tokenizer.decode
    return decode(chain), decode(answer), ended, chances


def test_answers_are_those_of_plain_greedy_decoding(reasoner, model, target, monkeypatch):
    # Several slices must give the same as one.
    monkeypatch.setattr("fuse_lightning.evaluation.reasoner.TOGETHER", 7)
    numbers = [0, 3, 12, 15, 17]
    reasoner.give(target)
    found = reasoner.replies(TEXTS, numbers)
    kind = find("word")
    right = {"parse": [], "read": [], "labels": []}
    for row, text in zip(found.written, TEXTS, strict=True):
        for one, number in zip(row, numbers, strict=True):
            example = target.seen[number]
            chain, answer, ended, chances = plain(model, example["question"], text)
            assert (one.chain, one.answer, one.cut) == (chain, answer, not ended)
            label = WORDS.index(example["label"])
            assert_near(torch.tensor(one.probability), chances[label], size=1.0, share=1e-5)
            right["parse"].append(kind.parse(chain, LABELS) == example["label"])
            right["read"].append(kind.read(answer, LABELS) == example["label"])
            right["labels"].append(int(chances.argmax()) == label)
    assert 0 < sum(right["parse"]) < len(right["parse"])
    assert found.measure == "parse"
    assert found.right.flatten().tolist() == right["parse"]
    chances = torch.tensor([[one.probability for one in row] for row in found.written])
    assert_near(found.loss, -chances.double().log(), size=1.0, share=1e-5)
    for place in range(len(TEXTS)):
        alone = found.only(place)
        marked = alone.marked("a", TEXTS[place], 0.5, 0.0)
        some = slice(place * len(numbers), (place + 1) * len(numbers))
        assert {way: told.tolist() for way, told in marked.readings} == {
            way: told[some] for way, told in right.items()
        }
        assert alone.chains.right == pytest.approx(sum(right["parse"][some]) / len(numbers))


@pytest.mark.parametrize(
    ("judge", "kind", "measure"),
    [
        ("parse", "word", "parse"),
        ("read", "word", "read"),
        ("forced", "word", "read"),
        ("labels", "word", "read"),
        ("labels", "choice", "labels"),
    ],
)
def test_the_measure_is_what_a_user_can_read(model, target, judge, kind, measure):
    reasoner = reasoner_of(model, judge=judge)
    letters = {letter: [letter] for letter in "ABC"}
    other = [{"question": each["question"], "label": "A"} for each in target.examples]
    choice = Target("abc", examples=other, labels=letters, answer="choice", extractor=" so")
    reasoner.give(target if kind == "word" else choice)
    assert reasoner.settings.measure == measure
    found = reasoner.replies(["on the"], [0, 1])
    attribute = f"right_{measure}"
    assert found.right[0].tolist() == [bool(getattr(one, attribute)) for one in found.written[0]]


def test_open_answers_have_no_labels(reasoner):
    open_target = Target(
        "sums",
        examples=[{"question": "two and two", "label": "4"}],
        answer="number",
        extractor=" and a",
    )
    reasoner.give(open_target)
    assert reasoner.replies([""], [0]).ways == ("parse", "read")
    assert reasoner.groups == [[0]]


def test_floors_are_chosen_by_the_examples_that_choose(reasoner, target):
    floors = chosen_floors(reasoner, target, replace(OPTIONS, initial="so what"), seed=0)
    names = [floor.offer.name for floor in floors]
    assert names == [
        "the question alone",
        f'"{STEP_BY_STEP}"',
        "the initial prompt",
        "the best stock instruction",
        "the best demonstrations",
    ]
    assert [floor.text for floor in floors[:3]] == ["", STEP_BY_STEP, "so what"]
    reasoner.give(target)
    stock = reasoner.replies(OPTIONS.stock, target.choosing)
    assert torch.equal(floors[3].right, stock.right)
    shares = stock.right.double().mean(1)
    assert floors[3].select == float(shares.max()) == float(shares[floors[3].place])


def test_of_equally_right_instructions_the_surer_one_is_taken(reasoner, target):
    # No chain of these says anything, so that no answer is right.
    quiet = replace(target, labels={"x": ["x"], "y": ["y"]}, answer="word")
    rows = [{**each, "label": "xy"[n % 2]} for n, each in enumerate(target.select)]
    quiet = replace(quiet, examples=rows[:4], select=rows[4:], test=rows)
    floor = chosen_floors(reasoner, quiet, replace(OPTIONS, demonstrations=0), seed=0)[2]
    reasoner.give(quiet)
    found = reasoner.replies(OPTIONS.stock, quiet.choosing)
    assert not found.right.any()
    assert floor.text == OPTIONS.stock[int(found.loss.mean(1).argmin())]


def test_demonstrations_hold_questions_with_their_answers_and_leave_room(reasoner, target):
    reasoner.give(target)
    drawn = drawn_demonstrations(reasoner, target, OPTIONS, seed=0)
    assert drawn
    for text, shown in drawn.items():
        assert text == "\n".join(f"{each['question']}\n{each['label']}" for each in shown)
    many = replace(OPTIONS, demonstrations=8)
    for text, shown in drawn_demonstrations(reasoner, target, many, seed=0).items():
        assert reasoner.fits(text)
        assert len(shown) < 8
    assert not reasoner.fits("red " * 60)


@pytest.mark.parametrize("separator", ["\n", " | "])
def test_demonstrations_are_read_before_the_question(reasoner, target, separator):
    reasoner.give(target)
    options = replace(OPTIONS, separator=separator)
    offer = reasoning_offers(reasoner, target, options, 0)[-1]
    offer.answerer.give(target)
    term = offer.answerer.term
    prompts = as_prompts(offer.answerer.objective, offer.texts[:1], [0])
    (ids,) = term.heads(prompts, [[9]]).rows.rows
    text = term.model.tokenizer.decode(ids, skip_special_tokens=True)
    assert text == f"{offer.texts[0]}{separator}{target.seen[9]['question']}"


def test_a_prompt_without_room_for_a_chain_is_wrong(reasoner, target):
    reasoner.give(target)
    long = "red " * reasoner.term.model.max_tokens
    found = reasoner.replies([long], [0, 1])
    assert found.written == [[UNREAD, UNREAD]]
    assert not found.right.any()
    assert found.loss.isfinite().all()


def test_stock_instructions_name_the_labels_where_they_are_few(reasoner, target):
    reasoner.give(target)
    offers = {offer.name: offer for offer in reasoning_offers(reasoner, target, FloorOptions(), 0)}
    texts = offers["the best stock instruction"].texts
    assert len(texts) == len(STOCK) == len({*texts}) >= 12
    assert "Answer with one of: three, mist, left, orange or midnight." in texts
    many = replace(target, labels={f"w{n}": [f"w{n}"] for n in range(40)} | LABELS)
    offers = {offer.name: offer for offer in reasoning_offers(reasoner, many, FloorOptions(), 0)}
    texts = offers["the best stock instruction"].texts
    assert len(texts) == len(STOCK) - 2
    assert not any("{" in text for text in texts)


@pytest.mark.parametrize(
    ("name", "source", "text"),
    [
        ("web_of_lies", "", PUBLISHED_START),
        ("BBH/web_of_lies.json", "", PUBLISHED_START),
        ("lies", "data/BBH/web_of_lies.json", PUBLISHED_START),
        ("navigate", "", "Turn."),
        ("snarks", "", None),
    ],
)
def test_a_published_prompt_belongs_to_its_task(name, source, text):
    options = FloorOptions(published={"navigate": "Turn."})
    assert published_prompt(Target(name, source=source), options) == text


def test_an_empty_published_prompt_is_refused():
    with pytest.raises(FuseError, match=r"floors\.published of 'snarks' is an empty text; remove"):
        FloorOptions(published={"snarks": " "})


@pytest.fixture(scope="module")
def judged(reasoner, target):
    return final_verdict(reasoner, target, ["next to a", "so what"], OPTIONS, seed=0)


def test_a_verdict_counts_what_plain_decoding_gets_right(judged, model, target):
    verdict, kind = judged.verdict, find("word")
    for score in (*verdict.candidates, *verdict.floors):
        right = {"parse": 0, "read": 0, "labels": 0}
        cut = 0
        for example in target.test:
            chain, answer, ended, chances = plain(model, example["question"], score.text)
            right["parse"] += kind.parse(chain, LABELS) == example["label"]
            right["read"] += kind.read(answer, LABELS) == example["label"]
            right["labels"] += WORDS[int(chances.argmax())] == example["label"]
            cut += not ended
        count = len(target.test)
        assert {each.by: round(each.accuracy * count) for each in score.readings} == right
        assert score.accuracy == right["parse"] / count
        assert score.chains.cut == pytest.approx(cut / count)
        assert score.cross_entropy > 0
    assert verdict.labels == ()
    assert verdict.chains.measure == "parse"


def test_the_sentence_and_the_screen_tell_all_ways_to_read(judged, capsys):
    verdict = judged.verdict
    for way in WAYS.values():
        assert way in verdict.sentence
    print_verdict(verdict)
    said = capsys.readouterr().out
    assert verdict.sentence in said
    for column in ("by read", "by labels", "readable", "cut"):
        assert column in said
    assert "calibration" not in said
    lines = expectations(verdict)
    assert any("writes one chain for each prompt and example, the likeliest" in x for x in lines)
    assert any(f"are cut short (max_chain_tokens {CHAIN})" in line for line in lines)


def test_a_verdict_on_reasoning_is_read_as_it_was_written(judged, tmp_path):
    assert read_verdict(json.dumps(judged.verdict.to_dict())) == judged.verdict
    write_verdicts(tmp_path, {"shapes": {"gpt2": judged}})
    verdicts, broken = read_verdicts((tmp_path / FILE).read_text())
    assert (verdicts, broken) == ({("shapes", "gpt2"): judged.verdict}, {})
    rows = read_examples((tmp_path / EXAMPLES).read_text())["shapes", "gpt2"]
    check_examples(judged.verdict, rows)
    assert [[*row.right] for row in rows] == [each["right"] for each in judged.examples]
    assert [[*row.chains] for row in rows] == [each["chains"] for each in judged.examples]
    assert {row.answers[0] for row in rows} <= {*WORDS, ""}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda one: one["floors"][0].update(chains=None), "chains of 'the question alone'"),
        (lambda one: one["floors"][0]["readings"].pop(), "other ways to read 'the question"),
        (lambda one: one["floors"][0]["readings"][0].update(by="luck"), "by is 'luck'; it must"),
        (lambda one: one.update(chains=None), "chains of 'prompt 1' that are none of its own"),
    ],
)
def test_foreign_chains_are_refused(judged, change, message):
    data = json.loads(json.dumps(judged.verdict.to_dict()))
    change(data)
    with pytest.raises(ValueError, match=message):
        read_verdict(json.dumps(data))


def test_several_chains_count_by_the_first_and_tell_the_share(model, target):
    reasoner = reasoner_of(model, chains_per_question=3, temperature=1.0, seed=4)
    reasoner.give(target)
    numbers = [0, 5, 9, 11]
    found = reasoner.replies(TEXTS, numbers)
    alone = reasoner_of(model, temperature=1.0, seed=4)
    alone.give(target)
    # Chains of a question do not depend on their number.
    assert torch.equal(found.right, alone.replies(TEXTS, numbers).right)
    kind = find("word")
    model_ids = [
        (
            text,
            number,
            model.generate(
                [
                    [
                        *model.start_ids,
                        *model.tokenizer(
                            f"{target.seen[number]['question']} {text}", add_special_tokens=False
                        ).input_ids,
                    ]
                ],
                CHAIN,
                temperature=1.0,
                samples=3,
                seed=4,
                streams=[reasoner.questions.streams[number]],
            ).ids,
        )
        for text in TEXTS
        for number in numbers
    ]
    shares = [
        sum(
            kind.parse(model.tokenizer.decode(ids), LABELS) == target.seen[number]["label"]
            for ids in chains
        )
        / 3
        for _, number, chains in model_ids
    ]
    assert found.shares.flatten().tolist() == pytest.approx(shares)
    verdict = final_verdict(reasoner, target, ["on the"], OPTIONS, seed=0).verdict
    lines = expectations(verdict)
    assert any("3 chains for each prompt" in x and "with seed 4" in x for x in lines)
    assert any(x.startswith("the first chain of each example counts; over all") for x in lines)


def test_the_share_by_labels_is_that_of_the_term(model, target):
    letters = {letter: [letter] for letter in "ABC"}
    rows = [{**each, "label": "ABC"[n % 3]} for n, each in enumerate(target.examples)]
    choice = Target("abc", examples=rows, labels=letters, answer="choice", extractor=" so")
    reasoner = reasoner_of(model, judge="labels", chains_per_question=2, temperature=1.0)
    reasoner.give(choice)
    found = reasoner.replies(["on the"], range(8))
    assert found.measure == "labels"
    assert {*found.shares.flatten().tolist()} <= {0.0, 0.5, 1.0}
    both = found.shares[0][found.right[0]]
    assert bool((both > 0).all())


def test_headroom_tells_whether_answers_can_be_read(reasoner, target):
    room, answers = measured_headroom(reasoner, target, OPTIONS, 0, 100)
    best = next(floor for floor in room.floors if floor.name == room.best.name)
    reasoner.give(target)
    found = reasoner.replies([best.text], target.choosing).only(0)
    assert room.chains == found.chains
    assert room.outside is None
    # Two instructions, two draws, and two prompts of their own.
    assert answers == 6 * len(target.select)
    assert (room.label, room.tests) == ("answer", len(target.test))
    unreadable = replace(room, chains=replace(room.chains, readable=0.1, cut=0.5), written="hm")
    cut, unread = unreadable.hints()[-2:]
    assert cut.endswith(f"cut short: raise max_chain_tokens of Reasoning, which is {CHAIN}")
    assert unread.startswith("90.0 % of the chains with ")
    assert "hold no answer, such as 'hm': change the layout" in unread
    fine = replace(room, chains=replace(room.chains, readable=1.0, cut=0.0))
    assert not any("chains" in hint for hint in fine.hints())


def test_terms_and_targets_with_answers_are_found(model, reasoner, target):
    assert isinstance(answerer_of(reasoner.objective), Reasoner)
    assert answerer_of(Objective([Fluency(model)])) is None
    assert answerer_of(None) is None
    assert has_answers(target)
    assert has_answers(replace(target, labels={}, answer=""))
    assert not has_answers(Target("a", text="a red house"))
