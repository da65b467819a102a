"""What is remembered of chains, which no network writes anew."""

import pytest

from fuse_lightning.data import Target
from fuse_lightning.objectives import Objective, Reasoning
from fuse_lightning.objectives.recalled import recalled
from fuse_lightning.zoo.reasoning import BEST, EXTRACTOR, LAYOUT, NEUTRAL, reasoning_questions

TOLD = "chain", "answer", "parsed", "read", "right_parse", "right_read", "right_forced", "cut"


@pytest.fixture
def objective():
    target = Target("sums", examples=reasoning_questions(6), answer="number", extractor=EXTRACTOR)
    found = Objective([Reasoning("zoo/reasoner", layout=LAYOUT, max_chain_tokens=24)])
    found.load("cpu")
    found.set_targets([target])
    return found


def test_what_was_written_is_recalled_without_the_network_and_nothing_else(objective, monkeypatch):
    (term,) = objective.terms
    known = objective.prompts(objective.encode_prompts([BEST]), [0])
    written = term.written(known, [[0, 2, 3]])
    assert any(each.right_parse for each in written)

    def refuse(*args, **options):
        raise AssertionError("a network runs")

    for name in ("generate", "token_nll", "logits_at"):
        monkeypatch.setattr(term.model, name, refuse)
    both = objective.prompts(objective.encode_prompts([BEST, NEUTRAL]), [0, 0])
    first, unknown, second, *others = recalled(term, both, [[0, 1, 2], [0, 2]])
    for now, before in ((first, written[0]), (second, written[1])):
        assert [getattr(now, name) for name in TOLD] == [getattr(before, name) for name in TOLD]
    assert [unknown, *others] == [None, None, None]
