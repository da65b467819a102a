"""Checkpoints of another form or content than a search writes."""

import copy
import random

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from fuse_lightning.data import ImageTargets
from fuse_lightning.errors import FuseError
from fuse_lightning.optimizers import GCG, PEZ, FluentPrompt, SimplexDescent
from fuse_lightning.search import GreedySearch, UniformCostSearch
from fuse_lightning.search.rank_checkpoints import EXTRA, joined, read_checkpoint
from tests.factories.pictures import write_pictures
from tests.optimizers.runs import build, fit

WRONG = [None, "text", -1, 2**70, float("nan"), [], {}, [[1]], {"a": 1}, torch.zeros(3), b"\x00"]
KINDS = {
    "gcg": lambda folders: build(GCG, folders, steps=4, batch_size=4, top_k=8, prompt_length=3),
    "pez": lambda folders: build(PEZ, folders, steps=4, prompt_length=3, restarts=2),
    "simplex": lambda folders: build(SimplexDescent, folders, steps=4, prompt_length=3, cycle=2),
    "fluent": lambda folders: build(FluentPrompt, folders, steps=4, prompt_length=3, restarts=2),
}
SEARCHES = dict.fromkeys(KINDS, GreedySearch) | {"gcg": UniformCostSearch}


@pytest.fixture(scope="module", params=[*KINDS])
def written(request, folders, tmp_path_factory):
    """A kind of search, a checkpoint that it wrote after two of four steps, and its pictures."""
    place = tmp_path_factory.mktemp("written")
    pictures = write_pictures(place / "pictures")
    saver = ModelCheckpoint(place, every_n_train_steps=2, save_top_k=-1)
    module = KINDS[request.param](folders)
    data = ImageTargets(str(pictures), batch_size=2, root=str(place))
    fit(module, data, place, SEARCHES[request.param](), saver, max_steps=2)
    (path,) = place.glob("*step=2.ckpt")
    return request.param, path, pictures


def places(part, way=()):
    """Ways to all parts of a checkpoint."""
    items = part.items() if isinstance(part, dict) else enumerate(part)
    for key, value in items:
        yield (*way, key)
        if isinstance(value, dict | list | tuple):
            yield from places(value, (*way, key))


def changed(checkpoint, way, value):
    """A copy in which one part is another, or missing."""
    found = copy.deepcopy(checkpoint)
    part = found
    for key in way[:-1]:
        if isinstance(part[key], tuple):
            part[key] = [*part[key]]
        part = part[key]
    if value is ...:
        del part[way[-1]]
    else:
        part[way[-1]] = value
    return found


@pytest.mark.slow
def test_whatever_a_checkpoint_holds_a_run_goes_on_or_says_why_not(written, folders, tmp_path):
    kind, path, pictures = written
    whole = torch.load(path, weights_only=True)
    rng = random.Random(kind)
    ways = [*places(whole)]
    assert len(ways) > 100
    refused = 0
    for number in range(30):
        way = rng.choice(ways)
        value = rng.choice([*WRONG, ...])
        torch.save(changed(whole, way, value), tmp_path / "bad.ckpt")
        module = KINDS[kind](folders)
        try:
            read_checkpoint(tmp_path / "bad.ckpt")
            fit(
                module,
                ImageTargets(str(pictures), batch_size=2, root=str(pictures.parent)),
                tmp_path / f"run-{number}",
                SEARCHES[kind](),
                ckpt_path=tmp_path / "bad.ckpt",
            )
        except FuseError:
            refused += 1
        else:
            assert [result.finished for result in module.results] == [True] * 3, (way, value)
    assert 3 < refused < 30


def test_a_checkpoint_holds_no_result_that_is_in_a_file(written):
    _, path, _ = written
    state = torch.load(path, weights_only=True)["state_dict"][EXTRA]
    assert state["results"] == []
    assert len(state["searches"]) == 2


def test_of_a_search_that_devices_share_the_first_ones_state_is_kept():
    first = {"results": [], "searches": {"a": 1}, "counts": [{"calls": 1}]}
    second = {"results": [], "searches": {"b": 2, "a": 3}, "counts": [{"calls": 2}]}
    assert joined([first, second])["searches"] == {"a": 1, "b": 2}
    assert joined([first, second])["counts"] == [{"calls": 1}, {"calls": 2}]
