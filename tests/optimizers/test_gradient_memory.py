"""Running means of gradients, against one prompt at a time, and through a resume."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lightning.pytorch.callbacks import ModelCheckpoint

from fuse_lightning.adapters import AdapterSettings, HeadGradient
from fuse_lightning.data import ImageTargets
from fuse_lightning.errors import FuseError
from fuse_lightning.objectives import Fluency
from fuse_lightning.optimizers import AutoDAN
from fuse_lightning.optimizers.gradient_memory import check_memory, mixed
from fuse_lightning.search import BeamSearch, GreedySearch
from tests.factories.terms import Surprise
from tests.near import assert_near
from tests.optimizers.runs import build, fit


@given(
    st.integers(1, 4),
    st.lists(st.integers(0, 2), min_size=1, max_size=6),
    st.floats(0, 0.9),
    st.integers(0, 10_000),
)
def test_a_running_mean_of_each_target_and_space(steps, owners, share, seed):
    stream = torch.Generator().manual_seed(seed)
    memories = {0: {}, 1: {}, 2: {}}
    means = {}
    for _ in range(steps):
        places = [int(torch.randint(3, (), generator=stream)) for _ in owners]
        heads = []
        for space in ("a", "b"):
            grad = torch.randn(len(owners), 3, 2, generator=stream)
            valid = torch.rand(len(owners), 3, generator=stream) < 0.6
            heads.append(HeadGradient(torch.ones(5, 2), grad, valid, None, space))
        found = mixed(heads, owners, places, memories, share)
        for head, before in zip(found, heads, strict=True):
            expected, news = before.grad.clone(), {}
            for row, (owner, place) in enumerate(zip(owners, places, strict=True)):
                if not before.valid[row, place]:
                    continue
                key = owner, head.space
                if key in means:
                    expected[row, place] = (1 - share) * before.grad[row, place]
                    expected[row, place] += share * means[key]
                news.setdefault(key, []).append(expected[row, place].clone())
            means |= {key: torch.stack(rows).mean(0) for key, rows in news.items()}
            assert_near(head.grad, expected)
            assert head.space == before.space
    for (owner, space), mean in means.items():
        assert_near(memories[owner][space][:-1], mean)
    for memory in memories.values():
        check_memory({"gradients": memory})


@pytest.mark.parametrize(
    "memory", [[1], {1: torch.zeros(2)}, {"a": 3}, {"a": torch.full((2,), torch.nan)}]
)
def test_a_checkpoint_that_holds_no_memory(memory):
    with pytest.raises((TypeError, ValueError)):
        check_memory({"gradients": memory})


def test_a_resumed_search_remembers(folders, pictures, tmp_path):
    def memory(step, run, **options):
        module = build(AutoDAN, folders, steps=4, batch_size=4, revise=0, gradient_memory=0.5)
        saver = ModelCheckpoint(tmp_path / run, "{step}", every_n_train_steps=1, save_top_k=-1)
        fit(module, ImageTargets(str(pictures)), tmp_path, BeamSearch(2), saver, **options)
        saved = torch.load(tmp_path / run / f"step={step}.ckpt", weights_only=True)
        searches = saved["state_dict"]["_extra_state"]["searches"]
        return {name: each["search"]["own"]["gradients"] for name, each in searches.items()}

    whole = memory(3, "whole")
    again = memory(3, "again", ckpt_path=tmp_path / "whole" / "step=2.ckpt")
    assert again.keys() == whole.keys()
    for name, vectors in whole.items():
        assert vectors
        assert again[name].keys() == vectors.keys()
        for space, vector in vectors.items():
            assert_near(again[name][space], vector)


def test_a_share_that_forgets_everything_new(folders):
    with pytest.raises(FuseError, match="gradient_memory is 1,"):
        build(AutoDAN, folders, gradient_memory=1)


def test_heads_of_one_space_are_not_mixed():
    head = HeadGradient(torch.ones(3, 2), torch.ones(1, 1, 2), torch.ones(1, 1).bool(), None, "a")
    with pytest.raises(ValueError, match="one space"):
        mixed([head, head], [0], [0], {0: {}}, 0.5)


def test_two_models_that_read_one_term_are_remembered_apart(folder, pictures, tmp_path):
    terms = [Fluency(str(folder("gpt2"))), Surprise(str(folder("llama")), str(folder("qwen2")))]
    adapter = AdapterSettings(cache=False)
    module = AutoDAN(terms, adapter=adapter, steps=2, revise=0, gradient_memory=0.5)
    saver = ModelCheckpoint(tmp_path, "{step}", every_n_train_steps=1, save_top_k=-1)
    fit(module, ImageTargets(str(pictures / "0.png")), tmp_path, GreedySearch(), saver)
    saved = torch.load(tmp_path / "step=1.ckpt", weights_only=True)["state_dict"]["_extra_state"]
    (search,) = saved["searches"].values()
    readers = {space.split()[1] for space in search["search"]["own"]["gradients"]}
    assert readers == {"0", "1"}
