"""Verdicts on prompts of real language models: floors, what they read, and files."""

import json
from collections import Counter
from html import escape
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from fuse_lightning.callbacks import FinalVerdict
from fuse_lightning.callbacks.final_verdict import with_start
from fuse_lightning.cli.main import main
from fuse_lightning.data import LabelledExamples, Target
from fuse_lightning.errors import FuseError
from fuse_lightning.evaluation.answers import Labeller
from fuse_lightning.evaluation.calibration import calibrated
from fuse_lightning.evaluation.drawn_examples import drawn_demonstrations
from fuse_lightning.evaluation.final import chosen_floors, final_verdict
from fuse_lightning.evaluation.floor_options import FloorOptions
from fuse_lightning.evaluation.judging import Answers, judge
from fuse_lightning.evaluation.labelled_floors import floor_offers
from fuse_lightning.evaluation.readings import after
from fuse_lightning.evaluation.verdict import read_verdict
from fuse_lightning.evaluation.verdict_files import EXAMPLES, known_verdicts, write_verdicts
from fuse_lightning.evaluation.verdict_table import expectations
from fuse_lightning.objectives import Classification, Fluency, Objective
from fuse_lightning.report import read_run
from fuse_lightning.report.write import page
from fuse_lightning.results.portable import FILES as PORTABLE
from tests.factories.verdicts import judged
from tests.near import assert_near
from tests.objectives.test_rows import Plain

LAYOUT = "{prompt} {text} so{answer}"
NAMES = [
    "the text alone",
    "the template alone",
    "the calibrated template",
    "the best stock instruction",
    "the best demonstrations",
]


def examples(count, seed):
    generator = torch.Generator().manual_seed(seed)
    found = []
    for n in range(count):
        colour, shape, mood = torch.randint(4, (3,), generator=generator).tolist()
        mood = ("lovely", "happy", "ugly", "sad")[mood]
        text = (
            f"a {('red', 'blue', 'green', 'pink')[colour]} {('star', 'box', 'dot', 'tile')[shape]}"
        )
        found.append({"text": f"{text}, {mood}", "label": ("good", "bad")[n % 2]})
    return found


@pytest.fixture(scope="module")
def target():
    return Target(
        "moods",
        examples=examples(12, 1),
        select=examples(10, 2),
        test=examples(14, 3),
        labels={"good": ["lovely", "so so"], "bad": ["sad"]},
    )


@pytest.fixture(scope="module")
def labeller():
    term = Classification("zoo/gpt2", LAYOUT)
    objective = Objective([Fluency("zoo/gpt2", weight=0.1), term])
    objective.load()
    return Labeller(objective, term)


def test_probabilities_are_those_of_one_row_at_a_time(labeller, target, monkeypatch):
    # Several slices must give the same as one.
    monkeypatch.setattr("fuse_lightning.evaluation.answers.TOGETHER", 13)
    labeller.give(target)
    texts = ["two red", "the night"]
    found = labeller.probabilities(texts, [0, 3, 15])
    plain = Plain(labeller.term.model)
    assert found.shape == (2, 3, 2)
    for row, text in enumerate(texts):
        state = plain.embed(labeller.objective.encode_prompt(text))
        for place, number in enumerate([0, 3, 15]):
            behind = f" {target.seen[number]['text']} so"
            parts = [
                torch.stack([-plain.nll("", state, behind, f" {word}")[0] for word in words])
                for words in target.labels.values()
            ]
            wanted = torch.stack([part.logsumexp(0) for part in parts]).softmax(0)
            assert_near(found[row, place], wanted, size=1.0, share=1e-5)


def test_a_prompt_without_room_for_an_example_knows_nothing(labeller, target):
    labeller.give(target)
    long = " ".join(["red"] * labeller.term.model.max_tokens)
    assert labeller.probabilities([long], [0, 1]).tolist() == [[[0.5, 0.5]] * 2]
    assert not labeller.fits(long)
    assert labeller.fits("red")


def test_an_example_with_room_for_short_words_alone_is_not_read(labeller, target):
    labeller.give(target)
    term = labeller.term
    # "so so" takes more tokens than "sad" and "lovely".
    lengths = {
        count: term.read(
            labeller.objective.prompts(labeller.objective.encode_prompts(["red " * count]), [0]),
            [[0]],
        ).lengths.tolist()
        for count in range(30, 70)
    }
    most = term.model.max_tokens
    count = next(n for n, rows in lengths.items() if max(rows) > most >= min(rows))
    assert labeller.probabilities(["red " * count], [0]).tolist() == [[[0.5, 0.5]]]


def test_floors_are_chosen_by_the_examples_that_choose(labeller, target):
    options = FloorOptions(stock=["is it {labels}", "a night"], demonstrations=2, draws=3)
    floors = chosen_floors(labeller, target, options, seed=0)
    assert [floor.offer.name for floor in floors] == NAMES
    stock = floors[3]
    labeller.give(target)
    texts = ["is it lovely or sad", "a night"]
    told = labeller.probabilities(texts, target.choosing).argmax(2)
    right = told == labeller.right(target.choosing)
    assert torch.equal(stock.right, right)
    assert stock.select == float(right[stock.place].double().mean()) == right.double().mean(1).max()
    assert stock.text in texts
    assert not any(floor.text for floor in floors[:3])


def test_the_calibrated_template_answers_all_classes_alike(labeller, target):
    balanced = chosen_floors(labeller, target, FloorOptions(), seed=0)[2]
    told = balanced.reference.probabilities[0]
    logs = calibrated(told, told).log()
    centred = logs - logs.mean(1, keepdim=True)
    assert_near(centred.mean(0), torch.zeros(2), size=1.0, share=1e-6)


def test_no_search_example_reports_and_no_test_example_chooses(labeller, target, monkeypatch):
    read = []
    give = Labeller.give
    monkeypatch.setattr(
        Labeller, "give", lambda self, some: read.append(some.examples) or give(self, some)
    )
    judged = final_verdict(labeller, target, ["two red"], FloorOptions(draws=2), seed=0)
    firsts = [part is target.test for part in read]
    assert firsts == sorted(firsts)
    assert judged.verdict.examples == len(target.test)
    assert [row["example"]["text"] for row in judged.examples] == [
        each["text"] for each in target.test
    ]


def test_a_prompt_that_is_a_floor_is_never_better(labeller, target):
    options = FloorOptions(stock=["two red"], demonstrations=0)
    verdict = final_verdict(labeller, target, ["two red"], options, seed=0).verdict
    same = [each for each in verdict.comparisons if each.floor == NAMES[3]]
    assert [(each.wins, each.losses, each.word) for each in same] == [(0, 0, "not shown")]
    assert [floor.name for floor in verdict.floors] == NAMES[:4]


def test_demonstrations_hold_all_classes_alike_and_leave_room(labeller, target):
    labeller.give(target)
    options = FloorOptions(demonstrations=2, draws=5, separator=" | ")
    drawn = drawn_demonstrations(labeller, target, options, seed=0)
    assert len(drawn) > 1
    for text in drawn:
        shown = text.split(" | ")
        assert len(shown) == 2
        assert sum(each.endswith(" so sad") for each in shown) == 1
        assert sum(each.endswith(" so lovely") for each in shown) == 1
    many = FloorOptions(demonstrations=12, draws=2, separator=" | ")
    assert all(labeller.fits(text) for text in drawn_demonstrations(labeller, target, many, 0))
    assert drawn == drawn_demonstrations(labeller, target, options, seed=0)
    assert drawn != drawn_demonstrations(labeller, target, options, seed=1)


def test_examples_that_a_prompt_shows_do_not_judge_it(labeller, target):
    # Without examples of their own the train examples choose, and demonstrations are of these.
    alone = Target("alone", examples=target.examples, labels=target.labels)
    options = FloorOptions(demonstrations=4, draws=1, separator=" | ")
    labeller.give(alone)
    ((text, shown),) = drawn_demonstrations(labeller, alone, options, 0).items()
    told = [n for n, each in enumerate(alone.examples) if each in shown]
    assert 0 < len(told) < len(alone.examples)
    demonstrations = chosen_floors(labeller, alone, options, seed=0)[4]
    assert demonstrations.text == text
    assert (~demonstrations.judges[0]).nonzero().flatten().tolist() == told
    labeller.give(alone)
    others = [n for n in range(len(alone.examples)) if n not in told]
    right = labeller.probabilities([text], others)[0].argmax(1) == labeller.right(others)
    assert demonstrations.select == float(right.double().mean())


def test_demonstrations_leave_an_example_that_chooses(labeller, target):
    two = Target("two", examples=target.examples[:2], labels=target.labels)
    for floor in chosen_floors(labeller, two, FloorOptions(), seed=0):
        assert floor.judges.any(1).all()


def test_the_empty_prompt_has_no_template(labeller, target):
    labeller.give(target)
    (offer,) = [
        each for each in floor_offers(labeller, target, FloorOptions(), 0) if each.name == NAMES[0]
    ]
    offer.answerer.give(target)
    told = offer.answerer.term.read(offer.answerer.objective.prompts([()], [0]), [[0]])
    model = labeller.term.model
    text = model.decode([told.rows.ids[0][told.rows.mask[0]].tolist()])[0]
    assert text.strip().endswith(f"{target.seen[0]['text']} lovely")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"demonstrations": -1}, "floors.demonstrations is -1; it must be at least 0"),
        ({"draws": 0}, "floors.draws is 0; it must be at least 1"),
        ({"stock": ["a", " "]}, "floors.stock holds an empty text; remove it"),
    ],
)
def test_options_out_of_their_range_are_refused(options, message):
    with pytest.raises(FuseError, match=message):
        FloorOptions(**options)


def config(**callback):
    return {
        "model": {
            "class_path": "RandomSearch",
            "init_args": {
                "steps": 2,
                "batch_size": 4,
                "prompt_length": 2,
                "examples_per_step": 4,
                "top": 2,
                "terms": [
                    {
                        "class_path": "Classification",
                        "init_args": {"model": "zoo/gpt2", "layout": LAYOUT},
                    }
                ],
            },
        },
        "data": {
            "class_path": "LabelledExamples",
            "init_args": {"data": "moods.jsonl", "select": 8, "test": 12},
        },
        "trainer": {
            "accelerator": "cpu",
            "enable_progress_bar": False,
            "callbacks": [
                {
                    "class_path": "FinalVerdict",
                    "init_args": {"floors": {"draws": 1, "stock": ["is it {labels}"]}, **callback},
                }
            ],
        },
    }


@pytest.fixture
def run_file(tmp_path, monkeypatch):
    """A configuration and its table in the current folder."""
    monkeypatch.chdir(tmp_path)
    rows = {each["text"]: each for each in examples(90, 4)}
    Path("moods.jsonl").write_text("".join(f"{json.dumps(each)}\n" for each in rows.values()))
    Path("run.yaml").write_text(yaml.safe_dump(config()))


@pytest.mark.slow
def test_a_run_ends_with_its_verdict_and_testing_gives_it_again(run_file, capsys):
    main(["fit", "--config", "run.yaml"])
    run = Path("logs/search/version_0")
    told = json.loads((run / "verdict.json").read_text())
    (verdicts,) = told.values()
    verdict = read_verdict(json.dumps(verdicts["zoo/gpt2"]))
    assert verdict.sentence in capsys.readouterr().out
    data = LabelledExamples("moods.jsonl", select=8, test=12)
    (served,) = data.all_targets()
    lines = [json.loads(line) for line in (run / "verdict-examples.jsonl").read_text().splitlines()]
    assert [line["example"]["text"] for line in lines] == [each["text"] for each in served.test]
    board = EventAccumulator(str(next(run.glob("events*")))).Reload()
    assert "select/accuracy" in board.Tags()["scalars"]
    # What reports is shown at the end, and is no curve.
    assert not [tag for tag in board.Tags()["scalars"] if "test" in tag or "verdict" in tag]
    assert len(board.Scalars("select/accuracy")) == 2
    (tag,) = [tag for tag in board.Tags()["tensors"] if tag.startswith("verdict/moods")]
    (point,) = board.Tensors(tag)
    text = point.tensor_proto.string_val[0].decode()
    assert point.step == 2
    assert " ".join(text.split()).startswith(verdict.sentence)
    assert f"    prompt 1: {verdict.chosen.text}\n" in text
    assert (run / "prompt.txt").read_text() == verdict.chosen.text
    assert {path.name for path in run.iterdir()} >= {*PORTABLE}
    before = (run / "verdict.json").read_bytes()
    (run / "verdict.json").unlink()
    main(["test", "--run", str(run)])
    found = [*Path().rglob("verdict.json")]
    assert [path.read_bytes() for path in found] == [before]
    found[0].unlink()
    found[0].mkdir()
    capsys.readouterr()
    with pytest.raises(SystemExit, match="2"):
        main(["test", "--run", str(run)])
    told = capsys.readouterr()
    assert verdict.sentence in told.out
    assert "verdict.json' cannot be written" in told.err


@pytest.mark.slow
def test_a_search_that_can_go_on_reads_no_test_example(run_file, monkeypatch, capsys):
    read = []
    tested = Target.tested
    monkeypatch.setattr(Target, "tested", lambda self: read.append(self.id) or tested(self))
    main(["fit", "--config", "run.yaml", "--trainer.max_steps=1"])
    run = Path("logs/search/version_0")
    assert not read
    assert not (run / "verdict.json").exists()
    assert (
        "no verdict yet on 'moods.jsonl': the search ended after 1 of 2 steps, and no test example "
        f"was read; the verdict comes when a search has ended, or now with: fuse test --run {run}\n"
    ) in capsys.readouterr().out

    def told():
        (verdicts,) = json.loads((run / "verdict.json").read_text()).values()
        return read_verdict(json.dumps(verdicts["zoo/gpt2"]))

    main(["test", "--run", str(run)])
    first = told()
    assert first.sentence.endswith("; the search was cut short")
    assert not first.earlier
    # The same prompts once more: nothing new is told.
    main(["test", "--run", str(run)])
    assert told() == first
    capsys.readouterr()
    words = ["--trainer.max_steps=-1", "--model.steps=6", "--model.batch_size=16"]
    main(["fit", "--resume", str(run), *words])
    second, out = told(), capsys.readouterr().out
    assert second.chosen.text != first.chosen.text
    assert second.sentence.endswith("; the test examples were read twice")
    assert second.earlier == (first.sentence,)
    assert second.sentence in out
    assert f"verdict 1 was: {first.sentence}" in out
    page(read_run(run)).index(escape(f"verdict 1 was: {first.sentence}"))


def test_verdicts_on_targets_that_are_not_judged_now_are_kept(tmp_path):
    one, two = judged(0.8, 0.6), judged(0.5, 0.6)
    write_verdicts(tmp_path, {"a": {"gpt2": one}, "b": {"gpt2": one}})
    write_verdicts(tmp_path, {"b": {"gpt2": two}})
    known = known_verdicts(tmp_path)
    assert known == {("a", "gpt2"): one.verdict, ("b", "gpt2"): two.verdict}
    rows = [json.loads(line) for line in (tmp_path / EXAMPLES).read_text().splitlines()]
    assert Counter(row["target"] for row in rows) == {"a": 120, "b": 120}


def test_a_verdict_counts_the_short_lists_that_its_test_examples_judged():
    made = [judged(0.8, 0.6, prompt=text).verdict for text in ("one", "two", "three")]
    first = after(made[0], None)
    assert first == made[0]
    assert after(made[0], first) == first
    second = after(made[1], first)
    assert second.earlier == (first.sentence,)
    third = after(made[2], after(made[1], second))
    assert third.earlier == (first.sentence, second.sentence)
    assert third.sentence == f"{made[2].sentence}; the test examples were read 3 times"
    assert [line for line in expectations(third) if line.endswith(first.sentence)]
    assert not [line for line in expectations(first) if "earlier" in line]


def test_verdicts_of_other_models_on_the_same_prompts_are_kept(labeller, target, tmp_path):
    options = FloorOptions(stock=["it is {labels}"], demonstrations=0)
    first = final_verdict(labeller, target, ["two red"], options, seed=0)
    other = final_verdict(labeller, target, ["a night"], options, seed=0)
    write_verdicts(tmp_path, {"moods": {"one": first, "two": first}})
    write_verdicts(tmp_path, {"moods": {"one": first}})
    whole = json.loads((tmp_path / "verdict.json").read_text())
    assert {*whole["moods"]} == {"one", "two"}
    rows = [json.loads(line) for line in (tmp_path / EXAMPLES).read_text().splitlines()]
    counts = Counter(row["model"] for row in rows)
    assert counts == {"one": len(target.test), "two": len(target.test)}
    # Of other prompts nothing is left.
    write_verdicts(tmp_path, {"moods": {"one": other}})
    assert {*json.loads((tmp_path / "verdict.json").read_text())["moods"]} == {"one"}
    assert {json.loads(line)["model"] for line in (tmp_path / EXAMPLES).open()} == {"one"}


def test_the_prompt_that_a_search_begins_with_is_a_floor(labeller, target):
    search = SimpleNamespace(initial_prompt=" two red ")
    options = with_start(FloorOptions(demonstrations=0), search)
    floors = chosen_floors(labeller, target, options, seed=0)
    assert [each.text for each in floors if each.offer.name == "the initial prompt"] == ["two red"]
    given = FloorOptions(initial="a night")
    assert with_start(given, search) is given
    none = SimpleNamespace(initial_prompt=None)
    assert with_start(FloorOptions(), none).initial is None


def test_of_equally_accurate_floors_the_surer_one_is_the_strongest():
    right = torch.tensor([0, 1] * 10)
    told = torch.full((20, 2), 0.5)
    floors = [Answers("one", "a", told, 0.5, 0.9), Answers("two", "b", told, 0.5, 0.7)]
    found = judge([Answers("prompt 1", "c", told, 0.4)], floors, right, ["x", "y"])
    assert found.against == "two"
    assert any("is behind two (50.0 %)" in line for line in expectations(found))


def test_a_layout_without_a_text_of_the_examples_is_refused(target):
    objective = Objective([Classification("zoo/gpt2", "{prompt} so{answer}")])
    objective.load()
    with pytest.raises(FuseError, match=r"holds no text of the examples, .*; add \{text\}"):
        objective.set_targets([target])


@pytest.mark.slow
def test_a_verdict_may_be_left_out(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = {each["text"]: each for each in examples(90, 4)}
    Path("moods.jsonl").write_text("".join(f"{json.dumps(each)}\n" for each in rows.values()))
    Path("run.yaml").write_text(yaml.safe_dump(config(enabled=False)))
    main(["fit", "--config", "run.yaml"])
    assert not [*Path().rglob("verdict*")]


@pytest.mark.slow
def test_a_model_that_cannot_be_asked_is_left_out(tmp_path, monkeypatch, capsys):
    def refused(name, *_):
        raise FuseError(f"{name} is out of memory")

    monkeypatch.setattr("fuse_lightning.callbacks.final_verdict.transfer", refused)
    monkeypatch.chdir(tmp_path)
    rows = {each["text"]: each for each in examples(90, 4)}
    Path("moods.jsonl").write_text("".join(f"{json.dumps(each)}\n" for each in rows.values()))
    Path("run.yaml").write_text(yaml.safe_dump(config(transfer=["zoo/gpt2"])))
    main(["fit", "--config", "run.yaml"])
    (told,) = json.loads(Path("logs/search/version_0/verdict.json").read_text()).values()
    assert [*told] == ["zoo/gpt2"]
    assert "no verdict under zoo/gpt2: zoo/gpt2 is out of memory" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "message"),
    [("zoo/nothing", "zoo/nothing"), ("zoo/clip", "'zoo/clip' is a .*, which gives no answers")],
)
def test_a_model_that_names_no_classes_is_refused_before_a_search(name, message):
    callback = FinalVerdict(transfer=[name])
    with pytest.raises(FuseError, match=message):
        callback.setup(None, None, "fit")
    FinalVerdict(transfer=[name], enabled=False).setup(None, None, "fit")
