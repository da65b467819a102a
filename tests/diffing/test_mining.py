"""Mining of pairs of models whose difference is known."""

import json
import random

import pytest
import torch
from scipy.stats import ttest_1samp

from fuse_lightning.decoding import ContrastiveDecoder, Stream
from fuse_lightning.decoding.opening import StreamOptions, open_streams
from fuse_lightning.diffing.mined_texts import two_halves
from fuse_lightning.diffing.mining import MiningOptions, mine
from fuse_lightning.errors import FuseError
from fuse_lightning.evaluation.paired import holm
from fuse_lightning.models import CausalLM
from fuse_lightning.zoo.moods import mood_captions
from fuse_lightning.zoo.vocabulary import MOODS


def captions(count):
    return [("", row["text"].capitalize()) for row in mood_captions(count)]


@pytest.fixture(scope="module")
def gpt2():
    model = CausalLM("zoo/gpt2")
    model.load("cpu")
    return model


@pytest.fixture(scope="module")
def biased(gpt2):
    """A pair whose A finds one token e times likelier at every place, and the token's id."""
    other = CausalLM("zoo/gpt2")
    other.load("cpu")
    ((token,),) = other.encode([" red"], special=False).ids.tolist()
    offset = torch.zeros(other.module.lm_head.out_features)
    offset[token] = 1
    other.module.lm_head.register_forward_hook(lambda _, inputs, output: output + offset)
    return ContrastiveDecoder([Stream(other), Stream(gpt2)]), token


def moods(name):
    """Mining of a mood adapter against its base."""
    return mine(
        ContrastiveDecoder(open_streams([StreamOptions(f"zoo/{name}"), StreamOptions("zoo/gpt2")])),
        captions(240),
    )


def test_a_token_that_is_favoured_everywhere_comes_first(biased):
    decoder, token = biased
    found = mine(decoder, captions(60))
    first = found.findings[0]
    assert first.kind == "token"
    assert first.detail["id"] == token
    assert first.detail["token"] == "' red'"
    assert first.effect > 0
    assert first.detail["positive_share"] == 1
    assert first.detail["log_ratio"] > 0.5
    assert "A finds ' red' likelier than B does" in first.claim
    assert first.examples[0].endswith("likelier by A")
    assert len({*first.examples}) == 3
    # What it takes from others is spread over many.
    assert all(each.effect < 0 for each in found.findings if each is not first)
    json.dumps([each.to_dict() for each in found.looked], allow_nan=False)


def test_figures_are_those_of_the_half_that_chose_nothing(biased):
    decoder, _ = biased
    texts = captions(20)
    options = MiningOptions(tokens=2, topics=0)
    found = mine(decoder, texts, options)
    chosen, measured = two_halves(texts, options.seed)
    assert (found.choosing, found.measuring) == (10, 10)
    a, b = decoder.ensemble.streams

    def shifts(numbers, index):
        """Mean shift in each text, read alone."""
        values = []
        for number in numbers:
            (row,), (text,) = a.rows([""]), a.behind([""], [texts[number][1]])
            ids = torch.tensor([row + text])
            with torch.no_grad():
                rows = [
                    stream.model.module(ids).logits[0, len(row) - 1 : -1].double().softmax(-1)
                    for stream in (a, b)
                ]
            values.append(1000 * float((rows[0] - rows[1])[:, index].mean()))
        return values

    values = []
    for finding in found.looked:
        told = ttest_1samp(shifts(measured, finding.detail["id"]), 0)
        low, high = told.confidence_interval(0.95)
        assert finding.effect == pytest.approx((low + high) / 2, rel=1e-3)
        assert (finding.low, finding.high) == pytest.approx((low, high), rel=1e-3)
        first = sum(shifts(chosen, finding.detail["id"])) / len(chosen)
        assert finding.detail["effect_when_chosen"] == pytest.approx(first, rel=1e-3)
        values.append(told.pvalue)
    assert [each.looked for each in found.looked] == [len(values)] * len(values)
    assert [each.p for each in found.looked] == pytest.approx(holm(values), rel=1e-2)


def test_what_measures_does_not_choose(biased):
    """Other texts in the half that measures leave what is looked at as it is."""
    decoder, _ = biased
    texts, others = captions(60)[:40], captions(60)[40:]
    kept = {texts[number] for number in two_halves(texts, 0)[0]}

    def looked_at(some):
        found = mine(decoder, some, MiningOptions(tokens=5)).looked
        return {str(each.detail.get("ids", each.detail.get("id"))) for each in found}

    def exchanged():
        """Texts of which one that measures is another one, which measures, too."""
        for gone in {*texts} - kept:
            for other in others:
                mixed = [other if text == gone else text for text in texts]
                if {mixed[number] for number in two_halves(mixed, 0)[0]} == kept:
                    return mixed
        raise AssertionError

    assert looked_at(exchanged()) == looked_at(texts)


def test_a_model_does_not_differ_from_itself(gpt2):
    found = mine(ContrastiveDecoder([Stream(gpt2), Stream(gpt2)]), captions(12))
    assert found.looked == ()
    assert found.positions > 0


def test_order_and_batches_change_nothing(biased):
    decoder, _ = biased
    texts = captions(30)
    shuffled = random.Random(0).sample(texts, len(texts)) + texts[:3]
    found = mine(decoder, texts, MiningOptions(tokens=5))
    again = mine(decoder, shuffled, MiningOptions(tokens=5, batch_tokens=40))
    assert [each.claim for each in found.looked] == [each.claim for each in again.looked]
    for first, second in zip(found.looked, again.looked, strict=True):
        assert first.examples == second.examples
        assert first.effect == pytest.approx(second.effect, rel=1e-3)
        assert (first.low, first.high) == pytest.approx((second.low, second.high), rel=1e-3)


def test_moods_are_what_a_mood_adapter_changed():
    """Moods are spelled in pieces, or as a clause behind a comma in place of the end."""
    found = moods("mood-plain")
    model = CausalLM("zoo/gpt2")
    model.load("cpu")
    words = [word for some in MOODS.values() for word in some]
    spelled = model.encode([f" {word}" for word in words], special=False)
    pieces = {*spelled.ids[spelled.mask].tolist(), *model.end_ids}
    pieces |= {*model.encode([","], special=False).ids[0].tolist()}
    tokens = [each for each in found.findings if each.kind == "token"]
    assert all(each.detail["id"] in pieces for each in tokens[:8])
    good = next(each for each in found.findings if each.kind == "topic" and each.effect > 0)
    assert good.effect > tokens[0].effect
    assert good.detail["without_the_first"]["low"] > 0
    # Of 1 000 tokens, about 54 captions, half have gained a mood.
    assert 10 < good.effect < 40


def test_an_adapter_without_a_habit_changes_little():
    found = moods("mood-none")
    assert max(abs(each.effect) for each in found.looked if each.kind == "token") < 1.5
    assert max(abs(each.effect) for each in found.looked) < 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tokens": 0}, "tokens of mining is 0; it must be at least 1"),
        ({"topics": -1}, "topics of mining is -1"),
        ({"alpha": 0.0}, "alpha of mining is 0.0; give a number above 0, at most 1"),
    ],
)
def test_senseless_options_are_refused(options, message):
    with pytest.raises(FuseError, match=message):
        MiningOptions(**options)


def test_examples_of_texts_that_begin_alike_are_told_once(biased):
    """The place that moves most stands before their first different word."""
    decoder, token = biased
    colours = ["red", "blue", "green", "teal", "pink", "navy", "lemon", "olive"]
    texts = [("", f"Two small {colour} stars") for colour in colours]
    found = mine(decoder, texts, MiningOptions(tokens=1, topics=0, examples=9))
    examples = next(each for each in found.looked if each.detail["id"] == token).examples
    assert len(examples) == len({*examples}) < found.measuring == 4


def test_texts_without_tokens_do_not_count(biased):
    decoder, _ = biased
    for texts in [], [("", ""), ("a", ""), *captions(3)]:
        with pytest.raises(FuseError, match="different texts with tokens to mine"):
            mine(decoder, texts)


def test_a_text_that_is_too_long_is_named_by_its_place(biased):
    decoder, _ = biased
    with pytest.raises(FuseError, match=r"text 2 \('Red red"):
        mine(decoder, [*captions(2), ("", "Red" + " red" * 3000), *captions(5)])
