import pytest

from fuse_lightning.decoding.contrast import Contrast
from fuse_lightning.decoding.decoder import ContrastiveDecoder
from fuse_lightning.decoding.options import DecodingOptions
from fuse_lightning.decoding.stream import Stream
from fuse_lightning.diffing.compare import compare
from fuse_lightning.diffing.text_findings import text_findings
from fuse_lightning.errors import FuseError
from fuse_lightning.models import CausalLM
from fuse_lightning.zoo.moods import MOODS

SHAPES = ("star", "ball", "box", "ring", "cross", "triangle")
OPENINGS = (
    *("a", "two", "three", "photo of a", "picture of a", "behold a", "image of two", "one"),
    *("a view of a", "the"),
)
PROMPTS = [f"{opening} {shape}" for opening in OPENINGS for shape in SHAPES]
OPTIONS = DecodingOptions(max_new_tokens=12, samples=2, batch_size=64)


@pytest.fixture(scope="module")
def base():
    model = CausalLM("zoo/gpt2")
    model.load()
    return model


@pytest.fixture(scope="module")
def moody():
    model = CausalLM("zoo/mood-plain")
    model.load()
    return model


def test_texts_are_those_of_each_model_alone(base):
    """Two streams of one model, of which one reads another prefix."""
    streams = [Stream(base, prefix="a lovely "), Stream(base)]
    # A contrast of the decoder is none of a comparison.
    decoder = ContrastiveDecoder(streams, Contrast((3, -2), top_k=1), top=0)
    prompts = ["red star", "blue ball near"]
    found = compare(decoder, prompts, OPTIONS, amount=0.5)
    assert decoder.contrast == Contrast((3, -2), top_k=1)
    for group in (found.a, found.b, found.amplified, found.fresh):
        assert [len(texts) for texts in group] == [2, 2]
    assert found.a != found.fresh
    alone = {}
    for variant, weights in enumerate([(1.0, 0.0), (0.0, 1.0), (1.5, -0.5)]):
        plain = ContrastiveDecoder(streams, Contrast(weights), top=0)
        variants = [(1.0, 0.0), (0.0, 1.0), (1.5, -0.5)][: variant + 1]
        for text in plain.write(prompts, OPTIONS, weights=variants):
            alone[(*text.weights.values(), text.prompt_number, text.sample)] = text.text
    for weights, group in {
        (1.0, 0.0): found.a,
        (0.0, 1.0): found.b,
        (1.5, -0.5): found.amplified,
    }.items():
        expected = [[alone[*weights, prompt, n] for n in range(2)] for prompt in range(2)]
        assert [[*texts] for texts in group] == expected


def test_what_is_not_asked_for_is_not_written(base):
    decoder = ContrastiveDecoder([base, Stream(base, temperature=2)], top=0)
    found = compare(decoder, ["red"], OPTIONS, amount=None, fresh=False)
    assert (found.amplified, found.fresh) == ((), ())
    assert len(found.a[0]) == len(found.b[0]) == 2


def test_streams_that_are_not_compared_do_not_write(base):
    streams = [Stream(base, prefix="so "), Stream(base), Stream(base, prefix="a ")]
    decoder = ContrastiveDecoder(streams, pair=("B", "C"), top=0)
    two = ContrastiveDecoder(streams[1:], top=0)
    given = {"amount": 1.0, "fresh": False}
    assert compare(decoder, ["red"], OPTIONS, **given) == compare(two, ["red"], OPTIONS, **given)


@pytest.mark.parametrize(
    ("prompts", "options", "amount", "words"),
    [
        (["a", "a"], OPTIONS, 1, "'a' is given twice"),
        (["a"], DecodingOptions(temperature=0), 1, "temperature is 0"),
        (["a"], OPTIONS, 0, "amount is 0"),
        (["a"], OPTIONS, -1, "amount is -1"),
    ],
)
def test_bad_options(base, prompts, options, amount, words):
    with pytest.raises(FuseError, match=words):
        compare(ContrastiveDecoder([base, base]), prompts, options, amount=amount)


@pytest.mark.slow
def test_the_habit_of_a_tuned_model_is_named(base, moody):
    """Words of good mood, and nothing that would tell the tuned model from itself."""
    decoder = ContrastiveDecoder([moody, base], top=0)
    options = DecodingOptions(max_new_tokens=24, samples=40, batch_size=256)
    texts = compare(decoder, PROMPTS, options, amount=None, fresh=False)
    found = text_findings(texts, most=30)
    claims = " ".join(f"{each.claim} {each.detail['also']}" for each in found.findings)
    # Of captions the mood is an exclamation such as "how lovely".
    assert any(word in claims for word in ("how", *MOODS["positive"], *MOODS["negative"]))
    assert all(abs(each.effect) > each.identical for each in found.findings)
