"""Prompts that stand right beside other text, against the tokens of the whole text."""

import pytest
import torch

from fuse_lightning.data import Target
from fuse_lightning.objectives import Fluency, Objective, Sentiment, embedding_gradient
from fuse_lightning.objectives.openings import Openings
from tests.factories import tiny
from tests.factories.terms import Wanted
from tests.near import assert_near

PAIRS = [(text, answer) for text in ("a house", "x") for answer in ("red", "ly", "s", " s", "!!")]
PROMPTS = ("f", "ma", "straße", "e", "a dog's", "night!", "(x")


def whole(model, text, answer):
    """Mean -log P of the tokens of a text that spell some of its last characters."""
    found = model.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    ids = [*model.start_ids, *found.input_ids]
    with torch.no_grad():
        log_probs = model.module(input_ids=torch.tensor([ids])).logits[0].float().log_softmax(-1)
    begin, size = len(text) - len(answer), len(model.start_ids)
    ends = [end for _, end in found.offset_mapping]
    counted = [place + size for place, end in enumerate(ends) if end > begin]
    return -torch.stack([log_probs[place - 1, ids[place]] for place in counted]).mean()


@pytest.mark.parametrize(
    "layout", ["{prompt}{answer}", "Q:{prompt}{answer}", "{text} {prompt}{answer}"]
)
@pytest.mark.parametrize("home", ["", "Q:", "The film"])
@pytest.mark.parametrize("name", ["llama", "qwen2"])
def test_answers_without_a_space_are_read_as_in_the_whole_text(causal_folders, name, home, layout):
    folder = str(causal_folders[name])
    objective = Objective([Fluency(folder, prefix=home), Wanted(folder, layout=layout)])
    objective.load()
    objective.set_targets([Target("one", metadata={"pairs": PAIRS})])
    prompts = objective.prompts(objective.encode_prompts(PROMPTS), [0] * len(PROMPTS))
    losses = objective.losses(prompts)[:, 1]
    for row, prompt in enumerate(prompts.texts):
        texts = [
            (layout.format(text=text, prompt=prompt, answer=answer), answer)
            for text, answer in PAIRS
        ]
        expected = torch.stack([whole(objective.primary, *pair) for pair in texts]).mean()
        assert_near(losses[row], expected, share=1e-4)


def test_no_character_behind_a_prompt_is_lost(causal_folders):
    """The letter behind the prompt is one token with the word by which its place is found."""
    folder = str(causal_folders["qwen2"])
    objective = Objective([Wanted(folder, layout="{prompt}s{answer}")])
    objective.load()
    objective.set_targets([Target("one", metadata={"pairs": [("", " red")]})])
    prompts = objective.prompts([objective.encode_prompt("4 at 7")], [0])
    for ids in (False, True):
        (row,) = objective.terms[0].read(prompts, ids=ids).rows.rows
        assert objective.primary.decode([row])[0].endswith("4 at 7s red")


def test_losses_of_a_gradient_at_other_tokens_are_not_taken_for_those_of_the_text(tmp_path):
    """``##s`` follows a word, ``s`` a full stop: one tail does not stand for both."""
    folder = tiny.classifier(tmp_path / "pieces")
    objective = Objective([Sentiment(folder, layout="{prompt}s", label="positive")])
    objective.load()
    objective.set_targets([Target("one")])
    prompts = objective.prompts(objective.encode_prompts(["two at sea", "box."]), [0, 0])
    assert prompts.canonical == [True, True]
    _, told = embedding_gradient(objective, prompts)
    assert told.isnan().squeeze(1).tolist() == [False, True]
    assert_near(told[0], objective.losses(prompts)[0])


def test_what_first_tokens_are_read_as_is_found_once_for_many_texts(monkeypatch):
    found, find = [], Openings.find.__func__
    monkeypatch.setattr(
        Openings,
        "find",
        classmethod(lambda cls, *given: found.append(given) or find(cls, *given)),
    )
    pairs = [(f"a {word}", answer) for word in ("box", "star", "tile") for answer in ("ly", " s")]
    objective = Objective(
        [Fluency("zoo/gpt2"), Wanted("zoo/gpt2", layout="{text}\n{prompt}{answer}")]
    )
    objective.load()
    objective.set_targets([Target("one", metadata={"pairs": pairs})])
    prompts = objective.prompts([objective.encode_prompt("a red")], [0])
    embedding_gradient(objective, prompts)
    assert len(found) <= 1
