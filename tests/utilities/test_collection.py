"""The collector of garbage, around imports."""

import gc

import pytest

from fuse_lightning.utilities.collection import imports_uncollected


@pytest.mark.parametrize("collects", [True, False])
def test_what_is_imported_is_not_looked_at_again(collects):
    before = gc.isenabled()
    (gc.enable if collects else gc.disable)()
    try:
        known = gc.get_freeze_count()
        with imports_uncollected():
            assert not gc.isenabled()
            kept = [[] for _ in range(1000)]
        assert gc.isenabled() == collects
        assert gc.get_freeze_count() >= known + len(kept)
        # What comes later is collected.
        loop = []
        loop.append(loop)
        del loop
        assert gc.collect() >= 1
    finally:
        gc.unfreeze()
        (gc.enable if before else gc.disable)()


def test_an_import_that_fails_leaves_the_collector_as_it_was():
    with pytest.raises(ImportError), imports_uncollected():
        raise ImportError
    assert gc.isenabled()
    gc.unfreeze()
