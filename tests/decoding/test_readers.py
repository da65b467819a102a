"""Readers of streams: what they keep between tokens equals reading everything anew."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import Qwen3ForCausalLM

from fuse_lightning.decoding import reader
from fuse_lightning.decoding.divergences import divergences
from fuse_lightning.decoding.readers import Readers, StreamNetwork
from fuse_lightning.errors import FuseError
from tests.decoding.alone import log_probs_alone
from tests.decoding.generating import rows
from tests.decoding.networks import OTHERS, qwen3, random
from tests.factories.builders import ALL_CAUSAL_LMS
from tests.near import assert_near

SIZE = 20.0
"""Log-probabilities are sums and differences of logits of this size."""


class Texts:
    """Readers beside the plain rows that they should hold."""

    def __init__(self, streams, rows):
        self.streams, self.rows = streams, [list(map(tuple, some)) for some in rows]
        self.readers = Readers(streams, rows)
        self.generator = torch.Generator().manual_seed(1)

    def step(self):
        tokens = torch.randint(3, 60, (len(self.rows[0]),), generator=self.generator)
        self.readers.step(tokens)
        self.rows = [
            [(*row, token) for row, token in zip(some, tokens.tolist(), strict=True)]
            for some in self.rows
        ]

    def select(self, *texts):
        self.readers.select(torch.tensor(texts))
        self.rows = [[some[text] for text in texts] for some in self.rows]

    def check(self):
        found = self.readers.log_probs()
        assert found.dtype == torch.float32
        assert_near(found, log_probs_alone(self.streams, self.rows), size=SIZE)


@pytest.mark.parametrize("name", [*ALL_CAUSAL_LMS, *OTHERS])
def test_what_is_kept_changes_nothing(network_of, name):
    """Left padding, another prefix for stream B, steps, and rows in a new order and number."""
    reads = name != "rwkv"
    lengths = (3, 9, 6) if reads else (5, 5, 5)
    stream = StreamNetwork(network_of(name), pads_left=reads)
    other = StreamNetwork(network_of(name), pads_left=reads, temperature=0.7)
    others = rows(4, 10, 11, seed=1) if reads else rows(7, 7, 7, seed=1)
    texts = Texts([stream, other], [rows(*lengths), others])
    texts.check()
    for _ in range(3):
        texts.step()
    texts.check()
    texts.select(2, 0, 0, 1, 2)
    texts.check()
    texts.step()
    texts.check()
    texts.select(4, 1)
    texts.step()
    texts.check()


@pytest.mark.parametrize("layers", [(1,), (0, 1), (2, 0)])
@pytest.mark.parametrize(
    "name", ["gpt2", "opt_wide", "gemma2", "gemma3", "falcon", "phi", "gpt_neox", "mamba", "jamba"]
)
def test_early_layers(network_of, name, layers):
    network = network_of(name)
    texts = Texts(
        [StreamNetwork(network), StreamNetwork(network, layers=layers, temperature=2.0)],
        [rows(3, 7)] * 2,
    )
    texts.check()
    texts.step()
    texts.select(1, 0, 1)
    texts.step()
    texts.check()
    assert len(texts.readers._readers) == 1


@pytest.mark.parametrize("name", ["gpt2", "gemma3", "mamba", "rwkv"])
def test_early_layers_of_long_prompts_are_not_all_in_memory(network_of, monkeypatch, name):
    """Beside one of a single token, which is padding but for its last column."""
    monkeypatch.setattr(reader, "LONG", 4)
    network, seen = network_of(name), []
    reads = name != "rwkv"

    def watch(*given):
        seen.extend(len(some[0]) for some in given[-1].hidden_states or ())

    handle = network.get_decoder().register_forward_hook(watch)
    try:
        stream = StreamNetwork(network, layers=(0, 1), pads_left=reads)
        texts = Texts([stream], [rows(1, 9) if reads else rows(9, 9)])
    finally:
        handle.remove()
    # What keeps nothing has to read all of it for every token.
    assert {*seen} == ({1} if reads else {9})
    texts.check()
    texts.step()
    texts.select(1, 0)
    texts.check()


def test_early_layers_that_no_head_reads(network_of):
    """The layers of this OPT are wider than what its head reads."""
    with pytest.raises(FuseError, match="the head of OPTForCausalLM does not read"):
        Readers([StreamNetwork(network_of("opt"), layers=(1,))], [rows(3)])
    for layer in (9, -4):
        with pytest.raises(FuseError, match=rf"layers of a stream are \({layer},\).*from 0 to 2"):
            Readers([StreamNetwork(network_of("gpt2"), layers=(layer,))], [rows(3)])
    # No hook stays behind.
    assert not network_of("gpt2").lm_head._forward_pre_hooks
    Texts([StreamNetwork(network_of("gpt2"))], [rows(3)]).check()


def test_networks_of_different_architecture_and_width(network_of):
    """They share a vocabulary; the heads have different numbers of rows."""
    networks = [network_of("llama"), network_of("qwen2"), network_of("gpt2")]
    widths = {network.config.vocab_size for network in networks}
    assert len(widths) == 3
    texts = Texts(list(map(StreamNetwork, networks)), [rows(2, 5), rows(2, 5), rows(6, 3, seed=2)])
    for _ in range(2):
        texts.check()
        texts.step()
        texts.select(1, 1, 0)
    texts.check()
    assert texts.readers.log_probs().shape == (3, len(texts.rows[0]), min(widths))


def test_several_samples_of_a_prompt_are_read_once(network_of):
    ours, others = rows(4, 6), rows(3, 3, seed=1)
    samples = [[row for row in some for _ in range(3)] for some in (ours, others)]
    texts = Texts([StreamNetwork(network_of("gpt2"))] * 2, samples)
    assert texts.readers.count == 6
    texts.check()
    texts.step()
    texts.check()


@pytest.mark.parametrize("layers", [(), (1,), (0, 1)])
def test_equal_streams_do_not_diverge(layers):
    """Twice the same network, and a copy of it; the copy is read apart."""
    streams = [StreamNetwork(each, layers) for each in [qwen3()] * 2 + [qwen3()]]
    texts = Texts(streams, [rows(3, 7)] * 3)
    for _ in range(2):
        first, *others = texts.readers.log_probs()
        for other in others:
            assert all(float(each.abs().max()) <= 1e-7 for each in divergences(first, other))
        texts.step()
    assert len(texts.readers._readers) == 2


@given(data=st.data())
@settings(max_examples=25)
def test_any_way_that_texts_grow(data):
    """Steps and selections in any order, with prefixes of any length for each stream."""
    first, second = qwen3(), OTHERS["jamba"]()
    streams = [
        StreamNetwork(first),
        StreamNetwork(first, layers=(1, 0)),
        StreamNetwork(second, temperature=0.7),
    ]
    count = data.draw(st.integers(1, 3))
    lengths = st.lists(st.integers(1, 9), min_size=count, max_size=count)
    texts = Texts(streams, [rows(*data.draw(lengths), seed=seed) for seed in range(3)])
    for _ in range(data.draw(st.integers(1, 4))):
        if data.draw(st.booleans()):
            texts.step()
        else:
            number = st.integers(0, len(texts.rows[0]) - 1)
            texts.select(*data.draw(st.lists(number, min_size=1, max_size=4)))
    texts.check()


def test_equal_prompts_of_one_stream_stay_apart_by_another():
    """Two texts that are equal to A, and not to B."""
    network = qwen3()
    same = rows(4) * 2
    texts = Texts([StreamNetwork(network), StreamNetwork(network)], [same, rows(5, 7, seed=1)])
    texts.check()
    texts.step()
    texts.check()


def test_streams_of_one_network_go_together(network_of):
    """Where padding would cost more than it saves, and where nothing pads, they stay apart."""
    network = network_of("llama")
    near = Readers([StreamNetwork(network)] * 2, [rows(5, 5), rows(6, 6, seed=1)])
    far = Readers([StreamNetwork(network)] * 2, [rows(2, 2), rows(30, 30, seed=1)])
    apart = Readers([StreamNetwork(network, pads_left=False)] * 2, [rows(5, 5), rows(6, 6, seed=1)])
    assert [len(each._readers) for each in (near, far, apart)] == [1, 2, 2]


def test_rows_that_a_network_cannot_read_together():
    network = qwen3()
    with pytest.raises(FuseError, match="rows of stream A have from 2 to 3 tokens"):
        Readers([StreamNetwork(network, pads_left=False)], [rows(2, 3)])
    with pytest.raises(FuseError, match="stream B has no token before text 1"):
        Readers([StreamNetwork(network)] * 2, [rows(2, 3), [(4,), ()]])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_networks_of_low_precision(dtype):
    """Log-probabilities are float32: they sum to 1 closer than the network's type can say."""
    network = qwen3().to(dtype)
    texts = Texts([StreamNetwork(network, layers=(0, 1)), StreamNetwork(network)], [rows(3, 3)] * 2)
    for _ in range(2):
        found = texts.readers.log_probs()
        assert found.dtype == torch.float32
        assert_near(found.logsumexp(-1), torch.zeros(2, 2), size=1.0, share=1e-5)
        texts.step()


class GivesAll(Qwen3ForCausalLM):
    """Network that gives logits of all tokens, and keeps nothing between forwards."""

    def forward(self, input_ids, attention_mask, use_cache, output_hidden_states):
        return super().forward(input_ids, attention_mask, use_cache=False)


def test_networks_that_give_all_logits_and_keep_nothing():
    """Only the logits of the last token stay in memory."""
    network = random(GivesAll, qwen3().config)
    texts = Texts([StreamNetwork(network)], [rows(40)])
    texts.step()
    readers = texts.readers
    alone = Readers([StreamNetwork(qwen3())], texts.rows)
    assert_near(readers.log_probs(), alone.log_probs(), size=SIZE)
    kept = readers._readers[0].logits
    assert kept.untyped_storage().nbytes() == kept.numel() * kept.element_size()
