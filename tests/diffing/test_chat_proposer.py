"""Proposer that asks a chat model: what it shows, and what it makes of the reply."""

import json
import re
from dataclasses import dataclass

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from fuse_lightning.decoding import StreamOptions
from fuse_lightning.diffing import DivergencePrompts, DivergenceSearch, PromptBank
from fuse_lightning.diffing.chat_proposer import ChatProposer
from fuse_lightning.diffing.endpoint_chat import EndpointChat
from fuse_lightning.diffing.proposer import kept_by_all, restore_all
from fuse_lightning.diffing.specification import Specification, read_specification
from fuse_lightning.errors import FuseError
from tests.diffing.chats import Scripted
from tests.diffing.endpoint import says, serving
from tests.optimizers.runs import fit

TOLD = Specification(
    "You look for differences.",
    "Use the scores.",
    "Be brief.",
    "Hello.",
    "Tried:",
    "Write {count} prompts as JSON.",
)


@dataclass
class Tried:
    prompt: str
    divergence: float


TRIED = [Tried("low", 0.01234), Tried("top", 12.3456), Tried('mid {count} "\n', 0.5)]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def shown(**options):
    """System's and user's turn."""
    chat = Scripted('["a"]')
    ChatProposer(chat, TOLD, **options).propose(TRIED, 3, generator())
    return [turn["content"] for turn in chat.asked[0][0]]


def test_prompts_are_shown_with_raw_nats_most_divergent_first():
    system, user = shown()
    assert system == "You look for differences.\n\nUse the scores.\n\nBe brief."
    assert user == (
        "Hello.\n\nTried:\n\n"
        'prompt 1 (divergence 12.3 nats): "top"\n'
        'prompt 2 (divergence 0.500 nats): "mid {count} \\"\\n"\n'
        'prompt 3 (divergence 0.0123 nats): "low"\n\n'
        "Write 3 prompts as JSON."
    )


def test_without_examples_there_is_no_word_of_them():
    expected = ["You look for differences.\n\nBe brief.", "Hello.\n\nWrite 3 prompts as JSON."]
    assert shown(examples=False) == expected
    chat = Scripted('["a"]')
    ChatProposer(chat, TOLD).propose([Tried("no score", float("nan"))], 3, generator())
    assert [turn["content"] for turn in chat.asked[0][0]] == expected


LINES = re.compile(r'prompt \d+(?: \(divergence (\S+) nats\))?: "(\w+)')


def listed(scores, seed):
    """Scores and prompts in the order in which they are shown."""
    chat = Scripted('["a"]')
    tried = [Tried(f"p{n}", float(n)) for n in range(6)]
    ChatProposer(chat, TOLD, scores=scores).propose(tried, 3, generator(seed))
    return LINES.findall(chat.asked[0][0][1]["content"])


def test_shuffled_scores_say_nothing_of_the_prompts():
    orders = [listed("shuffled", seed) for seed in range(20)]
    for order in orders:
        assert [float(score) for score, _ in order] == [5, 4, 3, 2, 1, 0]
        assert sorted(prompt for _, prompt in order) == [f"p{n}" for n in range(6)]
    assert len({order[0][1] for order in orders}) > 2


def test_hidden_scores_are_not_told_by_the_order_either():
    orders = [listed("hidden", seed) for seed in range(20)]
    assert not any(score for order in orders for score, _ in order)
    assert len({order[0][1] for order in orders}) > 2
    assert listed("hidden", 3) == listed("hidden", 3)


def test_ablations_draw_the_same_seeds():
    seeds = set()
    for options in ({}, {"scores": "hidden"}, {"scores": "shuffled"}, {"examples": False}):
        chat, draws = Scripted('["a"]'), generator()
        proposer = ChatProposer(chat, TOLD, **options)
        for _ in range(2):
            proposer.propose(TRIED, 3, draws)
        seeds.add(tuple(asked["seed"] for _, asked in chat.asked))
    assert len(seeds) == 1
    assert len({*seeds.pop()}) == 2


def test_a_long_prompt_is_shown_without_its_end():
    chat = Scripted('["a"]')
    proposer = ChatProposer(chat, TOLD, longest=5)
    proposer.propose([Tried("a" * 100, 1.0)], 1, generator())
    assert '"aaaaa…"' in chat.asked[0][0][1]["content"]


def test_at_most_as_many_prompts_as_are_wanted():
    proposer = ChatProposer(Scripted('["a", "b", 3, "c"]'), TOLD)
    assert proposer.propose([], 2, generator()) == ["a", "b"]
    assert proposer.propose([], 9, generator()) == ["a", "b", "c"]
    assert (proposer.asked, proposer.dropped) == (2, 2)


def test_failures_are_counted_and_said_once(caplog):
    error = FuseError("the chat model is not asked: max_calls is 3")
    proposer = ChatProposer(Scripted(error, error, "no \x1b list", "none", '["a"]'), TOLD)
    found = [proposer.propose(TRIED, 3, generator()) for _ in range(5)]
    assert found == [[], [], [], [], ["a"]]
    assert (proposer.asked, proposer.failed, proposer.empty) == (5, 2, 2)
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        "the assistant proposes no prompts: the chat model is not asked: max_calls is 3",
        r"the chat model 'scripted' replies without prompts; its reply begins 'no \x1b list'",
    ]


def test_an_endpoint_proposes_until_its_calls_are_used(monkeypatch, caplog):
    monkeypatch.setenv("no_proxy", "*")
    reply = json.dumps({"prompt 1": "one", "prompt 2": "two"})
    with serving(says(reply)) as served:
        chat = EndpointChat("tiny", served.url, key_variable="", max_calls=2)
        proposer = ChatProposer(chat, read_specification("facts"))
        found = [proposer.propose(TRIED, 2, generator(seed)) for seed in range(4)]
    assert found == [["one", "two"], ["one", "two"], [], []]
    assert len(served.requests) == 2
    assert caplog.text.count("max_calls is 2") == 1
    (_, _, fields) = served.requests[0]
    assert "Write 2 new prompts." in fields["messages"][1]["content"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"scores": "some"}, "scores is 'some'; give shown, shuffled or hidden"),
        ({"temperature": -1}, "temperature is -1"),
        ({"max_tokens": 0}, "max_tokens is 0"),
        ({"longest": 0}, "longest is 0"),
        ({"specification": "nowhere"}, "specification 'nowhere' is no file"),
    ],
)
def test_bad_options(options, said):
    with pytest.raises(FuseError, match=said):
        ChatProposer(Scripted(""), **options)


def test_a_resumed_search_stops_at_the_limit_of_all_its_requests(monkeypatch, tmp_path):
    monkeypatch.setenv("no_proxy", "*")

    def search(url):
        chat = EndpointChat("tiny", url, key_variable="", max_calls=9)
        return DivergenceSearch(
            StreamOptions("zoo/gpt2", prefix="a lovely "),
            StreamOptions("zoo/gpt2"),
            # Two share the model, and with it the limit.
            proposers=[ChatProposer(chat, TOLD), ChatProposer(chat, TOLD)],
            samples=2,
            final_samples=2,
            max_new_tokens=2,
            batch_size=2,
            steps=4,
        )

    def run(module, checkpoint=None, **limit):
        saver = ModelCheckpoint(tmp_path / "ckpt", every_n_train_steps=1)
        fit(module, DivergencePrompts(["a", "two"]), tmp_path, saver, ckpt_path=checkpoint, **limit)
        return module.proposers[0], str(saver.best_model_path)

    with serving(says("no list")) as served:
        first, checkpoint = run(search(served.url), max_steps=1)
        begun = len(served.requests)
        assert 0 < begun < 9
        assert (first.asked, first.empty, first.failed) == (begun // 2, begun // 2, 0)
        # It goes on in a new process, whose objects know nothing.
        again, _ = run(search(served.url), checkpoint)
        assert len(served.requests) == 9
    assert again.chat.spending.calls == 9
    assert again.chat.spending.tokens == 9 * 30
    assert again.asked > first.asked
    assert again.failed > 0


def test_counts_belong_to_the_proposers_of_a_class_in_their_order():
    def make():
        return [ChatProposer(Scripted("none"), TOLD), Other(), ChatProposer(Scripted("none"), TOLD)]

    class Other(ChatProposer):
        def __init__(self):
            super().__init__(Scripted("none"), TOLD)

    before = make()
    for times, each in enumerate(before, 1):
        for _ in range(times):
            each.propose([], 1, generator())
    counts = kept_by_all(before)
    after = make()
    restore_all(after, counts)
    assert [each.asked for each in after] == [1, 2, 3]
    # A proposer that was left out takes nothing from the others.
    restore_all(after[1:], counts)
    assert [each.asked for each in after[1:]] == [2, 1]
    # A checkpoint of another search holds none of them.
    restore_all(after, {})
    assert [each.asked for each in after] == [0, 0, 0]


def test_a_search_asks_the_chat_model_and_shows_it_what_was_found(tmp_path):
    chat = Scripted('["photo of two red stars", "a snowy landscape"]')
    search = DivergenceSearch(
        StreamOptions("zoo/gpt2", prefix="a lovely "),
        StreamOptions("zoo/gpt2"),
        proposers=[ChatProposer(chat, TOLD)],
        samples=2,
        final_samples=2,
        max_new_tokens=2,
        batch_size=2,
        steps=2,
        top=4,
    )
    bank = PromptBank()
    trainer = L.Trainer(
        max_epochs=1,
        devices=1,
        accelerator="cpu",
        logger=False,
        callbacks=[bank],
        default_root_dir=tmp_path,
        enable_checkpointing=False,
        enable_progress_bar=False,
    )
    trainer.fit(search, DivergencePrompts(["a picture of", "two"]))
    prompts = {result.prompt for result in search.results}
    assert {"photo of two red stars", "a snowy landscape"} <= prompts
    messages, _ = chat.asked[-1]
    assert "a picture of" in messages[-1]["content"]
