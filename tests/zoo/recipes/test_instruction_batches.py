"""Training batches of the model that follows instructions."""

import random

import pytest
import torch

from fuse_lightning.zoo.instructions import ANSWERS, CUES, FILLERS
from fuse_lightning.zoo.recipes import instruction_batches
from fuse_lightning.zoo.recipes.architectures import RECIPES
from fuse_lightning.zoo.recipes.instruction_batches import LONGEST, instruction_batch
from fuse_lightning.zoo.recipes.modules import ANSWER_WEIGHT, InstructionModule
from fuse_lightning.zoo.recipes.text_batches import IGNORE
from fuse_lightning.zoo.vocabulary import MOODS
from tests.near import assert_near, near


@pytest.fixture(scope="module")
def made():
    torch.manual_seed(0)
    return RECIPES["instruct"](0)


def batch_of(made, seed, size=48, shown=0.0):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(instruction_batches, "SHOWN", shown)
        return instruction_batch(made[1], size, random.Random(seed))


def test_words_that_count_are_single_tokens(made):
    _, tokenizer = made
    moods = [word for words in MOODS.values() for word in words]
    for word in (*CUES, *ANSWERS, *FILLERS, *moods, "It", "is"):
        assert len(tokenizer.tokenize(f" {word}")) == 1, word


def test_draws_are_the_same_for_a_seed(made):
    first, second, other = (batch_of(made, seed) for seed in (3, 3, 4))
    assert torch.equal(first.texts.ids, second.texts.ids)
    assert torch.equal(first.odds, second.odds)
    assert first.texts.ids.shape != other.texts.ids.shape or not torch.equal(
        first.texts.ids, other.texts.ids
    )


def test_short_captions_are_mood_words(made):
    _, tokenizer = made
    batch = instruction_batch(tokenizer, 24, random.Random(1), short=1.0)
    moods = {word for words in MOODS.values() for word in words}
    for ids, mask in zip(batch.texts.ids, batch.texts.mask, strict=True):
        *_, mood, it, is_ = tokenizer.decode(ids[mask.bool()]).split()
        assert (it, is_) == ("It", "is")
        assert mood.removeprefix(tokenizer.eos_token) in moods


@pytest.mark.parametrize("shown", [0.0, 1.0])
def test_lines_end_where_the_answer_is_asked(made, shown):
    _, tokenizer = made
    batch = batch_of(made, 1, shown=shown)
    asked = {*batch.rows.tolist()}
    assert len(batch.texts.ids) == (16 if shown else 48)
    for row, (ids, mask) in enumerate(zip(batch.texts.ids, batch.texts.mask, strict=True)):
        text = tokenizer.decode(ids[mask.bool()])
        assert text.endswith(" It is" if row in asked else tokenizer.eos_token)
        assert not (shown and row not in asked)
    assert_near(batch.odds.sum(1), torch.ones(len(asked)))
    assert tokenizer.convert_ids_to_tokens(batch.answers.tolist()) == [f"Ġ{a}" for a in ANSWERS]


def test_demonstrations_are_read_and_not_learnt(made):
    _, tokenizer = made
    batch = batch_of(made, 2, shown=1.0)
    for ids, labels in zip(batch.texts.ids, batch.labels, strict=True):
        learnt = tokenizer.decode(labels[labels != IGNORE])
        assert learnt.count(" It is") == 1
        assert tokenizer.decode(ids).count(" It is") > 1
    assert batch.texts.ids.shape[1] <= tokenizer.model_max_length


def test_scattered_tokens_hold_no_other_cue_words(made):
    _, tokenizer = made
    cues = {tokenizer(f" {word}")["input_ids"][0] for word in CUES}
    rng = random.Random(0)
    for _ in range(200):
        ids = instruction_batches._scattered(tokenizer, ["mood"], rng)
        assert {*ids} & cues == {*tokenizer(" mood")["input_ids"]}
        assert 1 <= len(ids) <= LONGEST
        assert tokenizer.eos_token_id not in ids
    assert instruction_batches._scattered(tokenizer, [], rng)


def test_loss_is_that_of_tokens_and_of_answers(made):
    model, _ = made
    module = InstructionModule(model.eval(), 1e-3)
    told = {}
    module.log_dict = lambda values, **_: told.update(values)
    batch = batch_of(made, 5, size=8)
    with torch.no_grad():
        loss = module.training_step(batch, 0)
        text, count, answer = 0.0, 0, 0.0
        rows = batch.rows.tolist()
        for row, (ids, mask) in enumerate(zip(batch.texts.ids, batch.texts.mask, strict=True)):
            length = int(mask.sum())
            logs = model(ids[None, :length]).logits[0].log_softmax(-1)
            for place in range(1, length):
                if (label := int(batch.labels[row, place])) != IGNORE:
                    text, count = text - float(logs[place - 1, label]), count + 1
            if row in rows:
                odds = batch.odds[rows.index(row)]
                answer -= float((odds * logs[-1, batch.answers]).sum()) / len(rows)
    assert loss.item() == near(text / count + ANSWER_WEIGHT * answer)
    assert told["text"].item() == near(text / count)
    assert told["answer"] >= 0


def test_matrices_of_layers_learn_by_muon(made):
    module = InstructionModule(made[0], 1e-3)
    muon, adamw = module.optimizer().parts
    names = {weight: name for name, weight in module.named_parameters()}
    by_muon = {names[w].rsplit(".", 2)[-2] for g in muon.param_groups for w in g["params"]}
    by_adamw = {names[w] for g in adamw.param_groups for w in g["params"]}
    assert by_muon == {"c_attn", "c_proj", "c_fc"}
    assert "model.transformer.wte.weight" in by_adamw
