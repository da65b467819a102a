"""Streams, contrast, weights and property that options of ``fuse decode`` ask for."""

import pytest

from fuse_lightning.cli.decode_options import DecodeSettings, PropertyOptions, parse
from fuse_lightning.cli.decode_setup import property_of, streams, variants
from fuse_lightning.decoding import Contrast
from fuse_lightning.errors import FuseError


def found(**options):
    return variants(DecodeSettings(**options))


def refused(call, *told):
    with pytest.raises(FuseError) as caught:
        call()
    line = str(caught.value)
    assert "\n" not in line
    assert [part for part in told if part not in line] == [], line


def test_weights_make_a_contrast_with_all_its_options():
    options = {
        "mode": "residual", "alpha": 0.1, "mask_top_p": 0.9, "mask_top_k": 5, "mask_keep": 2,
        "mask_from": "A", "gate": "js", "gate_at": 0.2, "gate_between": "a,b", "fallback": "B",
        "least": 0.5,
    }  # fmt: skip
    got = found(weights="2,-1", **options)
    assert got.weights == ((2, -1),)
    assert got.contrast == Contrast(
        (2, -1), "residual", 0.1, 0.9, 5, "A", 2, "js", 0.2, ("A", "B"), "B", 0.5
    )
    assert found(weights=[2, -1]).contrast == Contrast((2, -1))


def test_presets_have_their_numbers_and_other_options_go_beside_them():
    assert found(preset="amplification", amount=2).weights == ((3, -2),)
    assert found(preset="guidance", scale=1.5, alpha=0.1).contrast == Contrast(
        (1.5, -0.5), alpha=0.1
    )
    assert found(preset="contrastive", beta=0.5, alpha=0.2).contrast == Contrast(
        (1.5, -0.5), alpha=0.2
    )
    assert found(preset="residual", least=0.2).contrast.least == 0.2
    assert found(preset="proxy").weights == ((1, -1, 1),)


def test_a_sweep_goes_over_the_amounts_of_a_preset():
    got = found(preset="amplification", sweep="0,1,2")
    assert got.weights == ((1, 0), (2, -1), (3, -2))
    assert (got.amounts, got.alone) == ((0, 1, 2), 0)
    # A weight of minus 0 would be another name of a text.
    assert str(got.weights[0][1]) == "0.0"
    got = found(preset="guidance", sweep=[1, 2])
    assert (got.weights, got.alone) == (((1, 0), (2, -1)), 1)
    assert found(preset="proxy", sweep="0,1").weights == ((1, 0, 0), (1, -1, 1))


def test_a_sweep_of_weights_has_amounts_where_they_lie_on_a_line():
    got = found(sweep="1,0;2,-1;4,-3")
    assert got.weights == ((1, 0), (2, -1), (4, -3))
    assert (got.amounts, got.alone) == ((1, 2, 4), 1)
    assert found(sweep=[[1, 0], [2, -1], [3, -1]]).amounts == ()
    assert found(sweep="1,0;1,-1").amounts == ()


def test_texts_that_are_read_need_no_weights():
    assert found(score="a.txt") is None


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, ["--weights", "--preset", "guidance"]),
        ({"weights": "2,x"}, ["weights is '2,x'"]),
        ({"weights": "2,nan"}, ["weights", "finite"]),
        ({"preset": "nice"}, ["'nice'", "guidance"]),
        ({"preset": "guidance"}, ["--scale"]),
        ({"preset": "guidance", "beta": 2}, ["'beta'", "given: 2", "scale"]),
        ({"preset": "layers", "amount": 2}, ["'amount'", "given: 2", "alpha"]),
        ({"preset": "proxy", "weights": "1"}, ["weights is '1'", "'proxy'"]),
        ({"preset": "residual", "mode": "weighted"}, ["mode is 'weighted'", "'residual'"]),
        ({"weights": "2,-1", "scale": 2}, ["scale is 2", "--preset"]),
        ({"weights": "2,-1", "sweep": "1,0;2,-1"}, ["weights is '2,-1'", "sweep is"]),
        ({"sweep": "0,1,2"}, ["sweep is '0,1,2'", "rows"]),
        ({"sweep": "0;1"}, ["sweep is '0;1'", "--preset"]),
        ({"sweep": "1,0;1,0"}, ["twice"]),
        ({"preset": "amplification", "sweep": "0,0"}, ["sweep is '0,0'", "twice"]),
        ({"preset": "amplification", "sweep": "0,1", "amount": 2}, ["amount is 2"]),
        ({"preset": "layers", "sweep": "0,1"}, ["'layers'", "no amount"]),
        ({"weights": "2,-1", "gate_between": "A"}, ["gate_between is 'A'"]),
        ({"sweep": "1,0;nan,0"}, ["sweep is", "finite"]),
        ({"sweep": "1,0;1e39,0"}, ["weights is (1e+39, 0.0)"]),
        ({"preset": "guidance", "sweep": "1,inf"}, ["sweep is '1,inf'", "finite"]),
        ({"weights": "2,-1", "gate_at": 0.2}, ["gate_at is 0.2", "--gate"]),
        ({"weights": "2,-1", "gate_between": "A,B"}, ["gate_between is 'A,B'", "--gate"]),
        ({"weights": "2,-1", "fallback": "A"}, ["fallback is 'A'", "--mode residual"]),
        ({"weights": "2,-1", "least": 0.1}, ["least is 0.1", "--mode residual"]),
        ({"weights": "2,-1", "mask_keep": 3, "mask_top_k": 5}, ["mask_keep is 3", "--alpha"]),
        ({"weights": "2,-1", "mask_from": "B"}, ["mask_from is 'B'", "--mask_top_k"]),
        ({"weights": "2,-1", "alpha": 2}, ["alpha", "2"]),
        ({"weights": "2,-1", "mask_from": "C"}, ["'C'", "A, B"]),
    ],
)
def test_bad_contrasts_are_told(options, told):
    refused(lambda: found(**options), *told)


def opened(*words, count=2):
    return streams(parse(["--prompts", "x", *words]), count)


def test_a_stream_without_model_has_that_of_a_and_is_read_alike():
    first, second = opened("--a", "m", "--a.dtype", "bfloat16", "--b.prefix", "x")
    assert (second.model, second.dtype, second.prefix) == ("m", "bfloat16", "x")
    assert first.prefix == ""
    # With a model of its own it has its own options, too.
    first, second = opened("--a", "m", "--a.dtype", "bfloat16", "--b", "n")
    assert (second.model, second.dtype) == ("n", None)
    first, second = opened("--a", "m", "--a.prefix", "x")
    assert (second.model, second.prefix) == ("m", "")


def test_layers_are_numbers_or_a_word():
    for word, layers in (("6", (6,)), ("2,4", (2, 4)), ("[1, 3]", (1, 3)), ("low", "low")):
        assert opened("--a", "m", "--b.layers", word)[1].layers == layers


def test_weights_and_words_say_how_many_streams_there_are():
    assert len(opened("--a", "m", "--b", "n", "--c", "o", count=3)) == 3
    # The same model twice, each named, tells that nothing is found where nothing is.
    assert opened("--a", "m", "--b", "m")[0] == opened("--a", "m", "--b", "m")[1]
    assert len(opened("--a", "m", "--b", "n", "--c.prefix", "x", count=3)) == 3
    assert len(opened("--a", "m", "--c", "n", "--b", "o", count=None)) == 3


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--b", "n"], ["stream A", "--a ID"]),
        (["--a", "m"], ["A and B are the same", "'m'", "--b.prefix"]),
        (["--a", "m", "--b", "n", "--c", "o"], ["3 streams and 2 weights"]),
        (["--a", "m", "--b", "n", "--compare", "A,C"], ["'C'", "A, B"]),
        (["--a", "m", "--b", "n", "--b.amount", "2"], ["b.amount is 2", "--b.towards"]),
        (["--a", "m", "--b", "n", "--compare", "A"], ["compare is 'A'"]),
        (["--a", "m", "--b", "n", "--compare", "B,B"], ["compare is 'B,B'"]),
    ],
)
def test_bad_streams_are_told(words, told):
    refused(lambda: opened(*words), *told)


def test_a_weight_of_a_stream_that_is_not_named_is_told():
    refused(lambda: opened("--a", "m", "--b", "n", count=3), "stream C", "--c.prefix")


def test_too_many_weights_are_told():
    refused(lambda: opened("--a", "m", "--b", "n", count=5), "5 weights", "4 streams")


def test_a_property_is_one_of_three_kinds():
    assert property_of(PropertyOptions()) is None
    pattern = property_of(PropertyOptions(pattern="A", ignore_case=True))
    assert pattern.grades(["a", "b"], ["", ""]) == [1, 0]
    label = property_of(PropertyOptions(classifier="zoo/sentiment", label="positive"))
    assert label.name == "positive"
    judge = property_of(PropertyOptions(judge="zoo/gpt2", question="{text}?", threshold=0.5))
    assert (judge.question, judge.threshold) == ("{text}?", 0.5)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"pattern": "a", "judge": "m"}, ["pattern and judge"]),
        ({"pattern": "("}, ["'('"]),
        ({"classifier": "m"}, ["'m'", "--property.label"]),
        ({"label": "x"}, ["property.label is 'x'", "property.classifier"]),
        ({"pattern": "a", "threshold": 0.5}, ["property.threshold is 0.5"]),
        ({"judge": "m", "question": "why"}, ["'why'", "{text}"]),
        ({"ignore_case": True}, ["property.ignore_case"]),
    ],
)
def test_bad_properties_are_told(options, told):
    refused(lambda: property_of(PropertyOptions(**options)), *told)


def test_a_stream_that_nothing_is_said_of_is_told():
    words = ["--a", "zoo/gpt2", "--b", "zoo/mood-plain", "--weights", "1,-1,1"]
    refused(lambda: streams(parse(words), 3), "stream C has a weight", "--c a model")
    assert len(streams(parse([*words, "--c", "zoo/gpt2"]), 3)) == 3
