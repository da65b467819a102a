"""How often a step waits for the device it computes on, counted on a made-up one."""

from functools import partial

import pytest
import torch

from fuse_lightning.adapters import AdapterSettings
from fuse_lightning.data import ImageTargets
from fuse_lightning.models import CLIP, CausalLM
from fuse_lightning.models.transfer import send
from fuse_lightning.objectives import Fluency, ImageSimilarity
from fuse_lightning.optimizers import GCG, AutoDAN, RandomSearch
from fuse_lightning.search import BeamSearch
from tests.card import CARD, Card
from tests.optimizers.runs import fit

READ = {
    "item": lambda tensor: tensor.sum().item(),
    "condition": lambda tensor: bool(tensor.any()),
    "list": lambda tensor: tensor.tolist(),
    "mask": lambda tensor: tensor[tensor > 0],
    "assignment by mask": lambda tensor: tensor.clone().__setitem__(tensor > 0, 1),
    "nonzero": lambda tensor: tensor.nonzero(),
    "copy": lambda tensor: tensor.cpu(),
    "plain transfer": lambda tensor: torch.ones(2).to(CARD),
}


@pytest.mark.parametrize("read", READ.values(), ids=READ)
def test_the_made_up_card_notes_what_waits(read):
    with Card() as card:
        tensor = send(torch.arange(3), CARD) * 2
        tensor = tensor[send(torch.tensor([1, 2]), CARD)]
        assert tensor.device == CARD
        assert not card.waits
        read(tensor)
    assert len(card.waits) == 1
    assert "test_waits.py" in card.waits[0]


OPTIMIZERS = {
    "autodan": partial(AutoDAN, batch_size=6, gradient_samples=2),
    "gcg": partial(GCG, batch_size=6, top_k=4, gradient_samples=2, prompt_length=4),
    "random search": partial(RandomSearch, batch_size=6, prompt_length=4),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_step_waits_for_its_candidates_and_for_their_losses(name, folders, pictures, tmp_path):
    models = (
        CausalLM(str(folders["gpt2"]), device="cpu:0"),
        CLIP(str(folders["clip"]), device="cpu:0"),
    )
    terms = [Fluency(models[0], prefix="An image of"), ImageSimilarity(models[1], weight=8)]
    module = OPTIMIZERS[name](terms, steps=4, adapter=AdapterSettings(cache=False))
    card, load, search, waits = Card(), module.load, module._search, []

    def load_there(device):
        load(device)
        for model in models:
            card.put(*model.module.parameters(), *model.module.buffers())
        card.put(module.allowed)

    def count(batch):
        card.waits.clear()
        with card:
            search(batch)
        waits.append([*card.waits])

    module.load, module._search = load_there, count
    fit(module, ImageTargets(str(pictures), 3), tmp_path, BeamSearch(3))
    proposals = [] if name == "random search" else ["candidates"]
    # The first steps of a run also encode the targets and fit the adapter.
    assert len(waits) == 4
    for step in waits[2:]:
        assert len(step) == len(proposals) + 1, "\n".join(step)
