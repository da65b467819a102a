"""Streams: what they read around a prompt, and which of them go together."""

import copy

import pytest

from fuse_lightning.decoding import Contrast, ContrastiveDecoder, Stream
from fuse_lightning.decoding.stream import check_same_tokens, common_ids
from fuse_lightning.errors import FuseError
from fuse_lightning.models import CausalLM

CHAT = (
    "{% for message in messages %}[{{ message.role }}] {{ message.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant] {% endif %}"
)


@pytest.fixture(scope="module")
def gpt2():
    model = CausalLM("zoo/gpt2")
    model.load()
    return model


@pytest.fixture
def chatty(network, folder):
    """A model whose tokenizer has a chat template."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder("gpt2"))
    tokenizer.chat_template = CHAT
    model = CausalLM(network("gpt2"), tokenizer=tokenizer)
    model.load()
    return model


def test_a_prefix_stands_before_the_prompt(gpt2):
    (row,) = Stream(gpt2, prefix="a lovely ").rows(["red ball"])
    assert gpt2.decode([row[len(gpt2.start_ids) :]]) == ["a lovely red ball"]


def test_a_chat_is_written_by_the_template(chatty):
    stream = Stream(chatty, prefix="Say: ", chat=True, system="Be brief.")
    assert stream.texts(["hello"]) == ["[system] Be brief.\n[user] Say: hello\n[assistant] "]
    assert Stream(chatty, chat=True).texts(["hello"]) == ["[user] hello\n[assistant] "]


def test_ids_of_a_text_are_those_of_prompt_and_text_in_one(gpt2):
    stream = Stream(gpt2)
    prompt, text = "a red", " ball above a cube"
    (begin,), (ids,) = stream.rows([prompt]), stream.behind([prompt], [text])
    (whole,) = stream.rows([prompt + text])
    assert (*begin, *ids) == whole


def test_ids_of_a_text_that_would_change_its_prompt_are_its_own(family):
    model = family("gpt2")
    stream = Stream(model)
    prompt, text = "a re", "d house"
    (begin,), (ids,) = stream.rows([prompt]), stream.behind([prompt], [text])
    assert model.decode([ids]) == [text]
    assert model.decode([(*begin, *ids)])[0].endswith(prompt + text)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0}, "temperature of the stream of 'zoo/gpt2' is 0"),
        ({"temperature": float("nan")}, "is nan"),
        ({"system": "Hi"}, "chat is off"),
        ({"layers": (3,)}, "layer 3 of 'zoo/gpt2' is no early layer; give numbers from 0"),
        ({"layers": (-1,)}, "layer -1"),
        ({"chat": True}, "has no chat template"),
    ],
)
def test_bad_options_are_one_line(options, message, gpt2):
    def use():
        decoder = ContrastiveDecoder([gpt2, Stream(gpt2, **options)], Contrast((1, 0)))
        return [*decoder.write(["a"])]

    with pytest.raises(FuseError, match=message):
        use()


def test_a_prompt_without_tokens_is_refused(network, folder):
    model = CausalLM(network("gpt2"), start="none")
    model.load()
    with pytest.raises(FuseError, match="the prompt '' has no tokens"):
        Stream(model).rows([""])


def test_models_of_other_tokens_are_refused(gpt2, family):
    with pytest.raises(FuseError, match=r"tokenizers of the streams A .* and B .* differ: id \d+"):
        ContrastiveDecoder([gpt2, family("gpt2")])


def renamed(model, name, old, new):
    """A copy of a model with one token renamed."""
    tokenizer = copy.deepcopy(model.tokenizer)
    vocab = {new if token == old else token: at for token, at in tokenizer.get_vocab().items()}
    tokenizer.get_vocab = lambda: vocab
    other = copy.copy(model)
    other.tokenizer, other.model_id = tokenizer, name
    return other


def test_the_first_difference_is_named(gpt2):
    tokens = sorted(gpt2.tokenizer.get_vocab(), key=gpt2.tokenizer.get_vocab().get)
    other = renamed(gpt2, "other", tokens[7], "otherwise")
    with pytest.raises(FuseError, match=r"id 7 is .* in A and 'otherwise' in B"):
        check_same_tokens([Stream(gpt2), Stream(other)])


def test_tokens_that_one_stream_lacks_are_never_written(gpt2):
    vocab = gpt2.tokenizer.get_vocab()
    last = max(vocab, key=vocab.get)
    tokenizer = copy.deepcopy(gpt2.tokenizer)
    tokenizer.get_vocab = lambda: {token: at for token, at in vocab.items() if token != last}
    other = copy.copy(gpt2)
    other.tokenizer = tokenizer
    streams = [Stream(gpt2), Stream(other)]
    check_same_tokens(streams)
    assert vocab[last] not in common_ids(streams)
    decoder = ContrastiveDecoder(streams, Contrast((1, 0)))
    assert len(decoder.ensemble.allowed) == vocab[last]
