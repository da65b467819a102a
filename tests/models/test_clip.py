import pytest
import torch
from PIL import Image
from torch.nn import functional as F
from transformers import AutoModel, CLIPImageProcessorPil

from fuse_lightning.errors import FuseError
from fuse_lightning.models import CLIP
from tests.factories.clips import CLIPS, SIGLIP_LENGTH, siglip
from tests.factories.folders import edit_json
from tests.near import assert_near

TEXTS = ["a red house by the sea", "hello", "a small dog runs over the green field at night!"]
every_clip = pytest.mark.parametrize("name", CLIPS)


def picture(seed):
    generator = torch.Generator().manual_seed(seed)
    values = torch.randint(0, 256, (40, 56, 3), generator=generator, dtype=torch.uint8)
    return Image.fromarray(values.numpy())


@pytest.fixture
def plain(folder):
    return lambda name: AutoModel.from_pretrained(folder(name)).eval()


@every_clip
def test_weights_are_frozen_in_eval_mode(name, load):
    module = load(name).module
    assert not any(part.training for part in module.modules())
    assert not any(weight.requires_grad for weight in module.parameters())


@every_clip
def test_text_features_of_a_batch_are_those_of_plain_transformers_one_at_a_time(name, load, plain):
    model, reference = load(name), plain(name)
    got = model.text_features(model.encode(TEXTS))
    assert got.dtype == torch.float32
    for row, text in enumerate(TEXTS):
        inputs = {"input_ids": torch.tensor([model.tokenizer(text)["input_ids"]])}
        if name == "siglip":
            missing = SIGLIP_LENGTH - inputs["input_ids"].shape[1]
            inputs["input_ids"] = F.pad(
                inputs["input_ids"], (0, missing), value=model.tokenizer.pad_token_id
            )
        with torch.no_grad():
            expected = F.normalize(reference.get_text_features(**inputs).pooler_output, dim=-1)
        assert_near(got[row], expected[0])
    assert (got @ got.T)[0, 1] < 0.999


@every_clip
def test_image_features_are_those_of_plain_transformers(name, load, plain):
    model, reference = load(name), plain(name)
    pictures = [picture(0), picture(1)]
    got = model.image_features(pictures)
    for row, one in enumerate(pictures):
        values = model.processor(images=one, return_tensors="pt")["pixel_values"]
        with torch.no_grad():
            vector = reference.get_image_features(pixel_values=values).pooler_output
        assert_near(got[row], F.normalize(vector, dim=-1)[0])


@every_clip
def test_features_from_embeddings_equal_features_from_ids(name, load):
    model = load(name)
    encoded = model.encode(TEXTS)
    embeds = model.embed(encoded.ids)
    assert torch.equal(model.text_features(encoded, embeds), model.text_features(encoded))


@every_clip
def test_gradient_of_a_cosine_at_embeddings_equals_differences(name, in_double, check_gradient):
    model = in_double(name)
    encoded = model.encode(TEXTS)
    other = model.text_features(model.encode(["two old boats"]))
    check_gradient(
        lambda x: (model.text_features(encoded, x) * other).sum(), model.embed(encoded.ids)
    )


@every_clip
def test_features_do_not_depend_on_how_far_a_batch_is_padded(name, load):
    model = load(name)
    encoded = model.encode(TEXTS)
    trimmed = model.text_features(encoded)
    missing = model.max_tokens - encoded.ids.shape[1]
    encoded.ids = F.pad(encoded.ids, (0, missing), value=model.pad_id)
    encoded.mask = F.pad(encoded.mask, (0, missing))
    assert_near(model.text_features(encoded), trimmed)


def test_only_a_tower_trained_at_full_length_is_padded_to_it(load):
    lengths = {name: load(name).full_length for name in CLIPS}
    assert lengths == {name: SIGLIP_LENGTH if name == "siglip" else 0 for name in CLIPS}


def test_old_and_corrected_configurations_and_another_padding_give_equal_features(load):
    clip, old, other = load("clip"), load("old_clip"), load("open_clip")
    assert old.module.config.text_config.eos_token_id == 2
    assert clip.module.config.text_config.eos_token_id == clip.tokenizer.eos_token_id
    assert clip.pad_id == clip.tokenizer.eos_token_id != other.pad_id
    # What pads is special in a text too: an exclamation mark is another token of the last one.
    texts = [text.strip("!") for text in TEXTS]
    expected = clip.text_features(clip.encode(texts))
    for model in (old, other):
        assert_near(model.text_features(model.encode(texts)), expected)


@pytest.mark.parametrize("name", ["clip", "old_clip"])
def test_pooling_is_at_the_first_end_token_although_a_larger_id_was_added(name, tmp_path, load):
    same = load(name)
    path = CLIPS[name](tmp_path / name)
    tokenizer = same.tokenizer.__class__.from_pretrained(path)
    tokenizer.add_tokens(["<added>"])
    tokenizer.save_pretrained(path)
    module = AutoModel.from_pretrained(path)
    table = module.text_model.get_input_embeddings().weight.data
    module.config.text_config.vocab_size += 1
    grown = torch.nn.Embedding.from_pretrained(torch.cat([table, table[-1:]]))
    module.text_model.set_input_embeddings(grown)
    module.save_pretrained(path)
    model = load(path, CLIP)
    ids = model.encode(["a <added> house"]).ids[0].tolist()
    end = model.tokenizer.eos_token_id
    assert max(ids) == model.vocab_size - 1 == end + 1
    got = model.text_features(model.encode(["a <added> house"]))
    with torch.no_grad():
        hidden = model.module.text_model(input_ids=torch.tensor([ids])).last_hidden_state
        vector = model.module.text_projection(hidden[0, ids.index(end)])
    assert_near(got[0], F.normalize(vector, dim=-1))


def test_siglip_gets_no_attention_mask_even_from_a_tokenizer_that_offers_one(tmp_path, load):
    masked = load(siglip(tmp_path / "masked", mask=True), CLIP)
    bare = load("siglip")
    assert "attention_mask" in masked.tokenizer.model_input_names
    assert "attention_mask" not in bare.tokenizer.model_input_names
    assert masked.full_length == SIGLIP_LENGTH
    expected = bare.text_features(bare.encode(TEXTS))
    assert_near(masked.text_features(masked.encode(TEXTS)), expected)


def test_a_slow_tokenizer_class_gives_way_to_the_tokenizer_file(folder, load):
    model = load("siglip")
    assert '"SiglipTokenizer"' in (folder("siglip") / "tokenizer_config.json").read_text()
    assert model.tokenizer.is_fast
    assert model.encode(["A Red house"]).spans[0, 2].tolist() == [5, 11]


def test_bfloat16_features_are_close_and_never_padded_needlessly(folder, load):
    model = load(folder("clip"), CLIP, dtype="bfloat16")
    exact = load("clip")
    assert model.full_length == 0
    features = model.text_features(model.encode(TEXTS))
    assert features.dtype == torch.float32
    assert (features * exact.text_features(exact.encode(TEXTS))).sum(-1).min() > 0.99
    cosines = model.image_features([picture(0)]) * exact.image_features([picture(0)])
    assert cosines.sum() > 0.99


def test_without_an_image_processor_one_line_says_so(tmp_path, load):
    path = CLIPS["clip"](tmp_path / "clip")
    (path / "preprocessor_config.json").unlink()
    with pytest.raises(FuseError, match="no usable image processor") as raised:
        load(path, CLIP)
    assert "\n" not in str(raised.value)


def test_the_saved_processor_is_used(tmp_path, load):
    path = CLIPS["clip"](tmp_path / "clip")
    edit_json(path / "preprocessor_config.json", image_mean=[0.0, 0.0, 0.0])
    model = load(path, CLIP)
    expected = CLIPImageProcessorPil.from_pretrained(path)(images=picture(0), return_tensors="pt")
    got = model.processor(images=picture(0), return_tensors="pt")
    assert torch.equal(got["pixel_values"], expected["pixel_values"])
    assert got["pixel_values"].min() >= 0
