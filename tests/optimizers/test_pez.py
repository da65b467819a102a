"""PEZ against a plain loop with autograd."""

from itertools import chain

import pytest
import torch
from torch.nn import functional as F

from fuse_lightning.data import ImageTargets, Target, TextTargets
from fuse_lightning.errors import FuseError
from fuse_lightning.objectives import (
    Fluency,
    ImageSimilarity,
    TextSimilarity,
    embedding_gradient,
    label_changes,
)
from fuse_lightning.optimizers import PEZ, Constraints, descent
from fuse_lightning.optimizers.descent_state import descent_of
from fuse_lightning.search import BeamSearch, GreedySearch
from tests.near import assert_near, near
from tests.optimizers.runs import build, fit, found

STEPS, LENGTH = 12, 5


class Recording(PEZ):
    """Also remembers what it proposed for the first target, step by step."""

    def load(self, *args):
        super().load(*args)
        self.proposed = []

    def propose(self, states):
        proposed = super().propose(states)
        self.proposed.append(proposed[0])
        return proposed


def test_trajectory_equals_a_plain_loop(folders, pictures, tmp_path, double):
    """Project, take the gradient there, move the continuous point: it is never overwritten."""
    seen = []

    class Watched(PEZ):
        def project(self, embeddings):
            ids = super().project(embeddings)
            seen.append(ids.view(2, LENGTH).tolist())
            return ids

    module = Watched(
        [ImageSimilarity(folders["clip"])], steps=STEPS, prompt_length=LENGTH, restarts=2
    )
    fit(module, ImageTargets(str(pictures / "0.png")), tmp_path, GreedySearch())
    term, objective = module.objective.terms[0], module.objective
    table = term.model.embedding_table
    allowed = module.allowed_ids
    for restart in range(2):
        point = table[torch.tensor(seen[0][restart])].clone()
        first, second = torch.zeros_like(point), torch.zeros_like(point)
        for step in range(STEPS):
            cosine = F.cosine_similarity(point[:, None], table[allowed][None], dim=-1)
            ids = allowed[cosine.argmax(1)]
            assert ids.tolist() == seen[step][restart]
            reading = term.read(objective.prompts([tuple(ids.tolist())], [0]), ids=True)
            embeds = table[reading.rows.ids].clone().requires_grad_()
            (grad,) = torch.autograd.grad(term.loss(reading, embeds).sum(), embeds)
            grad = grad[reading.prompt]
            first = 0.9 * first + 0.1 * grad
            second = 0.999 * second + 0.001 * grad**2
            rate = first / (1 - 0.9 ** (step + 1))
            scale = (second / (1 - 0.999 ** (step + 1))).sqrt() + 1e-8
            point = point * (1 - 0.1 * 0.1) - 0.1 * rate / scale
    assert len({tuple(ids[0]) for ids in seen}) > 3


def test_every_projection_is_scored_as_its_text_is_read_back(folders, pictures, tmp_path):
    module = build(Recording, folders, steps=STEPS, prompt_length=LENGTH, restarts=2)
    fit(module, ImageTargets(str(pictures / "0.png")), tmp_path, GreedySearch())
    scored, objective = [*chain(*module.proposed)], module.objective
    prompts = objective.prompts(scored, [0] * len(scored))
    assert all(prompts.canonical)
    totals = objective.total(objective.losses(prompts))
    assert module.results[0].loss == near(float(totals.min()))
    special = set(objective.primary.tokenizer.all_special_ids)
    assert not special & {token for state in scored for token in state}


def test_of_several_restarts_that_are_repelled_the_farthest_is_best(folders, pictures, tmp_path):
    term = ImageSimilarity(folders["clip"], weight=-1)
    module = Recording([term], steps=STEPS, prompt_length=LENGTH, restarts=4)
    fit(module, ImageTargets(str(pictures / "0.png")), tmp_path, GreedySearch())
    scored = [*dict.fromkeys(chain(*module.proposed))]
    losses = module.objective.losses(module.objective.prompts(scored, [0] * len(scored)))[:, 0]
    (best,) = module.results
    assert best.losses["image_similarity"] == near(float(losses.max()), size=1)
    assert best.loss == near(-float(losses.max()), size=1)


def test_blocked_words_keep_their_meaning_in_a_target(folders, tmp_path):
    """What must not be said may still be what is meant: blocking leaves the encoder as it is."""
    losses = []
    for block in ([], ["star", "red"]):
        module = PEZ(
            [TextSimilarity(folders["clip"])],
            steps=8,
            prompt_length=LENGTH,
            constraints=Constraints(block=block),
        )
        fit(module, TextTargets("two red stars"), tmp_path, GreedySearch())
        assert not any(word in module.results[0].prompt.lower() for word in block)
        state = module.objective.encode_prompt("two red stars")
        losses.append(float(module.objective.losses(module.objective.prompts([state], [0]))[0, 0]))
    assert losses == near([0, 0], size=1)


def test_each_step_runs_the_encoder_once_over_no_padding(folders, pictures, tmp_path, monkeypatch):
    """Also where a projection spells a text that is read as other tokens."""
    runs, canonical = [], []
    module = PEZ([ImageSimilarity(folders["clip"])], steps=30, prompt_length=6)
    module.load()

    def watched(objective, prompts):
        runs.append([])
        canonical.append(prompts.canonical[0])
        return embedding_gradient(objective, prompts)

    monkeypatch.setattr(descent, "embedding_gradient", watched)
    module.objective.terms[0].model.module.text_model.final_layer_norm.register_forward_hook(
        lambda _, __, output: runs[-1].append(output.shape[:2]) if runs else None
    )
    fit(module, ImageTargets(str(pictures / "0.png")), tmp_path, GreedySearch())
    assert len(runs) == 30
    assert all(len(run) == 1 for run in runs)
    assert 0 < sum(canonical) < 30
    for ((rows, width),), same in zip(runs, canonical, strict=True):
        assert (rows, width) == (1, 6 + 2) if same else (rows <= 2 and width >= 6 + 2)


def test_losses_of_the_gradient_pass_are_those_of_the_text(folders, pictures):
    module = build(PEZ, folders)
    module.load()
    objective = module.objective
    objective.set_targets(ImageTargets(str(pictures / "0.png")).find_targets())
    states = [objective.encode_prompt(text) for text in ("two red stars", "a circle above it")]
    prompts = objective.prompts([*states, states[0][::-1]], [0, 0, 0])
    _, losses = embedding_gradient(objective, prompts)
    exact = objective.losses(prompts)
    assert_near(losses[:2], exact[:2])


def test_descent_lowers_the_loss_and_polishing_lowers_it_further(
    folders, pictures, tmp_path, double
):
    losses = []
    for steps, polish in ((1, 0), (60, 0), (75, 15)):
        module = PEZ(
            [ImageSimilarity(folders["clip"])],
            steps=steps,
            polish_steps=polish,
            batch_size=40,
            prompt_length=LENGTH,
            restarts=4,
            constraints=Constraints("words"),
        )
        fit(module, ImageTargets(str(pictures / "0.png")), tmp_path, GreedySearch())
        losses.append(module.results[0].loss)
    assert losses[0] > losses[1] > losses[2]


def test_gradients_cross_tokenizers_in_the_primarys_space(folders, pictures):
    module = build(PEZ, folders)
    module.load()
    module.objective.set_targets(ImageTargets(str(pictures / "0.png")).find_targets())
    state = module.objective.encode_prompt("two red stars above a circle")
    prompts = module.objective.prompts([state], [0])
    gradient, _ = embedding_gradient(module.objective, prompts)
    assert gradient.shape == (1, len(state), 16)
    # The last token reaches the likelihood of no other, but the picture.
    assert (gradient[0].abs().sum(-1) > 0).all()


def test_a_projection_that_is_too_long_does_not_end_the_search(folders, pictures, tmp_path):
    class Watched(PEZ):
        def score(self, proposed):
            scored = super().score(proposed)
            if self.searches[0].step == 3:
                return [[(float("inf"), state) for _, state in group] for group in scored]
            return scored

    module = build(Watched, folders, steps=6, prompt_length=4)
    fit(module, ImageTargets(str(pictures / "0.png")), tmp_path, GreedySearch())
    assert module.searches[0].step == 6


def test_reduced_precision_does_not_reach_the_projection(folders):
    module = build(PEZ, folders)
    module.load()
    torch.manual_seed(0)
    points = torch.randn(500, module._table.shape[1])
    expected = module.project(points)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(module.project(points), expected)


def test_other_strategies_are_refused(folders, pictures, tmp_path):
    module = PEZ([Fluency(folders["gpt2"])], steps=3)
    with pytest.raises(FuseError, match="replace BeamSearch by GreedySearch"):
        fit(module, ImageTargets(str(pictures / "0.png")), tmp_path, BeamSearch(2))


@pytest.mark.parametrize("polish", [0, 2])
def test_where_a_descent_ends_is_scored(polish, folders, pictures, tmp_path):
    module = Recording(
        [ImageSimilarity(folders["clip"])],
        steps=3 + polish,
        polish_steps=polish,
        prompt_length=LENGTH,
        learning_rate=2.0,
        top_k=8,
    )
    fit(module, ImageTargets(str(pictures / "0.png")), tmp_path, GreedySearch())
    (search,) = module.searches
    (last,) = module.project(descent_of(search)["iterate"]).tolist()
    (text,) = module.objective.prompts([tuple(last)], [0]).texts
    assert module.proposed[2] == [module.objective.encode_prompt(text)] != module.proposed[1]


def test_a_descent_that_stalls_is_polished(folders, pictures, tmp_path):
    steps = []

    class Watched(PEZ):
        def _polish(self, targets):
            steps.extend(self.searches[target].step for target in targets)
            return super()._polish(targets)

        def _descend(self, targets):
            found = super()._descend(targets)
            # Nothing better is found but at the start.
            return found if self.searches[0].step == 1 else {target: [] for target in targets}

    terms = [ImageSimilarity(folders["clip"])]
    options = {"prompt_length": 4, "patience": 3, "polish_steps": 5, "top_k": 1, "batch_size": 1}
    module = Watched(terms, steps=100, **options)
    fit(module, ImageTargets(str(pictures / "0.png")), tmp_path, GreedySearch())
    assert steps[0] == 5
    assert steps == list(range(5, module.searches[0].step + 1))
    assert 3 <= len(steps) <= 5


def test_a_second_search_of_one_module_is_like_the_first(folders, pictures, tmp_path):
    options = {"prompt_length": 4, "patience": 2, "polish_steps": 3, "batch_size": 2}
    module = PEZ([ImageSimilarity(folders["clip"])], steps=12, **options)
    runs = []
    for place in ("first", "second"):
        data = ImageTargets(str(pictures / "0.png"))
        trainer = fit(module, data, tmp_path / place, GreedySearch())
        runs.append((trainer.global_step, found(module)))
    assert runs[0] == runs[1]


def likelihood(folders, **options):
    """A descent in a model whose output head is its embedding table."""
    module = PEZ([Fluency(folders["gpt2"], weight=2.0, prefix="An image of")], **options)
    module.load()
    module.objective.set_targets([Target("one")])
    objective = module.objective
    states = [objective.encode_prompt(text) for text in ("two red stars", "red")]
    return module, objective.prompts(states, [0, 0])


def test_the_label_part_of_a_likelihood_is_exact_where_the_head_is_the_table(folders):
    module, prompts = likelihood(folders)
    gradient = module._label_gradient(prompts)
    changes = label_changes(module.objective, prompts)
    table, allowed = module._table, module.allowed_ids
    for row, state in enumerate(prompts.states):
        for place, token in enumerate(state):
            told = (table[allowed] - table[token]) @ gradient[row, place]
            torch.testing.assert_close(
                told, changes[row, place, allowed], rtol=1e-3, atol=1e-3 * float(told.abs().max())
            )
    # Of a single token nothing else changes: it is the difference of the losses.
    (start,), swaps = prompts.states[1], [(int(token),) for token in allowed[::9]]
    losses = module.objective.losses(module.objective.prompts(swaps, [0] * len(swaps)))
    before = module.objective.losses(prompts)[1]
    told = (table[allowed[::9]] - table[start]) @ gradient[1, 0]
    expected = module.objective.total(losses - before)
    torch.testing.assert_close(told, expected, rtol=1e-3, atol=1e-3)


def test_the_label_part_is_the_nearest_linear_function_anywhere(folders):
    module, prompts = likelihood(folders, constraints=Constraints("words"))
    wanted = torch.randn(len(prompts.states), 3, module.objective.primary.vocab_size)
    allowed = module.allowed_ids
    table = module._table[allowed].double()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(descent, "label_changes", lambda *_: wanted)
        gradient = module._label_gradient(prompts)
    columns = torch.cat([table, torch.ones(len(table), 1, dtype=table.dtype)], dim=1)
    right = wanted[..., allowed].double().flatten(0, 1).T
    solution = torch.linalg.lstsq(columns, right).solution[:-1].T
    torch.testing.assert_close(gradient.double().flatten(0, 1), solution, rtol=1e-3, atol=1e-4)


def test_a_descent_in_a_likelihood_takes_its_label_part(folders, tmp_path):
    losses = {}
    for name in ("whole", "inputs alone"):
        module = PEZ([Fluency(folders["gpt2"])], steps=40, prompt_length=LENGTH, restarts=4)
        if name != "whole":
            module._label_gradient = lambda prompts: None
        fit(module, TextTargets("two red stars"), tmp_path, GreedySearch())
        losses[name] = module.results[0].loss
    assert losses["whole"] < losses["inputs alone"] - 0.5
