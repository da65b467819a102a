"""What a similarity compares prompts with."""

import pytest
import torch
from PIL import Image

from fuse_lightning.data import Target
from fuse_lightning.errors import FuseError
from fuse_lightning.models import CLIP
from fuse_lightning.objectives import ImageSimilarity, Objective, TextSimilarity
from tests.factories import tiny
from tests.near import assert_near

PROMPTS = ["a red star", "two blue boxes on a lawn", "night"]


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return tiny.clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    for name in ("red", "blue", "green"):
        Image.new("RGB", (20, 30), name).save(folder / f"{name}.png")
    return folder


def losses(terms, targets, owners):
    objective = Objective(terms)
    objective.load()
    objective.set_targets(targets)
    states = [objective.encode_prompt(text) for text in PROMPTS]
    found = objective.losses(objective.prompts(states, owners))
    return found, objective.total(found)


def one_by_one(clip, images):
    """Cosine of every prompt and picture, each alone."""
    model = CLIP(clip)
    model.load()
    with torch.no_grad():
        texts = [model.text_features(model.encode([text]))[0].double() for text in PROMPTS]
        vectors = [model.image_features([Image.open(path)])[0].double() for path in images]
    return torch.tensor([[float(text @ vector) for vector in vectors] for text in texts])


def test_several_pictures_count_as_the_mean_of_their_losses(clip, pictures):
    paths = sorted(pictures.iterdir())
    found, _ = losses([ImageSimilarity(clip)], [Target("style", paths)], [0, 0, 0])
    expected = 1 - one_by_one(clip, paths).mean(1)
    assert_near(found[:, 0], expected)


def test_signed_mixture_is_like_the_target_and_unlike_fixed_pictures_and_texts(clip, pictures):
    terms = [
        ImageSimilarity(clip, weight=2),
        ImageSimilarity(clip, weight=-1.5, name="repel", images=str(pictures / "red.png")),
        TextSimilarity(clip, weight=-0.5, text="a red star"),
    ]
    targets = [Target("b", [pictures / "blue.png"]), Target("g", [pictures / "green.png"])]
    found, total = losses(terms, targets, [0, 1, 0])
    cosines = one_by_one(clip, [pictures / f"{name}.png" for name in ("blue", "green", "red")])
    own = torch.tensor([cosines[0, 0], cosines[1, 1], cosines[2, 0]])
    model = CLIP(clip)
    model.load()
    with torch.no_grad():
        text = model.text_features(model.encode(["a red star", *PROMPTS]))
    alike = text[1:] @ text[0]
    expected = torch.stack([1 - own, 1 - cosines[:, 2], 1 - alike], dim=1)
    assert_near(found, expected)
    weights = torch.tensor([2, -1.5, -0.5])
    assert_near(total, (expected * weights).sum(1))


def test_a_text_longer_than_the_encoder_reads_is_cut_with_a_warning(clip):
    words = " ".join(["red"] * 80)
    term = TextSimilarity(clip)
    term.model.load()
    with pytest.warns(UserWarning, match=r"has 80 tokens, of which .* reads 46"):
        term.set_targets([Target("long", text=words)])
    with torch.no_grad():
        expected = term.model.text_features(term.model.encode([" ".join(["red"] * 46)]))
    assert_near(term.vectors, expected)


@pytest.mark.parametrize("text", [None, "", "  "])
def test_a_target_without_text_is_refused(clip, text):
    term = TextSimilarity(clip)
    term.model.load()
    with pytest.raises(FuseError, match=r"target 'x' has no text.*data\.texts"):
        term.set_targets([Target("x", text=text)])


def test_a_model_without_text_vectors_is_refused(tmp_path):
    with pytest.raises(FuseError, match="has no vector for a text; give a sentence encoder"):
        TextSimilarity(tiny.gpt2(tmp_path))
