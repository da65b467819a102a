import sys

import pytest
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image
from safetensors.torch import load_file, save_file

from fuse_lightning.errors import FuseError
from fuse_lightning.models import Diffusion
from tests.factories.clips import clip
from tests.factories.diffusion import PICTURE, stable_diffusion
from tests.factories.folders import edit_json
from tests.near import assert_near

TEXTS = ["a red house by the sea", "", "a small dog runs over the green field at night!"]
KINDS = {
    "epsilon": {},
    "velocity": {"prediction": "v_prediction"},
    "other_pad": {"pad": "!"},
    "masked": {"use_attention_mask": True},
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("pipelines")
    return {name: stable_diffusion(root / name, **options) for name, options in KINDS.items()}


@pytest.fixture
def diffusion(folders):
    def get(name="epsilon", **options):
        model = Diffusion(str(folders[name]), **options)
        model.load()
        return model

    return get


def pipeline(folder):
    return StableDiffusionPipeline.from_pretrained(folder, low_cpu_mem_usage=False)


def noisy(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 4, PICTURE // 2, PICTURE // 2, generator=generator)


def test_weights_are_frozen_in_eval_mode(diffusion):
    model = diffusion()
    for network in (model.module, model.unet, model.vae):
        assert not any(part.training for part in network.modules())
        assert not any(weight.requires_grad for weight in network.parameters())


@pytest.mark.parametrize("name", KINDS)
@torch.no_grad()
def test_text_states_of_a_batch_are_what_the_pipeline_feeds_one_at_a_time(name, folders, diffusion):
    model = diffusion(name)
    reference = pipeline(folders[name])
    states = model.text_states(model.encode(TEXTS))
    for row, text in enumerate(TEXTS):
        (expected,), _ = reference.encode_prompt(text, "cpu", 1, False)
        assert_near(states[row], expected)
    assert (states[0] - states[1]).abs().max() > 0.1


@pytest.mark.parametrize("name", ["epsilon", "masked"])
@torch.no_grad()
def test_states_from_embeddings_equal_states_from_ids(name, diffusion):
    model = diffusion(name)
    encoded = model.encode(TEXTS)
    embeds = model.embed(encoded.ids)
    assert torch.equal(model.text_states(encoded, embeds), model.text_states(encoded))


@pytest.mark.parametrize("name", ["epsilon", "masked"])
def test_gradient_of_a_prediction_at_embeddings_equals_differences(
    name, diffusion, check_gradient, monkeypatch
):
    model = diffusion(name)
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    model.module.double()
    model.unet.double()
    encoded = model.encode(TEXTS[:2])
    inputs, times = noisy(2), torch.tensor([100, 800])
    weights = noisy(2, seed=1).double()
    check_gradient(
        lambda x: (model.noise_prediction(encoded, x, inputs, times) * weights).sum(),
        model.embed(encoded.ids),
    )


@torch.no_grad()
def test_a_prediction_is_that_of_the_pipelines_own_parts(folders, diffusion):
    model, reference = diffusion(), pipeline(folders["epsilon"])
    inputs, times = noisy(3), torch.tensor([0, 500, 999])
    got = model.noise_prediction(model.encode(TEXTS), None, inputs, times)
    for row, text in enumerate(TEXTS):
        states, _ = reference.encode_prompt(text, "cpu", 1, False)
        expected = reference.unet(inputs[row : row + 1], times[row], states).sample[0]
        assert_near(got[row], expected)


@pytest.mark.parametrize("name", ["epsilon", "velocity"])
def test_noise_is_added_by_the_training_schedule(name, diffusion):
    model = diffusion(name)
    latents, noise, times = noisy(3), noisy(3, seed=1), torch.tensor([0, 400, 999])
    got, wanted = model.noised(latents, noise, times)
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    kept = (1 - betas).cumprod(0)[times].view(3, 1, 1, 1)
    signal, share = kept.sqrt().float(), (1 - kept).sqrt().float()
    assert_near(got, signal * latents + share * noise)
    expected = noise if name == "epsilon" else signal * noise - share * latents
    assert_near(wanted, expected)


@torch.no_grad()
def test_black_is_minus_one_and_white_is_one(diffusion):
    model = diffusion()
    got = model.latents([Image.new("RGB", (40, 30), colour) for colour in ("black", "white")])
    for value, latent in zip((-1.0, 1.0), got, strict=True):
        pixels = torch.full((1, 3, PICTURE, PICTURE), value)
        expected = model.vae.encode(pixels).latent_dist.mean[0] * model.vae.config.scaling_factor
        assert_near(latent, expected)
    assert (got[0] - got[1]).abs().max() > 0.01


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16", "RGB"])
@pytest.mark.parametrize("size", [(1, 1), (3, 200), (200, 3)])
def test_pictures_of_any_kind_and_size_have_finite_latents(mode, size, diffusion):
    latents = diffusion().latents([Image.new(mode, size)])
    assert latents.shape == (1, 4, PICTURE // 2, PICTURE // 2)
    assert latents.isfinite().all()


def test_a_wide_picture_is_cropped_to_its_middle(diffusion):
    wide = Image.new("RGB", (3 * PICTURE, PICTURE), "red")
    middle = Image.linear_gradient("L").resize((PICTURE, PICTURE)).convert("RGB")
    wide.paste(middle, (PICTURE, 0))
    first, second = diffusion().latents([wide, middle])
    assert_near(first, second)


def test_half_precision_is_for_text_and_denoising_alone(diffusion):
    exact, model = diffusion(), diffusion(dtype="bfloat16")
    assert (model.module.dtype, model.unet.dtype) == (torch.bfloat16, torch.bfloat16)
    picture = [Image.linear_gradient("L")]
    assert torch.equal(model.latents(picture), exact.latents(picture))
    with torch.no_grad():
        both = [
            each.noise_prediction(each.encode(["hello"]), None, noisy(1), torch.tensor([500]))
            for each in (model, exact)
        ]
    assert both[0].dtype == torch.float32
    assert torch.cosine_similarity(both[0].flatten(), both[1].flatten(), dim=0) > 0.99


def test_a_tokenizer_in_the_hubs_old_files_reads_the_same(tmp_path, diffusion):
    same = diffusion()
    path = stable_diffusion(tmp_path / "old")
    (path / "tokenizer" / "tokenizer.json").unlink()
    same.tokenizer.backend_tokenizer.model.save(str(path / "tokenizer"))
    assert (path / "tokenizer" / "merges.txt").is_file()
    model = Diffusion(str(path))
    model.load()
    assert model.tokenizer.is_fast
    assert torch.equal(model.encode(TEXTS).ids, same.encode(TEXTS).ids)
    assert model.max_tokens == same.max_tokens == 77


def refusal(source):
    with pytest.raises(FuseError) as raised:
        Diffusion(str(source)).load()
    message = str(raised.value)
    assert "\n" not in message
    assert str(source) in message
    return message


def test_without_diffusers_one_line_says_what_to_install(folders, monkeypatch):
    monkeypatch.setitem(sys.modules, "diffusers", None)
    assert "install fuse-lightning[diffusion]" in refusal(folders["epsilon"])


def test_an_unknown_id_is_refused(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert "no such folder" in refusal("no-such-user/no-such-pipeline")


def test_a_folder_that_is_no_pipeline_is_refused(tmp_path):
    assert "cannot load a model from folder" in refusal(tmp_path)
    assert "cannot load a model from folder" in refusal(clip(tmp_path / "clip"))


@pytest.mark.parametrize(
    ("part", "changes", "words"),
    [
        ("unet/config.json", {"addition_embed_type": "text_time"}, "not XL or inpainting"),
        ("unet/config.json", {"in_channels": 9}, "not XL or inpainting"),
        ("scheduler/scheduler_config.json", {"prediction_type": "sample"}, "predicts 'sample'"),
        ("text_encoder/config.json", {"model_type": "bert"}, "not a Stable Diffusion pipeline"),
        ("unet/config.json", {"cross_attention_dim": 24}, "cannot load a model from folder"),
    ],
)
def test_pipelines_of_another_kind_are_refused(part, changes, words, tmp_path):
    path = stable_diffusion(tmp_path / "other")
    edit_json(path / part, **changes)
    assert words in refusal(path)


def test_weights_that_are_missing_or_no_safetensors_are_refused(tmp_path):
    path = stable_diffusion(tmp_path / "part")
    file = path / "unet" / "diffusion_pytorch_model.safetensors"
    weights = load_file(file)
    fewer = {name: value for name, value in weights.items() if not name.startswith("conv_out")}
    save_file(fewer, file)
    assert "lacks 2 weights of a UNet2DConditionModel" in refusal(path)
    file.unlink()
    torch.save(weights, file.with_suffix(".bin"))
    assert "diffusion_pytorch_model.safetensors" in refusal(path)
