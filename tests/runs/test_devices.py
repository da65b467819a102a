"""Models on several devices, against all of them on one; the devices are stand-ins."""

import csv
import json
from pathlib import Path

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from fuse_lightning.adapters import AdapterSettings
from fuse_lightning.cli.main import main
from fuse_lightning.data import ImageTargets, Target
from fuse_lightning.models import CLIP, CausalLM, Classifier, Diffusion, SentenceEncoder
from fuse_lightning.objectives import (
    Continuation,
    Denoising,
    Fluency,
    ImageSimilarity,
    KLDivergence,
    LogProb,
    Objective,
    Sentiment,
    TextSimilarity,
    embedding_gradient,
    label_changes,
    term_gradients,
)
from fuse_lightning.optimizers import (
    GCG,
    PEZ,
    AutoDAN,
    AutoPrompt,
    AutoPromptSGD,
    FluentPrompt,
    RandomSearch,
    SimplexDescent,
)
from fuse_lightning.search import GreedySearch
from tests.factories import tiny
from tests.factories.diffusion import stable_diffusion
from tests.factories.pictures import write_pictures
from tests.factories.sentence_encoders import sentence_encoder
from tests.factories.virtual import accelerators
from tests.near import assert_near
from tests.optimizers.runs import close, fit, found

pytestmark = pytest.mark.slow

GPT2 = {
    "transformer.wte": "cuda:0",
    "transformer.wpe": "cuda:0",
    "transformer.h.0": "cuda:0",
    "transformer.h.1": 1,
    "transformer.ln_f": 1,
    "lm_head": "cuda:0",
}
CLIPS = {
    "logit_scale": 0,
    "text_model.embeddings": 0,
    "text_model.encoder.layers.0": 0,
    "text_model.encoder.layers.1": 1,
    "text_model.final_layer_norm": 1,
    "text_projection": 1,
    "vision_model": 1,
    "visual_projection": 0,
}
BERT = {
    "bert.embeddings": "cuda:1",
    "bert.encoder.layer.0": "cuda:1",
    "bert.encoder.layer.1": "cuda:0",
    "bert.pooler": "cuda:0",
    "classifier": "cuda:0",
}
PLACES = {
    "one": {},
    "apart": {
        "gpt2": {"device": "cuda:0"},
        "clip": {"device": "cuda:1"},
        "classifier": {"device": "cpu"},
        "sentences": {"device": "cuda:1"},
        "diffusion": {"device": "cuda:0"},
    },
    "spread": {
        "gpt2": {"device_map": GPT2},
        "clip": {"device_map": CLIPS},
        "classifier": {"device_map": BERT},
        "sentences": {"device": "cuda:1"},
        "diffusion": {"device": "cuda:1"},
    },
}
KINDS = {
    "gpt2": CausalLM,
    "clip": CLIP,
    "classifier": Classifier,
    "sentences": SentenceEncoder,
    "diffusion": Diffusion,
}
TEXTS = ["a red house", "two dogs", "a small boat at night", "a red star"]
OWNERS = [0, 1, 1, 0]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    made = tiny.three(root)
    made["sentences"] = sentence_encoder(root / "sentences")
    made["diffusion"] = stable_diffusion(root / "diffusion")
    return made


@pytest.fixture
def pictures(tmp_path):
    """In the current folder: names, and with them random streams, are the same in every run."""
    return write_pictures(tmp_path / "pictures")


@pytest.fixture
def models(folders):
    def get(place):
        if place == "spread":
            pytest.importorskip("accelerate", reason="a device map needs accelerate")
        where = PLACES[place]
        return {
            name: kind(str(folders[name]), **where.get(name, {})) for name, kind in KINDS.items()
        }

    return get


def measured(models, pictures, kind):
    """Losses and gradients of every term, all on the CPU."""
    gpt2 = models["gpt2"]
    terms = [
        Fluency(gpt2, prefix="An image of"),
        Continuation(gpt2, weight=0.5, label="is great"),
        LogProb(gpt2, weight=0.1),
        KLDivergence(gpt2, weight=0.3),
        ImageSimilarity(models["clip"], weight=5, prefix="An image of"),
        TextSimilarity(models["clip"], weight=2, text="a red house by the sea"),
        TextSimilarity(models["sentences"], weight=3),
        Sentiment(models["classifier"], label="positive"),
        Denoising(models["diffusion"], samples=2),
    ]
    objective = Objective(terms, AdapterSettings(kind, cache=False))
    objective.load()
    for term in terms:
        # Else little is worth sharing of so few rows.
        term.model.worth = 0
    paths = sorted(pictures.iterdir())
    objective.set_targets(
        [Target("one", paths[:1], text="good"), Target("two", paths[1:], text="bad")]
    )
    prompts = objective.prompts([objective.encode_prompt(text) for text in TEXTS], OWNERS)
    after = gpt2.next_log_probs(prompts.states).cpu()
    gpt2.forget()
    losses = objective.losses(prompts)
    slots = [set(range(len(state))) for state in prompts.states]
    changes = [
        (head.grad @ head.table.T * head.valid[..., None]).cpu()
        for found in term_gradients(objective, prompts, lambda _: True, slots)
        for head in found.heads
    ]
    gradient, at_gradient = embedding_gradient(objective, prompts)
    labels = label_changes(objective, prompts)
    return [after, losses, *changes, gradient.cpu(), at_gradient, labels]


@pytest.mark.parametrize("kind", ["lookup", "t_product"])
def test_losses_and_gradients_do_not_depend_on_where_models_lie(
    kind, models, pictures, monkeypatch
):
    # What a backward computes again, the stand-in does not see.
    monkeypatch.setattr(
        "fuse_lightning.objectives.denoising.checkpoint", lambda call, *args, **_: call(*args)
    )
    expected = measured(models("one"), pictures, kind)
    for place in ("apart", "spread"):
        with accelerators():
            given = models(place)
            got = measured(given, pictures, kind)
            assert given["gpt2"].shares
            weights = [w for model in given.values() for w in model.module.parameters()]
            assert {"cuda:0", "cuda:1"} <= {str(weight.device) for weight in weights}
        assert len(got) == len(expected)
        for ours, theirs in zip(got, expected, strict=True):
            assert theirs[torch.isfinite(theirs)].abs().max() > 1e-3
            assert_near(ours, theirs)


OPTIMIZERS = {
    "autodan": (AutoDAN, {"batch_size": 6, "gradient_samples": 3}),
    "gcg": (GCG, {"batch_size": 6, "prompt_length": 3, "gradient_samples": 2}),
    "l2": (RandomSearch, {"batch_size": 6, "prompt_length": 3, "search_ball": "L2"}),
    "pez": (PEZ, {"restarts": 2, "polish_steps": 1, "prompt_length": 3, "gradient_samples": 2}),
    "autoprompt": (AutoPrompt, {"top_k": 6, "prompt_length": 3}),
    "autoprompt_sgd": (AutoPromptSGD, {"restarts": 2, "prompt_length": 3}),
    "fluent_prompt": (FluentPrompt, {"restarts": 2, "prompt_length": 3}),
    "simplex": (SimplexDescent, {"restarts": 2, "cycle": 2, "prompt_length": 3}),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_search_over_devices_finds_the_same_prompts(name, models, pictures, tmp_path, double):
    kind, options = OPTIMIZERS[name]
    rows = []
    for place in ("one", "spread"):
        given = models(place)
        terms = [
            Fluency(given["gpt2"], prefix="An image of"),
            ImageSimilarity(given["clip"], weight=8, prefix="An image of"),
            Sentiment(given["classifier"], weight=0.5, label="positive"),
        ]
        search = kind(terms, steps=3, adapter=AdapterSettings(cache=False), **options)
        with accelerators():
            fit(search, ImageTargets(str(pictures), batch_size=2), tmp_path, GreedySearch())
        rows.append(found(search))
    assert rows[1] == close(rows[0])


def test_a_search_on_an_accelerator_goes_on(models, pictures, tmp_path, double):
    whole, rest = (
        PEZ(
            [ImageSimilarity(models("apart")["clip"])],
            steps=4,
            restarts=2,
            prompt_length=3,
        )
        for _ in range(2)
    )
    data = {"images": str(pictures / "0.png")}
    saver = ModelCheckpoint(tmp_path, every_n_train_steps=2, save_top_k=-1)
    with accelerators():
        fit(whole, ImageTargets(**data), tmp_path, GreedySearch(), saver)
        (half,) = tmp_path.glob("*step=2.ckpt")
        # Lightning reads tensors to the CPU, wherever they lay.
        fit(rest, ImageTargets(**data), tmp_path, GreedySearch(), ckpt_path=half)
    assert found(rest) == close(found(whole))


def test_a_configuration_says_where_models_lie(folders, pictures, tmp_path, monkeypatch):
    pytest.importorskip("accelerate", reason="a device map needs accelerate")
    monkeypatch.setattr("sys.argv", ["fuse"])
    rows = []
    for options in ({}, {"device_map": {**GPT2, "transformer.h.1": "disk"}}):
        model = {"class_path": "CausalLM", "init_args": {"model_id": folders["gpt2"], **options}}
        terms = [
            {"class_path": "Fluency", "init_args": {"model": model}},
            {"class_path": "ImageSimilarity", "init_args": {"model": folders["clip"]}},
        ]
        config = {
            "model": {
                "class_path": "AutoDAN",
                "init_args": {"terms": terms, "steps": 2, "batch_size": 4},
            },
            "data": {"class_path": "ImageTargets", "init_args": {"images": str(pictures)}},
            "trainer": {"accelerator": "cpu", "enable_progress_bar": False},
        }
        Path("config.yaml").write_text(json.dumps(config))
        with accelerators():
            main(["fit", "--config", "config.yaml"])
        (latest,) = Path("logs/search").glob(f"version_{len(rows)}/prompts.csv")
        with latest.open(newline="") as file:
            rows.append([row["prompt"] for row in csv.DictReader(file)])
    assert len(rows[0]) == 3
    assert rows[0] == rows[1]


def test_the_stand_in_refuses_what_accelerators_refuse():
    with accelerators():
        here = torch.ones(3)
        there = torch.ones(3, device="cuda:1")
        for wrong in (
            lambda: here + there,
            lambda: here * there.sum(),
            lambda: here[there.long()],
            lambda: torch.cat([there, there.to("cuda:0")]),
            lambda: there.numpy(),
        ):
            with pytest.raises((RuntimeError, TypeError)):
                wrong()
        assert there[torch.tensor([0, 2])].device == torch.device("cuda:1")
        assert (there * here.sum()).device == torch.device("cuda:1")
        assert there.cpu().device == here.device
