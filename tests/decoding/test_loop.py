"""Loop of contrastive decoding for ``generate``: what it writes, the processor writes."""

import pytest
from transformers import RepetitionPenaltyLogitsProcessor

from fuse_lightning.decoding.contrast import Contrast
from fuse_lightning.decoding.loop import ContrastiveLoop
from fuse_lightning.decoding.processor import ContrastiveLogitsProcessor
from fuse_lightning.decoding.readers import StreamNetwork
from fuse_lightning.errors import FuseError
from tests.decoding.generating import MODES, Recomputing, generate, padded, rows
from tests.decoding.networks import OTHERS, qwen3
from tests.decoding.test_processor import CONTRAST, OURS, THEIRS, Collected
from tests.factories.builders import ALL_CAUSAL_LMS

WITHOUT_BEAMS = [name for name in MODES if "beam" not in name]


def both(network, others, contrast=CONTRAST, prompts=None, own=(), **options):
    """What the loop and what the processor writes."""
    mask = padded(OURS)["attention_mask"]
    processor = ContrastiveLogitsProcessor(others, contrast, attention_mask=mask, prompts=prompts)
    expected = generate(network, OURS, logits_processor=[processor, *own], **options)
    loop = ContrastiveLoop(others, contrast, prompts=prompts)
    given = {"logits_processor": list(own)} if own else {}
    return generate(network, OURS, custom_generate=loop, **given, **options), expected


@pytest.mark.parametrize("name", [*ALL_CAUSAL_LMS, *sorted({*OTHERS} - {"rwkv"})])
def test_every_family_writes_what_recomputing_writes(network_of, name):
    network = network_of(name)
    loop = ContrastiveLoop([network], CONTRAST, prompts=[THEIRS])
    reference = Recomputing([network, network], CONTRAST, [OURS, THEIRS])
    found = generate(network, OURS, custom_generate=loop)
    assert found == generate(network, OURS, logits_processor=[reference])


@pytest.mark.parametrize("mode", WITHOUT_BEAMS)
@pytest.mark.parametrize("prompts", [None, [THEIRS]])
def test_the_loop_equals_the_processor(network_of, mode, prompts):
    found, expected = both(
        network_of("llama"), [network_of("gpt2")], prompts=prompts, **MODES[mode]
    )
    assert found == expected


@pytest.mark.parametrize("mode", ["greedy", "samples"])
def test_rows_that_end_before_others(network_of, mode):
    pair = network_of("llama"), [network_of("gpt2")]
    free, _ = both(*pair, **MODES[mode])
    found, expected = both(*pair, eos_token_id=free[0][2], pad_token_id=0, **MODES[mode])
    assert found == expected
    assert len(found[0]) == len(free[0])


def test_processors_of_generate_see_the_contrast(network_of):
    own = [RepetitionPenaltyLogitsProcessor(1.5)]
    found, expected = both(network_of("llama"), [network_of("gpt2")], own=own)
    assert found == expected
    loop = ContrastiveLoop([network_of("gpt2")], CONTRAST)
    penalty = generate(network_of("llama"), OURS, custom_generate=loop, repetition_penalty=1.5)
    assert penalty == expected


def test_min_new_tokens_hold(network_of):
    """Weights that take off the generating stream do not bring the end token back."""
    network, contrast = network_of("llama"), Contrast((-1, 1))
    loop = ContrastiveLoop([network_of("gpt2")], contrast)
    free = generate(network, OURS[:1], custom_generate=loop)[0]
    found = generate(
        network, OURS[:1], custom_generate=loop, min_new_tokens=4, eos_token_id=free[1]
    )
    assert free[1] not in found[0][:4]


@pytest.mark.parametrize("mode", ["greedy", "sampling"])
def test_a_fallback_where_the_mask_keeps_forbidden_tokens_alone(network_of, mode):
    """The only plausible token is the end, which may not come yet: the fallback decides."""
    network = network_of("llama")
    end = generate(network, OURS[:1])[0][0]
    options = {"min_new_tokens": 4, "eos_token_id": end}
    loop = ContrastiveLoop([network_of("gpt2")], Contrast((1, -1), alpha=1.0))
    found = generate(network, OURS[:1], custom_generate=loop, **options)
    assert found[0][:4] == generate(network, OURS[:1], **options)[0][:4]
    found = generate(network, OURS[:1], custom_generate=loop, **options, **MODES[mode])
    assert end not in found[0][:4]


def test_an_early_layer_of_the_own_network(network_of):
    network = network_of("llama")
    early = StreamNetwork(network, layers=(0, 1))
    found, expected = both(network, [early], Contrast((1, -1), alpha=0.1))
    assert found == expected


def test_the_own_stream_has_its_temperature(network_of):
    network, other = network_of("llama"), network_of("gpt2")
    own = StreamNetwork(network, temperature=3.0)
    loop = ContrastiveLoop([other], CONTRAST, own=own)
    reference = Recomputing([own, other], CONTRAST, [OURS] * 2)
    found = generate(network, OURS, custom_generate=loop)
    assert found == generate(network, OURS, logits_processor=[reference])


def test_a_streamer_and_scores(network_of):
    network, streamer = network_of("llama"), Collected()
    loop = ContrastiveLoop([network_of("gpt2")], CONTRAST, streamer=streamer)
    output = network.generate(
        **padded(OURS[:1]),
        custom_generate=loop,
        max_new_tokens=4,
        do_sample=False,
        return_dict_in_generate=True,
        output_scores=True,
    )
    assert streamer.got == output.sequences[0].tolist()
    assert streamer.ended
    written = output.sequences[0, len(OURS[0]) :].tolist()
    assert [int(scores.argmax()) for scores in output.scores] == written


def test_networks_that_read_no_padding(network_of):
    network = network_of("rwkv")
    stream = StreamNetwork(network, pads_left=False)
    some, others = rows(4, 4), rows(6, 6, seed=1)
    loop = ContrastiveLoop([stream], CONTRAST, prompts=[others], own=stream)
    reference = Recomputing([network, network], CONTRAST, [some, others])
    found = generate(network, some, custom_generate=loop)
    assert found == generate(network, some, logits_processor=[reference])


def test_beams_are_refused(network_of):
    network = network_of("llama")
    with pytest.raises(FuseError, match="num_beams is 3, and the loop"):
        generate(network, OURS, custom_generate=ContrastiveLoop([network], CONTRAST), num_beams=3)


def test_counts_that_do_not_fit():
    with pytest.raises(FuseError, match="there are 3 streams, the generating one included"):
        ContrastiveLoop([qwen3()] * 2, CONTRAST)
