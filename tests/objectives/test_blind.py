"""Terms that read no target are found out, and told in one line."""

import lightning as L
import pytest
import torch

from fuse_lightning.data import Target, TextTargets
from fuse_lightning.objectives import (
    CausalTerm,
    Continuation,
    Fluency,
    Sentiment,
    TextSimilarity,
)
from fuse_lightning.objectives.blind import is_blind
from fuse_lightning.optimizers import RandomSearch

TARGETS = [Target("a", text="a red star"), Target("b", text="a blue box")]


class OwnTerm(CausalTerm):
    """Base of a user's terms, each row of which counts nothing."""

    def __init__(self):
        super().__init__("zoo/gpt2")

    def loss(self, reading, embeds=None):
        return torch.zeros(len(reading.rows.ids))


class Counts(OwnTerm):
    def set_targets(self, targets):
        self.examples = [2 for _ in targets]


class Reads(Counts):
    def set_targets(self, targets):
        self.examples = [len(target.text) for target in targets]


class Keeps(OwnTerm):
    def set_targets(self, targets):
        self.targets = {"now": [*targets]}


class Answers(Counts):
    def contents(self, owner, example):
        raise RuntimeError("not before the search")


@pytest.mark.parametrize(
    ("terms", "blind"),
    [
        ([lambda: Fluency("zoo/gpt2")], True),
        ([lambda: Fluency("zoo/gpt2"), lambda: TextSimilarity("zoo/clip")], False),
        ([lambda: TextSimilarity("zoo/clip", text="a star")], True),
        ([lambda: Continuation("zoo/gpt2", label=" a star")], False),
        ([lambda: Sentiment("zoo/sentiment", label="positive")], True),
        ([OwnTerm], True),
        ([Counts], True),
        ([Counts, Reads], False),
        ([Keeps], False),
        # What cannot be found out is not told.
        ([Answers], False),
    ],
)
def test_a_blind_objective_is_one_whose_terms_all_leave_the_target(terms, blind):
    assert is_blind([make() for make in terms], TARGETS) is blind


def test_a_target_with_its_own_content_is_read():
    assert is_blind([Continuation("zoo/gpt2", label=" a star")], [Target("a"), Target("b")])
    wanted = [Target("a", sentiment="negative"), Target("b")]
    assert not is_blind([Sentiment("zoo/sentiment", label="positive")], wanted)


@pytest.mark.parametrize(("count", "told"), [(2, True), (1, False)])
def test_several_targets_with_one_search_are_told(count, told, tmp_path, caplog):
    module = RandomSearch([Fluency("zoo/gpt2")], steps=1, prompt_length=2, batch_size=2)
    trainer = L.Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        default_root_dir=tmp_path,
        enable_progress_bar=False,
        enable_checkpointing=False,
    )
    trainer.fit(module, TextTargets([target.text for target in TARGETS[:count]]))
    line = "no term reads the targets (fluency), so that all 2 targets have the same objective"
    assert (line in caplog.text) is told
