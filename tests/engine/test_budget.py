"""Batches that memory holds."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fuse_lightning.engine.budget import FIRST, SPARED, Budget
from fuse_lightning.engine.token_batch import pad

MESSAGES = {
    "cpu": "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to",
    "mps": "MPS backend out of memory (MPS allocated: 9 GB, other allocations: 1 GB)",
    "driver": "CUDA error: out of memory",
    "library": "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
}


def memory_error(kind):
    if kind == "cuda":
        return torch.OutOfMemoryError("CUDA out of memory.")
    return RuntimeError(MESSAGES[kind])


@given(st.lists(st.integers(1, 9)), st.integers(1, 40))
def test_every_row_is_visited_once_and_no_batch_is_larger(lengths, tokens):
    lengths.sort()
    seen = []

    def call(rows):
        seen.extend(range(rows.start, rows.stop))
        width = max(lengths[rows])
        assert rows.stop - rows.start == 1 or width * (rows.stop - rows.start) <= tokens

    Budget(tokens).run(lengths, call)
    assert seen == [*range(len(lengths))]


def test_padding_ends_a_batch():
    sizes = []
    lengths = [10] * 50 + [20] * 50
    Budget(10**6).run(lengths, lambda rows: sizes.append(rows.stop - rows.start), waste=0.1)
    assert sizes == [50, 50]
    sizes.clear()
    # Little is padded, so it is not worth another forward.
    Budget(10**6).run([5, 6, 7], lambda rows: sizes.append(rows.stop - rows.start), waste=0.0)
    assert sizes == [3]
    assert SPARED > 3


@pytest.mark.parametrize("kind", ["cuda", *MESSAGES])
def test_memory_that_runs_out_halves_the_batch_for_good(kind):
    budget, sizes = Budget(64), []

    def call(rows):
        if rows.stop - rows.start > 5:
            raise memory_error(kind)
        sizes.append(rows.stop - rows.start)

    budget.run([1] * 12, call)
    assert sizes == [3, 3, 3, 3]
    assert budget.tokens == 3
    sizes.clear()
    budget.run([1] * 6, call)
    assert sizes == [3, 3]


def test_what_memory_never_holds_is_an_error():
    def call(rows):
        raise memory_error("cpu")

    with pytest.raises(RuntimeError, match="can't allocate"):
        Budget(8).run([1, 1, 1], call)


def test_other_errors_are_not_caught():
    calls = []

    def call(rows):
        calls.append(rows)
        raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes"):
        Budget(8).run([1, 1, 1], call)
    assert len(calls) == 1


class Card:
    """A CUDA device with so much free memory, of which a position takes so much."""

    def __init__(self, monkeypatch, free, each, fixed=0):
        self.free, self.each, self.fixed, self.peak = free, each, fixed, 0
        for name, value in {
            "is_initialized": lambda: True,
            "device_count": lambda: 2,
            # Nothing of this process lies on the first one.
            "memory_allocated": lambda device: 500 * device,
            "reset_peak_memory_stats": lambda device: self.begin(device),
            "max_memory_allocated": lambda device: 500 + self.peak,
            "memory_reserved": lambda device: 500 + self.free // 4,
            "mem_get_info": lambda device: (self.free - self.free // 4, 10**9),
        }.items():
            monkeypatch.setattr(torch.cuda, name, value)

    def begin(self, device):
        assert device == 1
        self.peak = 0

    def take(self, positions):
        self.peak = max(self.peak, self.fixed + positions * self.each)
        if self.peak > self.free:
            raise memory_error("cuda")


@pytest.fixture(autouse=True)
def no_grad():
    with torch.no_grad():
        yield


@pytest.mark.parametrize(("share", "padding"), [(1.0, 1), (0.5, 1), (1.0, 8)])
def test_the_first_batch_tells_how_much_memory_holds(monkeypatch, share, padding):
    card, sizes = Card(monkeypatch, free=60_000, each=10), []
    budget, lengths = Budget(8192), [padding] * (20_000 // padding)

    def call(rows):
        sizes.append((rows.stop - rows.start) * padding)
        card.take(sizes[-1])

    budget.run(lengths, call, share=share)
    assert sizes[0] == FIRST * share
    # One call may fill four fifths of what is free: 4800 positions of 10 bytes.
    most = min(8192 * share, 4800)
    assert max(sizes) <= most
    assert max(sizes) > most - padding
    assert sum(sizes) == 20_000


def test_a_large_batch_corrects_what_a_small_one_told(monkeypatch):
    """Of a small one most was there at any size."""
    card, budget = Card(monkeypatch, free=60_000, each=10, fixed=10_000), Budget(8192)
    sizes = []

    def call(rows):
        sizes.append(rows.stop - rows.start)
        card.take(sizes[-1])

    budget.run([1] * 30, call)
    assert budget.tokens == 8192
    budget.run([1] * 60_000, call)
    assert sizes[1] == FIRST
    assert sizes[2:5] == sorted(sizes[2:5])
    assert 3500 < sizes[-2] <= 4800


def test_where_memory_is_plenty_the_batch_is_as_large_as_was_asked(monkeypatch):
    card, sizes = Card(monkeypatch, free=10**9, each=10), []
    budget = Budget(8192)
    for _ in range(2):
        budget.run([1] * 10_000, lambda rows: (card.take(rows.stop), sizes.append(rows.stop)))
    assert budget.tokens == 8192
    assert sizes == [1024, 9216, 10_000, 8192, 10_000]


def test_the_batch_inside_is_the_one_that_is_measured(monkeypatch):
    card, budget = Card(monkeypatch, free=60_000, each=10), Budget(8192)

    def outer(rows):
        card.take(4)
        budget.run([1] * 1000, lambda rows: card.take(rows.stop - rows.start))

    budget.run([400], outer, inner=True)
    assert budget.measured == 1000
    assert budget.tokens == 4800


def test_a_gradient_is_measured_as_a_whole(monkeypatch):
    card, budget = Card(monkeypatch, free=60_000, each=10), Budget(8192)

    def backward(rows):
        with torch.enable_grad():
            budget.run([1] * 300, lambda rows: card.take(rows.stop - rows.start))
        card.take(2000)

    budget.run([1] * 400, backward, share=0.5)
    assert budget.measured == 800
    assert budget.tokens == int(0.8 * 60_000 / 20_000 * 800)


@pytest.mark.parametrize("tokens", [60, 400])
def test_the_graph_of_a_gradient_keeps_to_half_of_the_budget(tokens, family):
    """Positions of all forwards that wait for one backward, with trunks that need none."""
    model = family("gpt2")
    model.budget.tokens = tokens
    table = model.embedding_table
    rows = [(5, 6, 7, 8, *range(9, 12 + number % 4)) for number in range(30)]
    batch = pad(rows, None, model.pad_id)
    counted = batch.mask & (torch.arange(batch.ids.shape[1]) > 3)
    waiting, most, forwards = [], [], []

    def note(_, inputs, __):
        forwards.append(inputs[0].numel())
        if torch.is_grad_enabled():
            waiting.append(inputs[0].numel())

    handle = model.embedding_layer.register_forward_hook(note)

    def backward(chosen):
        ids = batch.ids[chosen]
        with torch.enable_grad():
            embeds = table[ids].detach().requires_grad_()
            fixed = torch.full((len(ids),), 4)
            model.token_nll(ids, counted[chosen], embeds, fixed).sum().backward()
        most.append(sum(waiting))
        waiting.clear()
        assert embeds.grad[:, 4:].any()

    model.budget.run([len(row) for row in rows], backward, share=0.5)
    handle.remove()
    model.budget.tokens = 8192
    assert len(most) > 1 or tokens > 300
    assert max(most) <= tokens / 2
    assert max(forwards) <= tokens
