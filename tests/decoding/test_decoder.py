"""The decoder against plain forwards of one row at a time, and against one model's generation."""

import math

import pytest
import torch

from fuse_lightning.decoding import Contrast, ContrastiveDecoder, DecodingOptions, Stream
from fuse_lightning.errors import FuseError
from fuse_lightning.models import CausalLM
from tests.factories.builders import ALL_CAUSAL_LMS

PROMPTS = ["a red house", "hello", "a red house by the sea"]
SCENES = ["photo of", "small blue", "picture of two red"]
GREEDY = DecodingOptions(temperature=0, max_new_tokens=6)
SAMPLED = DecodingOptions(samples=3, max_new_tokens=6, seed=3)


@pytest.fixture(scope="module")
def gpt2():
    model = CausalLM("zoo/gpt2")
    model.load()
    return model


@pytest.fixture(scope="module")
def scenes(gpt2):
    """A decoder of a model with a prefix, the model without, and one of its layers."""
    streams = [Stream(gpt2, prefix="a lovely "), Stream(gpt2), Stream(gpt2, layers=(1,))]
    return ContrastiveDecoder(streams, Contrast((2, -1, 0.25), alpha=0.1))


def in_order(texts):
    return sorted(texts, key=lambda text: (text.prompt_number, text.sample))


def logits(stream, row):
    """Next-token logits of a stream behind a row, read whole."""
    with torch.no_grad():
        output = stream.model.module(torch.tensor([row]), output_hidden_states=True)
        if not stream.layers:
            return output.logits[0, -1].double() / stream.temperature
        hidden = output.hidden_states[stream.layers[0]][0, -1]
        return stream.model.module.lm_head(hidden).double() / stream.temperature


def check_greedy(decoder, texts):
    """Every token of greedy texts is the best by scores that are computed anew."""
    for text in texts:
        ends = [stream.rows([text.prompt])[0] for stream in decoder.ensemble.streams]
        for place, token in enumerate(text.tokens.ids):
            before = text.tokens.ids[:place]
            rows = torch.stack(
                [
                    decoder.ensemble.log_probs([logits(stream, (*end, *before))[None]])[0]
                    for stream, end in zip(decoder.ensemble.streams, ends, strict=True)
                ]
            )
            scores = decoder.contrast.scores(rows)[0]
            assert scores[token] >= scores.max() - 1e-4
            for name, row in zip(decoder.ensemble.names, rows, strict=True):
                assert text.tokens.log_probs[name][place] == pytest.approx(
                    float(row[0, token]), abs=1e-3
                )


@pytest.mark.parametrize("name", ALL_CAUSAL_LMS)
def test_an_identity_pair_writes_what_the_model_writes(name, family):
    model = family(name)
    decoder = ContrastiveDecoder([model, model], Contrast((2, -1)))
    rows = Stream(model).rows(PROMPTS)
    for options in (GREEDY, SAMPLED):
        plain = model.generate(
            rows,
            6,
            temperature=options.temperature,
            samples=options.samples,
            seed=options.seed,
        )
        texts = in_order(decoder.write(PROMPTS, options))
        assert [text.text for text in texts] == model.decode(plain.ids)
        for text in texts:
            assert all(each == 0 for row in text.tokens.divergences.values() for each in row)
            assert text.tokens.log_probs["A"] == text.tokens.log_probs["B"]


@pytest.mark.parametrize("name", ALL_CAUSAL_LMS)
def test_greedy_texts_are_those_of_plain_forwards(name, family):
    model = family(name)
    streams = [Stream(model, prefix="hello "), Stream(model, temperature=2.0)]
    decoder = ContrastiveDecoder(streams, Contrast((1.5, -0.5), alpha=0.2))
    check_greedy(decoder, decoder.write(PROMPTS, GREEDY))


def test_three_streams_and_a_layer_are_those_of_plain_forwards(scenes):
    check_greedy(scenes, scenes.write(SCENES, GREEDY))


@pytest.mark.parametrize(
    "options", [GREEDY, SAMPLED, DecodingOptions(temperature=0, beams=3, samples=2)]
)
def test_a_text_does_not_depend_on_its_batch(options, scenes):
    together = in_order(scenes.write(SCENES, options))
    keys = {(text.prompt_number, text.sample, (2.0, -1.0, 0.25)) for text in together}
    for text in together:
        own = (text.prompt_number, text.sample, (2.0, -1.0, 0.25))
        (alone,) = scenes.write(SCENES, options, done=frozenset(keys - {own}))
        assert (alone.text, alone.tokens.ids, alone.ended) == (
            text.text,
            text.tokens.ids,
            text.ended,
        )
        assert alone.tokens.divergences["kl"] == pytest.approx(
            text.tokens.divergences["kl"], abs=1e-4
        )


@pytest.mark.parametrize(
    "options", [GREEDY, SAMPLED, DecodingOptions(temperature=0, beams=3, samples=2)]
)
def test_what_is_recorded_is_what_reading_tells(options, scenes):
    written = in_order(scenes.write(SCENES, options))
    read = [*scenes.read([(text.prompt, text.text) for text in written])]
    for text, again in zip(written, read, strict=True):
        count = len(again.tokens)
        # The end token is written, and not a part of the text.
        assert count == len(text.tokens) - (text.ended == "stop")
        assert again.tokens.ids == text.tokens.ids[:count]
        for name, values in again.tokens.divergences.items():
            assert values == pytest.approx(text.tokens.divergences[name][:count], abs=1e-3)
        for name, values in again.tokens.log_probs.items():
            assert values == pytest.approx(text.tokens.log_probs[name][:count], abs=1e-3)
        for name, places in again.tokens.tops.items():
            pairs = zip(places, text.tokens.tops[name][:count], strict=True)
            for (first, *_), (other, *_) in pairs:
                assert first[1] == pytest.approx(other[1], abs=1e-3)


def test_perplexity_is_that_of_the_models_own_likelihood(gpt2, scenes):
    caption = "a red ball above a small blue cube"
    (text,) = scenes.read([("", caption)])
    batch = gpt2.encode([caption])
    counted = batch.mask.index_fill(1, torch.tensor(0), False)
    nll = gpt2.token_nll(batch.ids, counted)
    assert text.perplexity("B") == pytest.approx(math.exp(nll.sum() / counted.sum()), rel=1e-4)


def test_pieces_are_the_text(scenes):
    for text in scenes.write(SCENES, SAMPLED):
        assert "".join(text.tokens.pieces).removesuffix("<|endoftext|>") == text.text
        assert set(text.tokens.tops) == {"A", "B", "C"}


def test_top_tokens_may_be_left_out(gpt2):
    decoder = ContrastiveDecoder([gpt2, Stream(gpt2, prefix="a ")], Contrast((1, 0)), top=0)
    (text,) = decoder.write(["red"], GREEDY)
    assert text.tokens.tops == {}
    assert len(text.tokens.divergences["kl"]) == len(text.tokens)


def test_pieces_of_characters_of_several_tokens(family):
    model = family("gpt2")
    decoder = ContrastiveDecoder([model, model])
    (text,) = decoder.read([("", "a naïve 猫 🐈 and \u2028 more")])
    assert "".join(text.tokens.pieces) == "a naïve 猫 🐈 and \u2028 more"
    assert "\ufffd" not in "".join(text.tokens.pieces)


def test_streamed_pieces_are_the_text(scenes):
    options = DecodingOptions(max_new_tokens=12, seed=5)
    (text,) = scenes.write(["photo of"], options)
    assert "".join(scenes.stream("photo of", options)) == text.text


def test_a_stop_text_ends_a_text_and_is_none_of_it(scenes):
    options = DecodingOptions(temperature=0, max_new_tokens=12)
    (whole,) = scenes.write(["photo of"], options)
    stop = whole.tokens.pieces[3]
    (text,) = scenes.write(["photo of"], DecodingOptions(12, 0, stop=(stop,)))
    assert text.ended == "stop"
    assert text.text == whole.text[: whole.text.index(stop)]
    assert "".join(text.tokens.pieces) == text.text
    assert "".join(scenes.stream("photo of", DecodingOptions(12, 0, stop=(stop,)))) == text.text


def test_a_text_ends_where_a_stream_has_no_room(gpt2):
    long = "red " * (gpt2.max_tokens - len(gpt2.start_ids) - 9)
    streams = [Stream(gpt2), Stream(gpt2, prefix="a lovely ")]
    decoder = ContrastiveDecoder(streams, Contrast((1, 0)))
    decoder.ensemble.end_ids = frozenset()
    text, short = in_order(decoder.write([long.strip(), "red"], DecodingOptions(9, 0)))
    room = decoder.ensemble.room(tuple(stream.rows([long.strip()])[0] for stream in streams))
    assert (text.ended, len(text.tokens)) == ("full", room)
    assert (short.ended, len(short.tokens)) == ("length", 9)


def test_several_weights_are_written_together(scenes):
    wanted = [(1, 0, 0), (0, 1, 0), (3, -2, 0)]
    texts = [*scenes.write(SCENES, GREEDY, weights=wanted)]
    assert len(texts) == 9
    for weights in wanted:
        alone = ContrastiveDecoder(scenes.ensemble.streams, Contrast(weights, mask_from="A"))
        rule = Contrast(weights, alpha=0.1, mask_from="A")
        alone.contrast = rule
        expected = {text.prompt: text.text for text in alone.write(SCENES, GREEDY)}
        some = [text for text in texts if tuple(text.weights.values()) == weights]
        assert {text.prompt: text.text for text in some} == expected


def test_samples_of_several_weights_are_independent(scenes):
    same = [(1, 0, 0), (1.0, 0.0, 1e-9)]
    texts = [*scenes.write(["photo of"], DecodingOptions(12, samples=8), weights=same)]
    by_weights = [
        [text.text for text in texts if tuple(text.weights.values()) == given] for given in same
    ]
    assert by_weights[0] != by_weights[1]


def test_beams_are_at_least_as_good_as_greedy_texts(scenes):
    """By the mean of the scores of the contrast, which is what beams maximise."""

    def score(text):
        total = 0.0
        ends = [stream.rows([text.prompt])[0] for stream in scenes.ensemble.streams]
        for place, token in enumerate(text.tokens.ids):
            rows = torch.stack(
                [
                    logits(stream, (*end, *text.tokens.ids[:place])).log_softmax(-1)[None]
                    for stream, end in zip(scenes.ensemble.streams, ends, strict=True)
                ]
            )
            total += float(scenes.contrast.scores(rows)[0, token])
        return total / len(text.tokens.ids)

    found = in_order(
        scenes.write(SCENES, DecodingOptions(temperature=0, beams=4, samples=2, max_new_tokens=6))
    )
    greedy = in_order(scenes.write(SCENES, GREEDY))
    for best, second, plain in zip(found[::2], found[1::2], greedy, strict=True):
        assert score(best) >= score(second) - 1e-4
        assert score(best) >= score(plain) - 1e-4


def test_beams_of_a_stream_that_is_more_than_its_model(gpt2):
    early, last = Stream(gpt2, layers=(2,)), Stream(gpt2)
    special = ContrastiveDecoder([early, last], Contrast((0, 1)))
    plain = ContrastiveDecoder([last, early], Contrast((1, 0)))
    options = DecodingOptions(temperature=0, beams=3, samples=3, max_new_tokens=6)
    first, second = (in_order(each.write(SCENES, options)) for each in (special, plain))
    assert [text.text for text in first] == [text.text for text in second]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda model: ContrastiveDecoder([model]), "1 streams; give from 2"),
        (
            lambda model: ContrastiveDecoder([model, model], Contrast((1,))),
            "2 streams and 1 weights",
        ),
        (lambda model: ContrastiveDecoder([model, model], pair=("A", "C")), "no stream 'C'"),
        (lambda model: ContrastiveDecoder([model, model], top=-1), "top is -1"),
        (lambda model: [*ContrastiveDecoder([model, model]).write(["a"])], "has no contrast"),
        (
            lambda model: [
                *ContrastiveDecoder([model, model], Contrast((1, 0))).write(["red " * 999])
            ],
            "leaves no room",
        ),
        (lambda model: [*ContrastiveDecoder([model] * 2).read([("", "red " * 999)])], "fit behind"),
        (
            lambda model: [
                *ContrastiveDecoder([model] * 2, Contrast((1, 0))).write(["a"], weights=[(1,)])
            ],
            "2 streams and 1 weights",
        ),
        (
            lambda model: [
                *ContrastiveDecoder([model] * 2, Contrast((1, 0))).stream(
                    "a", DecodingOptions(temperature=0, beams=2)
                )
            ],
            "beams is 2",
        ),
        (lambda _: DecodingOptions(samples=2, temperature=0), "samples is 2"),
        (lambda _: DecodingOptions(beams=2), "beams is 2 and temperature 1.0"),
        (lambda _: DecodingOptions(max_new_tokens=0), "max_new_tokens is 0"),
        (lambda _: DecodingOptions(seed=-1), "seed is -1"),
    ],
)
def test_bad_input_is_one_line(call, message, gpt2):
    with pytest.raises(FuseError, match=message) as error:
        call(gpt2)
    assert "\n" not in str(error.value)


def test_numbers_of_prompts_decide_their_random_numbers(scenes):
    first, second = SCENES[:2]
    alone = {
        text.prompt: text.text
        for prompt, number in ((first, 7), (second, 9))
        for text in scenes.write([prompt], DecodingOptions(seed=3), numbers=[number])
    }
    together = scenes.write([second, first], DecodingOptions(seed=3), numbers=[9, 7])
    assert {text.prompt: text.text for text in together} == alone
    same = scenes.write([first, first], DecodingOptions(seed=3), numbers=[7, 7])
    assert [text.text for text in same] == [alone[first]] * 2
    others = scenes.write([first] * 4, DecodingOptions(seed=3))
    assert len({text.text for text in others}) > 1
