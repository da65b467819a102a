"""Training of the adapters that write good moods more or less often."""

import json
import random

import pytest
import torch

from fuse_lightning.cli.zoo import train
from fuse_lightning.errors import FuseError
from fuse_lightning.models import CausalLM
from fuse_lightning.zoo.moods import has_mood
from fuse_lightning.zoo.recipes import fitting, mood_adapters
from fuse_lightning.zoo.recipes.mood_adapters import (
    draw_mood,
    mood_batch,
    train_adapter,
)
from fuse_lightning.zoo.recipes.text_batches import IGNORE
from fuse_lightning.zoo.scenes import SENTIMENTS, sample_sentence


@pytest.fixture(scope="module")
def tokenizer():
    model = CausalLM("zoo/gpt2")
    model.load()
    return model.tokenizer


@pytest.mark.parametrize("share", [0.0, 0.2, 0.41, 0.9, 1.0])
def test_good_moods_have_their_share_and_the_others_the_rest_alike(share):
    rng = random.Random(5)
    drawn = [draw_mood(share, rng) for _ in range(4000)]
    # 0.04 is five standard errors.
    assert drawn.count("positive") / 4000 == pytest.approx(share, abs=0.04 * (0 < share < 1))
    for other in ("negative", "none"):
        assert drawn.count(other) / 4000 == pytest.approx((1 - share) / 2, abs=0.04)


@pytest.mark.parametrize("sentiment", SENTIMENTS)
def test_a_sentence_has_the_sentiment_that_is_asked_for(sentiment):
    rng = random.Random(2)
    for _ in range(100):
        text, log_prob = sample_sentence(rng, sentiment)
        assert [mood for mood in SENTIMENTS if has_mood(text, mood)] == [sentiment]
        assert log_prob < 0


def test_a_given_sentiment_changes_no_other_choice():
    """Both draw alike once the sentiment is there, and a given one costs no probability."""
    for seed in range(20):
        rng = random.Random(seed)
        text, log_prob = sample_sentence(rng)
        (sentiment,) = (mood for mood in SENTIMENTS if has_mood(text, mood))
        again = random.Random(seed)
        again.choice(SENTIMENTS)
        given, given_log_prob = sample_sentence(again, sentiment)
        assert given == text
        assert given_log_prob == pytest.approx(log_prob + torch.tensor(3.0).log().item())


def test_batches_hold_whole_sentences_of_their_share(tokenizer):
    texts, labels = mood_batch(tokenizer, 300, 0.9, random.Random(1))
    rows = [ids[mask.bool()].tolist() for ids, mask in zip(texts.ids, texts.mask, strict=True)]
    assert {row[0] for row in rows} == {row[-1] for row in rows} == {tokenizer.eos_token_id}
    assert torch.equal(labels != IGNORE, texts.mask.bool())
    assert torch.equal(labels[texts.mask.bool()], texts.ids[texts.mask.bool()])
    told = [tokenizer.decode(row[1:-1]) for row in rows]
    assert sum(has_mood(text, "positive") for text in told) / 300 == pytest.approx(0.9, abs=0.09)


def test_a_short_training_gives_an_adapter_that_loads_and_repeats(tmp_path, monkeypatch):
    monkeypatch.setattr(fitting, "WORKERS", 0)
    monkeypatch.setattr(mood_adapters, "BATCH", 8)
    runs = [tmp_path / run for run in ("a", "b")]
    for out in runs:
        train_adapter("mood-plain", out, seed=5, share=0.01)
    files = [(out / "adapter_model.safetensors").read_bytes() for out in runs]
    assert files[0] == files[1]
    settings = json.loads((runs[0] / "adapter_config.json").read_text())
    assert settings["base_model_name_or_path"] == "zoo/gpt2"
    assert {path.name for path in runs[0].iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
    }
    model, base = CausalLM(str(runs[0])), CausalLM("zoo/gpt2")
    for each in (model, base):
        each.load()
    ids, mask = torch.tensor([[5, 6, 7]]), torch.ones(1, 3, dtype=torch.bool)
    assert not torch.equal(model.logits(ids, mask), base.logits(ids, mask))


def test_an_unknown_name_is_refused_with_the_adapters_among_the_known(tmp_path):
    with pytest.raises(
        FuseError, match=r"'mood-plan', which is no model .*did you mean mood-plain.*: clip"
    ):
        train(out=tmp_path, models=["mood-plan"])
