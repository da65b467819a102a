"""Prompts of tokens that every model reads as few tokens."""

import pytest

from fuse_lightning.errors import FuseError
from fuse_lightning.models import CLIP, CausalLM
from fuse_lightning.objectives import Fluency, ImageSimilarity, Objective
from fuse_lightning.optimizers import Constraints
from fuse_lightning.optimizers.admission import Admission
from fuse_lightning.optimizers.familiar import familiar


@pytest.fixture(scope="module")
def models():
    # The judge knows fewer words than the writer.
    found = CausalLM("zoo/instruct"), CLIP("zoo/clip-judge")
    for model in found:
        model.load()
    return found


def tokens_of(model, text):
    return len(model.tokenizer(text, add_special_tokens=False)["input_ids"])


@pytest.mark.parametrize("most", [1, 2, 4])
def test_familiar_tokens_are_those_that_the_other_models_tokenizer_reads_as_few(models, most):
    writer, judge = models
    found = familiar(writer, models, most)
    for piece, good in zip(writer.pieces, found.tolist(), strict=True):
        assert good == (tokens_of(judge, f"a {piece.strip()}") <= most + tokens_of(judge, "a"))
    assert 0 < found.sum() < len(found)


def test_models_with_the_writers_own_vocabulary_find_every_token_familiar(models):
    assert familiar(models[0], [models[0], models[0]], 1).all()


def test_a_prompt_holds_only_familiar_tokens(models):
    terms = [Fluency("zoo/instruct"), ImageSimilarity("zoo/clip-judge")]
    objective = Objective(terms)
    objective.load("cpu")
    wide, narrow = (
        Admission(objective, Constraints(familiar=most), "AutoDAN") for most in (None, 1)
    )
    few = familiar(objective.primary, objective.models, 1)
    assert {*narrow.allowed_ids.tolist()} == {n for n in wide.allowed_ids.tolist() if few[n]}
    assert len(narrow.allowed_ids) < len(wide.allowed_ids)


def test_a_number_below_one_is_refused():
    with pytest.raises(FuseError, match=r"constraints\.familiar is 0; it must be at least 1"):
        Constraints(familiar=0)


def test_the_models_that_read_no_token_as_so_few_are_named(models, monkeypatch):
    writer = models[0]
    monkeypatch.setitem(vars(writer.vocabulary), "pieces", [" zzzzqqqq"] * writer.vocab_size)
    with pytest.raises(FuseError, match="familiar is 1, but 'zoo/clip-judge' read no token of"):
        familiar(writer, models, 1)
