"""Two thousand broken inputs: each is one line, or is read after all; nothing else happens."""

import tempfile
import time

import pytest

from fuse_lightning.data import web
from tests.fuzzing.inputs import SHARES, prepared
from tests.fuzzing.watch import watched

TOTAL = 2000


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("no_proxy", "*")
        patched.setattr(web, "PATIENCE", 2.0)
        patched.setattr(tempfile, "tempdir", None)
        inputs = prepared(tmp_path_factory.mktemp("inputs"))
        yield inputs
        inputs.close()


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("kind", [*SHARES, "command"])
def test_what_is_not_broken_is_read(inputs, kind, monkeypatch):
    monkeypatch.setattr("tests.fuzzing.inputs.mutated", lambda content, *_, **__: content)
    monkeypatch.setattr("tests.fuzzing.corpus.wrong", lambda value, _: value)
    with watched(inputs.folder) as outside:
        read = [inputs.read(kind, seed) for seed in range(2 if kind == "command" else 40)]
    assert not outside
    # A server says, too, that there is no picture, and some formats are not read.
    assert sum(read) > (20 if kind in ("answer", "picture") else len(read) - 1)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("kind", SHARES)
def test_broken_inputs_are_one_line_or_are_read(inputs, kind):
    refused = 0
    count = round(TOTAL * SHARES[kind] / sum(SHARES.values()))
    for seed in range(count):
        began = time.monotonic()
        with watched(inputs.folder) as outside:
            try:
                refused += not inputs.read(kind, seed)
            except Exception as error:
                again = f"python -m benchmarks.fuzz --kind {kind} --seed {seed}"
                raise AssertionError(again) from error
        assert not outside, seed
        assert time.monotonic() - began < 10, seed
    # A cache that is broken is made again, events are shown as far as they go.
    assert refused > count / 5 or kind in ("cache", "events")
