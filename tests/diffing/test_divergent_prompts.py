"""Prompts on which two models part, beside prompts that the search has not seen."""

import pytest

from fuse_lightning.decoding import ContrastiveDecoder, Stream
from fuse_lightning.diffing.divergent_prompts import divergent_prompts
from fuse_lightning.models import CausalLM

PROMPTS = [
    f"{count} {size} {colour}"
    for count in ("a", "two")
    for size in ("big", "small")
    for colour in ("red", "blue", "green", "yellow")
]


@pytest.fixture(scope="module")
def base():
    model = CausalLM("zoo/gpt2")
    model.load()
    return model


def test_a_prompt_that_names_a_file_is_a_prompt(base, tmp_path, monkeypatch):
    """As text it has a divergence; as a file it would be refused."""
    monkeypatch.chdir(tmp_path)
    for prompt in PROMPTS:
        (tmp_path / prompt).write_text("no prompt")
    streams = [Stream(base, temperature=2.0), Stream(base)]
    found, looked = divergent_prompts(ContrastiveDecoder(streams), PROMPTS, 1, max_new_tokens=4)
    assert looked >= len(PROMPTS) // 2
    assert all("no prompt" not in each.claim for each in found)


def test_findings_are_larger_than_held_out_prompts_by_their_own_figures(base):
    streams = [Stream(base, prefix="three big yellow stars above "), Stream(base)]
    found, _ = divergent_prompts(ContrastiveDecoder(streams), PROMPTS, 4, alpha=0.5)
    assert found
    for each in found:
        assert each.effect > each.detail["held_out"] > 0
        assert each.p <= 0.5
    assert [each.effect for each in found] == sorted((each.effect for each in found), reverse=True)


def test_the_compared_pair_is_searched_whatever_its_place(base):
    """Of streams A, B and C, of which B and C are the same, nothing divides the latter."""
    streams = [Stream(base, temperature=2.0), Stream(base), Stream(base)]
    decoder = ContrastiveDecoder(streams, pair=("B", "C"))
    found, looked = divergent_prompts(decoder, PROMPTS, 1, max_new_tokens=4)
    assert (found, looked > 0) == ([], True)
