"""Proposers: what they give, and that a random stream alone decides it."""

from pathlib import Path

import pytest
import torch

from fuse_lightning.decoding import StreamOptions, open_streams
from fuse_lightning.diffing import ModelProposer, Plainness, RandomProposer, TemplateMutation
from fuse_lightning.diffing.prompt_bank import BankEntry
from fuse_lightning.errors import FuseError

EXAMPLES = [
    BankEntry(text, 0.1, 0.0, 0.0, 0, "seed") for text in ("a picture of red stars", "two circles")
]
PROPOSERS = {
    "mutation": lambda: TemplateMutation(words=["blue"]),
    "a": lambda: ModelProposer("a"),
    "both": lambda: ModelProposer("both", fresh=0.5),
    "contrast": lambda: ModelProposer("contrast"),
    "random": RandomProposer,
    "pool": lambda: RandomProposer(["one text", "another text", "third"]),
}


@pytest.fixture(scope="module")
def streams():
    return open_streams([StreamOptions("zoo/mood-plain"), StreamOptions("zoo/gpt2")])


def given(proposer, streams, seed=0, examples=EXAMPLES, count=8):
    proposer.load(streams)
    proposer.seeds = ["a landscape with grey mist"]
    return proposer.propose(examples, count, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", PROPOSERS)
def test_the_random_stream_alone_decides(streams, name):
    proposer = PROPOSERS[name]()
    found = given(proposer, streams)
    assert found == given(proposer, streams) == given(PROPOSERS[name](), streams)
    assert found != given(proposer, streams, seed=1)
    assert len(found) >= 6
    assert all(text.strip() for text in found)
    assert not any("\n" in text for text in found)


@pytest.mark.parametrize("name", PROPOSERS)
def test_an_empty_bank_is_enough(streams, name):
    assert given(PROPOSERS[name](), streams, examples=[])


def test_mutations_use_words_of_examples_seeds_and_the_list_alone():
    found = given(TemplateMutation(changes=3, words=["blue"]), (), count=200)
    words = {word for text in found for word in text.split()}
    known = "a picture of red stars two circles landscape with grey mist blue"
    assert words == set(known.split())
    assert len(set(found)) > 100


def test_random_proposals_do_not_depend_on_the_bank(streams):
    for name in ("random", "pool"):
        proposer = PROPOSERS[name]()
        assert given(proposer, streams) == given(proposer, streams, examples=EXAMPLES[:1])


def test_model_writes_on_from_first_words_of_an_example(streams):
    found = given(ModelProposer("b", fresh=0.0, max_new_tokens=4), streams)
    begins = ("a picture", "two", "a")
    assert all(text.startswith(begins) for text in found)


def test_pools_come_from_files(streams):
    Path("pool.txt").write_text("first line\nsecond line\n")
    assert {*given(RandomProposer("pool.txt"), streams)} == {"first line", "second line"}
    with pytest.raises(FuseError, match=r"'gone.txt'.*cannot be read.*give pool an existing file"):
        given(RandomProposer("gone.txt"), streams)


def test_plainness_is_the_mean_log_probability(streams):
    grader = Plainness("B")
    grader.load(streams)
    usual, odd = grader.grade(["a picture of a red star", "star a of red a picture"])
    assert 0 > usual > odd


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ModelProposer("c"), "author is 'c'; give one of a, b, both, contrast"),
        (lambda: ModelProposer(fresh=2), "fresh is 2; give a share from 0 to 1"),
        (lambda: TemplateMutation(changes=0), "changes of TemplateMutation is 0; give 1 or more"),
        (lambda: Plainness("C"), "stream of Plainness is 'C'; give A or B"),
    ],
)
def test_wrong_options_are_named(make, message):
    with pytest.raises(FuseError, match=message):
        make()
