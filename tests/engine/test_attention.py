"""What stays on a loaded network for others who run it: nothing that changes what they compute."""

import pytest
import torch
from transformers import AutoModel, AutoModelForCausalLM

from fuse_lightning.engine.whole_decoding import left_padded
from tests.factories.builders import ALL_CAUSAL_LMS
from tests.near import assert_near

CAUSAL_LMS = ALL_CAUSAL_LMS
CLIPS = ("clip", "old_clip", "open_clip")
ROWS = [(5, 6, 7, 8, 9, 10, 11), (5, 6), (12, 13, 14, 15)]


def hooks(module):
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks")
    return [len(getattr(part, kind)) for part in module.modules() for kind in kinds]


@pytest.mark.parametrize("name", CAUSAL_LMS)
def test_transformers_generate_reads_padding_on_the_left_as_ever(name, family):
    model = family(name)
    plain = AutoModelForCausalLM.from_pretrained(model.model_id).eval()
    settings = model.module.generation_config.to_dict()
    before = hooks(model.module)
    # Whatever this package does with the network in between.
    model.generate(ROWS, 4, stop_ids=(), cache=True)
    model.generate(ROWS, 4, stop_ids=(), temperature=1.0, samples=2)
    model.next_log_probs(ROWS)
    assert hooks(model.module) == before
    assert model.module.generation_config.to_dict() == settings
    ids, mask = left_padded(model, ROWS)
    options = {"max_new_tokens": 5, "min_new_tokens": 5, "do_sample": False}
    options |= {"output_logits": True, "return_dict_in_generate": True, "pad_token_id": 0}
    got, expected = (
        network.generate(input_ids=ids, attention_mask=mask.long(), **options)
        for network in (model.module, plain)
    )
    assert_near(torch.stack(got.logits), torch.stack(expected.logits))
    for number, row in enumerate(ROWS):
        alone = model.module.generate(input_ids=torch.tensor([row]), **options)
        assert_near(got.logits[0][number], alone.logits[0][0])


@pytest.mark.parametrize("name", ["gpt2", "llama", "phi3"])
def test_a_plain_forward_sees_its_own_mask(name, family):
    model = family(name)
    assert model.shares
    ids, mask = left_padded(model, ROWS)
    positions = (mask.long().cumsum(1) - 1).clamp(min=0)
    logits = model.module(input_ids=ids, attention_mask=mask, position_ids=positions).logits
    for number, row in enumerate(ROWS):
        alone = model.module(input_ids=torch.tensor([row])).logits[0, -1]
        assert_near(logits[number, -1], alone)


@pytest.mark.parametrize("name", CLIPS)
def test_a_text_tower_sees_its_own_mask(name, family):
    """What is masked in the middle of a text changes its vector, as in plain transformers."""
    model = family(name)
    assert model.shares
    plain = AutoModel.from_pretrained(model.model_id).eval()
    start, end = model.encode([""]).ids[0].tolist()
    ids = torch.tensor([[start, 5, 6, 7, end]])
    mask = torch.tensor([[1, 1, 0, 1, 1]])
    model.text_features(model.encode(["a dog", "a dog runs"]))
    got, expected, whole = (
        network.get_text_features(input_ids=ids, attention_mask=some).pooler_output
        for network, some in (
            (model.module, mask),
            (plain, mask),
            (plain, torch.ones_like(mask)),
        )
    )
    assert (expected - whole).abs().max() > 1e-3 * whole.abs().max()
    assert_near(got, expected)
