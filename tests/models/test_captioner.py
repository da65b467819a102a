import shutil
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from transformers import (
    AutoModelForImageTextToText,
    AutoTokenizer,
    BlipConfig,
    BlipImageProcessorPil,
    BlipModel,
    CLIPImageProcessorPil,
    ViTImageProcessorPil,
)

from fuse_lightning.errors import FuseError
from fuse_lightning.models import CaptionModel
from tests.factories import tiny
from tests.factories.captioners import CAPTIONERS, QUERIES, blip, blip2_opt, blip2_t5
from tests.factories.folders import edit_json

TOKENS = 6
every_captioner = pytest.mark.parametrize("name", CAPTIONERS)
every_prefix = pytest.mark.parametrize("prefix", ["", "a red"])


def picture(seed, size=(40, 56)):
    rng = np.random.default_rng(seed)
    low = rng.integers(0, 200, 3)
    return Image.fromarray(rng.integers(low, low + 56, (*size, 3)).astype(np.uint8))


PICTURES = [picture(0), picture(1, (64, 33)), picture(2)]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return cache(lambda name: CAPTIONERS[name](tmp_path_factory.mktemp(name) / name))


@pytest.fixture(scope="module")
def load(folders):
    @cache
    def get(name):
        model = CaptionModel(folders(name))
        model.load()
        return model

    return get


def plain_inputs(name, folder, words, image, prefix):
    """What ``generate`` takes, put together by hand; and how many ids it repeats in front."""
    tokens = words(prefix, add_special_tokens=False).input_ids
    seen = [words.convert_tokens_to_ids("<image>")] * QUERIES
    match name:
        case "blip":
            ids = [words.cls_token_id, *tokens, words.sep_token_id]
            repeated = 1 + len(tokens)
        case "blip2_opt":
            ids = [*seen, words.bos_token_id, *tokens]
            repeated = len(ids)
        case "blip2_t5":
            ids = [*seen, *tokens, words.eos_token_id]
            repeated = 1
        case "vit_gpt2":
            ids = tokens
            repeated = 1 + len(tokens)
        case _:
            request = " Describe the image in one short sentence. assistant:"
            before, after = (
                words(text, add_special_tokens=False).input_ids
                for text in ("user: ", f"{request} {prefix}")
            )
            ids = [words.bos_token_id, *before, *seen, *after]
            repeated = len(ids)
    kind = {"vit_gpt2": ViTImageProcessorPil, "llava": CLIPImageProcessorPil}
    processor = kind.get(name, BlipImageProcessorPil).from_pretrained(folder)
    inputs = {"pixel_values": processor(images=image, return_tensors="pt")["pixel_values"]}
    if name != "vit_gpt2":
        inputs["input_ids"] = torch.tensor([ids])
        inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    elif ids:
        inputs["decoder_input_ids"] = torch.tensor([ids])
    return inputs, repeated


@every_captioner
@every_prefix
def test_captions_are_those_of_plain_transformers_beam_search_first(name, prefix, folders, load):
    network = AutoModelForImageTextToText.from_pretrained(folders(name)).eval()
    words = AutoTokenizer.from_pretrained(folders(name))
    words.add_tokens(["<image>"], special_tokens=True)
    got = load(name).captions(PICTURES, 4, prefix, TOKENS, seed=7)
    for image, texts in zip(PICTURES, got, strict=True):
        inputs, repeated = plain_inputs(name, folders(name), words, image, prefix)
        rows = list(network.generate(**inputs, max_new_tokens=TOKENS, num_beams=5))
        torch.manual_seed(7)
        rows += network.generate(
            **inputs,
            max_new_tokens=TOKENS,
            do_sample=True,
            top_p=0.9,
            top_k=0,
            num_return_sequences=3,
        )
        expected = [words.decode(row[repeated:], skip_special_tokens=True) for row in rows]
        expected = [" ".join(text.split()) for text in expected]
        assert texts == [text for text in dict.fromkeys(expected) if text]
    assert len({tuple(texts) for texts in got}) == len(PICTURES)


@every_captioner
def test_captions_do_not_depend_on_the_other_pictures(name, load):
    model = load(name)
    together = model.captions(PICTURES, 4, "a red", TOKENS)
    alone = [model.captions([image], 4, "a red", TOKENS)[0] for image in reversed(PICTURES)]
    assert together == alone[::-1]


@every_captioner
def test_same_seed_gives_same_captions_and_leaves_other_random_numbers_alone(name, load):
    model = load(name)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = model.captions(PICTURES, 4, "", TOKENS, seed=3)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert model.captions(PICTURES, 4, "", TOKENS, seed=3) == first
    other = model.captions(PICTURES, 4, "", TOKENS, seed=4)
    assert other != first
    assert [texts[0] for texts in other] == [texts[0] for texts in first]


@every_captioner
def test_without_beams_all_captions_are_drawn(name, load):
    model = load(name)
    first = model.captions(PICTURES[:1], 1, "", TOKENS, 5)[0]
    drawn = model.captions(PICTURES[:1], 3, "", TOKENS, 5, num_beams=0)[0]
    assert len(first) == 1 < len(drawn)
    both = [*dict.fromkeys([*first, *drawn])]
    assert model.captions(PICTURES[:1], 4, "", TOKENS, seed=5)[0] == both


def test_captions_are_distinct_even_where_few_can_be(load):
    texts = load("blip2_t5").captions(PICTURES[:1], 40, "", 1)[0]
    assert 1 < len(texts) == len(set(texts)) < 40


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_caption_is_what_is_said_behind_the_prompt(load, data):
    model = load("vit_gpt2")
    ends = model.tokenizer.all_special_ids
    token = st.integers(0, len(model.tokenizer) - 1).filter(lambda index: index not in ends)
    prompt, said = data.draw(st.lists(token)), data.draw(st.lists(token))
    row = list(said)
    for _ in range(data.draw(st.integers(0, 3))):
        # Special tokens, and rows of the network that the tokenizer does not know.
        row.insert(data.draw(st.integers(0, len(row))), data.draw(st.sampled_from([*ends, 10**6])))
    expected = " ".join(model.tokenizer.decode(said).split())
    assert model._text([*ends, *prompt, *row], [*prompt, *ends]) == expected
    if said[: len(prompt)] != prompt:
        assert model._text(row, prompt) == expected


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK"])
@every_captioner
def test_pictures_of_any_mode_are_seen_as_rgb(name, mode, load):
    model, image = load(name), PICTURES[0].convert(mode)
    assert model.captions([image], 2, "", 3) == model.captions([image.convert("RGB")], 2, "", 3)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (3, 1), (400, 2)])
@every_captioner
def test_pictures_of_any_size_have_captions(name, size, load):
    assert load(name).captions([picture(0, size)], 3, "", TOKENS)[0]


@every_captioner
def test_weights_are_frozen_in_eval_mode(name, load):
    module = load(name).module
    assert not any(part.training for part in module.modules())
    assert not any(weight.requires_grad for weight in module.parameters())


@pytest.mark.parametrize("build", [blip2_opt, blip2_t5])
def test_folders_of_old_blip_2_releases_are_read(build, tmp_path, load):
    folder = tmp_path / "old"
    build(folder)
    edit_json(folder / "processor_config.json", num_query_tokens=None)
    edit_json(folder / "config.json", image_token_index=None)
    old = CaptionModel(str(folder))
    old.load()
    new = load(build.__name__)
    assert old.captions(PICTURES, 3, "a red", TOKENS) == new.captions(PICTURES, 3, "a red", TOKENS)


@every_captioner
def test_networks_in_bfloat16_write_too(name, folders):
    model = CaptionModel(folders(name), dtype="bfloat16")
    model.load()
    assert model.module.dtype == torch.bfloat16
    assert model.captions(PICTURES, 2, "a red", TOKENS)[2]


def refusal(model):
    with pytest.raises(FuseError) as raised:
        model.load()
    message = str(raised.value)
    assert "\n" not in message
    assert model.model_id in message
    return message


@pytest.mark.parametrize("build", [tiny.clip, tiny.gpt2, tiny.classifier])
def test_a_model_of_another_kind_is_refused(build, tmp_path):
    assert "not a captioner such as BLIP; give" in refusal(CaptionModel(build(tmp_path / "other")))


def test_an_unknown_id_is_refused():
    assert "no such folder" in refusal(CaptionModel("no-such-user/no-such-model"))


def test_a_folder_that_is_no_model_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("no model")
    message = refusal(CaptionModel(str(tmp_path)))
    assert "give a folder written by save_pretrained" in message


def test_a_network_that_cannot_write_is_refused(tmp_path):
    folder = blip(tmp_path / "blip")
    BlipModel(BlipConfig.from_pretrained(folder)).save_pretrained(folder)
    assert "would be random" in refusal(CaptionModel(folder))


@every_captioner
def test_a_folder_without_a_processor_is_refused(name, folders, tmp_path):
    folder = shutil.copytree(folders(name), tmp_path / name)
    for path in folder.glob("*processor_config.json"):
        path.unlink()
    assert "has no usable processor" in refusal(CaptionModel(str(folder)))


@pytest.mark.parametrize(("name", "room"), [("blip", 44), ("blip2_opt", 57), ("vit_gpt2", 46)])
def test_more_tokens_than_the_network_has_positions_for_are_refused(name, room, load):
    model = load(name)
    assert model.captions(PICTURES[:1], 2, "a red", room)[0]
    with pytest.raises(FuseError, match=f"max_new_tokens is {room + 1}.* has room for {room} "):
        model.captions(PICTURES[:1], 2, "a red", room + 1)
