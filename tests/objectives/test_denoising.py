"""The denoising error against plain diffusers: one text, one picture, one noise at a time."""

import lightning as L
import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from lightning.pytorch.callbacks import ModelCheckpoint
from PIL import Image

from fuse_lightning.adapters import AdapterSettings
from fuse_lightning.data import ImageTargets, Target
from fuse_lightning.errors import FuseError
from fuse_lightning.objectives import Denoising, Fluency, Objective
from fuse_lightning.optimizers import AutoDAN
from fuse_lightning.search import BeamSearch
from tests.factories import tiny
from tests.factories.diffusion import PICTURE, stable_diffusion
from tests.near import DOUBLE, SINGLE, assert_near, near

TEXTS = ["a red house by the sea", "hello", "a small dog runs over the green field", "boats"]
OWNERS = [0, 1, 1, 0]
SAMPLES = 3


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("pipelines")
    return {
        name: stable_diffusion(root / name, prediction=name) for name in ("epsilon", "v_prediction")
    }


@pytest.fixture(scope="module")
def targets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for index in range(3):
        pixels = rng.integers(0, 255, (PICTURE, PICTURE, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
    paths = sorted(folder.iterdir())
    return [Target("one", paths[:1]), Target("two", paths[1:])]


@pytest.fixture
def prepared(folders, targets, monkeypatch):
    """A loaded term with targets, in float64, and the draws it made for each target."""

    def get(name="epsilon", chosen=targets, **options):
        term = Denoising(str(folders[name]), samples=SAMPLES, **{"redraw": True, **options})
        term.model.load()
        monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
        for network in (term.model.module, term.model.unet, term.model.vae):
            network.double()
        draws = []
        noised = term.model.noised
        monkeypatch.setattr(
            term.model, "noised", lambda *draw: draws.append(draw) or noised(*draw), raising=False
        )
        term.set_targets(chosen)
        return term, draws

    return get


def read(term, texts=TEXTS, owners=OWNERS):
    objective = Objective([term])
    prompts = objective.prompts([objective.encode_prompt(text) for text in texts], owners)
    return term.read(prompts)


def plain_loss(pipeline, text, draw, embeds=None):
    """The error on each drawn latent, through the pipeline's own parts."""
    if embeds is None:
        states, _ = pipeline.encode_prompt(text, "cpu", 1, False)
    else:
        ids = pipeline.tokenizer(text, padding="max_length", return_tensors="pt").input_ids
        rest = pipeline.text_encoder.get_input_embeddings()(ids[:, embeds.shape[1] :])
        full = torch.cat([embeds, rest], dim=1)
        layer = pipeline.text_encoder.get_input_embeddings()
        hook = layer.register_forward_hook(lambda *_: full)
        states = pipeline.text_encoder(ids).last_hidden_state
        hook.remove()
    kept = pipeline.scheduler.alphas_cumprod.double()
    errors = []
    for latent, noise, time in zip(*draw, strict=True):
        signal, share = kept[time].sqrt(), (1 - kept[time]).sqrt()
        noisy = (signal * latent + share * noise).unsqueeze(0)
        wanted = noise
        if pipeline.scheduler.config.prediction_type == "v_prediction":
            wanted = signal * noise - share * latent
        predicted = pipeline.unet(noisy, time, states).sample[0]
        errors.append((predicted - wanted).square().mean())
    return sum(errors) / len(errors)


def reference(folder):
    pipeline = StableDiffusionPipeline.from_pretrained(folder, low_cpu_mem_usage=False)
    for network in (pipeline.text_encoder, pipeline.unet, pipeline.vae):
        network.double().requires_grad_(False)
    return pipeline


@pytest.mark.parametrize("name", ["epsilon", "v_prediction"])
@torch.no_grad()
def test_loss_is_the_mean_error_of_plain_diffusers(name, prepared, folders):
    term, draws = prepared(name)
    pipeline = reference(folders[name])
    losses = term.loss(read(term))
    for text, owner, loss in zip(TEXTS, OWNERS, losses, strict=True):
        # The noise schedule is float32.
        assert float(loss) == near(float(plain_loss(pipeline, text, draws[owner])))
    assert (losses[0] - losses[3]).abs() > 1e-4


@pytest.mark.parametrize("batch_size", [2, 100])
def test_gradient_is_that_of_plain_diffusers(batch_size, prepared, folders):
    term, draws = prepared(batch_size=batch_size)
    pipeline = reference(folders["epsilon"])
    reading = read(term)
    embeds = term.model.embed(reading.rows.ids).detach().requires_grad_()
    (grad,) = torch.autograd.grad(term.loss(reading, embeds).sum(), embeds)
    for row, (text, owner) in enumerate(zip(TEXTS, OWNERS, strict=True)):
        length = int(reading.rows.mask[row].sum())
        own = embeds[row : row + 1, :length].detach().requires_grad_()
        (expected,) = torch.autograd.grad(plain_loss(pipeline, text, draws[owner], own), own)
        # The noise schedule is float32.
        assert_near(grad[row, :length], expected[0], share=SINGLE)
        assert expected.abs().max() > 1e-6
    for place in [(0, 1, 3), (1, 0, 7), (2, 4, 11), (3, 2, 0)]:
        step = torch.zeros_like(embeds)
        step[place] = 1e-4
        with torch.no_grad():
            change = term.loss(reading, embeds + step) - term.loss(reading, embeds - step)
        assert float(grad[place]) == near(float(change.sum()) / 2e-4, size=float(grad.abs().max()))


@torch.no_grad()
def test_losses_do_not_depend_on_batches(prepared):
    term, _ = prepared()
    together = term.loss(read(term))
    widths = []
    unet = term.model.unet
    hook = unet.register_forward_pre_hook(lambda _, inputs: widths.append(len(inputs[0])))
    for size in (1, 5):
        term.batch_size = size
        assert_near(term.loss(read(term)), together)
    hook.remove()
    assert widths == [1] * (len(TEXTS) * SAMPLES) + [5, 5, 2]
    for row, (text, owner) in enumerate(zip(TEXTS, OWNERS, strict=True)):
        assert_near(term.loss(read(term, [text], [owner])), together[row : row + 1])


def test_draws_depend_on_seed_target_and_step_alone(prepared, targets):
    term, draws = prepared()
    first = list(draws)
    losses = term.loss(read(term))
    term.begin_step([1, 1])
    later = draws[2:]
    term.begin_step([0, 0])
    again = draws[4:]
    assert torch.equal(term.loss(read(term)), losses)
    _, alone = prepared(chosen=targets[1:])
    _, seeded = prepared(seed=1)
    noises = [draw[1] for draw in (*first, *later, *seeded)]
    assert torch.equal(again[0][1], first[0][1])
    assert torch.equal(alone[0][1], first[1][1])
    assert torch.equal(alone[0][2], first[1][2])
    for index, noise in enumerate(noises):
        assert all(not torch.equal(noise, other) for other in noises[:index])


def test_draws_stay_where_they_are_not_to_be_redrawn(prepared):
    term, draws = prepared(redraw=False)
    term.begin_step([7, 7])
    assert torch.equal(draws[2][1], draws[0][1])
    assert torch.equal(draws[2][2], draws[0][2])


def test_each_target_has_draws_of_its_own_step(prepared):
    term, draws = prepared()
    term.begin_step([3, 5])
    term.begin_step([3, 3])
    assert torch.equal(draws[2][1], draws[4][1])
    assert not torch.equal(draws[3][1], draws[5][1])


def test_pictures_of_targets_that_stay_are_not_encoded_again(prepared, targets, monkeypatch):
    term, _ = prepared(chosen=targets[:1])
    alone, _ = prepared(chosen=targets[1:])
    encoded = []
    latents = term.model.latents
    monkeypatch.setattr(
        term.model, "latents", lambda images: encoded.append(len(images)) or latents(images)
    )
    term.set_targets(targets[::-1])
    assert encoded == [len(targets[1].images)]
    assert_near(term._noisy[0], alone._noisy[0])


def test_timesteps_are_spread_over_the_range_and_noise_is_standard_normal(prepared):
    term, draws = prepared(timesteps=(0.25, 1.0))
    for step in range(1, 200):
        term.begin_step([step, step])
    times = torch.stack([draw[2] for draw in draws])
    for part in range(SAMPLES):
        assert 250 + 250 * part <= times[:, part].min() <= 255 + 250 * part
        assert 495 + 250 * part <= times[:, part].max() < 500 + 250 * part
    noise = torch.stack([draw[1] for draw in draws])
    assert noise.mean().abs() < 0.01
    assert noise.std() == pytest.approx(1, abs=0.01)


def test_each_of_several_pictures_is_used_in_turn(prepared, targets):
    term, draws = prepared()
    pictures = term.model.latents(targets[1].images)
    for step in range(1, 9):
        term.begin_step([step, step])
    uses = [
        sum(int(torch.equal(latent, picture)) for latent in draw[0])
        for draw in draws[1::2]
        for picture in pictures
    ]
    # Three samples of two pictures: one of them twice, not always the same one.
    assert sorted(set(uses)) == [1, 2]
    assert {uses[0], uses[2], uses[4], uses[6], uses[8]} == {1, 2}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"samples": 0}, "samples of denoising is 0"),
        ({"batch_size": 0}, "batch_size of denoising is 0"),
        ({"timesteps": (0.5, 0.5)}, "two rising numbers"),
        ({"timesteps": (0.5, 1.5)}, "two rising numbers"),
        ({"timesteps": (-0.1, 0.5)}, "two rising numbers"),
    ],
)
def test_impossible_settings_are_refused(options, message):
    with pytest.raises(FuseError, match=message):
        Denoising("some/pipeline", **options)


def test_a_target_without_picture_is_refused(prepared):
    with pytest.raises(FuseError, match="target 'bare' has no image, which denoising needs"):
        prepared(chosen=[Target("bare")])


def test_pictures_that_would_never_be_looked_at_are_refused(prepared, targets):
    many = Target("many", [*targets[0].pictures, *targets[1].pictures, *targets[0].pictures])
    prepared(chosen=[many])
    with pytest.raises(FuseError, match=r"samples of denoising is 3, .* 'many' has 4 pictures"):
        prepared(chosen=[many], redraw=False)


def test_a_resumed_search_equals_an_uninterrupted_one(folders, targets, tmp_path, double):
    writer = tiny.gpt2(tmp_path / "gpt2")

    def search(name, *callbacks, **options):
        terms = [Fluency(writer), Denoising(str(folders["epsilon"]), weight=50, samples=2)]
        module = AutoDAN(
            terms, steps=3, batch_size=4, gradient_samples=2, adapter=AdapterSettings(cache=False)
        )
        trainer = L.Trainer(
            accelerator="cpu",
            max_epochs=1,
            callbacks=[BeamSearch(2), *callbacks],
            default_root_dir=tmp_path / name,
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=bool(callbacks),
            max_steps=options.pop("max_steps", -1),
        )
        trainer.fit(module, ImageTargets(str(targets[0].pictures[0].parent), limit=1), **options)
        (result,) = module.results
        return result.prompt, result.losses

    whole, losses = search("whole")
    assert whole
    assert set(losses) == {"fluency", "denoising"}
    saver = ModelCheckpoint(tmp_path / "ckpt", every_n_train_steps=1, save_top_k=-1)
    search("part", saver, max_steps=2)
    (checkpoint,) = (tmp_path / "ckpt").glob("*step=2.ckpt")
    rest, again = search("rest", ckpt_path=checkpoint)
    assert rest == whole
    assert again == near(losses, share=DOUBLE)
