"""The gradient of the first token's divergence against finite differences, and its proposer."""

import pytest
import torch

from fuse_lightning.decoding import Stream, StreamOptions, open_streams
from fuse_lightning.decoding.divergences import divergences
from fuse_lightning.decoding.ensemble import Ensemble
from fuse_lightning.diffing import GradientProposer
from fuse_lightning.diffing.first_token import FirstToken, place_of
from fuse_lightning.diffing.prompt_bank import BankEntry
from fuse_lightning.errors import FuseError
from fuse_lightning.models import CausalLM
from tests.near import assert_near, near

PAIRS = {
    "adapter": [StreamOptions("zoo/mood-plain"), StreamOptions("zoo/gpt2")],
    "prefix": [StreamOptions("zoo/gpt2", prefix="photo of "), StreamOptions("zoo/gpt2")],
    "temperature": [StreamOptions("zoo/gpt2", temperature=2.0), StreamOptions("zoo/gpt2")],
}


@pytest.mark.parametrize("measure", ["kl", "reverse_kl", "js"])
@pytest.mark.parametrize("pair", PAIRS)
def test_gradient_equals_finite_differences(pair, measure, double):
    first = FirstToken(Ensemble(open_streams(PAIRS[pair]), ("A", "B"), 0), measure)
    ids, gradient = first.gradient("a small red circle")
    assert gradient.dtype == torch.float64
    assert len(ids) == 4 - (pair == "prefix")
    rows = [stream.rows(["a small red circle"])[0] for stream in first.ensemble.streams]
    places = [place_of(row, ids) for row in rows]
    shares = torch.zeros_like(gradient)
    shares[torch.arange(len(ids)), list(ids)] = 1
    step, source = 1e-5, torch.Generator().manual_seed(0)
    for _ in range(3):
        way = torch.randn(shares.shape, generator=source, dtype=torch.float64)
        with torch.no_grad():
            ends = [first.at(shares + sign * step * way, rows, places) for sign in (1, -1)]
        change = (ends[0] - ends[1]) / (2 * step)
        parts = gradient * way
        assert_near(parts.sum(), change, float(parts.abs().sum()), 1e-6)
    assert_near(first.at(shares, rows, places), first.divergences(["a small red circle"])[0])


def test_divergence_is_that_of_the_next_tokens_distributions(double):
    first = FirstToken(Ensemble(open_streams(PAIRS["adapter"]), ("A", "B"), 0), "js")
    prompts = ["a small red circle", "photo", "two stars on the sand"]
    found = first.divergences(prompts)
    for at, prompt in enumerate(prompts):
        rows = [[stream.rows([prompt])[0]] for stream in first.ensemble.streams]
        a, b = first.ensemble.log_probs(first.ensemble.readers(rows).logits())
        assert float(found[at]) == near(float(divergences(a, b).js))


@pytest.fixture(scope="module")
def streams():
    return open_streams(PAIRS["adapter"])


def propose(proposer, prompts, count, seed=0):
    entries = [BankEntry(prompt, 0.1, 0.0, 0.0, 0, "seed") for prompt in prompts]
    return proposer.propose(entries, count, torch.Generator().manual_seed(seed))


def test_proposals_are_one_token_apart_and_the_best_of_those_scored(streams):
    proposer = GradientProposer(top_k=16, tries=24)
    proposer.load(streams)
    (best,) = propose(proposer, ["a small red circle"], 1)
    several = propose(proposer, ["a small red circle"], 4)
    assert several[0] == best
    assert len(set(several)) == 4
    values = proposer.first.divergences(["a small red circle", *several]).tolist()
    assert values[1:] == sorted(values[1:], reverse=True)
    assert values[1] > values[0]
    words = [text.split() for text in ("a small red circle", best)]
    model = streams[0].model
    ids = [model.encode([" ".join(each)], special=False).ids[0].tolist() for each in words]
    assert sum(x != y for x, y in zip(*ids, strict=True)) == 1


def test_further_rounds_go_on_from_the_best(streams):
    values = []
    for rounds in (1, 3):
        proposer = GradientProposer(top_k=16, tries=16, rounds=rounds)
        proposer.load(streams)
        values.append(proposer.first.divergences(propose(proposer, ["two small stars"], 1)))
    assert values[1] > values[0]


def test_choices_are_the_best_allowed_tokens(streams):
    proposer = GradientProposer(top_k=5)
    proposer.load(streams)
    ids, gradient = proposer.first.gradient("a small red circle")
    allowed = streams[0].model.allowed_tokens("words")
    found = proposer.choices(ids, gradient)
    for place, own in enumerate(ids):
        fitting = [t for t in range(len(allowed)) if allowed[t] and t != own]
        best = sorted(fitting, key=lambda token: -float(gradient[place, token]))[:5]
        assert found[place].tolist() == best


def test_layers_are_refused():
    model = CausalLM("zoo/gpt2")
    streams = [Stream(model, layers=(1,)), Stream(model)]
    with pytest.raises(FuseError, match="stream A takes early layers, which have no gradient"):
        GradientProposer().load(streams)
