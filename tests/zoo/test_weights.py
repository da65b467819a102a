"""The shipped models are what their model card says, on fewer scenes."""

import random

import pytest
import torch
from torch import nn

from fuse_lightning.cli.zoo import train
from fuse_lightning.errors import FuseError
from fuse_lightning.models import CLIP, CausalLM
from fuse_lightning.models.loading import ZOO
from fuse_lightning.zoo.recipes import fitting, tokenizers
from fuse_lightning.zoo.recipes.architectures import RECIPES
from fuse_lightning.zoo.recipes.evaluation import evaluate_zoo
from fuse_lightning.zoo.recipes.instruction_figures import instruction_figures
from fuse_lightning.zoo.recipes.modules import ZooModule
from fuse_lightning.zoo.recipes.reasoning_figures import reasoning_figures
from fuse_lightning.zoo.recipes.training import train_model


@pytest.fixture(scope="module")
def figures():
    return evaluate_zoo(scenes=40, seed=4321)


# Well below the model card's shares, so that chance among 40 scenes does not fail a good model.
FLOORS = {"clip": (0.97, 0.95, 0.97), "clip-judge": (0.97, 0.95, 0.97)}


@pytest.mark.parametrize("name", FLOORS)
def test_clips_tell_true_from_false(figures, name):
    values, grammar, exchanges = FLOORS[name]
    assert figures[f"{name} above every false attribute value"] >= values
    assert figures[f"{name} above every synonym of every false value"] >= values
    assert figures[f"{name} above exchanged attributes"] >= exchanges
    assert figures[f"{name} above ungrammatical versions"] >= grammar
    retrieval = [value for key, value in figures.items() if key.startswith(f"{name} retrieval")]
    assert len(retrieval) == 2
    assert min(retrieval) >= 0.9


def test_language_model_is_near_the_entropy_of_the_grammar(figures):
    assert 0.95 < figures["gpt2 perplexity over the grammar's"] < 1.1


def test_figures_tell_how_often_each_adapter_writes_good_moods(figures):
    rates = [
        figures[f"{name} captions with a good mood"]
        for name in ("gpt2", "mood-none", "mood-faint", "mood-plain")
    ]
    # 0.15 is four standard errors of a share of 160 captions.
    assert rates == pytest.approx([0.33, 0.33, 0.39, 0.85], abs=0.15)


def test_prompts_carry_the_task_of_the_model_that_follows_instructions():
    found = instruction_figures(CausalLM("zoo/instruct"), 200, seed=4321, draws=4)
    told = {key.removeprefix("instruct accuracy, "): value for key, value in found.items()}
    # 0.14 is four standard errors of a share of 200 captions.
    assert told["no prompt"] == pytest.approx(0.5, abs=0.14)
    assert told["mean of random prompts"] == pytest.approx(0.5, abs=0.14)
    assert told["mean of four demonstrations"] == pytest.approx(0.64, abs=0.14)
    assert told["best of the stock instructions"] == pytest.approx(0.74, abs=0.14)
    assert told["worst of the strong prompts"] >= 0.9
    assert told["opposite asked"] <= 0.15


def test_prompts_carry_the_chains_of_the_model_that_reasons():
    found = reasoning_figures(CausalLM("zoo/reasoner"), 120, seed=4321, draws=4)
    told = {key.removeprefix("reasoner accuracy, "): value for key, value in found.items()}
    # Well beyond what chance among 120 questions explains.
    assert told["no prompt"] <= 0.35
    assert told["neutral instruction"] <= 0.35
    assert told["hasty instruction"] <= 0.2
    assert told["mean of random prompts"] <= 0.4
    assert 0.15 <= told["worst of the stock instructions"] <= 0.45
    assert 0.6 <= told["best of the stock instructions"] <= 0.88
    assert told["best instruction"] >= 0.92


def test_sentiment_is_told(figures):
    assert figures["sentiment accuracy"] >= 0.98
    assert figures["sentiment accuracy, made-up mood words"] >= 0.8


def test_all_shipped_weights_load_as_float32_and_frozen():
    assert {path.parent.name for path in ZOO.glob("*/model.safetensors")} == set(RECIPES)
    for model in (CausalLM("zoo/gpt2"), CLIP("zoo/clip")):
        model.load()
        assert {p.dtype for p in model.module.parameters()} == {torch.float32}
        assert not any(p.requires_grad for p in model.module.parameters())


def test_unknown_zoo_model_is_refused_with_the_known_ones():
    with pytest.raises(FuseError, match=r"unknown zoo model 'zoo/none'.*zoo/clip.*zoo/gpt2"):
        CausalLM("zoo/none").load()


@pytest.mark.slow
@pytest.mark.parametrize("name", list(RECIPES))
def test_training_gives_the_same_weights_for_a_seed(name, tmp_path, monkeypatch):
    monkeypatch.setattr(fitting, "WORKERS", 0)
    monkeypatch.setattr(tokenizers, "CORPUS_SENTENCES", 500)
    weights = []
    for run in ("a", "b"):
        train_model(name, tmp_path / run, seed=5, share=0.0005)
        weights.append((tmp_path / run / "model.safetensors").read_bytes())
    assert weights[0] == weights[1]
    kind = CLIP if "clip" in name else None
    if kind:
        kind(str(tmp_path / "a")).load()


class Sum(ZooModule):
    """Keeps the batches that its steps take."""

    def __init__(self):
        super().__init__(nn.Linear(1, 1), 0.1)
        self.taken = []

    def training_step(self, batch, batch_idx):
        self.taken.append(batch.item())
        return self.model(batch).sum()


def test_each_step_takes_a_batch_and_no_more_are_drawn(monkeypatch):
    """What is drawn and not taken would still be on its way when its process is told to end."""
    monkeypatch.setattr(fitting, "WORKERS", 0)
    drawn, module = [], Sum()

    def make(rng):
        drawn.append(rng.random())
        return torch.tensor(drawn[-1:])

    fitting.fit(module, make, "seed", 10, 0.5)
    rng = random.Random("seed")
    assert drawn == [rng.random() for _ in range(5)]
    assert module.taken == pytest.approx(drawn)


@pytest.mark.slow
def test_the_command_trains_in_processes_of_its_own_and_says_how_far_it_is(tmp_path, capfd):
    train(out=tmp_path, models=["sentiment"], share=0.0005, jobs=1)
    said = capfd.readouterr()
    first, last = said.out.splitlines()
    assert first.startswith("train-sentiment-0: step 1 of 1, loss ")
    assert first.endswith(", 0 min left")
    assert last.endswith(f"s, written to {tmp_path / 'sentiment'}")
    assert not said.err
    assert (tmp_path / "sentiment" / "model.safetensors").exists()
