"""Divergence behind prompts, measured on written texts."""

import math
from itertools import permutations

import pytest

from fuse_lightning.decoding import Contrast, ContrastiveDecoder, Stream
from fuse_lightning.diffing.prompt_divergence import DivergenceScorer, stratified
from fuse_lightning.errors import FuseError
from tests.diffing.pairs import FAR, parted
from tests.near import near

NEAR = ["a red", "two", "sea"]
ROUNDING = 1e-5
LONG = "a red house by the sea and a red house by the sea"


@pytest.fixture
def decoder(network):
    return parted(network)


def test_a_figure_belongs_to_its_prompt_in_any_order(decoder):
    model = decoder.ensemble.model
    lengths = {prompt: int(model.encode([prompt]).mask.sum()) for prompt in [*NEAR, LONG]}
    assert lengths[LONG] > FAR > 3 + max(lengths[prompt] for prompt in NEAR)
    scorer = DivergenceScorer(decoder, max_new_tokens=3, text_batch=3)
    alone = scorer.score([LONG], 4, 0)[LONG].mean
    assert alone > 0.01
    for prompts in [*permutations([*NEAR, LONG])][::5]:
        found = scorer.score(prompts, 4, 0)
        assert {prompt for prompt, figure in found.items() if figure.mean > ROUNDING} == {LONG}
        assert found[LONG].mean == near(alone)
        assert all(text.prompt == prompt for prompt in prompts for text in found[prompt].texts)


@pytest.mark.parametrize("measure", ["js", "kl", "reverse_kl", "tv", "centred_l1"])
def test_identical_models_have_no_divergence(load, measure):
    model = load("gpt2")
    decoder = ContrastiveDecoder([Stream(model), Stream(model)], Contrast((1, 0)))
    found = DivergenceScorer(decoder, measure, max_new_tokens=4).score([*NEAR, LONG], 4, 0)
    assert {(figure.mean, figure.error) for figure in found.values()} == {(0.0, 0.0)}


@pytest.mark.parametrize(("policy", "writers"), [("a", [1.0]), ("b", [0.0]), ("both", [1.0, 0.0])])
def test_policy_says_who_writes_and_the_mean_is_that_of_the_texts(decoder, policy, writers):
    scorer = DivergenceScorer(decoder, "kl", policy, max_new_tokens=3)
    figure = scorer.score([LONG], 4, 7)[LONG]
    assert [text.weights["A"] for text in figure.texts] == [
        each for each in writers for _ in range(4 // len(writers))
    ]
    values = [text.divergence("kl") for text in figure.texts]
    assert figure.mean == near(sum(values) / 4)


def test_another_seed_gives_fresh_texts(decoder):
    scorer = DivergenceScorer(decoder, max_new_tokens=4)
    texts = [
        [text.text for text in scorer.score([LONG], 8, seed)[LONG].texts] for seed in (0, 0, 1)
    ]
    assert texts[0] == texts[1] != texts[2]


def test_error_of_strata_is_that_of_independent_means():
    assert stratified([[1.0, 2.0, 6.0]]) == (3.0, near(math.sqrt(7 / 3)))
    # Variances 2 and 8, two values in each: the error of half of the sum of the means.
    mean, error = stratified([[1.0, 3.0], [0.0, 4.0]])
    assert (mean, error) == (2.0, near(math.sqrt(2 / 2 + 8 / 2) / 2))
    assert stratified([[1.0], [3.0]]) == (2.0, 1.0)
    assert stratified([[math.inf, 1.0], [1.0, 1.0]])[0] == math.inf


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"measure": "l1"}, "measure is 'l1'; give one of kl, reverse_kl, js, tv, centred_l1"),
        ({"policy": "c"}, "policy is 'c'; give one of a, b, both"),
        ({"temperature": 0.0}, "temperature is 0.0; texts are sampled: give a number above 0"),
    ],
)
def test_wrong_options_are_named(decoder, options, message):
    with pytest.raises(FuseError, match=message):
        DivergenceScorer(decoder, **options)
