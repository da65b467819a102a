"""Searches for reasoning prompts: checked before, and judged at their end."""

import json

import lightning as L
import pytest

from fuse_lightning.callbacks import FinalVerdict, Headroom, PortablePrompts
from fuse_lightning.callbacks.check_lines import headroom_lines
from fuse_lightning.callbacks.checking import checked
from fuse_lightning.data.module import TargetDataModule
from fuse_lightning.data.targets import Target
from fuse_lightning.evaluation.floor_options import FloorOptions
from fuse_lightning.evaluation.verdict import read_verdict
from fuse_lightning.evaluation.verdict_files import EXAMPLES, FILE
from fuse_lightning.objectives import Reasoning
from fuse_lightning.objectives.chains import ChainWriter
from fuse_lightning.optimizers import RandomSearch
from fuse_lightning.report import report
from tests.evaluation.test_reasoner import LABELS, questions

FLOORS = FloorOptions(stock=["on the"], demonstrations=1, draws=1, published={"sums": "Think."})


MARK = "zebra"
"""Word of the test questions that no model may be asked."""


class Sums(TargetDataModule):
    """Questions for a model of the zoo."""

    test = tuple(questions(9, 3))

    def all_targets(self):
        parts = {"examples": questions(6, 1), "select": questions(8, 2), "test": self.test}
        return [Target("sums", labels=LABELS, answer="word", extractor=" and a", **parts)]


class Unread(Sums):
    test = tuple({**each, "question": f"{MARK} {each['question']}"} for each in questions(400, 3))


def search():
    term = Reasoning("zoo/gpt2", "{question} {prompt}", max_chain_tokens=6, max_answer_tokens=3)
    return RandomSearch([term], steps=2, batch_size=4, prompt_length=2, examples_per_step=3, top=2)


def trainer_with(folder, *callbacks):
    return L.Trainer(
        accelerator="cpu",
        max_epochs=1,
        callbacks=[*callbacks],
        default_root_dir=folder,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )


@pytest.mark.slow
def test_a_search_ends_with_a_verdict_and_other_models_are_asked_too(tmp_path, capsys):
    callback = FinalVerdict(FLOORS, transfer=["zoo/instruct"])
    module = search()
    trainer = trainer_with(tmp_path, callback, Headroom(examples=5))
    trainer.fit(module, Sums(batch_size=1))
    said = capsys.readouterr().out
    assert "before the search of sums:" in said
    assert "of the chains hold an answer" in said
    (path,) = tmp_path.rglob(FILE)
    (told,) = json.loads(path.read_text()).values()
    assert [*told] == ["zoo/gpt2", "zoo/instruct"]
    for name, data in told.items():
        verdict = read_verdict(json.dumps(data))
        assert verdict == callback.judged["sums"][name].verdict
        assert verdict.sentence in said
        assert [floor.name for floor in verdict.floors] == [
            "the question alone",
            '"Let\'s think step by step."',
            "the published prompt",
            "the best stock instruction",
            "the best demonstrations",
        ]
        assert verdict.chains.max_chain_tokens == 6
        assert [score.text for score in verdict.candidates] == [
            result.prompt for result in module.results
        ]
    rows = [json.loads(line) for line in (path.parent / EXAMPLES).read_text().splitlines()]
    assert [row["example"]["question"] for row in rows] == 2 * [
        example["question"] for example in Sums.test
    ]
    report(path.parent)
    page = (path.parent / "report.html").read_text()
    assert page.count('class="sortable chains"') == 2


def test_a_check_asks_no_test_question_and_tells_of_the_chains(tmp_path, monkeypatch):
    found, asked, write = [], [], ChainWriter.write

    def watched(writer, questions):
        heads = [each.head for each in questions]
        asked.extend(writer.model.tokenizer.batch_decode(heads))
        return write(writer, questions)

    monkeypatch.setattr(ChainWriter, "write", watched)

    class Look(L.Callback):
        def on_train_start(self, trainer, pl_module):
            found.append(checked(trainer, pl_module, trainer.datamodule.targets, 5))

    # These two read test questions once a search has ended.
    after = FinalVerdict(FLOORS, enabled=False), PortablePrompts(enabled=False)
    trainer_with(tmp_path, *after, Headroom(enabled=False), Look()).fit(
        search(), Unread(batch_size=1)
    )
    assert asked
    assert not any(MARK in text for text in asked)
    (room,) = found[0].headrooms.values()
    assert (room.examples, room.tests, room.outside) == (5, 400, None)
    assert len(room.floors) == 5
    lines = headroom_lines(room)
    assert "the most frequent answer: " in lines[0]
    shares = room.chains
    assert lines[1].endswith(
        f"; with {room.best.name} {100 * shares.readable:.1f} % of the chains hold an answer, "
        f"{100 * shares.written:.1f} % an answer behind the extractor, and {100 * shares.cut:.1f} "
        "% are cut short (max_chain_tokens 6)"
    )
    assert json.loads(json.dumps(found[0].to_dict()))["headroom"]["sums"]["chains"]["cut"] >= 0


def test_a_search_goes_on_exactly_as_without_the_check(tmp_path):
    results = []
    for enabled in (False, True):
        module = search()
        off = FinalVerdict(FLOORS, enabled=False)
        check = Headroom(examples=5, enabled=enabled)
        trainer = trainer_with(tmp_path / str(enabled), off, check)
        trainer.fit(module, Sums(batch_size=1))
        results.append([{**result.to_dict(), "seconds": 0} for result in module.results])
    assert results[0] == results[1]
