"""The benchmark of optimizers at equal operations on zoo scenes: its searches and its table."""

import pytest

from benchmarks import zoo_operations
from fuse_lightning.cli.zoo import scenes
from fuse_lightning.data import ImageTargets


@pytest.mark.slow
@pytest.mark.parametrize("name", zoo_operations.WAYS)
def test_a_search_ends_with_its_operations(name, tmp_path):
    scenes(tmp_path, 2, 1)
    flops = 3e9
    rows = zoo_operations.search(name, 0, flops, ImageTargets(str(tmp_path), batch_size=2))
    assert len(rows) == 2
    for row in rows:
        first, second, last = row["losses"]
        assert first >= second >= last
        # The step that uses them up is finished.
        assert flops <= row["flops"] < 3 * flops
        assert row["prompt"]


def test_optimizers_stand_by_their_last_objective():
    def runs(*seeds):
        told = {"judge": 0.5, "right": 1.0, "evaluations": 8, "seconds": 2.0}
        return [[{"losses": [9.0, 8.0, loss], **told} for loss in losses] for losses in seeds]

    found = {
        "RandomSearch L0": runs((6.0, 8.0), (7.0, 9.0)),
        "GCG": runs((5.0, 9.0), (4.0, 6.0)),
    }
    lines = zoo_operations.compared(found).split("\n")[2:]
    assert lines[0].startswith("| GCG | 9.00 ± 0.00 | 8.00 ± 0.00 | 6.00 ± 1.41 | 3 of 4 | 0.500")
    assert lines[1].startswith("| RandomSearch L0 | 9.00 ± 0.00 | 8.00 ± 0.00 | 7.50 ± 0.71 | - |")
