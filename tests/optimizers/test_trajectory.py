"""The scoring engine against plain forwards: the same candidates, in the same order."""

from functools import partial

import pytest
import torch

from fuse_lightning.data import ImageTargets
from fuse_lightning.engine.attention import use
from fuse_lightning.models import CLIP, CausalLM
from fuse_lightning.objectives import Fluency, ImageSimilarity
from fuse_lightning.optimizers import GCG, AutoDAN
from fuse_lightning.search import BeamSearch
from tests.near import assert_near
from tests.optimizers.runs import fit

SEARCHES = {
    "autodan": partial(AutoDAN, batch_size=12, gradient_samples=4, steps=8, revise=0),
    "autodan, revising": partial(
        AutoDAN, batch_size=12, gradient_samples=4, steps=8, revise=2, revise_reads=0
    ),
    "gcg": partial(GCG, batch_size=24, top_k=16, gradient_samples=4, prompt_length=6, steps=5),
}


class PlainFluency(Fluency):
    """Whole rows, logits everywhere."""

    splits = False

    def mean_nll(self, reading, counted, embeds):
        ids = reading.rows.ids
        log_probs = self.model.logits(ids, reading.rows.mask, embeds)[:, :-1].log_softmax(-1)
        nll = -log_probs.gather(-1, ids[:, 1:, None]).squeeze(-1)
        counted = counted[:, 1:]
        return torch.where(counted, nll, 0.0).sum(1) / counted.sum(1).clamp(min=1)


class PlainSimilarity(ImageSimilarity):
    """Whole rows."""

    splits = False

    def loss(self, reading, embeds=None):
        vectors = self.model._vectors(reading.rows.ids, reading.rows.mask, embeds)
        return 1 - (vectors * self.vectors[reading.owner]).sum(-1)


class PlainLM(CausalLM):
    """One row at a time, nothing kept."""

    def next_log_probs(self, rows):
        found = []
        with torch.no_grad():
            for row in rows:
                ids = torch.tensor([row])
                logits = self.logits(ids, torch.ones_like(ids))[0, -1]
                found.append(logits.log_softmax(-1)[: self.vocab_size])
        return torch.stack(found)


def steps(search, plain, folder):
    """Candidates and losses of every step."""
    writer = (PlainLM if plain else CausalLM)("zoo/gpt2")
    fluency, similarity = (PlainFluency, PlainSimilarity) if plain else (Fluency, ImageSimilarity)
    prefix = "An image of"
    clip = CLIP("zoo/clip")
    module = search([fluency(writer, prefix=prefix), similarity(clip, weight=5, prefix=prefix)])
    found, losses, load = [], module.objective.losses, module.load

    def load_plain(device):
        load(device)
        for model in (writer, clip):
            model.shares = False
            use(model.module, "sdpa")

    def note(prompts, **options):
        if plain:
            module.objective.scores.forget()
        values = losses(prompts, **options)
        found.append((prompts.states, values))
        return values

    module.objective.losses = note
    if plain:
        module.load = load_plain
    fit(module, ImageTargets("zoo/scenes", batch_size=2, limit=2), folder, BeamSearch(4))
    assert any(model.shares for model in (writer, clip)) != plain
    return found


@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_goes_the_way_of_plain_forwards(name, tmp_path, double):
    engine, plain = (steps(SEARCHES[name], way, tmp_path) for way in (False, True))
    assert len(engine) == len(plain) > 4
    for (states, losses), (expected, exact) in zip(engine, plain, strict=True):
        assert states == expected
        assert_near(losses, exact)
