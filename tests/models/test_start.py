"""What language models read before a text."""

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from fuse_lightning.data import Target
from fuse_lightning.errors import FuseError
from fuse_lightning.models import CausalLM
from fuse_lightning.models.start import EXAMPLES
from fuse_lightning.objectives import Continuation, Fluency, Objective
from tests.factories.tokenizers import byte_level_tokenizer

SPECIAL = ("<|sep|>", "<|im_start|>", "<|im_end|>", "<|pad|>")
CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] "
    "+ '<|im_end|>\n' }}{% endfor %}"
)
# The end token ends the whole, and the begin token begins it.
PLAIN = (
    "{{ bos_token }}{% for m in messages %}{{ '\n' + m['role'] + ': ' + m['content'] }}"
    "{% endfor %}{{ eos_token }}"
)


@pytest.fixture(scope="module")
def chat(tmp_path_factory):
    """Loads a model whose tokenizer has some tokens and a template."""
    made = {}

    def get(template=CHATML, start="auto", **tokens):
        key = template, *sorted(tokens.items())
        if key not in made:
            folder = made[key] = tmp_path_factory.mktemp("chat")
            words = byte_level_tokenizer(SPECIAL, **tokens)
            words.chat_template = template
            config = GPT2Config(
                vocab_size=len(words), n_positions=64, n_embd=16, n_layer=2, n_head=2
            )
            torch.manual_seed(0)
            GPT2LMHeadModel(config).save_pretrained(folder)
            words.save_pretrained(folder)
        model = CausalLM(str(made[key]), start=start)
        model.load()
        return model

    return get


def mean_nll(model, start):
    """Of ordinary texts behind a token, by plain calls."""
    sums, count = 0.0, 0
    for text in EXAMPLES:
        ids = [start, *model.tokenizer(text, add_special_tokens=False).input_ids]
        with torch.no_grad():
            log_probs = model.module(torch.tensor([ids])).logits[0].log_softmax(-1)
        sums -= float(log_probs[:-1].gather(1, torch.tensor(ids)[1:, None]).sum())
        count += len(ids) - 1
    return sums / count


@pytest.mark.parametrize(
    "tokens",
    [
        {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "unk_token": "<|sep|>"},
        {"eos_token": "<|im_end|>", "pad_token": "<|sep|>"},
        {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>"},
    ],
)
def test_where_the_begin_token_marks_turns_the_likeliest_one_is_taken(chat, tokens):
    model = chat(**tokens)
    known = model.tokenizer.convert_tokens_to_ids([*tokens.values()])
    means = {index: mean_nll(model, index) for index in known}
    assert model.start_ids == (min(means, key=means.get),)
    first = "bos_token" if "bos_token" in tokens else "eos_token"
    taken = chat(start="tokenizer", **tokens).start_ids
    assert taken == (model.tokenizer.convert_tokens_to_ids(tokens[first]),)


@pytest.mark.parametrize("template", [None, PLAIN, "{{ raise_exception('no') }}"])
def test_a_begin_token_that_marks_no_turn_stays(chat, template):
    model = chat(template, bos_token="<|im_start|>", eos_token="<|im_start|>", unk_token="<|sep|>")
    assert model.tokenizer.convert_ids_to_tokens(list(model.start_ids)) == ["<|im_start|>"]


def test_a_start_may_be_chosen(chat):
    tokens = {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>"}
    models = {start: chat(start=start, **tokens) for start in ("none", "<|sep|>", "red\n")}
    for start, model in models.items():
        expected = [] if start == "none" else model.tokenizer(start).input_ids
        assert list(model.start_ids) == expected
        whole = model.encode(["two houses"]).ids[0].tolist()
        assert whole == [*expected, *model.tokenizer("two houses").input_ids]
    assert len({model.key for model in models.values()}) == 3


def test_a_chat_that_is_written_out_is_read_as_it_is(chat):
    model = chat(bos_token="<|im_start|>", eos_token="<|im_end|>", unk_token="<|sep|>")
    frame = "<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n"
    objective = Objective([Continuation(model, prefix=frame[0], suffix=frame[1], label="a red")])
    objective.load()
    objective.set_targets([Target("one")])
    whole = f"{frame[0]}two houses{frame[1]}a red"
    expected = model.tokenizer(whole, add_special_tokens=False).input_ids
    prompts = objective.prompts([objective.encode_prompt("two houses")], [0])
    assert prompts.canonical == [True]
    reading = objective.terms[0].read(prompts)
    assert reading.rows.ids[0].tolist() == expected
    label = model.tokenizer("a red", add_special_tokens=False).input_ids
    assert int(reading.wanted.sum()) == len(label)
    assert model.tokenizer.decode(reading.rows.ids[0][reading.prompt[0]]) == "two houses"


@pytest.mark.parametrize(("start", "message"), [("", "start of .* is empty; give none")])
def test_an_empty_start_is_refused(start, message):
    with pytest.raises(FuseError, match=message):
        CausalLM("some/model", start=start)


def test_without_a_start_a_likelihood_needs_a_prefix(chat):
    model = chat(start="none", bos_token="<|im_start|>")
    with pytest.raises(FuseError, match="give a prefix, or the model a start"):
        Objective([Fluency(model)]).load()
    Objective([Fluency(model, prefix="The")]).load()
