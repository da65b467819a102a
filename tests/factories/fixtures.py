"""Fixtures that several folders of tests take into their own ``conftest``."""

import pytest
import torch
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
)

from fuse_lightning.models import CLIP, CausalLM, Classifier, SentenceEncoder, Seq2SeqLM
from tests.factories import tiny
from tests.factories.builders import BUILDERS, KINDS
from tests.factories.pictures import write_pictures
from tests.near import assert_near

AUTO = {
    CausalLM: AutoModelForCausalLM,
    CLIP: AutoModel,
    Classifier: AutoModelForSequenceClassification,
    SentenceEncoder: AutoModel,
    Seq2SeqLM: AutoModelForSeq2SeqLM,
}


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """The folder of a look-alike by its builder's name, written once; not to be changed."""
    made = {}

    def get(name):
        if name not in made:
            made[name] = BUILDERS[name](tmp_path_factory.mktemp(name) / name)
        return made[name]

    return get


@pytest.fixture
def load(folder):
    """Loads a look-alike, given by its builder's name or its folder."""

    def get(source, kind=None, **kwargs):
        model = (kind or KINDS[source])(str(folder(source) if kind is None else source), **kwargs)
        model.load()
        return model

    return get


@pytest.fixture
def network(folder):
    """A look-alike as the user has it after training: in memory, in training mode."""

    def get(name, auto=None):
        return (auto or AUTO[KINDS[name]]).from_pretrained(folder(name)).train()

    return get


@pytest.fixture(scope="session")
def family(folder):
    """Loads a look-alike once, to share whatever rows begin with."""
    made = {}

    def get(name):
        if name not in made:
            made[name] = KINDS[name](str(folder(name)))
            made[name].load()
        model = made[name]
        # Else little is worth sharing of so few rows.
        model.worth = 0
        model.forget()
        return model

    return get


@pytest.fixture
def in_double(load, monkeypatch):
    """Loads a look-alike in float64; results stay in it, so differences of them are exact."""

    def get(source):
        model = load(source)
        monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
        model.module.double()
        return model

    return get


@pytest.fixture
def check_gradient():
    """Compares autograd's gradient of a function with differences in random directions."""

    def check(function, embeds, share=1e-6, step=1e-5):
        generator = torch.Generator().manual_seed(0)
        embeds = embeds.detach().requires_grad_()
        (grad,) = torch.autograd.grad(function(embeds), embeds)
        assert grad.abs().max() > 1e-4
        for _ in range(4):
            way = torch.randn(embeds.shape, generator=generator, dtype=embeds.dtype)
            with torch.no_grad():
                change = function(embeds + step * way) - function(embeds - step * way)
            parts = grad * way
            assert_near(parts.sum(), change / (2 * step), float(parts.abs().sum()), share)

    return check


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """Folders of a tiny GPT-2, CLIP and classifier by name."""
    return tiny.three(tmp_path_factory.mktemp("models"))


@pytest.fixture
def pictures(tmp_path):
    """In the current folder: names, and with them random streams, are the same in every run."""
    return write_pictures(tmp_path / "pictures")
