"""Damped ways to predict losses through an adapter."""

import random
from contextlib import ExitStack

import pytest

from fuse_lightning.evaluation.adapter_fidelity import Recipe, fidelity
from fuse_lightning.models import CLIP, CausalLM
from fuse_lightning.zoo.scenes import sample_sentence
from tests.factories import tiny

ENDS = ("out_proj", "fc2")
"""The last linear maps of a CLIP's branches."""


def test_a_damped_recipe_predicts_as_hooks_at_the_branches_do(tmp_path):
    source, target = CausalLM(tiny.gpt2(tmp_path / "gpt2")), CLIP(tiny.clip(tmp_path / "clip"))
    rng = random.Random(0)
    texts = [sample_sentence(rng)[0] for _ in range(6)]

    def told(recipe):
        (row,) = fidelity(source, target, texts, 3, 60, recipes=[recipe]).values()
        return row

    whole, half = told(Recipe("lookup", 2)), told(Recipe("lookup", 2, damping=0.5))
    with ExitStack() as stack:
        for name, part in target.module.text_model.named_modules():
            if name.endswith(ENDS):
                hook = part.register_forward_hook(lambda _, args, out: (out + out.detach()) / 2)
                stack.callback(hook.remove)
        by_hand = told(Recipe("lookup", 2))
    assert half == pytest.approx(by_hand, abs=1e-6)
    assert half != whole


def test_a_row_names_its_damping():
    assert str(Recipe("lookup", damping=0.5)) == "lookup, at current token, branches damped to 50%"
