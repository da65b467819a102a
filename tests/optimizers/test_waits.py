"""How often a step waits for the device it computes on, counted on a stand-in."""

from functools import partial

import pytest
import torch

from fuse_lightning.adapters import AdapterSettings
from fuse_lightning.data import ImageTargets
from fuse_lightning.engine.devices import to_device
from fuse_lightning.models import CLIP, CausalLM
from fuse_lightning.objectives import Fluency, ImageSimilarity, KLDivergence, LogProb
from fuse_lightning.optimizers import (
    GCG,
    PEZ,
    AutoDAN,
    AutoPrompt,
    AutoPromptSGD,
    DescentOptimizer,
    FluentPrompt,
    RandomSearch,
    SimplexDescent,
)
from fuse_lightning.search import BeamSearch, GreedySearch
from tests.factories.virtual import accelerators
from tests.optimizers.runs import fit

READS = {
    "item": lambda tensor: tensor.sum().item(),
    "condition": lambda tensor: bool(tensor.any()),
    "list": lambda tensor: tensor.tolist(),
    "mask": lambda tensor: tensor[tensor > 0],
    "assignment by mask": lambda tensor: tensor.clone().__setitem__(tensor > 0, 1),
    "nonzero": lambda tensor: tensor.nonzero(),
    "copy": lambda tensor: tensor.cpu(),
    "plain transfer": lambda tensor: torch.ones(2).to(tensor.device),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_the_stand_in_notes_what_waits(read):
    with accelerators(1) as waits:
        tensor = to_device(torch.arange(3), torch.device("cuda")) * 2
        tensor = tensor[to_device(torch.tensor([1, 2]), tensor.device)]
        assert not waits
        read(tensor)
    assert len(waits) == 1
    assert "test_waits.py" in waits[0]


OPTIMIZERS = {
    "autodan": (partial(AutoDAN, batch_size=6, gradient_samples=2), 2),
    # Growth and its losses, edits and their losses.
    "autodan, revising": (
        partial(AutoDAN, batch_size=6, gradient_samples=2, revise=2, revise_reads=0),
        4,
    ),
    # Swaps, their losses, and those of merged swaps.
    "gcg": (partial(GCG, batch_size=6, top_k=4, gradient_samples=2, prompt_length=4), 3),
    "gcg, not merging": (partial(GCG, batch_size=6, top_k=4, merge=0, prompt_length=4), 2),
    "random search": (partial(RandomSearch, batch_size=6, prompt_length=4), 1),
    "pez": (partial(PEZ, prompt_length=4, restarts=2), 2),
    "autoprompt": (partial(AutoPrompt, prompt_length=4, top_k=4), 2),
    "autoprompt_sgd": (partial(AutoPromptSGD, prompt_length=4, restarts=2), 2),
    "fluent_prompt": (partial(FluentPrompt, prompt_length=4, restarts=2), 2),
    "simplex": (partial(SimplexDescent, prompt_length=4, restarts=2), 3),
}
CASES = [(name, Fluency) for name in OPTIMIZERS] + [("gcg", KLDivergence), ("gcg", LogProb)]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "loss"), CASES)
def test_a_step_waits_for_candidates_and_losses_alone(name, loss, folders, pictures, tmp_path):
    build, reads = OPTIMIZERS[name]
    writer, clip = (str(folders[name]) for name in ("gpt2", "clip"))
    terms = [
        loss(CausalLM(writer, device="cuda"), prefix="An image of"),
        ImageSimilarity(CLIP(clip, device="cuda"), weight=8),
    ]
    module = build(terms, steps=5, adapter=AdapterSettings(cache=False))
    search, steps = module._search, []
    with accelerators(1) as waits:

        def count(batch):
            waits.clear()
            search(batch)
            steps.append([*waits])

        module._search = count
        descends = issubclass(build.func, DescentOptimizer)
        strategy = GreedySearch() if descends else BeamSearch(3)
        fit(module, ImageTargets(str(pictures), 3), tmp_path, strategy)
    # The first steps of a run also encode the targets and fit the adapter.
    assert len(steps) == 5
    for step in steps[2:4]:
        assert 0 < len(step) <= reads, "\n".join(step)
