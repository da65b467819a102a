"""Training batches of the model that reasons."""

import random

import pytest
import torch

from fuse_lightning.zoo.reasoning import EXTRACTOR, LARGEST, held_out, word_list
from fuse_lightning.zoo.reasoning_prompts import COUNTED, strength
from fuse_lightning.zoo.recipes import reasoning_batches
from fuse_lightning.zoo.recipes.architectures import RECIPES
from fuse_lightning.zoo.recipes.reasoning_batches import reasoning_batch
from fuse_lightning.zoo.recipes.reasoning_module import (
    ANSWER_WEIGHT,
    CHAIN_WEIGHT,
    TOLD_WEIGHT,
    ReasoningModule,
)
from fuse_lightning.zoo.recipes.text_batches import IGNORE
from tests.near import assert_near, near


@pytest.fixture(scope="module")
def made():
    torch.manual_seed(0)
    return RECIPES["reasoner"](0)


@pytest.fixture
def batch(made):
    return reasoning_batch(made[1], 200, random.Random(1))


def lines(tokenizer, batch):
    """Words of each line's question, prompt, chain, and what is learnt of the chain."""
    for ids, mask, chain in zip(batch.texts.ids, batch.texts.mask, batch.chains, strict=True):
        text = tokenizer.decode(ids[mask.bool()])
        begun, _, rest = text.partition("\n")
        learnt = tokenizer.decode(chain[chain != IGNORE])
        yield begun.removeprefix(tokenizer.eos_token), rest.removesuffix(EXTRACTOR), learnt


def test_words_are_single_tokens(made):
    _, tokenizer = made
    for text in (*word_list(), "\n"):
        assert len(tokenizer.tokenize(text)) == 1, text


def test_ids_are_those_of_the_whole_text(made, batch):
    _, tokenizer = made
    told = (batch.told != IGNORE).sum(1) > 25
    for ids, mask in zip(batch.texts.ids[told], batch.texts.mask[told], strict=True):
        kept = ids[mask.bool()].tolist()
        assert tokenizer(tokenizer.decode(kept))["input_ids"] == kept
    assert batch.texts.ids.shape[1] <= tokenizer.model_max_length


def test_draws_are_the_same_for_a_seed(made):
    first, second, other = (reasoning_batch(made[1], 20, random.Random(seed)) for seed in (3, 3, 4))
    assert torch.equal(first.texts.ids, second.texts.ids)
    assert torch.equal(first.odds, second.odds)
    assert not torch.equal(first.odds, other.odds)


def test_questions_of_the_package_never_come(made, monkeypatch):
    asked = {story.question() for story in held_out()}
    few = reasoning_batch(made[1], 50, random.Random(2))
    assert not [text for text, *_ in lines(made[1], few) if any(map(text.startswith, asked))]
    first, second = (reasoning_batches.sample_story(rng) for rng in [random.Random(2)] * 2)
    monkeypatch.setattr(reasoning_batches, "held_out", lambda: {first})
    (text, *_) = next(lines(made[1], reasoning_batch(made[1], 1, random.Random(2))))
    assert text.startswith(second.question())


def test_chains_are_learnt_with_their_end_and_only_behind_their_own_prompts(made, batch):
    _, tokenizer = made
    shares = 0
    for _, chain, learnt in lines(tokenizer, batch):
        assert learnt in ("", chain + tokenizer.eos_token)
        shares += not learnt
    assert 0.2 < shares / 200 < 0.5


def test_answers_are_asked_at_the_last_token(made, batch):
    _, tokenizer = made
    last = batch.texts.ids[torch.arange(200), batch.places]
    assert {*last.tolist()} == {*tokenizer(" is")["input_ids"]}
    assert_near(batch.odds.sum(1), torch.ones(200))
    numbers = [f"Ġ{number}" for number in range(LARGEST + 1)]
    assert tokenizer.convert_ids_to_tokens(batch.answers.tolist()) == numbers


def test_mixed_prompts_hold_no_other_words_that_count(made):
    encode = reasoning_batches.cache(lambda text: tuple(made[1](text)["input_ids"]))
    names = {encode(f" {word}")[0]: word for word in COUNTED}
    rng = random.Random(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reasoning_batches, "NO_PROMPT", 0.0)
        patch.setattr(reasoning_batches, "MIXED", 1.0)
        for _ in range(200):
            part = reasoning_batches._prompt(encode, len(made[1]), made[1].eos_token_id, rng)
            assert strength(names[id_] for id_ in part.ids if id_ in names) == part.strong
            assert not part.told
            assert not {made[1].eos_token_id, *encode("\n")} & {*part.ids}


def test_loss_is_that_of_tokens_chains_and_answers(made):
    model, tokenizer = made
    module = ReasoningModule(model.eval(), 1e-3)
    told = {}
    module.log_dict = lambda values, **_: told.update(values)
    batch = reasoning_batch(tokenizer, 8, random.Random(5))
    with torch.no_grad():
        loss = module.training_step(batch, 0)
        sums = {"told": [], "chain": []}
        answer = 0.0
        for row, (ids, mask) in enumerate(zip(batch.texts.ids, batch.texts.mask, strict=True)):
            length = int(mask.sum())
            logs = model(ids[None, :length]).logits[0].log_softmax(-1)
            for place in range(1, length):
                for name, labels in (("told", batch.told), ("chain", batch.chains)):
                    if (label := int(labels[row, place])) != IGNORE:
                        sums[name].append(-float(logs[place - 1, label]))
            answer -= float((batch.odds[row] * logs[-1, batch.answers]).sum()) / 8
    text, chain = (sum(values) / len(values) for values in sums.values())
    assert told["told"].item() == near(text)
    assert told["chain"].item() == near(chain)
    assert told["answer"] >= 0
    assert loss.item() == near(TOLD_WEIGHT * text + CHAIN_WEIGHT * chain + ANSWER_WEIGHT * answer)


def test_matrices_of_layers_learn_by_muon(made):
    module = ReasoningModule(made[0], 1e-3)
    muon, adamw = module.optimizer().parts
    names = {weight: name for name, weight in module.named_parameters()}
    by_muon = {names[w].rsplit(".", 2)[-2] for g in muon.param_groups for w in g["params"]}
    assert by_muon == {"c_attn", "c_proj", "c_fc"}
    assert "model.transformer.wte.weight" in {
        names[w] for g in adamw.param_groups for w in g["params"]
    }
