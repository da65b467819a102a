"""Causal language models read as ids and as text, and one prompt at a time by plain calls."""

from copy import deepcopy
from dataclasses import dataclass

import pytest
import torch
from hypothesis import strategies as st

from fuse_lightning.data import Target
from fuse_lightning.models import CausalLM
from fuse_lightning.objectives import Objective
from tests.near import assert_near

NAMES = ("tiny", "zoo", "opt", "gemma", "llama", "qwen2", "falcon", "mistral", "mamba")
"""Byte-level and SentencePiece tokenizers; tied, untied, scaled, narrow and spare embeddings."""
every_lm = pytest.mark.parametrize("name", NAMES)

WORDS = ("a", "red", "two", "dog's", "houses", "sea,", "at", "night!", "3", "ß", "猫")
prompts = st.lists(st.sampled_from(WORDS), min_size=1, max_size=4).map(" ".join)
batches = st.lists(prompts, min_size=1, max_size=5)
PREFIX, SUFFIX = "The film", "is a"


@dataclass
class Plain:
    """One text in float64, without padding: ids, embeddings to differentiate, logits."""

    ids: list[int]
    embeds: torch.Tensor
    logits: torch.Tensor
    head: torch.Tensor
    table: torch.Tensor


def both_ways(term_class, folder, targets=None, max_batch_tokens=64, **kwargs):
    """An objective whose two terms read the same model, as ids and as text."""
    folder = str(folder)
    terms = [
        term_class(CausalLM(folder, device=device), prefix=PREFIX, suffix=SUFFIX, **kwargs)
        for device in (None, "cpu")
    ]
    objective = Objective(terms, max_batch_tokens=max_batch_tokens)
    objective.load()
    objective.set_targets(targets or [Target("one")])
    assert terms[0].model is not terms[1].model
    return objective


def prompts_of(objective, texts, owners=None):
    states = [objective.encode_prompt(text) for text in texts]
    prompts = objective.prompts(states, owners or [0] * len(texts))
    assert all(prompts.canonical)
    return prompts


def plain(model, text):
    """What the plain network makes of a whole text."""
    module = deepcopy(model.module).double()
    ids = [*model.start_ids, *model.tokenizer(text, add_special_tokens=False).input_ids]
    embeds = module.get_input_embeddings()(torch.tensor([ids])).detach().requires_grad_()
    logits = module(inputs_embeds=embeds).logits[0].double()
    table = module.get_input_embeddings()(torch.arange(model.vocab_size)).detach()
    return Plain(ids, embeds, logits, module.get_output_embeddings().weight, table)


def prompt_places(model, text):
    """Places of a prompt's tokens behind start and prefix."""
    before, whole = (
        len(model.start_ids) + len(model.tokenizer(t, add_special_tokens=False).input_ids)
        for t in (PREFIX, f"{PREFIX} {text}")
    )
    return range(before, whole)


def check_gradients(objective, prompts, reference):
    """Compares gradients with those of ``reference(model, text, owner)``: a loss and its Plain."""
    for term in objective.terms:
        reading = term.read(prompts)
        embeds = term.model.embed(reading.rows.ids).detach().requires_grad_()
        loss = term.loss(reading, embeds)
        assert loss.dtype == torch.float32
        (grad,) = torch.autograd.grad(loss.sum(), embeds)
        for row, (text, owner) in enumerate(zip(prompts.texts, prompts.owners, strict=True)):
            expected, whole = reference(term.model, text, owner)
            assert_near(loss[row], expected)
            (wanted,) = torch.autograd.grad(expected, whole.embeds)
            # One of them may end with a suffix, of which nothing depends.
            length = min(len(whole.ids), int(reading.rows.mask[row].sum()))
            assert whole.ids[:length] == reading.rows.ids[row, :length].tolist()
            assert wanted[0, length:].abs().sum() == 0
            assert wanted.abs().max() > 1e-6
            assert_near(grad[row, :length], wanted[0, :length], share=1e-3)
            assert grad[row, length:].abs().sum() == 0


def check_differences(objective, prompts, monkeypatch):
    """Compares gradients in float64 with differences of the loss."""
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    for term in objective.terms:
        term.model.module.double()
        reading = term.read(prompts)
        embeds = term.model.embed(reading.rows.ids).detach().requires_grad_()
        (grad,) = torch.autograd.grad(term.loss(reading, embeds).sum(), embeds)
        generator = torch.Generator().manual_seed(0)
        for _ in range(4):
            way = torch.randn(embeds.shape, generator=generator, dtype=embeds.dtype)
            with torch.no_grad():
                ahead, behind = (term.loss(reading, embeds + s * way).sum() for s in (1e-5, -1e-5))
            parts = grad * way
            size = float(parts.abs().sum())
            assert_near(parts.sum(), (ahead - behind) / 2e-5, size, share=1e-6)
