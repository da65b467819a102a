import json

import pytest
import torch
from torch.nn import functional as F
from transformers import AutoModel

from fuse_lightning.data.targets import Target
from fuse_lightning.errors import FuseError
from fuse_lightning.models import SentenceEncoder
from fuse_lightning.objectives import TextSimilarity
from fuse_lightning.objectives.reading import Reading
from tests.factories.folders import edit_json
from tests.factories.sentence_encoders import sentence_encoder
from tests.near import assert_near

TEXTS = ["a red house", "hello", "two old boats on a calm lake at night"]
POOL = {
    "mean_tokens": lambda hidden: hidden.mean(0),
    "mean_sqrt_len_tokens": lambda hidden: hidden.sum(0) / len(hidden) ** 0.5,
    "cls_token": lambda hidden: hidden[0],
    "max_tokens": lambda hidden: hidden.amax(0),
    "lasttoken": lambda hidden: hidden[-1],
}


def reference_features(folder, tokenizer, pool):
    reference = AutoModel.from_pretrained(folder).eval()
    rows = []
    for text in TEXTS:
        with torch.no_grad():
            ids = torch.tensor([tokenizer(text)["input_ids"]])
            rows.append(pool(reference(input_ids=ids).last_hidden_state[0]))
    return F.normalize(torch.stack(rows), dim=-1)


@pytest.mark.parametrize("mode", POOL)
def test_features_of_a_padded_batch_are_pooled_hidden_states_one_at_a_time(mode, tmp_path, load):
    folder = sentence_encoder(tmp_path / "encoder", mode)
    model = load(folder, SentenceEncoder)
    got = model.text_features(model.encode(TEXTS))
    expected = reference_features(folder, model.tokenizer, POOL[mode])
    assert_near(got, expected)


@pytest.mark.parametrize("mode", ["mean", "cls", "lasttoken"])
def test_a_pooling_given_by_one_name_is_read_too(mode, tmp_path, load):
    folder = sentence_encoder(tmp_path / "encoder")
    path = folder / "1_Pooling" / "config.json"
    path.write_text(json.dumps({"embedding_dimension": 16, "pooling_mode": mode}))
    model = load(folder, SentenceEncoder)
    pool = POOL[mode] if mode in POOL else POOL[f"{mode}_token{'s' * (mode == 'mean')}"]
    expected = reference_features(folder, model.tokenizer, pool)
    got = model.text_features(model.encode(TEXTS))
    assert_near(got, expected)


def test_a_masked_language_model_without_pooler_is_averaged(folder, load):
    model = load("masked_lm")
    got = model.text_features(model.encode(TEXTS))
    expected = reference_features(folder("masked_lm"), model.tokenizer, POOL["mean_tokens"])
    assert_near(got, expected)


@pytest.mark.parametrize("name", ["sentence_encoder", "masked_lm"])
def test_features_from_embeddings_equal_features_from_ids(name, load):
    model = load(name)
    assert not any(part.training for part in model.module.modules())
    assert not any(weight.requires_grad for weight in model.module.parameters())
    encoded = model.encode(TEXTS)
    embeds = model.embed(encoded.ids)
    assert torch.equal(model.text_features(encoded, embeds), model.text_features(encoded))


@pytest.mark.parametrize("name", ["sentence_encoder", "masked_lm", "clip", "siglip"])
def test_gradient_of_text_similarity_at_embeddings_equals_differences(
    name, in_double, check_gradient
):
    model = in_double(name)
    term = TextSimilarity(model)
    term.set_targets([Target("t", text="a red boat")])
    encoded = model.encode(TEXTS)
    reading = Reading.single(encoded, encoded.mask, torch.zeros(len(TEXTS), dtype=torch.long))
    check_gradient(lambda x: term.loss(reading, x).sum(), model.embed(encoded.ids))


def test_a_text_is_at_no_distance_from_itself(load):
    term = TextSimilarity(load("sentence_encoder"))
    term.set_targets([Target(text, text=text) for text in TEXTS])
    encoded = term.model.encode(TEXTS)
    distance = term.loss(Reading.single(encoded, encoded.mask, torch.arange(3)))
    assert_near(distance, torch.zeros(3), size=1)


def test_poolings_that_cannot_be_computed_are_refused(tmp_path, load):
    weighted = sentence_encoder(tmp_path / "weighted", "weightedmean_tokens")
    with pytest.raises(FuseError, match=r"pools by 'weightedmean'.*mean, ") as raised:
        load(weighted, SentenceEncoder)
    assert "\n" not in str(raised.value)
    both = sentence_encoder(tmp_path / "both")
    edit_json(both / "1_Pooling" / "config.json", pooling_mode_cls_token=True)
    with pytest.raises(FuseError, match=r"pools by 'cls\+mean'"):
        load(both, SentenceEncoder)


def test_layers_after_the_pooling_are_refused(tmp_path, load):
    folder = sentence_encoder(tmp_path / "dense")
    path = folder / "modules.json"
    parts = json.loads(path.read_text())
    parts[2]["type"] = "sentence_transformers.models.Dense"
    path.write_text(json.dumps(parts))
    with pytest.raises(FuseError, match="ends in a Dense layer") as raised:
        load(folder, SentenceEncoder)
    assert "\n" not in str(raised.value)


def test_what_sentence_transformers_cut_off_is_not_read(tmp_path, load):
    folder = sentence_encoder(tmp_path / "encoder")
    whole = load(folder, SentenceEncoder).max_tokens
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 7}))
    short = load(folder, SentenceEncoder)
    assert short.max_tokens == 7 < whole
    term = TextSimilarity(short)
    with pytest.warns(UserWarning, match=f"which {str(folder)!r} reads 5; the prompt will not"):
        term.set_targets([Target("a", text="two old boats on a calm lake at night")])
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": None}))
    assert load(folder, SentenceEncoder).max_tokens == whole


def with_prompts(folder, *, default=None, include=True, lower=False):
    """A folder whose files say what is done to texts before they are read."""
    prompts = {"query": "question: ", "document": "the text "}
    (folder / "config_sentence_transformers.json").write_text(
        json.dumps({"prompts": prompts, "default_prompt_name": default})
    )
    (folder / "sentence_bert_config.json").write_text(
        json.dumps({"max_seq_length": 40, "do_lower_case": lower})
    )
    edit_json(folder / "1_Pooling" / "config.json", include_prompt=include)
    return prompts


def pooled(folder, model, texts, passed=0):
    """One text at a time by plain calls, the mean over all but some first tokens."""
    reference = AutoModel.from_pretrained(folder).eval()
    rows = []
    for text in texts:
        with torch.no_grad():
            ids = torch.tensor([model.tokenizer(text)["input_ids"]])
            rows.append(reference(input_ids=ids).last_hidden_state[0, passed:].mean(0))
    return F.normalize(torch.stack(rows), dim=-1)


@pytest.mark.parametrize("include", [True, False])
@pytest.mark.parametrize(("default", "name"), [(None, "query"), ("document", None), (None, None)])
def test_texts_stand_behind_the_prompt_of_the_model(default, name, include, tmp_path, load):
    folder = sentence_encoder(tmp_path / "encoder")
    prompts = with_prompts(folder, default=default, include=include)
    model = load(folder, SentenceEncoder, prompt_name=name)
    prompt = prompts.get(name or default, "")
    encoded = model.encode(TEXTS)
    passed = 0
    if prompt and not include:
        # The begin token is left out with the prompt.
        passed = len(model.tokenizer(prompt, add_special_tokens=False).input_ids) + 1
    expected = pooled(folder, model, [prompt + text for text in TEXTS], passed)
    torch.testing.assert_close(model.text_features(encoded), expected, rtol=1e-5, atol=1e-5)
    for text, spans in zip(TEXTS, encoded.spans.tolist(), strict=True):
        words = [text[a:b] for a, b in spans if a < b]
        assert "".join(words) == text.replace(" ", "")
    bare = model.encode(TEXTS, special=False)
    assert bare.ids[0, 0] == model.tokenizer(TEXTS[0], add_special_tokens=False).input_ids[0]


def test_prompts_with_other_names_are_refused(tmp_path, load):
    folder = sentence_encoder(tmp_path / "encoder")
    with_prompts(folder)
    with pytest.raises(FuseError, match="no prompt 'title'; it has: 'query', 'document'"):
        load(folder, SentenceEncoder, prompt_name="title")
    models = [SentenceEncoder(str(folder), prompt_name=name) for name in ("query", None)]
    assert models[0].key != models[1].key


def test_texts_are_put_in_lower_case_where_the_model_says_so(tmp_path, load):
    folder = sentence_encoder(tmp_path / "encoder")
    edit_json(folder / "tokenizer_config.json", do_lower_case=False)
    edit_json(folder / "tokenizer.json", normalizer=None)
    with_prompts(folder, lower=True)
    model = load(folder, SentenceEncoder)
    texts = ["A Red HOUSE", "a red house", "İn a Red house"]
    assert model.tokenizer(texts[0]).input_ids != model.tokenizer(texts[1]).input_ids
    encoded = model.encode(texts)
    expected = pooled(folder, model, [text.lower() for text in texts])
    torch.testing.assert_close(model.text_features(encoded), expected, rtol=1e-5, atol=1e-5)
    # A letter that is two in lower case moves nothing behind it.
    spans = [(a, b) for a, b in encoded.spans[2].tolist() if a < b]
    assert texts[2].index("Red") in {a for a, _ in spans}
    assert max(b for _, b in spans) == len(texts[2])
