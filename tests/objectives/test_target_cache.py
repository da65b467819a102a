"""What is kept of targets that stay: their features and the losses of their prompts."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fuse_lightning.adapters import AdapterSettings
from fuse_lightning.data import Target
from fuse_lightning.models import CLIP
from fuse_lightning.objectives import Objective, TextSimilarity
from fuse_lightning.objectives.memory import LossMemory
from fuse_lightning.objectives.target_cache import PerTarget
from tests.factories import tiny
from tests.near import assert_near

TEXTS = ["a red star", "two boats on the sea", "a green sign", "stormy night"]


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return tiny.clip(tmp_path_factory.mktemp("clip"))


@given(st.lists(st.lists(st.integers(0, 4), max_size=6), max_size=8))
def test_each_target_is_computed_when_it_enters_and_only_then(batches):
    targets = [Target(str(index)) for index in range(5)]
    asked = []

    def compute(new):
        asked.append([target.id for target in new])
        return [f"value of {target.id}" for target in new]

    kept, before = PerTarget(compute), set()
    for batch in batches:
        asked.clear()
        found = kept.of([targets[index] for index in batch])
        assert found == [f"value of {index}" for index in batch]
        entered = [str(index) for index in dict.fromkeys(batch) if index not in before]
        assert asked == ([entered] if entered else [])
        before = set(batch)


def test_rows_of_targets_that_are_gone_are_forgotten():
    memory = LossMemory(limit=3)
    memory.keep([(0, (1,)), (1, (1,)), (1, (2,))], torch.tensor([[1.0], [2.0], [3.0]]))
    memory.forget(lambda key: key[0] == 0)
    known, losses = memory.recall([(0, (1,)), (1, (2,)), (1, (1,))])
    assert known == [1, 2]
    assert losses.tolist() == [[3.0], [2.0]]
    memory.keep([(2, (5,)), (2, (6,))], torch.tensor([[4.0], [5.0]]))
    # The limit holds; the oldest row went.
    assert memory.recall([(1, (1,)), (1, (2,)), (2, (5,)), (2, (6,))])[0] == [1, 2, 3]


@pytest.mark.parametrize("order", [(0, 1), (1, 0), (1, 2), (2, 1, 0), (3,)])
def test_losses_follow_their_targets_to_other_places(clip, monkeypatch, order):
    def prepared(places):
        objective = Objective([TextSimilarity(CLIP(clip))], AdapterSettings(cache=False))
        objective.load()
        objective.set_targets([targets[place] for place in places])
        return objective

    def losses(objective, count):
        states = [objective.encode_prompt(text) for text in TEXTS]
        owners = [owner for owner in range(count) for _ in states]
        return objective.losses(objective.prompts(states * count, owners))

    targets = [Target(str(index), text=text) for index, text in enumerate(TEXTS)]
    objective = prepared((0, 1, 2))
    losses(objective, 3)
    objective.set_targets([targets[place] for place in order])
    scored = []
    score = objective.scores.term_losses
    monkeypatch.setattr(
        objective.scores, "term_losses", lambda term, p: scored.extend(p.owners) or score(term, p)
    )
    assert_near(losses(objective, len(order)), losses(prepared(order), len(order)))
    assert set(scored) == {place for place, target in enumerate(order) if target == 3}
