"""Reduced precision, of the trainer or of a model, against float32."""

import lightning as L
import pytest
import torch
from lightning.pytorch.plugins import MixedPrecision

from fuse_lightning.adapters import AdapterSettings
from fuse_lightning.data import ImageTargets, Target
from fuse_lightning.errors import FuseError
from fuse_lightning.models import CLIP, CausalLM, Classifier
from fuse_lightning.objectives import (
    Fluency,
    ImageSimilarity,
    KLDivergence,
    LogProb,
    Objective,
    Sentiment,
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
from fuse_lightning.search.lightning_glue import settle_precision
from tests.near import assert_near
from tests.optimizers.runs import build, fit, found

TEXTS = ["a red house", "two dogs", "a small boat at night", "a red star"]
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


def terms(folders, dtype="float32"):
    gpt2 = CausalLM(folders["gpt2"], dtype=dtype)
    return [
        Fluency(gpt2, prefix="An image of"),
        KLDivergence(gpt2),
        LogProb(gpt2),
        ImageSimilarity(CLIP(folders["clip"], dtype=dtype), weight=8),
        Sentiment(Classifier(folders["classifier"], dtype=dtype), label="positive"),
    ]


def measured(terms, pictures):
    objective = Objective(terms, AdapterSettings(cache=False))
    objective.load()
    objective.set_targets([Target("one", sorted(pictures.iterdir()))])
    prompts = objective.prompts([objective.encode_prompt(text) for text in TEXTS], [0] * 4)
    gradients = []
    for term in objective.terms:
        reading = term.read(prompts)
        embeds = term.model.embed(reading.rows.ids).detach().requires_grad_()
        (grad,) = torch.autograd.grad(term.loss(reading, embeds).sum(), embeds)
        gradients.append(grad.float())
    return objective.losses(prompts), gradients


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_models_of_half_precision_have_nearly_the_same_losses_and_gradients(
    dtype, folders, pictures
):
    exact, exact_gradients = measured(terms(folders), pictures)
    losses, gradients = measured(terms(folders, dtype), pictures)
    assert losses.dtype == torch.float32
    assert not torch.equal(losses, exact)
    assert_near(losses, exact, share=0.05)
    for ours, theirs in zip(gradients, exact_gradients, strict=True):
        assert torch.cosine_similarity(ours.flatten(), theirs.flatten(), dim=0) > 0.98


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_models_of_half_precision_are_searched(name, folders, pictures, tmp_path):
    kind, options = OPTIMIZERS[name]
    search = kind(
        terms(folders, "bfloat16"), steps=2, adapter=AdapterSettings(cache=False), **options
    )
    fit(search, ImageTargets(str(pictures / "0.png")), tmp_path, GreedySearch())
    assert search.results[0].prompt


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_gradients_are_not_scaled_where_nothing_is_trained(name, folders, pictures, tmp_path):
    """As ``16-mixed`` does on an accelerator."""
    kind, options = OPTIMIZERS[name]
    rows = []
    for scaler in (None, torch.amp.GradScaler("cpu")):
        search = build(kind, folders, steps=2, **options)
        plugin = MixedPrecision("16-mixed", "cpu", scaler=scaler)
        trainer = L.Trainer(accelerator="cpu", logger=False, plugins=[plugin])
        settle_precision(trainer)
        fit(
            search,
            ImageTargets(str(pictures / "0.png")),
            tmp_path,
            GreedySearch(),
            plugins=[trainer.precision_plugin],
        )
        rows.append(found(search))
    assert rows[0] == rows[1]


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed"])
def test_precisions_of_forwards_alone_are_taken(precision):
    settle_precision(L.Trainer(accelerator="cpu", logger=False, precision=precision))


@pytest.mark.parametrize("precision", ["bf16-true", "16-true", "64-true"])
def test_precisions_of_all_numbers_are_refused(precision):
    trainer = L.Trainer(accelerator="cpu", logger=False, precision=precision)
    with pytest.raises(FuseError, match=f"trainer.precision '{precision}'") as raised:
        settle_precision(trainer)
    assert "\n" not in str(raised.value)
