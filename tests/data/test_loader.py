"""The loader whose batch is refilled as targets end."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fuse_lightning.data import ImageTargets, Target, TargetQueue
from fuse_lightning.data.loader import TargetLoader
from fuse_lightning.errors import FuseError
from fuse_lightning.utilities.processes import ASK_EVERY

STEPS = 5


@st.composite
def loads(draw):
    """How many steps each target takes, and how many are searched together."""
    return draw(st.lists(st.integers(1, STEPS), max_size=9)), draw(st.integers(1, 4))


def loader(durations, size, most=None, **options):
    targets = [Target(str(index)) for index in range(len(durations))]
    return TargetLoader(TargetQueue(targets, size, STEPS, **options), most)


def drive(batches, durations, had):
    """Serves batches to a search that ends each target after its steps; yields their ids."""
    for batch in batches:
        yield [target.id for target in batch.targets]
        for target in batch.targets:
            had[target.id] = had.get(target.id, 0) + 1
            if had[target.id] == durations[int(target.id)]:
                batch.queue.ended(target.id)


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


def test_a_target_leaves_after_its_steps_though_nobody_says_so():
    served = loader([9] * 3, 2)
    assert [[target.id for target in batch.targets] for batch in served] == simulate([STEPS] * 3, 2)


def dealt(folder, finished=(), under_way=(), rank=0, ranks=1, batch_size=2):
    """What a data module deals to a device, and its loader."""
    data = ImageTargets(str(folder), batch_size=batch_size)
    data.trainer = SimpleNamespace(global_rank=rank, world_size=ranks)
    data.setup("fit")
    queue = data.deal(3, finished, under_way)
    served = data.train_dataloader()
    assert served.queue is queue
    return served


@given(st.lists(st.integers(0, 5), unique=True), st.sets(st.integers(0, 5)), st.integers(1, 4))
def test_what_has_ended_is_left_out_and_what_was_under_way_comes_first(
    tmp_path_factory, waiting, finished, ranks
):
    folder = tmp_path_factory.getbasetemp() / "six"
    if not folder.exists():
        folder.mkdir()
        for index in range(6):
            Image.new("RGB", (9, 9)).save(folder / f"{index}.png")
    names = [target.id for target in dealt(folder).targets]
    under_way = [names[place] for place in waiting if place not in finished]
    ended = {names[place] for place in finished}
    shares = [dealt(folder, ended, under_way, rank, ranks) for rank in range(ranks)]
    ids = [[target.id for target in share.targets] for share in shares]
    left = [*under_way, *(n for n in names if n not in ended and n not in under_way)]
    assert ids == [left[rank::ranks] for rank in range(ranks)]
    assert {len(share) for share in shares} == {3 * -(-len(left[::ranks]) // 2)}


def test_without_a_search_a_data_module_serves_each_target_once(tmp_path):
    for index in range(3):
        Image.new("RGB", (9, 9)).save(tmp_path / f"{index}.png")
    data = ImageTargets(str(tmp_path), batch_size=2)
    data.setup("fit")
    with pytest.raises(FuseError, match=r"has no trainer; give it to Trainer\.fit"):
        data.train_dataloader()
    data.trainer = SimpleNamespace(global_rank=0, world_size=1)
    for served in (data.train_dataloader(), data.test_dataloader(), data.predict_dataloader()):
        assert [len(batch.targets) for batch in served] == [2, 1]


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


class Broken(Target):
    """A target whose picture turns out broken when it is read."""

    @property
    def images(self):
        raise FuseError(f"image {self.id!r} is broken")


@given(st.lists(st.booleans(), max_size=8), st.integers(1, 3))
def test_a_target_that_cannot_be_read_makes_room_for_the_next(good, size):
    targets = [(Target if ok else Broken)(str(index)) for index, ok in enumerate(good)]
    skipped = {}
    queue = TargetQueue(
        targets, size, STEPS, skip=lambda target, reason: skipped.update({target.id: reason})
    )
    names = [index for index, ok in enumerate(good) if ok]
    order = {str(index): place for place, index in enumerate(names)}
    found = []
    for batch in TargetLoader(queue):
        found.append([order[target.id] for target in batch.targets])
        for target in batch.targets:
            batch.queue.ended(target.id)
    assert found == [[*map(int, ids)] for ids in simulate([1] * len(names), size)]
    assert skipped == {
        str(index): f"image '{index}' is broken" for index, ok in enumerate(good) if not ok
    }


def test_unless_told_otherwise_a_target_that_cannot_be_read_is_an_error():
    with pytest.raises(FuseError, match="image 'b' is broken"):
        list(TargetLoader(TargetQueue([Broken("b"), Target("a")])))


def test_pictures_are_read_ahead_and_let_go(tmp_path):
    targets = []
    for index in range(9):
        Image.new("RGB", (9, 9)).save(tmp_path / f"{index}.png")
        targets.append(Target(str(index), [tmp_path / f"{index}.png"]))
    for step, batch in enumerate(TargetLoader(TargetQueue(targets, 2))):
        held = {target.id for target in targets if "images" in vars(target)}
        assert {target.id for target in batch.targets} <= held
        assert held <= {str(place) for place in range(2 * step, 2 * step + 4)}
    assert not any("images" in vars(target) for target in targets)
