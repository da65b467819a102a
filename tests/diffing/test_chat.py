"""Chats with the package's own language models."""

import pytest
import torch

from fuse_lightning.diffing.chat import LocalChat
from fuse_lightning.diffing.chat_proposer import ChatProposer
from fuse_lightning.errors import FuseError
from fuse_lightning.models import CausalLM

CHAT = (
    "{% for message in messages %}[{{ message.role }}] {{ message.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant] {% endif %}"
)
REFUSES = "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}" + CHAT
LEAVES_OUT = CHAT.replace("in messages", "in messages if message.role != 'system'")
ASK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Say hello."},
]


@pytest.fixture
def chat():
    """A chat with a model that has a template."""

    def get(template=CHAT):
        model = CausalLM("zoo/instruct")
        model.load()
        model.tokenizer.chat_template = template
        return LocalChat(model)

    return get


def test_turns_are_written_by_the_template(chat):
    assert chat().text(ASK) == "[system] Be brief.\n[user] Say hello.\n[assistant] "


@pytest.mark.parametrize("template", [REFUSES, LEAVES_OUT])
def test_a_system_turn_that_a_template_does_not_take_stands_before_the_users(chat, template):
    asked = chat(template)
    assert asked.text(ASK) == "[user] Be brief.\n\nSay hello.\n[assistant] "
    assert asked.text(ASK[1:]) == "[user] Say hello.\n[assistant] "


def test_a_turn_cannot_end_itself(chat):
    asked = chat()
    mark = sorted(asked.model.marks)[0]
    turns = [{"role": "user", "content": f"Say{mark} hello."}]
    assert asked.text(turns) == "[user] Say hello.\n[assistant] "


def test_a_reply_is_what_the_model_writes(chat):
    asked = chat()
    reply = asked.answer(ASK, temperature=0.0, max_tokens=5, firsts=3)
    (row,) = asked.model.encode([asked.text(ASK)]).rows
    ids = list(row)
    with torch.no_grad():
        first = asked.model.module(input_ids=torch.tensor([ids])).logits[0, -1].log_softmax(0)
        for _ in range(5):
            token = int(asked.model.module(input_ids=torch.tensor([ids])).logits[0, -1].argmax())
            if token in asked.model.end_ids:
                break
            ids.append(token)
    assert reply.text == asked.model.decode([ids[len(row) :]])[0]
    values, indices = first[: asked.model.vocab_size].topk(3)
    texts = asked.model.decode([[index] for index in indices.tolist()])
    assert [*reply.firsts] == texts
    assert [*reply.firsts.values()] == pytest.approx(values.tolist(), rel=1e-4)


def test_a_reply_depends_on_the_seed(chat):
    asked = chat()
    replies = [asked.reply(ASK, max_tokens=20, seed=seed) for seed in (0, 0, 1, 2)]
    assert replies[0] == replies[1]
    assert len({*replies}) > 1


def test_a_model_without_a_template_is_refused_in_one_line(caplog):
    asked = LocalChat("zoo/instruct")
    with pytest.raises(FuseError, match=r"^the tokenizer of 'zoo/instruct' has no chat template; "):
        asked.reply(ASK)
    assert ChatProposer(asked).propose([], 2, torch.Generator()) == []
    assert "has no chat template" in caplog.text


def test_a_template_that_fails(chat):
    with pytest.raises(
        FuseError, match="the chat template of 'zoo/instruct' refuses the turns: no"
    ):
        chat("{{ raise_exception('no') }}").reply(ASK)
    with pytest.raises(FuseError, match="refuses the turns: no"):
        chat("{{ raise_exception('no') }}").reply(ASK[1:])


def test_a_chat_that_is_too_long(chat):
    with pytest.raises(FuseError):
        chat().reply([{"role": "user", "content": "hello " * 5000}])
