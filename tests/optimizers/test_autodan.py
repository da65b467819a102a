"""AutoDAN runs: exactness, seeds, resuming, ends."""

import json

import lightning as L
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from PIL import Image

from fuse_lightning.adapters import AdapterSettings
from fuse_lightning.data import ImageTargets, SentimentTargets
from fuse_lightning.errors import FuseError
from fuse_lightning.models import CLIP
from fuse_lightning.objectives import Fluency, ImageSimilarity, Sentiment, TextSimilarity
from fuse_lightning.optimizers import AutoDAN
from fuse_lightning.search import BeamSearch, GreedySearch, UniformCostSearch
from tests import tiny

STEPS = 5


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return {name: getattr(tiny, name)(folder / name) for name in ("gpt2", "clip", "classifier")}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for index in range(3):
        pixels = rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
    return folder


def optimizer(folders, **changes):
    terms = [
        Fluency(folders["gpt2"], prefix="An image of"),
        ImageSimilarity(folders["clip"], weight=8, prefix="An image of"),
    ]
    options = {"steps": STEPS, "batch_size": 6, "gradient_samples": 4, **changes}
    return AutoDAN(terms, adapter=AdapterSettings(cache=False), **options)


def fit(module, data, folder, *callbacks, ckpt_path=None, **trainer_options):
    trainer = L.Trainer(
        accelerator="cpu",
        max_epochs=1,
        callbacks=list(callbacks),
        default_root_dir=folder,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=any(isinstance(c, ModelCheckpoint) for c in callbacks),
        **trainer_options,
    )
    trainer.fit(module, data, ckpt_path=ckpt_path)
    return trainer


def found(module):
    """Results without their wall time."""
    return [{**result.to_dict(), "seconds": 0} for result in module.results]


def test_exhaustive_greedy_search_equals_brute_force(folders, pictures, tmp_path):
    """With every token scored, the gradient cannot matter, and each step is an argmin."""
    everything = len(tiny.tokenizer("byte"))
    module = optimizer(folders, batch_size=everything, steps=3, end_probability=1.0)
    fit(module, ImageTargets(str(pictures / "0.png")), tmp_path, GreedySearch())
    objective = module.objective
    state, best = (), None
    for _ in range(3):
        children = [(*state, token) for token in module.allowed_ids.tolist()]
        prompts = objective.prompts(children, [0] * len(children))
        scored = []
        for row, child in enumerate(children):
            if prompts.canonical[row]:
                one = prompts.select([row])
                scored.append((float(objective.total(objective.losses(one))[0]), child))
        loss, state = min(scored)
        best = min(best or (loss, state), (loss, state))
    assert tuple(module.results[0].ids) == best[1]
    assert module.results[0].loss == pytest.approx(best[0], rel=1e-5)


@pytest.mark.parametrize(
    "strategy", [GreedySearch, lambda: BeamSearch(3), lambda: UniformCostSearch(8)]
)
def test_same_seed_gives_same_prompts_and_reported_losses_are_true(
    folders, pictures, tmp_path, strategy
):
    runs = []
    for number in range(2):
        torch.manual_seed(number)
        module = optimizer(folders, seed=3)
        fit(module, ImageTargets(str(pictures), batch_size=2), tmp_path, strategy())
        runs.append(found(module))
    assert runs[0] == runs[1]
    assert [row["target"] for row in runs[0]] == ["0", "1", "2"]
    objective = module.objective
    for row, target in zip(module.results, ImageTargets(str(pictures)).find_targets(), strict=True):
        objective.set_targets([target])
        state = objective.encode_prompt(row.prompt)
        assert list(state) == row.ids
        losses = objective.losses(objective.prompts([state], [0]))
        assert row.loss == pytest.approx(float(objective.total(losses)[0]), rel=1e-5)
        assert list(row.losses.values()) == pytest.approx(losses[0].tolist(), rel=1e-5)


def test_prompts_do_not_depend_on_the_batch_a_target_is_in(folders, pictures, tmp_path):
    results = []
    for size in (1, 3):
        module = optimizer(folders)
        fit(module, ImageTargets(str(pictures), batch_size=size), tmp_path, BeamSearch(2))
        results.append([(row.target, row.prompt, row.step) for row in module.results])
    assert results[0] == results[1]


@pytest.mark.parametrize("stop", [2, 5, 7])
@pytest.mark.parametrize("strategy", [lambda: BeamSearch(2), lambda: UniformCostSearch(4)])
def test_resumed_run_equals_an_uninterrupted_one(folders, pictures, tmp_path, stop, strategy):
    data = {"images": str(pictures), "batch_size": 2}
    whole = optimizer(folders, seed=1)
    fit(whole, ImageTargets(**data), tmp_path / "whole", strategy())
    saver = ModelCheckpoint(tmp_path / "ckpt", every_n_train_steps=1, save_top_k=-1)
    fit(
        optimizer(folders, seed=1),
        ImageTargets(**data),
        tmp_path / "part",
        strategy(),
        saver,
        max_steps=stop,
    )
    (checkpoint,) = (tmp_path / "ckpt").glob(f"*step={stop}.ckpt")
    resumed = optimizer(folders, seed=99)
    torch.manual_seed(123)
    trainer = fit(
        resumed, ImageTargets(**data), tmp_path / "rest", strategy(), ckpt_path=checkpoint
    )
    assert trainer.global_step == 2 * STEPS
    expected = found(whole)
    # A batch that begins after the resumption is seeded by the module that goes on.
    finished = [row for row in found(resumed) if row["seed"] == 1]
    assert finished == expected[: len(finished)]
    resumed = optimizer(folders, seed=1)
    fit(resumed, ImageTargets(**data), tmp_path / "rest", strategy(), ckpt_path=checkpoint)
    assert found(resumed) == expected
    lines = (tmp_path / "rest" / "prompts.jsonl").read_text().splitlines()
    assert [{**json.loads(line), "seconds": 0} for line in lines] == expected


def test_checkpoints_hold_no_weights(folders, pictures, tmp_path):
    saver = ModelCheckpoint(tmp_path, every_n_train_steps=1, save_last=True)
    module = optimizer(folders)
    fit(module, ImageTargets(str(pictures)), tmp_path, BeamSearch(2), saver)
    assert (tmp_path / "last.ckpt").stat().st_size < 40_000
    assert not list(module.parameters())
    torch.load(tmp_path / "last.ckpt", weights_only=True)


def test_published_settings_take_the_gradient_at_one_fixed_token(folders, pictures, tmp_path):
    module = optimizer(folders, gradient_samples=0, gradient_weight=1.0)
    fit(module, ImageTargets(str(pictures / "0.png")), tmp_path, GreedySearch())
    assert module.results[0].prompt


def test_maximum_length_ends_growth(folders, pictures, tmp_path):
    module = optimizer(folders, max_length=2)
    fit(module, ImageTargets(str(pictures / "0.png")), tmp_path, BeamSearch(3))
    assert len(module.results[0].ids) <= 2
    assert module.strategy.expand() == [[]]


def test_patience_ends_a_target_that_does_not_improve(folders, pictures, tmp_path):
    calls = []

    class Counting(AutoDAN):
        def propose(self, states):
            calls.append(states)
            return super().propose(states)

    terms = optimizer(folders).objective.terms
    module = Counting(terms, steps=30, batch_size=4, patience=2, gradient_samples=2, max_length=40)
    fit(module, ImageTargets(str(pictures / "0.png")), tmp_path, GreedySearch())
    assert len(calls) == min(30, module.results[0].step + 2)


def test_growth_begins_at_a_given_text_or_at_random_tokens(folders, pictures, tmp_path):
    module = optimizer(folders, initial_prompt="two red stars", steps=2)
    fit(module, ImageTargets(str(pictures / "0.png")), tmp_path, GreedySearch())
    assert module.results[0].prompt.startswith("two red stars")
    module = optimizer(folders, prompt_length=2, steps=2)
    fit(module, ImageTargets(str(pictures / "0.png")), tmp_path, GreedySearch())
    assert len(module.results[0].ids) in (3, 4)


@pytest.mark.parametrize("images", [None, "0.png"])
def test_sentiment_targets_run(folders, pictures, tmp_path, images):
    terms = [Fluency(folders["gpt2"]), Sentiment(folders["classifier"], weight=3)]
    if images:
        terms.append(ImageSimilarity(folders["clip"], weight=2))
    module = AutoDAN(terms, steps=3, batch_size=4, adapter=AdapterSettings(cache=False))
    data = SentimentTargets(["positive", "negative"], images and str(pictures / images))
    fit(module, data, tmp_path, BeamSearch(2))
    assert len(module.results) == 2
    assert set(module.results[0].losses) == {term.name for term in terms}


def test_no_words_fit_the_models_is_said_in_one_line(folders, pictures, tmp_path):
    module = optimizer(folders, initial_prompt="red " * 46)
    with pytest.raises(FuseError, match="no prompt was found for target '0'"):
        fit(module, ImageTargets(str(pictures / "0.png")), tmp_path, GreedySearch())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": -1}, "steps is -1"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"patience": 0}, "patience is 0"),
        ({"max_length": -2}, "max_length is -2"),
        ({"gradient_samples": -1}, "gradient_samples is -1"),
    ],
)
def test_impossible_settings_are_refused(folders, changes, message):
    with pytest.raises(FuseError, match=message):
        optimizer(folders, **changes)


def test_a_clip_cannot_write(folders):
    with pytest.raises(FuseError, match="put Fluency first"):
        AutoDAN([TextSimilarity(CLIP(folders["clip"]))])
