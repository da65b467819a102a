"""The benchmark of classification prompts: its quick run, what it keeps, and its figures."""

import doctest
import json
from importlib import import_module

import pytest
import torch

from benchmarks.classification import (
    null,
    operations,
    pages,
    race_sets,
    racing,
    real,
    runs,
    tables,
    zoo,
)
from benchmarks.classification.__main__ import main
from benchmarks.classification.asked import Asked
from benchmarks.classification.rows import all_rows
from benchmarks.classification.tasks import NEWS, ZOO, continents, news, numbers, shuffled
from fuse_lightning.evaluation.judging import Answers, judge
from fuse_lightning.objectives import Objective
from fuse_lightning.optimizers.minibatches import choosing
from fuse_lightning.optimizers.racing import Racing, race


@pytest.fixture(autouse=True)
def results(tmp_path, monkeypatch):
    """A folder of results other than that of the repository."""
    folder = tmp_path / "results"
    folder.mkdir()
    for module in (pages, zoo):
        monkeypatch.setattr(module, "RESULTS", folder)
    monkeypatch.setattr("benchmarks.classification.__main__.hush", lambda: None)
    return folder


@pytest.mark.slow
def test_a_quick_run_does_every_part_and_is_taken_up_again(tmp_path, results, monkeypatch, capsys):
    words = ["zoo", "null", "racing", "--quick", "--task", "number", "--keep", str(tmp_path / "k")]
    main(words)
    first = capsys.readouterr().out
    for name in all_rows(64, 4, 4, 6):
        assert f"| {name} | " in first
    assert "## Null control" in first
    assert "| default | 0.05 | 16 | " in first
    assert not [*results.iterdir()]
    # All of it is there: nothing is searched again.
    monkeypatch.setattr("lightning.Trainer.fit", None)
    main(words)
    again = capsys.readouterr().out
    assert [line for line in again.split("\n") if line.startswith("| ")] == [
        line for line in first.split("\n") if line.startswith("| ")
    ]


@pytest.mark.slow
def test_a_quick_run_at_equal_operations_has_every_optimizer(tmp_path, monkeypatch, capsys):
    words = ["operations", "--quick", "--keep", str(tmp_path)]
    main(words)
    first = capsys.readouterr().out
    for name in operations.rows(operations.QUICK):
        assert f"| {name} | " in first
    assert f"| *{operations.BAR}* | " in first
    cells = [json.loads(path.read_text())["found"] for path in tmp_path.rglob("*.json")]
    # A search ends with the step that uses its operations up.
    assert all(cell["flops"] < 3 * operations.QUICK.flops for cell in cells)
    monkeypatch.setattr("lightning.Trainer.fit", None)
    main(words)
    assert first.split("## Zoo")[1].split("\n\noperations:")[0] in capsys.readouterr().out


def test_a_question_without_a_chain_has_the_loss_of_its_class(tmp_path):
    texts = ["mood of", "a cat sits by the heart", ""]
    found = []
    for task in (ZOO["moods"], Asked(**vars(ZOO["moods"]))):
        (target,) = targets(task.data(tmp_path, (16, 32, 32), 3))
        objective = Objective([task.term()])
        objective.load()
        objective.set_targets([target])
        prompts = objective.prompts(objective.encode_prompts(texts), [0] * len(texts))
        found.append((objective.total(objective.losses(prompts)), len(target.test)))
    (classes, count), (questions, same) = found
    torch.testing.assert_close(questions, classes, rtol=1e-4, atol=1e-5)
    assert count == same == 32


def test_the_prompt_of_a_share_of_the_operations_is_the_last_one_until_then():
    points = [(1.0, "a"), (2.0, "b"), (4.0, "c")]
    found = [operations.best_until(points, place) for place in (0.5, 1.5, 2.0, 9.0)]
    assert found == ["", "a", "b", "c"]


def test_optimizers_at_equal_operations_stand_by_their_loss():
    def cell(loss, right):
        used = {"flops": 1e11, "evaluations": 9, "seconds": 1.0}
        return {
            "loss": [1.0, loss + 0.1, loss],
            "right": [0, 0, right],
            "stock": (0.5, 0.6),
            **used,
        }

    found = {"worse": [cell(0.4, 0.7), cell(0.6, 0.9)], "better": [cell(0.1, 1.0), cell(0.1, 1.0)]}
    lines = operations.compared(found).split("\n")[2:]
    assert lines[0].startswith("| better | 1.000 ± 0.000 | 0.200 ± 0.000 | 0.100 ± 0.000 | 100.0")
    assert lines[1].startswith("| worse | 1.000 ± 0.000 | 0.600 ± 0.141 | 0.500 ± 0.141 | 80.0")
    assert lines[2].startswith(f"| *{operations.BAR}* |  |  | 0.500 ± 0.000 | 60.0 ± 0.0 |")


@pytest.mark.slow
def test_a_real_model_is_asked_about_news_and_countries(tmp_path, results, monkeypatch, capsys):
    for topic, word in NEWS.items():
        (tmp_path / "texts" / topic).mkdir(parents=True)
        for number in range(8):
            title = f"a {word} star {number}"
            (tmp_path / "texts" / topic / f"{number}.txt").write_text(f"{title}\nmore\n")
    monkeypatch.setattr(real, "FIRST_SEED", 1)
    words = ["--model", "zoo/gpt2", "--texts", str(tmp_path / "texts"), "--first-seed", "1"]
    main(["real", "--quick", *words])
    said = capsys.readouterr().out
    assert "### Task news" in said
    assert "### Task continent" in said
    assert said.count("| AutoPrompt | ") == 2


def test_without_a_real_model_its_part_says_how_to_get_one(capsys):
    main(["real", "--quick"])
    said = capsys.readouterr().out
    assert "--model" in said
    assert "--texts" in said


def test_what_was_found_with_other_settings_is_not_taken(tmp_path):
    path = tmp_path / "a" / "cell.json"
    assert runs.kept(path, [1, (2, None)], lambda: {"x": 1}) == {"x": 1}
    assert runs.kept(path, [1, (2, None)], lambda: {"x": 2}) == {"x": 1}
    with pytest.raises(SystemExit, match=r"cell\.json was found with \[1, \[2, None\]\], not with"):
        runs.kept(path, [1, (3, None)], lambda: {"x": 2})
    assert json.loads(path.read_text())["found"] == {"x": 1}


def test_a_section_takes_the_place_of_its_old_one(results):
    for name, text in (("Races", "one"), ("Zoo", "### With\n\ntwo"), ("Races", "three")):
        pages.write_section(name, text, keep=True)
    page = (results / "classification.md").read_text()
    assert page.startswith(pages.TITLE)
    assert [line for line in page.split("\n") if line.startswith("#")] == [
        *(pages.TITLE, "## Zoo", "### With", "## Races")
    ]
    assert "one" not in page.split("## Races")[1]
    assert page.endswith("three\n")


def test_texts_have_one_label_and_classes_alike():
    for rows, classes in ((numbers(), 2), (continents(), 4)):
        texts = [row["text"] for row in rows]
        assert len(set(texts)) == len(texts)
        assert len({row["label"] for row in rows}) == classes
    assert sum(row["label"] == "one" for row in numbers()) == len(numbers()) // 2
    dealt = shuffled(numbers(), 3)
    assert [row["text"] for row in dealt] == [row["text"] for row in numbers()]
    agree = sum(a == b for a, b in zip(dealt, numbers(), strict=True)) / len(dealt)
    assert 0.45 < agree < 0.55


def test_the_folder_of_a_table_changes_no_search(tmp_path):
    found = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (target,) = targets(ZOO["number"].data(tmp_path / name, (4, 32, 8), 0))
        found.append((target.id, target.digest, choosing(target, 0)))
    assert found[0] == found[1]


def test_a_title_under_two_topics_is_left_out(tmp_path):
    for topic in NEWS:
        (tmp_path / topic).mkdir()
        (tmp_path / topic / "1.txt").write_text(f"about {topic} \nmore")
        if topic in ("tech", "sports"):
            (tmp_path / topic / "2.txt").write_text("of both\nmore")
    assert news(tmp_path) == [{"text": f"about {topic}", "label": topic} for topic in NEWS]


def verdict(found, stock):
    """Verdict by the numbers of right answers among 40, of a prompt and of a stock instruction."""
    labels = torch.zeros(40, dtype=torch.long)

    def answers(name, text, right):
        told = torch.tensor([[0.9, 0.1]] * right + [[0.1, 0.9]] * (40 - right))
        return Answers(name, text, told, right / 40)

    floors = [answers("the template alone", "", 20), answers(tables.STOCK, "is it", stock)]
    return judge([answers("prompt 1", "found", found)], floors, labels, ["a", "b"])


def cells(*pairs):
    used = {"evaluations": 10, "tokens": 20, "flops": 1e12, "seconds": 2.0}
    return [{"verdict": verdict(*pair).to_dict(), "used": used} for pair in pairs]


def test_the_table_and_its_text_tell_what_does_not_pay():
    rows = all_rows(64, 4, 4, 6)
    found = {
        "RandomSearch, one token": cells((30, 24), (34, 24)),
        "AutoPrompt": cells((24, 24), (8, 24)),
    }
    table = tables.compared(found).split("\n")
    assert table[2].startswith("| RandomSearch, one token | 80.0 ± 7.1 | 80.0 ± 7.1 | 2 / 0 / 0 |")
    assert table[3].startswith("| AutoPrompt | 40.0 ± 28.3 | 40.0 ± 28.3 | 0 / 1 / 1 |")
    assert table[-1].startswith(f"| *{tables.STOCK}* | 60.0 ± 0.0 |")
    assert tables.findings(found, rows) == (
        "AutoPrompt ends at or below the best stock instruction (60.0 %) in mean accuracy. "
        "AutoPrompt ends at or below RandomSearch, one token (80.0 %) in mean accuracy. "
        "The best optimizer is RandomSearch, one token (80.0 %)."
    )
    del found["AutoPrompt"]
    assert tables.findings(found, rows).startswith("The best optimizer is RandomSearch, one token")
    better = {"GCG, smoothed": cells((40, 24))}
    assert tables.findings(better, rows).startswith("No optimizer with gradients ends at or below")


def test_a_floor_s_own_text_is_compared_with_that_floor_alone():
    labels = torch.zeros(4, dtype=torch.long)
    told = torch.tensor([[0.9, 0.1]] * 4)
    floors = [Answers("one", "x", told, 1.0), Answers("two", "y", told, 0.5)]
    found = judge([Answers("prompt 1", "y", told, 1.0)], floors, labels, ["a", "b"])
    assert [each.floor for each in null.identical(found)] == ["two"]


def test_races_are_measured_against_full_scoring():
    generator = torch.Generator().manual_seed(0)
    base = torch.rand(1, 64, generator=generator)
    offsets = torch.tensor([0.5, 0.4, 0.0, 0.6, 0.7, 0.3])[:, None]
    losses = base + offsets + 0.1 * torch.rand(6, 64, generator=generator)
    everything = racing.measured([losses], Racing(alpha=0))
    assert everything == (1, 1.0, 0.0)
    found = racing.measured([losses], Racing(block=8))
    assert found.same == 1
    assert found.share < 0.4
    # The best so far has met every example by then, and is asked for none of them again.
    turns = racing.measured([losses], Racing(block=8, entrants=2), racing.in_turn)
    assert turns.same == 1
    assert found.share < turns.share < 1


def test_known_losses_race_as_a_model_does(tmp_path):
    task = ZOO["number"]
    (target,) = targets(task.data(tmp_path, (4, 32, 8), 0))
    objective = Objective([task.term()])
    objective.load()
    objective.set_targets([target])
    texts = ["a count of", "how many", "We see", "Look at", "red", "it or them"]
    prompts = objective.prompts(objective.encode_prompts(texts), [0] * len(texts))
    numbers_ = choosing(target, 0)
    table = objective.scores.example_losses(0, prompts, [numbers_] * len(texts)).view(6, 32)
    for settings in (Racing(alpha=0.3, block=4), Racing(alpha=0.05, block=8), Racing(alpha=0)):
        finish = race(objective, prompts, [numbers_], 1, settings)
        told = race_sets.Told(table)
        assert race_sets.chosen(told, range(6), settings) == finish.rows[0]


def targets(data):
    data.setup("fit")
    return data.targets


@pytest.mark.parametrize("name", ["asked", "operations", "pages", "tables", "race_sets", "racing"])
def test_examples_give_what_they_say(name):
    failed, tried = doctest.testmod(import_module(f"benchmarks.classification.{name}"))
    assert tried
    assert not failed
