"""State of one target's search through checkpoints, again and again."""

import io

import torch

from fuse_lightning.search.target_search import Best, TargetSearch


def through_a_file(state):
    file = io.BytesIO()
    torch.save(state, file)
    return torch.load(io.BytesIO(file.getvalue()), weights_only=True)


def test_a_restored_search_can_be_saved_again():
    search = TargetSearch[tuple[int, ...]].begin("red", "digest", seed=3)
    search.keep(Best(2.0, [1.5, 0.5], (4, 5), "a b", 1), top=2)
    search.own["beam"] = [(4, 5)]
    torch.rand(7, generator=search.generator)
    expected = torch.rand(3, generator=search.generator.clone_state())
    for _ in range(3):
        search = TargetSearch.from_state(through_a_file(search.state_dict()))
    assert search.kept == [Best(2.0, [1.5, 0.5], (4, 5), "a b", 1)]
    assert (search.name, search.digest, search.own) == ("red", "digest", {"beam": [(4, 5)]})
    assert torch.equal(torch.rand(3, generator=search.generator), expected)
