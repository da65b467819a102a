"""The loader whose batch is refilled as targets end."""

import json
from itertools import islice
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fuse_lightning.data import ImageTargets, Target
from fuse_lightning.data.loader import TargetLoader
from fuse_lightning.errors import FuseError
from fuse_lightning.strategy import ASK_EVERY

STEPS = 5


@st.composite
def loads(draw):
    """How many steps each target takes, and how many are searched together."""
    return draw(st.lists(st.integers(1, STEPS), max_size=9)), draw(st.integers(1, 4))


def loader(durations, size, **options):
    targets = [Target(str(index)) for index in range(len(durations))]
    return TargetLoader(targets, size, STEPS, **options)


def drive(batches, durations, had):
    """Serves batches to a search that ends each target after its steps; yields their ids."""
    for batch in batches:
        yield [target.id for target in batch.targets]
        for target in batch.targets:
            had[target.id] = had.get(target.id, 0) + 1
            if had[target.id] == durations[int(target.id)]:
                batch.done.add(target.id)


def simulate(durations, size):
    """The same with a plain queue: who is in the batch in each step."""
    waiting, running, steps = list(range(len(durations))), [], []
    while waiting or running:
        while waiting and len(running) < size:
            place = waiting.pop(0)
            running.append([place, durations[place]])
        steps.append([str(place) for place, _ in running])
        running = [[place, left - 1] for place, left in running if left > 1]
    return steps


@given(loads())
def test_the_next_target_takes_the_place_of_one_that_ended(load):
    durations, size = load
    served = loader(durations, size)
    wanted = simulate(durations, size)
    assert list(drive(served, durations, {})) == wanted
    assert len(served) >= len(wanted)
    # A second time it begins anew.
    assert list(drive(served, durations, {})) == wanted


@given(loads(), st.data())
def test_a_restored_loader_goes_on_where_it_was(load, data):
    durations, size = load
    whole = simulate(durations, size)
    stop = data.draw(st.integers(0, max(0, len(whole) - 1)))
    first, had = loader(durations, size), {}
    batches = drive(first, durations, had)
    before = list(islice(batches, stop))
    # The search has had its step with the batch served last, as when a checkpoint is written.
    for target in first._batch.targets:
        if had.get(target.id, 0) < sum(target.id in ids for ids in before):
            had[target.id] = had.get(target.id, 0) + 1
            if had[target.id] == durations[int(target.id)]:
                first._batch.done.add(target.id)
    state = first.state_dict()
    assert state["served"] == stop
    second = loader(durations, size)
    second.load_state_dict(json.loads(json.dumps(state)))
    assert before + list(drive(second, durations, had)) == whole


@given(loads(), st.integers(0, 3), st.integers(0, 30))
def test_devices_serve_as_many_batches(load, more, others):
    """They all end soon after the last of them has nothing left to do."""
    durations, size = load
    served = loader(durations, size, most=len(durations) + more)
    asked = []

    def gather(mine):
        asked.append(served.served)
        return [mine, served.served < others]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fuse_lightning.data.loader.gather", gather)
        found = list(drive(served, durations, {}))
    wanted = simulate(durations, size)
    last = max(len(wanted), others)
    assert len(found) == min(len(served), -(-last // ASK_EVERY) * ASK_EVERY)
    assert found == wanted + [[]] * (len(found) - len(wanted))
    assert asked == [*range(0, min(len(found) + 1, len(served)), ASK_EVERY)]
    assert len(served) == -(-(len(durations) + more) // size) * STEPS


@pytest.mark.parametrize("ranks", [1, 2, 3, 5])
def test_devices_share_the_targets_out(ranks, tmp_path):
    for index in range(4):
        Image.new("RGB", (9, 9)).save(tmp_path / f"{index}.png")
    names = []
    for rank in range(ranks):
        data = ImageTargets(str(tmp_path), batch_size=2)
        data.trainer = SimpleNamespace(
            global_rank=rank, world_size=ranks, lightning_module=SimpleNamespace(steps=3)
        )
        data.setup("fit")
        loaded = data.train_dataloader()
        assert len(loaded) == 3 * -(-len(data.targets[::ranks]) // 2)
        names += [target.id for target in loaded.targets]
    assert sorted(names) == [f"{index}.png" for index in range(4)]


class Broken(Target):
    """A target whose picture turns out broken when it is read."""

    @property
    def images(self):
        raise FuseError(f"image {self.id!r} is broken")


@given(st.lists(st.booleans(), max_size=8), st.integers(1, 3))
def test_a_target_that_cannot_be_read_makes_room_for_the_next(good, size):
    targets = [(Target if ok else Broken)(str(index)) for index, ok in enumerate(good)]
    skipped = {}
    served = TargetLoader(
        targets, size, STEPS, skip=lambda target, reason: skipped.update({target.id: reason})
    )
    names = [index for index, ok in enumerate(good) if ok]
    order = {str(index): place for place, index in enumerate(names)}
    found = []
    for batch in served:
        found.append([order[target.id] for target in batch.targets])
        batch.done.update(target.id for target in batch.targets)
    assert found == [[*map(int, ids)] for ids in simulate([1] * len(names), size)]
    assert skipped == {
        str(index): f"image '{index}' is broken" for index, ok in enumerate(good) if not ok
    }


def test_unless_told_otherwise_a_target_that_cannot_be_read_is_an_error():
    with pytest.raises(FuseError, match="image 'b' is broken"):
        list(TargetLoader([Broken("b"), Target("a")], 1, 1))


def test_pictures_are_read_ahead_and_let_go(tmp_path):
    targets = []
    for index in range(9):
        Image.new("RGB", (9, 9)).save(tmp_path / f"{index}.png")
        targets.append(Target(str(index), [tmp_path / f"{index}.png"]))
    for step, batch in enumerate(TargetLoader(targets, 2, 1)):
        held = {target.id for target in targets if "images" in vars(target)}
        assert {target.id for target in batch.targets} <= held
        assert held <= {str(place) for place in range(2 * step, 2 * step + 4)}
        batch.done.update(target.id for target in batch.targets)
    assert not any("images" in vars(target) for target in targets)


def test_a_checkpoint_of_other_targets_is_refused():
    state = loader([1, 2, 3], 2).state_dict()
    loader([3, 1, 2], 2).load_state_dict(state)
    with pytest.raises(FuseError, match=r"for other targets; .* data\.skip_finished"):
        loader([1, 2], 2).load_state_dict(state)
    del state["targets"]
    with pytest.raises(FuseError, match="for other targets"):
        loader([3, 1, 2], 2).load_state_dict(state)
