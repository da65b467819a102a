import pytest
import torch
from torch.nn import functional as F
from transformers import AutoModelForSequenceClassification

from fuse_lightning.data.targets import Target
from fuse_lightning.errors import FuseError
from fuse_lightning.models import Classifier
from fuse_lightning.objectives import Sentiment
from fuse_lightning.objectives.reading import Reading
from tests.factories.classifiers import CLASSIFIERS, bert_classifier, gpt2_classifier
from tests.near import assert_near

TEXTS = ["the film was great", "bad", "nobody liked the ending; the actors were good!"]
every_classifier = pytest.mark.parametrize("name", CLASSIFIERS)


@pytest.fixture
def plain(folder):
    return lambda name: AutoModelForSequenceClassification.from_pretrained(folder(name)).eval()


@every_classifier
def test_logits_of_a_padded_batch_are_those_of_plain_transformers_one_at_a_time(name, load, plain):
    model, reference = load(name), plain(name)
    assert not any(part.training for part in model.module.modules())
    assert not any(weight.requires_grad for weight in model.module.parameters())
    got = model.logits(model.encode(TEXTS))
    for row, text in enumerate(TEXTS):
        ids = torch.tensor([model.tokenizer(text)["input_ids"]])
        with torch.no_grad():
            expected = reference(input_ids=ids).logits[0]
        assert_near(got[row], expected)


@every_classifier
def test_logits_from_embeddings_equal_logits_from_ids(name, load):
    model = load(name)
    encoded = model.encode(TEXTS)
    got = model.logits(encoded, model.embed(encoded.ids))
    assert torch.equal(got, model.logits(encoded))


@every_classifier
def test_gradient_of_sentiment_at_embeddings_equals_differences(name, in_double, check_gradient):
    model = in_double(name)
    term = Sentiment(model, label="1")
    term.set_targets([Target("t")])
    encoded = model.encode(TEXTS)
    reading = Reading.single(encoded, encoded.mask, torch.zeros(len(TEXTS), dtype=torch.long))
    check_gradient(lambda x: term.loss(reading, x).sum(), model.embed(encoded.ids))


@every_classifier
def test_sentiment_is_the_cross_entropy_of_the_wanted_label(name, load, plain):
    model, reference = load(name), plain(name)
    term = Sentiment(model)
    term.set_targets([Target("a", sentiment=model.labels[1]), Target("b", sentiment="0")])
    encoded = model.encode(TEXTS)
    owners = torch.tensor([0, 1, 0])
    got = term.loss(Reading.single(encoded, encoded.mask, owners))
    for row, (text, wanted) in enumerate(zip(TEXTS, [1, 0, 1], strict=True)):
        ids = torch.tensor([model.tokenizer(text)["input_ids"]])
        with torch.no_grad():
            expected = F.cross_entropy(reference(input_ids=ids).logits, torch.tensor([wanted]))
        assert_near(got[row], expected)


def test_a_decoder_reads_its_last_token_before_the_padding_its_configuration_names(tmp_path, load):
    model = load(gpt2_classifier(tmp_path / "pads", pad=17), Classifier)
    assert model.tokenizer.pad_token_id is None
    assert model.pad_id == 17
    together = model.logits(model.encode(TEXTS))
    apart = torch.cat([model.logits(model.encode([text])) for text in TEXTS])
    assert_near(together, apart)


def test_roberta_reads_as_many_tokens_as_have_positions_after_the_padding_one(load):
    model = load("roberta_classifier")
    assert model.tokenizer.model_max_length > 10**9
    assert model.module.config.max_position_embeddings == 50
    assert model.max_tokens == 48
    longest = model.encode(["a " * 100])
    with pytest.raises((IndexError, RuntimeError)):
        model.logits(longest[:1])
    longest.ids, longest.mask = longest.ids[:, :48], longest.mask[:, :48]
    assert model.logits(longest).isfinite().all()


@pytest.mark.parametrize(
    ("label", "index"),
    [("NEGATIVE", 0), ("negative", 0), ("positive", 1), ("POSITIVE", 1), ("0", 0), ("1", 1)],
)
def test_labels_are_found_in_any_case_and_by_number(label, index, load):
    assert load("bert_classifier").label_index(label) == index


@pytest.mark.parametrize(("label", "index"), [("LABEL_2", 2), ("label_0", 0), ("1", 1)])
def test_unnamed_labels_are_found(label, index, load):
    model = load("roberta_classifier")
    assert model.labels == ["LABEL_0", "LABEL_1", "LABEL_2"]
    assert model.label_index(label) == index


@pytest.mark.parametrize("label", ["happy", "2", "-1", "", "²"])
def test_unknown_labels_are_refused_with_a_list_of_the_known_ones(label, load):
    with pytest.raises(FuseError, match="NEGATIVE, Positive") as raised:
        load("bert_classifier").label_index(label)
    assert "\n" not in str(raised.value)


def test_more_than_ten_labels_keep_their_order(tmp_path, load):
    names = [f"emotion {index}" for index in range(12)]
    model = load(bert_classifier(tmp_path / "many", names), Classifier)
    assert model.labels == names
    assert model.label_index("Emotion 10") == 10


def test_a_label_that_may_stand_beside_others_is_scored_alone(load, monkeypatch):
    model = load("bert_classifier")
    monkeypatch.setattr(model.module.config, "problem_type", "multi_label_classification")
    term = Sentiment(model, label="1")
    term.set_targets([Target("t")])
    encoded = model.encode(TEXTS)
    got = term.loss(Reading.single(encoded, encoded.mask, torch.zeros(3, dtype=torch.long)))
    assert_near(got, -model.logits(encoded)[:, 1].sigmoid().log())


def test_a_single_label_is_refused(load, monkeypatch):
    model = load("bert_classifier")
    monkeypatch.setattr(model, "labels", ["score"])
    with pytest.raises(FuseError, match=r"has 1 label, .* always 1; give a classifier with at"):
        Sentiment(model, label="score").check()
