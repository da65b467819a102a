"""Logits processor of contrastive decoding under transformers' own ``generate``."""

import pytest
import torch
from transformers import RepetitionPenaltyLogitsProcessor
from transformers.generation.streamers import BaseStreamer

from fuse_lightning.decoding.contrast import Contrast
from fuse_lightning.decoding.processor import ContrastiveLogitsProcessor
from fuse_lightning.decoding.readers import StreamNetwork
from fuse_lightning.errors import FuseError
from tests.decoding.generating import MODES, Recomputing, generate, padded, rows
from tests.decoding.networks import OTHERS, qwen3
from tests.factories.builders import ALL_CAUSAL_LMS

CONTRAST = Contrast((2, -1), alpha=0.02)
OURS, THEIRS = rows(3, 7), rows(5, 4, seed=1)


def contrastive(network, others, ours, theirs, contrast=CONTRAST, own=(), **options):
    """What the processor writes, and what the reference writes."""
    mask = padded(ours)["attention_mask"]
    processor = ContrastiveLogitsProcessor(
        others, contrast, attention_mask=mask, prompts=[theirs] * len(others)
    )
    plain = [ours, *[theirs if theirs is not None else ours] * len(others)]
    reference = Recomputing([network, *others], contrast, plain)
    found = generate(network, ours, logits_processor=[processor, *own], **options)
    assert processor.rebuilds == 1
    return found, generate(network, ours, logits_processor=[reference, *own], **options)


@pytest.mark.parametrize("name", [*ALL_CAUSAL_LMS, *sorted({*OTHERS} - {"rwkv"})])
def test_every_family_writes_what_recomputing_writes(network_of, name):
    """Stream B is the same network behind prompts of its own."""
    network = network_of(name)
    found, expected = contrastive(network, [network], OURS, THEIRS)
    assert found == expected
    assert found != generate(network, OURS)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("first", "second"), [("llama", "gpt2"), ("gemma3", "mistral")])
def test_every_mode_writes_what_recomputing_writes(network_of, first, second, mode):
    """The two differ in architecture and in the width of their heads."""
    found, expected = contrastive(
        network_of(first), [network_of(second)], OURS, None, **MODES[mode]
    )
    assert found == expected


@pytest.mark.parametrize("mode", ["samples", "beams"])
@pytest.mark.parametrize("name", ["mamba", "jamba"])
def test_networks_with_a_state(network_of, name, mode):
    """Plain ``generate`` of llama; the network with the state is stream B."""
    found, expected = contrastive(
        network_of("llama"), [network_of(name)], OURS, THEIRS, **MODES[mode]
    )
    assert found == expected


@pytest.mark.parametrize("mode", ["samples", "beams", "beam_sample"])
def test_texts_that_are_alike_to_one_stream_alone(network_of, mode):
    """Beams of two prompts that are equal to A go on with the right prompt of B."""
    same = rows(4) * 2
    found, expected = contrastive(
        network_of("llama"), [network_of("gpt2")], same, THEIRS, **MODES[mode]
    )
    assert found == expected
    half = len(found) // 2
    assert found[:half] != found[half:]


def test_networks_that_read_no_padding(network_of):
    """Prompts of one length are enough."""
    stream = StreamNetwork(network_of("rwkv"), pads_left=False)
    found, expected = contrastive(network_of("llama"), [stream], OURS, rows(6, 6, seed=1))
    assert found == expected


def test_three_streams_and_temperatures(network_of):
    others = [
        StreamNetwork(network_of("gpt2"), temperature=0.5),
        StreamNetwork(network_of("llama"), layers=(0, 1)),
    ]
    network = network_of("llama")
    contrast = Contrast((1, -1, 0.5), top_p=0.8, gate="js", gate_at=0.2)
    processor = ContrastiveLogitsProcessor(
        others, contrast, attention_mask=padded(OURS)["attention_mask"], temperature=2.0
    )
    streams = [StreamNetwork(network, temperature=2.0), *others]
    reference = Recomputing(streams, contrast, [OURS] * 3)
    options = MODES["samples"]
    found = generate(network, OURS, logits_processor=[processor], **options)
    assert found == generate(network, OURS, logits_processor=[reference], **options)


@pytest.mark.parametrize("mode", ["greedy", "samples", "beams"])
def test_processors_behind_the_contrast(network_of, mode):
    network, other = network_of("llama"), network_of("gpt2")
    # Beams hand over log-probabilities, which the penalty takes as well.
    own = [RepetitionPenaltyLogitsProcessor(1.5)]
    found, expected = contrastive(network, [other], OURS, None, own=own, **MODES[mode])
    assert found == expected


@pytest.mark.parametrize("mode", ["greedy", "samples"])
def test_rows_that_end_before_others(network_of, mode):
    network, other = network_of("llama"), network_of("gpt2")
    free, _ = contrastive(network, [other], OURS, None, **MODES[mode])
    end = free[0][2]
    found, expected = contrastive(
        network, [other], OURS, None, eos_token_id=end, pad_token_id=0, **MODES[mode]
    )
    assert found == expected
    cut = free[0].index(end) + 1
    assert found[0][:cut] == free[0][:cut]
    assert set(found[0][cut:]) <= {0}


class Collected(BaseStreamer):
    def __init__(self):
        self.got, self.ended = [], False

    def put(self, value):
        self.got += value.flatten().tolist()

    def end(self):
        self.ended = True


def test_a_streamer_gets_every_token(network_of):
    network, streamer = network_of("llama"), Collected()
    found, expected = contrastive(network, [network_of("gpt2")], OURS[:1], None)
    processor = ContrastiveLogitsProcessor([network_of("gpt2")], CONTRAST)
    generate(network, OURS[:1], logits_processor=[processor], streamer=streamer)
    assert streamer.got == [*OURS[0], *found[0]]
    assert streamer.ended
    assert found == expected


@pytest.mark.parametrize("weights", [(-1, 1), (0, 1), (1, -1)])
def test_what_generate_forbids_stays_forbidden(network_of, weights):
    """The end token before ``min_new_tokens``, also where the forbidding stream is taken off."""
    network, end = network_of("llama"), 17
    processor = ContrastiveLogitsProcessor([network_of("gpt2")], Contrast(weights))
    found = generate(
        network, OURS[:1], logits_processor=[processor], min_new_tokens=4, eos_token_id=end
    )
    assert end not in found[0][:4]


@pytest.mark.parametrize("mode", ["greedy", "sampling"])
def test_the_mask_keeps_what_generate_allows(network_of, mode):
    """Only the likeliest allowed token of the asked stream is plausible: here the plain text."""
    network = network_of("llama")
    end = generate(network, OURS[:1])[0][0]
    options = {"min_new_tokens": 4, "eos_token_id": end, **MODES[mode]}
    processor = ContrastiveLogitsProcessor(
        [network], Contrast((-1, 1), alpha=1.0, mask_from="B"), prompts=[OURS[:1]]
    )
    found = generate(network, OURS[:1], logits_processor=[processor], **options)
    expected = generate(network, OURS[:1], min_new_tokens=4, eos_token_id=end)
    assert found[0][:4] == expected[0][:4]


@pytest.mark.parametrize("mode", ["greedy", "sampling", "samples"])
@pytest.mark.parametrize("contrast", [Contrast((2, -1), alpha=1e-6), Contrast((1, -1), "residual")])
def test_equal_streams_write_plain_texts(network_of, mode, contrast):
    """The residual of equal streams is empty, and its fallback is the plain network."""
    network = network_of("llama")
    mask = padded(OURS)["attention_mask"]
    processor = ContrastiveLogitsProcessor([network], contrast, attention_mask=mask)
    found = generate(network, OURS, logits_processor=[processor], **MODES[mode])
    assert found == generate(network, OURS, **MODES[mode])


def test_a_processor_serves_one_prompt(network_of):
    network = network_of("llama")
    processor = ContrastiveLogitsProcessor([network], CONTRAST)
    first = generate(network, OURS[:1], logits_processor=[processor])
    assert generate(network, OURS[:1], logits_processor=[processor]) == first
    assert processor.rebuilds == 2
    with pytest.raises(FuseError, match="make a new one for each call"):
        generate(network, OURS[1:], logits_processor=[processor])


def test_assisted_decoding_is_refused(network_of):
    """Candidates of the assistant are taken back, and it calls the processor for itself."""
    network, assistant = network_of("llama"), qwen3()
    assistant = type(network)(network.config).eval()
    processor = ContrastiveLogitsProcessor([network_of("gpt2")], CONTRAST)
    with pytest.raises(FuseError, match="leave assisted decoding out"):
        generate(
            network,
            OURS[:1],
            logits_processor=[processor],
            assistant_model=assistant,
            max_new_tokens=12,
        )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"contrast": Contrast((1, -1, 1))}, "there are 2 streams, the generating one included"),
        ({"prompts": [None, None]}, "prompts are given for 2 streams, and there are 1"),
    ],
)
def test_counts_that_do_not_fit(options, said):
    with pytest.raises(FuseError, match=said):
        ContrastiveLogitsProcessor([qwen3()], **{"contrast": CONTRAST, **options})


def test_prompts_for_other_numbers_of_texts(network_of):
    network = network_of("llama")
    processor = ContrastiveLogitsProcessor([network], CONTRAST, prompts=[rows(3, 3, 3)])
    with pytest.raises(FuseError, match="given for 3 rows, and generate has 2"):
        generate(network, rows(4, 4), logits_processor=[processor])


def test_log_probabilities_of_the_latest_call(network_of):
    """They are there to be recorded, of all streams."""
    network, other = network_of("llama"), network_of("gpt2")
    processor = ContrastiveLogitsProcessor([other], CONTRAST)
    generate(network, OURS[:1], logits_processor=[processor])
    assert processor.log_probs.shape[:2] == (2, 1)
    sums = processor.log_probs.exp().sum(-1)
    assert torch.allclose(sums, torch.ones(2, 1), rtol=1e-4)
