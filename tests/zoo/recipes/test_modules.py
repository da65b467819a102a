"""How the zoo's CLIPs learn: what each stage moves, how, and what it leaves."""

import random

import pytest
import torch
from torch import nn

from fuse_lightning.zoo.recipes.architectures import RECIPES
from fuse_lightning.zoo.recipes.batches import OBJECTS, pair_batch
from fuse_lightning.zoo.recipes.modules import ANCHOR, AttributeHead, LessonModule, PairModule
from fuse_lightning.zoo.recipes.optimizers import Together
from tests.near import assert_near, near
from tests.zoo.captions import captions

BATCHES = {"flawed": 2, "cut_share": 0.5, "mix_up": 0.5}


@pytest.fixture
def lessons():
    torch.manual_seed(0)
    model, tokenizer = RECIPES["clip"](0)
    head = AttributeHead(model.config.projection_dim)
    flaw_head = nn.Linear(model.config.text_config.hidden_size, 2)
    module = LessonModule(model.eval(), 1e-3, head, flaw_head)
    module.on_fit_start()
    told = {}
    module.log = lambda name, value, **_: told.update({name: value.item()})
    return module, pair_batch(tokenizer, 6, random.Random(0), **BATCHES), told


def test_captions_are_read_as_each_by_itself(lessons):
    """Though what several of a picture begin with is computed once, and padded with others."""
    module, batch, _ = lessons
    with torch.no_grad():
        found, flaw = module.read(batch.trees, batch.flaws)
        singles, nll, count = [], 0.0, 0
        rows = zip(captions(batch.trees), batch.flaws.flatten(0, 1), strict=True)
        for ids, flaws in rows:
            flaws = flaws[: len(ids)]
            output = module.model.text_model(ids[None])
            singles.append(module.model.text_projection(output.pooler_output))
            logits = module.flaw_head(output.last_hidden_state[0])[flaws >= 0]
            nll += nn.functional.cross_entropy(logits, flaws[flaws >= 0], reduction="sum")
            count += int((flaws >= 0).sum())
    assert_near(found.flatten(0, 1), torch.cat(singles))
    assert_near(flaw, nll / count)


def test_captions_that_are_not_asked_for_change_no_other(lessons):
    module, batch, _ = lessons
    text_model = module.model.text_model
    asked = torch.zeros(batch.valid.shape, dtype=torch.bool)
    asked[:, 0] = asked[1:3, 1:3] = True
    with torch.no_grad():
        whole = module.features(batch.trees, batch.trees.states(text_model))
        some = module.features(batch.trees, batch.trees.states(text_model, asked))
    assert_near(some[asked], whole[asked])
    # What no other caption begins with is not computed.
    assert not torch.allclose(some[~asked], whole[~asked])


def test_objects_are_told_as_likely_as_each_other():
    torch.manual_seed(0)
    head = AttributeHead(8)
    features, objects = torch.randn(4, 8), torch.zeros(4, len(OBJECTS))
    objects[0, 3] = objects[2, 5] = objects[2, 7] = objects[3, 0] = 1
    log_probs = head.objects(features).log_softmax(-1)
    losses = [log_probs[0, 3], (log_probs[2, 5] + log_probs[2, 7]) / 2, log_probs[3, 0]]
    assert_near(head.object_loss(features, objects), -torch.stack(losses).mean())
    assert head.object_loss(features, torch.zeros_like(objects)) == 0


def test_lessons_hold_sound_captions_where_they_were(lessons):
    module, batch, told = lessons
    loss = module.training_step(batch, 0)
    assert told["moved"] == near(0, size=1)
    assert loss.item() == near(told["loss"] + told["flaw"] + ANCHOR * told["moved"])
    with torch.no_grad():
        module.model.text_projection.weight.add_(
            torch.randn_like(module.model.text_projection.weight)
        )
    loss = module.training_step(batch, 0)
    assert told["moved"] > 0.01
    assert loss.item() == near(told["loss"] + told["flaw"] + ANCHOR * told["moved"])


def test_what_is_held_is_no_part_of_what_learns(lessons):
    module, *_ = lessons
    before = PairModule(module.model, 0.0, module.head, module.flaw_head)
    assert {*module.state_dict()} == {*before.state_dict()}


def test_lessons_teach_the_text_tower_alone(lessons):
    module, batch, _ = lessons
    module.training_step(batch, 0).backward()
    moved = {name for name, weight in module.model.named_parameters() if weight.grad is not None}
    assert any(name.startswith("text_model.") for name in moved)
    assert not any(name.startswith(("vision_model.", "visual_projection")) for name in moved)


def test_layers_learn_by_muon_and_all_else_by_adamw(lessons):
    module, *_ = lessons
    for name, weight in module.named_parameters():
        weight.requires_grad_("vision" not in name)
    muon, adamw = module.optimizer().parts
    names = {weight: name for name, weight in module.named_parameters()}
    by_muon, by_adamw = (
        [names[weight] for group in part.param_groups for weight in group["params"]]
        for part in (muon, adamw)
    )
    trained = {name for name in names.values() if "vision" not in name}
    assert sorted(by_muon + by_adamw) == sorted(trained)
    assert {name.split(".")[-2] for name in by_muon} == {
        *("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")
    }
    assert "model.text_model.embeddings.token_embedding.weight" in by_adamw


def test_a_schedule_reaches_both_optimizers():
    weights = [nn.Parameter(torch.ones(3, 3)), nn.Parameter(torch.ones(3))]
    parts = [torch.optim.SGD([weights[0]], lr=1.0), torch.optim.SGD([weights[1]], lr=2.0)]
    both = Together(parts)
    schedule = torch.optim.lr_scheduler.LambdaLR(both, lambda step: 0.5**step)
    calls = []

    def closure():
        calls.append(1)
        both.zero_grad()
        loss = weights[0].sum() + weights[1].sum()
        loss.backward()
        return loss

    with torch.no_grad():
        assert both.step(closure) == 12
        schedule.step()
        both.step(closure)
    assert len(calls) == 2
    assert torch.equal(weights[0], torch.full((3, 3), 1 - 1.5))
    assert torch.equal(weights[1], torch.full((3,), 1 - 3.0))
