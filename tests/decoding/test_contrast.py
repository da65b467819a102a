"""Scores of contrasts against plain float64 Python, and against numbers worked out by hand."""

import math
import operator
from functools import partial

import pytest
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from fuse_lightning.decoding.contrast import NAMES, Contrast, log_softmax_common, weighted
from fuse_lightning.errors import FuseError
from tests.decoding import oracle
from tests.decoding.distributions import rows
from tests.near import assert_near

INF = math.inf
EDGE = 1e-9
"""Least distance from a threshold: at less, rounding decides."""


def log(*probabilities):
    return torch.tensor([probabilities], dtype=torch.float64).log()


def double(values):
    return torch.tensor(values, dtype=torch.float64)


@st.composite
def contrasts(draw, mode, streams, masks=True, gates=True):
    name = st.sampled_from([None, *NAMES[:streams], *NAMES[:streams].lower()])
    weight = st.one_of(st.sampled_from([-1.0, 0.0, 0.5, 1.0, 2.0]), st.floats(-3, 3))
    weights = draw(st.lists(weight, min_size=streams, max_size=streams))
    if mode == "residual":
        assume(max(weights) > 0)
    options = {}
    if masks:
        options = {
            "alpha": draw(st.sampled_from([None, 0.1, 0.5, 1.0])),
            "top_p": draw(st.sampled_from([None, 0.213, 0.77, 1.0])),
            "top_k": draw(st.sampled_from([None, 1, 3, 9])),
            "mask_from": draw(name),
            "keep": draw(st.integers(1, 3)),
        }
    if gates:
        two = st.tuples(*[st.sampled_from(NAMES[:streams])] * 2)
        options |= {
            "gate": draw(st.sampled_from([None, "cosine", "tv", "js"])),
            "gate_at": draw(st.sampled_from([0.0, 0.05, 0.3, 5.0, 60.0])),
            "gate_between": draw(st.one_of(st.none(), two)),
            "fallback": draw(name),
        }
    return Contrast(tuple(weights), mode=mode, least=draw(st.sampled_from([0.0, 0.2])), **options)


def clear_of_edges(contrast, streams, weights):
    """Leaves out examples in which a threshold is met up to rounding."""
    largest = contrast.weights.index(max(contrast.weights))
    asked = streams[oracle.named(contrast, contrast.mask_from, largest)]
    if contrast.top_p is not None and contrast.top_p < 1:
        sums, total = [], 0.0
        for p in sorted(oracle.exp(asked), reverse=True):
            total += p
            sums.append(total)
        assume(all(abs(some - contrast.top_p) > EDGE for some in sums[:-1]))
    if contrast.gate in ("tv", "js"):
        of = contrast.gate_between or (NAMES[largest], NAMES[_least(contrast)])
        first, second = (streams[NAMES.index(name)] for name in of)
        found = {"tv": oracle.tv, "js": oracle.js}[contrast.gate](first, second)
        assume(abs(found - contrast.gate_at) > EDGE or found == contrast.gate_at == 0)
    if contrast.gate == "cosine" and contrast.gate_at > 0:
        # The fallback alone counts at a share of 1, where others find a token impossible too.
        never = any(-INF in stream for stream in streams)
        assume(not never or oracle.share(contrast, streams) < 1 - EDGE)
    if contrast.mode == "residual":
        kept = oracle.plausible(contrast, streams)
        left = sum(
            max(0.0, sum(map(operator.mul, weights, [math.exp(each[token]) for each in streams])))
            for token in range(len(streams[0]))
            if kept[token]
        )
        assume(abs(left - contrast.least) > EDGE or left == contrast.least == 0)


def _least(contrast):
    return contrast.weights.index(min(contrast.weights))


def check(contrast, drawn, weights=None):
    per_row = weights or [contrast.weights] * len(drawn)
    for streams, each in zip(drawn, per_row, strict=True):
        clear_of_edges(contrast, streams, each)
    log_probs = torch.tensor(drawn, dtype=torch.float64).transpose(0, 1)
    given_weights = None if weights is None else torch.tensor(weights, dtype=torch.float64).T
    found = contrast.scores(log_probs, given_weights)
    expected = torch.tensor(
        list(map(partial(oracle.scores, contrast), drawn, per_row)),
        dtype=torch.float64,
    )
    if contrast.mode == "residual":
        # What is left where two nearly cancel is known to a share of these, not of itself.
        found, expected = found.exp(), expected.exp()
    assert not found.isnan().any()
    assert_near(found, expected, size=max(1.0, float(_largest(expected))))


def _largest(values):
    finite = values[values.isfinite()].abs()
    return finite.max() if len(finite) else 0.0


@pytest.mark.parametrize("mode", ["weighted", "residual"])
@given(data=st.data())
@settings(max_examples=60)
def test_scores_equal_plain_arithmetic(mode, data):
    streams = data.draw(st.integers(1, 3), label="streams")
    contrast = data.draw(contrasts(mode, streams), label="contrast")
    check(contrast, data.draw(rows(streams, count=data.draw(st.integers(1, 3))), label="rows"))


@pytest.mark.parametrize("mode", ["weighted", "residual"])
@given(data=st.data())
@settings(max_examples=40)
def test_weights_per_row_equal_plain_arithmetic(mode, data):
    contrast = data.draw(contrasts(mode, 2), label="contrast")
    drawn = data.draw(rows(2, count=2), label="rows")
    weight = st.sampled_from([-1.5, 0.0, 0.5, 1.0])
    check(contrast, drawn, data.draw(st.lists(st.tuples(weight, weight), min_size=2, max_size=2)))


def test_all_tokens_together_are_no_mask():
    """By rounding the likeliest of many tokens may have probability 1 together, or nearly."""
    log_probs = torch.randn(1, 400, 300, dtype=torch.float32).mul(9).log_softmax(-1)
    assert Contrast((1.0,), top_p=1.0).plausible(log_probs) is None
    assert not Contrast((1.0,), top_p=1.0).scores(log_probs).isinf().any()


@given(data=st.data())
def test_some_token_can_always_be_written(data):
    """A row without any possible token would make sampling fail."""
    mode = data.draw(st.sampled_from(["weighted", "residual"]))
    contrast = data.draw(contrasts(mode, 2, gates=False), label="contrast")
    logit = st.floats(-12, 12, width=32)
    size = data.draw(st.integers(1, 5))
    row = st.lists(logit, min_size=size, max_size=size).map(oracle.log_softmax)
    streams = [data.draw(row) for _ in range(2)]
    # The stream that the mask asks has a likeliest token, and so has the fallback.
    found = contrast.scores(torch.tensor(streams)[:, None])
    assert found.isfinite().any()
    assert not found.isnan().any()


THREE = torch.cat([log(0.6, 0.3, 0.1), log(0.8, 0.1, 0.1)])[:, None]
"""Two streams: ratios of their probabilities are 3/4, 3 and 1; they differ by 0.2, TV."""


@pytest.mark.parametrize(
    ("contrast", "expected"),
    [
        (Contrast((1, -1)), [0.75, 3, 1]),
        (Contrast((2, -1)), [0.45, 0.9, 0.1]),
        (Contrast((1.5, -0.5)), [0.6**1.5 / 0.8**0.5, 0.3**1.5 / 0.1**0.5, 0.1]),
        (Contrast((0.5, 0.5)), [0.48**0.5, 0.03**0.5, 0.1]),
        (Contrast((1, -1), alpha=0.2), [0.75, 3, 0]),
        (Contrast((1, -1), alpha=0.6), [0.75, 0, 0]),
        (Contrast((1, -1), alpha=0.6, keep=2), [0.75, 3, 0]),
        (Contrast((1, -1), alpha=0.6, mask_from="B"), [0.75, 0, 0]),
        (Contrast((1, -1), alpha=0.1, mask_from="b"), [0.75, 3, 1]),
        (Contrast((1, -1), top_k=2), [0.75, 3, 0]),
        (Contrast((1, -1), top_k=2, mask_from="B"), [0.75, 3, 1]),
        (Contrast((1, -1), top_p=0.5), [0.75, 0, 0]),
        (Contrast((1, -1), top_p=0.7), [0.75, 3, 0]),
        (Contrast((1, -1), top_p=0.95, alpha=0.6), [0.75, 0, 0]),
        (Contrast((1, -1), mode="residual"), [0, 0.2, 0]),
        (Contrast((-1, 1), mode="residual"), [0.2, 0, 0]),
        (Contrast((0.5, 0.5), mode="residual"), [0.7, 0.2, 0.1]),
        (Contrast((1, -1), mode="residual", least=0.25), [0.6, 0.3, 0.1]),
        (Contrast((1, -1), mode="residual", least=0.25, fallback="B"), [0.8, 0.1, 0.1]),
        # All that is left lies outside the mask.
        (Contrast((1, -1), mode="residual", alpha=0.6), [0.6, 0, 0]),
        (Contrast((1, -1), gate="tv", gate_at=0.25), [0.6, 0.3, 0.1]),
        (Contrast((1, -1), gate="tv", gate_at=0.15), [0.75, 3, 1]),
        (Contrast((1, -1), gate="tv", gate_at=0.25, fallback="B"), [0.8, 0.1, 0.1]),
        (Contrast((1, -1), gate="js", gate_at=0.05), [0.6, 0.3, 0.1]),
        (Contrast((1, -1), gate="js", gate_at=0.03), [0.75, 3, 1]),
        (Contrast((1, -1), gate="tv", gate_at=0.01, gate_between=("A", "A")), [0.6, 0.3, 0.1]),
        (Contrast((1, -1), gate="cosine", gate_at=0), [0.6, 0.3, 0.1]),
        (Contrast((1, -1), gate="cosine", gate_at=1e6), [0.75, 3, 1]),
    ],
)
def test_three_tokens_by_hand(contrast, expected):
    assert_near(contrast.scores(THREE).exp(), double([expected]))


def test_the_cosine_gate_mixes_by_its_share():
    """cos = 0.52 / sqrt(0.46 * 0.66); half of log p + half of the ratio's logarithm."""
    cosine = 0.52 / math.sqrt(0.46 * 0.66)
    strength = math.log(2) / (1 - cosine)
    found = Contrast((1, -1), gate="cosine", gate_at=strength).scores(THREE)
    expected = [math.sqrt(0.6 * 0.75), math.sqrt(0.3 * 3), math.sqrt(0.1 * 1)]
    assert_near(found.exp(), double([expected]))
    kept = Contrast((1, -1), mode="residual", gate="cosine", gate_at=strength).scores(THREE)
    assert_near(kept.exp(), double([[0.2, 0.25, 0.05]]))


def test_three_streams():
    """Proxy tuning: A moved by what tuning did from B to C."""
    third = log(0.4, 0.4, 0.2)[None]
    found = Contrast((1, -1, 1)).scores(torch.cat([THREE, third])).exp()
    assert_near(found, double([[0.3, 1.2, 0.2]]))


@given(data=st.data())
@example(data=None)
def test_equal_streams_write_what_one_writes(data):
    """The weights (2, -1) of two equal streams keep each score; a residual takes the fallback."""
    row = [0.5, 0.25, 0.25] if data is None else None
    row = log(*row)[0].tolist() if row else data.draw(rows(1))[0][0]
    pair = torch.tensor([row, row], dtype=torch.float32)[:, None]
    ours = pair[0]
    masked = Contrast((2, -1), alpha=0.1)
    kept = masked.plausible(pair)
    assert_near(masked.scores(pair), ours.masked_fill(~kept, -INF), size=1e4)
    if bool((ours > oracle.IMPOSSIBLE).all()):
        assert (
            masked.scores(pair).argsort(stable=True)
            == ours.masked_fill(~kept, -INF).argsort(stable=True)
        ).all()
    for least in (0.0, 0.01):
        taken = Contrast((1, -1), mode="residual", least=least).scores(pair)
        assert torch.equal(taken, ours)


@pytest.mark.parametrize("gate", ["cosine", "tv", "js"])
def test_a_gate_keeps_what_is_impossible(gate):
    """The cosine of equal rows may be a little more than 1 by rounding."""
    generator = torch.Generator().manual_seed(0)
    ours = torch.randn(200, 50, generator=generator)
    ours[:, 7] = -INF
    pair = ours.log_softmax(-1).expand(2, -1, -1)
    found = Contrast((1, -1), gate=gate, gate_at=5.0).scores(pair)
    assert found[:, 7].isneginf().all()
    assert not found.isnan().any()
    assert found[:, :7].isfinite().all()


def test_impossible_tokens_of_streams():
    """Of a stream that is added they stay impossible; of one that is taken off they count much."""
    some = torch.tensor([[0.0, -INF, -1.0]])
    other = torch.tensor([[-1.0, -1.0, -INF]])
    found = weighted(torch.stack([some, other]), torch.tensor([[1.0], [-1.0]]))
    assert found.tolist() == [[1.0, -INF, 9999.0]]
    none = weighted(torch.stack([some, other]), torch.tensor([[1.0], [0.0]]))
    assert none.tolist() == [[0.0, -INF, -1.0]]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_common_log_probabilities_are_float32(dtype):
    generator = torch.Generator().manual_seed(0)
    logits = [torch.randn(3, width, generator=generator).to(dtype) for width in (9, 7)]
    found = log_softmax_common(logits)
    assert found.dtype == torch.float32
    assert found.shape == (2, 3, 7)
    for ours, rows_of_logits in zip(found, logits, strict=True):
        expected = list(map(oracle.log_softmax, rows_of_logits[:, :7].tolist()))
        assert_near(ours, torch.tensor(expected))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"weights": ()}, "weights has 0 numbers"),
        ({"weights": (1,) * 9}, "weights has 9 numbers"),
        ({"weights": (1, INF)}, "give finite numbers"),
        ({"weights": (1e39, -1)}, "give finite numbers"),
        ({"mode": "ratio"}, "mode is 'ratio'"),
        ({"mode": "residual", "weights": (0, -1)}, "at least one above 0"),
        ({"alpha": 0}, "alpha of the mask is 0"),
        ({"alpha": math.nan}, "alpha of the mask is nan"),
        ({"top_p": 1.5}, r"top_p of the mask is 1\.5"),
        ({"top_k": 0}, "top_k of the mask is 0"),
        ({"keep": 0}, "keep of the mask is 0"),
        ({"gate": "kl"}, "gate is 'kl'"),
        ({"gate_at": -1}, "gate_at is -1"),
        ({"least": math.nan}, "least is nan"),
        ({"mask_from": "C"}, "no stream 'C'"),
        ({"fallback": ""}, "no stream ''"),
        ({"gate_between": ("A", "AB")}, "no stream 'AB'"),
        ({"gate_between": ("A",)}, "gate_between has 1 name"),
    ],
)
def test_settings_that_make_no_sense(options, said):
    with pytest.raises(FuseError, match=said):
        Contrast(**{"weights": (1, -1), **options})


def test_a_weight_for_each_stream():
    with pytest.raises(FuseError, match="there are 2 streams and 3 weights"):
        Contrast((1, -1, 1)).scores(THREE)


def test_other_weights_keep_the_streams_of_mask_gate_and_fallback():
    rule = Contrast((1, -1), alpha=0.5, gate="tv", gate_at=0.15)
    row = torch.tensor([[0.0], [1.0]])
    other = rule.with_weights((0, 1))
    assert (other.mask_from, other.gate_between, other.fallback) == ("A", ("A", "B"), "A")
    torch.testing.assert_close(other.scores(THREE), rule.scores(THREE, row))


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_logits_that_are_no_numbers_are_told(wrong):
    bad = torch.tensor([[0.0, wrong, 1.0]])
    with pytest.raises(FuseError, match="stream B gives logits that are no numbers"):
        log_softmax_common([torch.zeros(1, 3), bad])
    masked = torch.tensor([[0.0, -math.inf, 1.0]])
    assert log_softmax_common([masked, masked])[0, 0, 1] == -math.inf
