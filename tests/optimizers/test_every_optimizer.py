"""What holds for every optimizer: true losses, seeds, batches, resuming, constraints."""

import json
import re
from itertools import pairwise
from types import SimpleNamespace

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins.environments import SLURMEnvironment
from lightning.pytorch.strategies import DDPStrategy

from fuse_lightning.callbacks import PromptTable
from fuse_lightning.data import ImageTargets, TextTargets
from fuse_lightning.errors import FuseError
from fuse_lightning.objectives import Fluency, TextSimilarity
from fuse_lightning.optimizers import (
    GCG,
    PEZ,
    AutoDAN,
    AutoPrompt,
    Constraints,
    FluentPrompt,
    RandomSearch,
)
from fuse_lightning.search import GreedySearch, HistorySearch
from fuse_lightning.search.distributed import PromptStrategy
from fuse_lightning.search.lightning_glue import check_trainer
from tests.near import near
from tests.optimizers.families import OPTIMIZERS, STEPS, STRATEGIES
from tests.optimizers.runs import SHARED, build, close, fit, found

NAMES = [f"pictures/{index}.png" for index in range(3)]
PAIRS = [
    *(("autodan", "greedy"), ("autodan", "beam"), ("autodan", "uniform cost")),
    *(("gcg", "beam"), ("gcg", "history")),
    *(("l0", "greedy"), ("l0", "uniform cost")),
    ("l2", "history"),
    *((name, "greedy") for name in ("pez", "autoprompt", "autoprompt_sgd", "fluent_prompt")),
    ("simplex", "greedy"),
    *(("autoprompt", name) for name in ("beam", "uniform cost", "history")),
]


@pytest.mark.parametrize(("name", "strategy"), PAIRS)
def test_same_seed_gives_same_prompts_and_reported_losses_are_true(
    folders, pictures, tmp_path, name, strategy
):
    runs = []
    for number in range(2):
        torch.manual_seed(number)
        module = OPTIMIZERS[name](folders, seed=3)
        fit(module, ImageTargets(str(pictures), batch_size=2), tmp_path, STRATEGIES[strategy]())
        runs.append(found(module))
    assert runs[0] == runs[1]
    assert [row["target"] for row in runs[0]] == NAMES
    objective = module.objective
    for row, target in zip(module.results, ImageTargets(str(pictures)).find_targets(), strict=True):
        objective.set_targets([target])
        state = objective.encode_prompt(row.prompt)
        assert list(state) == row.ids
        losses = objective.losses(objective.prompts([state], [0]))
        assert row.loss == near(float(objective.total(losses)[0]), size=1)
        assert list(row.losses.values()) == near(losses[0].tolist(), size=1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "strategy"),
    [
        ("autodan", "beam"),
        ("autodan", "uniform cost"),
        ("gcg", "history"),
        ("l0", "beam"),
        ("pez", "greedy"),
        ("autoprompt", "greedy"),
        ("autoprompt_sgd", "greedy"),
        ("fluent_prompt", "greedy"),
        ("simplex", "greedy"),
    ],
)
def test_resumed_run_equals_an_uninterrupted_one(
    folders, pictures, tmp_path, double, name, strategy
):
    data = {"images": str(pictures), "batch_size": 2}
    make, search = OPTIMIZERS[name], STRATEGIES[strategy]
    whole = make(folders, seed=1)
    saver = ModelCheckpoint(tmp_path / "ckpt", every_n_train_steps=1, save_top_k=-1)
    fit(whole, ImageTargets(**data), tmp_path / "whole", search(), saver)
    expected = found(whole)
    # The first two targets end with the fifth step.
    for stop in (2, STEPS, 7):
        (checkpoint,) = (tmp_path / "ckpt").glob(f"*step={stop}.ckpt")
        folder = tmp_path / f"rest-{stop}"
        resumed = make(folders, seed=1)
        torch.manual_seed(123)
        trainer = fit(resumed, ImageTargets(**data), folder, search(), ckpt_path=checkpoint)
        assert trainer.global_step == 2 * STEPS
        assert found(resumed) == close(expected)
        lines = (folder / "prompts.jsonl").read_text().splitlines()
        assert [{**json.loads(line), **SHARED} for line in lines] == found(resumed)
    with pytest.raises(FuseError, match=r"seed is 99, but was 1; go on with the same"):
        fit(
            make(folders, seed=99),
            ImageTargets(**data),
            tmp_path / "other",
            search(),
            ckpt_path=checkpoint,
        )


@pytest.mark.slow
@pytest.mark.parametrize("stop", [2, STEPS, 7])
@pytest.mark.parametrize(("name", "strategy"), [("l0", "beam"), ("pez", "greedy")])
def test_a_run_goes_on_with_another_batch_size_and_other_limits(
    folders, pictures, tmp_path, double, name, strategy, stop
):
    make, search = OPTIMIZERS[name], STRATEGIES[strategy]
    whole = make(folders, seed=1)
    saver = ModelCheckpoint(tmp_path / "ckpt", every_n_train_steps=1, save_top_k=-1)
    data = ImageTargets(str(pictures), batch_size=2)
    fit(whole, data, tmp_path / "whole", search(), saver)
    (checkpoint,) = (tmp_path / "ckpt").glob(f"*step={stop}.ckpt")
    for size in (1, 3):
        resumed, folder = make(folders, seed=1), tmp_path / f"rest-{size}"
        data = ImageTargets(str(pictures), batch_size=size)
        fit(resumed, data, folder, search(), ckpt_path=checkpoint)
        assert found(resumed) == close(found(whole))
    fewer = make(folders, seed=1)
    fewer.steps = 1
    data = ImageTargets(str(pictures), batch_size=3)
    fit(fewer, data, tmp_path / "fewer", search(), ckpt_path=checkpoint)
    assert [row["target"] for row in found(fewer)] == [row["target"] for row in found(whole)]
    assert all(row.finished for row in fewer.results)
    # None has had more than one step beside those before the checkpoint.
    assert all(row.step <= stop + 1 for row in fewer.results)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_constraints_hold_for_every_optimizer(folders, pictures, tmp_path, name):
    free = OPTIMIZERS[name](folders)
    fit(free, ImageTargets(str(pictures / "0.png")), tmp_path, GreedySearch())
    # What two tokens spell together: no token alone is to blame.
    pieces = [free.objective.primary.pieces[token] for token in free.results[0].ids]
    block = [
        left[-1].lower() + right[0].lower()
        for left, right in pairwise(pieces)
        if left[-1].isalpha() and right[0].isalpha()
    ]
    block = block or re.findall("[a-z]+", free.results[0].prompt.lower())[-1:]
    bound = OPTIMIZERS[name](
        folders, constraints=Constraints("words", block=block), initial_prompt=""
    )
    fit(bound, ImageTargets(str(pictures / "0.png")), tmp_path, GreedySearch())
    prompt = bound.results[0].prompt
    assert prompt
    assert not any(string in prompt.lower() for string in block)
    assert all(c.isalpha() or c in ",. " for c in prompt)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_start_longer_than_a_model_reads_is_refused(folders, pictures, tmp_path, name):
    module = OPTIMIZERS[name](folders, initial_prompt="red " * 46)
    with pytest.raises(FuseError, match=r"fluency reads at most 48 tokens.*shorten"):
        fit(module, ImageTargets(str(pictures / "0.png")), tmp_path, GreedySearch())


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("autodan", {"steps": -1}, "steps is -1"),
        ("autodan", {"patience": 0}, "patience is 0"),
        ("autodan", {"gradient_samples": -1}, "gradient_samples is -1"),
        ("autodan", {"max_length": -2}, "max_length is -2"),
        ("autodan", {"batch_size": 0}, "batch_size is 0"),
        ("gcg", {"top_k": 0}, "top_k is 0"),
        ("gcg", {"n_replace": 0}, "n_replace is 0"),
        ("gcg", {"merge": -1}, "merge is -1"),
        ("gcg", {"gradient_resample": 0.0}, "gradient_resample is 0.0"),
        ("l0", {"radius": 0}, "radius is 0"),
        ("l0", {"search_ball": "L1"}, "search_ball is 'L1'"),
        ("autoprompt", {"top_k": 0}, "top_k is 0"),
        ("autoprompt", {"order": "last"}, "order is 'last'; it must be random or in_turn"),
        ("autoprompt_sgd", {"learning_rate": 0.0}, "learning_rate is 0.0"),
        ("fluent_prompt", {"noise_start": 0.0}, "noise_start is 0.0; .*AutoPromptSGD has no noise"),
        ("fluent_prompt", {"noise_end": -1.0}, "noise_end is -1.0; it must be above 0"),
        ("fluent_prompt", {"polish_steps": 5}, "polish_steps is 5, but there are only 5 steps"),
        ("simplex", {"momentum": 1.0}, "momentum is 1.0; it must be at least 0 and below 1"),
        ("simplex", {"anchor": 1.5}, r"anchor is 1.5; it must be in \[0, 1\]"),
        ("simplex", {"cycle": 0}, "cycle is 0; it must be at least 1"),
        ("pez", {"restarts": 0}, "restarts is 0"),
        ("pez", {"learning_rate": 0.0}, "learning_rate is 0.0"),
        ("pez", {"weight_decay": -1.0}, "weight_decay is -1.0"),
        ("pez", {"polish_steps": 5}, "polish_steps is 5, but there are only 5 steps"),
    ],
)
def test_impossible_settings_are_refused(folders, name, changes, message):
    with pytest.raises(FuseError, match=message):
        OPTIMIZERS[name](folders, **changes)


@pytest.mark.parametrize("kind", [GCG, RandomSearch, PEZ, AutoPrompt, FluentPrompt])
def test_a_swap_needs_something_to_replace(folders, pictures, tmp_path, kind):
    module = build(kind, folders, steps=3, prompt_length=0)
    with pytest.raises(FuseError, match=rf"{kind.__name__} replaces tokens.*prompt_length"):
        fit(module, ImageTargets(str(pictures / "0.png")), tmp_path, GreedySearch())


@pytest.mark.slow
@pytest.mark.parametrize("kind", [GCG, RandomSearch, PEZ])
@pytest.mark.parametrize("length", [16, 40])
def test_a_random_start_reads_back_as_itself(pictures, tmp_path, kind, length):
    """Few draws of so many tokens of a CLIP do: from another one no swap would be admitted."""
    starts = []

    class Watched(kind):
        def initial_state(self, target):
            starts.append(super().initial_state(target))
            return starts[-1]

    module = Watched([TextSimilarity("zoo/clip", text="a red star")], steps=2, prompt_length=length)
    fit(module, ImageTargets(str(pictures), batch_size=3), tmp_path, GreedySearch())
    prompts = module.objective.prompts(starts, [0] * len(starts))
    assert prompts.canonical == [True] * 3
    assert [len(start) for start in starts] == [length] * 3
    assert len(set(starts)) == 3
    assert len(module.results) == 3


def test_a_random_start_under_constraints_that_hardly_anything_meets(pictures, tmp_path):
    words = Constraints(tokens="words", allow=["turquoise", "pentagram"])
    module = GCG(
        [TextSimilarity("zoo/clip", text="a red star")],
        steps=2,
        batch_size=4,
        top_k=4,
        prompt_length=6,
        constraints=words,
    )
    fit(module, ImageTargets(str(pictures / "0.png")), tmp_path, GreedySearch())
    (row,) = module.results
    assert set(re.findall(r"\w+", row.prompt)) <= {"turquoise", "pentagram"}
    assert len(row.ids) == 6


def test_where_no_random_start_is_admitted_the_error_says_so(folders, pictures, tmp_path):
    class Never(Constraints):
        def admits(self, text, *, growing=False):
            return False

    module = build(GCG, folders, steps=2, top_k=4, constraints=Never())
    with pytest.raises(FuseError, match=r"no 8 random tokens .* give initial_prompt, or relax"):
        fit(module, ImageTargets(str(pictures / "0.png")), tmp_path, GreedySearch())


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize(
    ("constraints", "bad"),
    [(Constraints(tokens="words"), r"#|#1"), (Constraints(block=["STAR"]), "a star #1")],
)
def test_a_start_that_the_constraints_forbid_is_refused(
    folders, pictures, tmp_path, name, constraints, bad
):
    options = {"initial_prompt": "a star #1", "constraints": constraints}
    module = OPTIMIZERS[name](folders, **options)
    with pytest.raises(FuseError, match=rf"initial_prompt holds '.*(star|{bad}).*'.* change one"):
        fit(module, ImageTargets(str(pictures / "0.png")), tmp_path, GreedySearch())


def test_a_start_with_a_special_token_is_refused(folders, pictures, tmp_path):
    module = build(GCG, folders, steps=2, top_k=4, initial_prompt="star <|endoftext|>")
    with pytest.raises(FuseError, match=r"initial_prompt holds 'star <\|endoftext\|>', which"):
        fit(module, ImageTargets(str(pictures / "0.png")), tmp_path, GreedySearch())


def test_more_choices_than_tokens_are_refused(folders):
    module = GCG([Fluency(folders["gpt2"])], top_k=100_000)
    with pytest.raises(FuseError, match=r"top_k is 100000, but .* lower top_k"):
        module.load()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_several_prompts_are_reported_best_first(folders, pictures, tmp_path, name):
    alone, several = (OPTIMIZERS[name](folders, top=top) for top in (1, 4))
    for module in (alone, several):
        fit(module, ImageTargets(str(pictures), batch_size=2), tmp_path, GreedySearch())
    for target in NAMES:
        rows = [row for row in several.results if row.target == target]
        assert [row.rank for row in rows] == [1, 2, 3, 4]
        assert [row.loss for row in rows] == sorted(row.loss for row in rows)
        assert len({row.prompt for row in rows}) == 4
        best = next(row for row in alone.results if row.target == target)
        assert (best.prompt, best.loss, best.step) == (rows[0].prompt, rows[0].loss, rows[0].step)


@pytest.mark.parametrize(("ratio", "length"), [(0.1, 1), (0.5, 5), (1.0, 10)])
def test_length_can_be_a_share_of_the_texts_tokens(folders, tmp_path, ratio, length):
    term = TextSimilarity(folders["clip"])
    module = GCG([term], steps=2, batch_size=4, top_k=8, gradient_samples=2, length_ratio=ratio)
    text = "two red stars above a blue circle in the fog"
    module.load()
    assert len(module.objective.encode_prompt(text)) == 10
    fit(module, TextTargets(text), tmp_path, GreedySearch())
    assert len(module.results[0].ids) == length


def test_a_share_needs_a_text(folders, pictures, tmp_path):
    module = build(GCG, folders, length_ratio=0.5)
    with pytest.raises(FuseError, match=r"target 'pictures/0.png' has no text that length_ratio"):
        fit(module, ImageTargets(str(pictures / "0.png")), tmp_path, GreedySearch())


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_nothing_worse_than_a_given_start_is_the_result(folders, pictures, tmp_path, name):
    module = OPTIMIZERS[name](folders, initial_prompt="two red stars")
    data = ImageTargets(str(pictures / "0.png"))
    worst = []

    def propose(states):
        """The worst of some prompts, worse than the start."""
        texts = ["the", "snow", "in the above", "a circle", "lovely teal"]
        found = [module.objective.encode_prompt(text) for text in texts]
        prompts = module.objective.prompts(found, [0] * len(found))
        totals = module.objective.total(module.objective.losses(prompts)).tolist()
        worst.append(max(zip(totals, found, strict=True)))
        return [[worst[-1][1]] if group else [] for group in states]

    module.propose = propose
    module.refine = lambda scored: [[] for _ in scored]
    fit(module, data, tmp_path, GreedySearch())
    (row,) = module.results
    assert (row.prompt, row.step) == ("two red stars", 0)
    assert row.loss < worst[0][0]


def test_a_history_begins_with_the_start_that_was_given(folders, pictures, tmp_path):
    scored, expanded = [], []

    class Watched(GCG):
        def score(self, proposed):
            scored.extend(super().score(proposed))
            return scored[-1:]

        def propose(self, states):
            expanded.append(states[0])
            return super().propose(states)

    module = build(Watched, folders, steps=4, top_k=4, batch_size=1, initial_prompt="two red stars")
    fit(module, ImageTargets(str(pictures / "0.png")), tmp_path, HistorySearch(patience=9))
    start = module.objective.encode_prompt("two red stars")
    assert [state for _, state in scored[0]] == [start]
    for step in range(1, 4):
        best = min(found for group in scored[: step + 1] for found in group)
        assert expanded[step] == [best[1]]


def test_texts_that_a_model_reads_as_special_tokens_are_no_prompts(folders):
    module = build(AutoDAN, folders)
    module.load()
    assert module.constraints.admits("two red stars")
    for mark in ("<|endoftext|>", "<|startoftext|>"):
        assert not module.constraints.admits(f"two red{mark} stars")


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (RandomSearch, {"search_ball": "L2", "neighbours": 10**5}, "neighbours is 100000, but"),
        (PEZ, {"polish_steps": 3, "top_k": 10**5}, "top_k is 100000, but"),
        (AutoPrompt, {"top_k": 10**5}, "top_k is 100000, but"),
    ],
)
def test_fewer_tokens_than_choices_are_refused(folders, kind, options, message):
    module = build(kind, folders, **options)
    with pytest.raises(FuseError, match=message):
        module.load()
    module.allowed_ids = torch.tensor([5])
    with pytest.raises(FuseError, match="by only 0 others; lower top_k or relax constraints"):
        module.check_choices("top_k", 1)


def test_every_epoch_would_serve_the_targets_again(folders, pictures, tmp_path):
    module = build(RandomSearch, folders, steps=2, batch_size=4)
    trainer = L.Trainer(
        accelerator="cpu",
        max_epochs=3,
        logger=False,
        callbacks=[GreedySearch(), PromptTable(enabled=False)],
        enable_progress_bar=False,
        default_root_dir=tmp_path,
    )
    trainer.fit(module, ImageTargets(str(pictures)))
    assert [row.target for row in module.results] == NAMES
    assert trainer.global_step == 6


def test_a_cluster_does_not_ask_for_checkpoints_within_a_step():
    environment = SLURMEnvironment(auto_requeue=True)
    trainer = L.Trainer(accelerator="cpu", devices=1, logger=False, plugins=[environment])
    check_trainer(trainer)
    assert not environment.auto_requeue


def test_checkpoints_on_exceptions_are_refused(folders, pictures, tmp_path):
    saver = ModelCheckpoint(tmp_path, save_on_exception=True)
    module, data = build(AutoDAN, folders), ImageTargets(str(pictures / "0.png"))
    with pytest.raises(FuseError, match=r"saves on exceptions, .* give every_n_train_steps"):
        fit(module, data, tmp_path, GreedySearch(), saver)


def test_a_checkpoint_written_after_a_fit_that_was_cut_short_goes_on(
    folders, pictures, tmp_path, double
):
    data = {"images": str(pictures), "batch_size": 2}
    whole = build(RandomSearch, folders, steps=4, batch_size=4)
    fit(whole, ImageTargets(**data), tmp_path / "whole", GreedySearch())
    first = build(RandomSearch, folders, steps=4, batch_size=4)
    trainer = fit(first, ImageTargets(**data), tmp_path / "cut", GreedySearch(), max_steps=2)
    trainer.save_checkpoint(tmp_path / "after.ckpt")
    again = build(RandomSearch, folders, steps=4, batch_size=4)
    place = tmp_path / "after.ckpt"
    fit(again, ImageTargets(**data), tmp_path / "rest", GreedySearch(), ckpt_path=place)
    assert found(again) == close(found(whole))


def test_two_frontiers_are_refused(folders, pictures, tmp_path):
    module, data = build(RandomSearch, folders), ImageTargets(str(pictures))
    with pytest.raises(FuseError, match="hold GreedySearch and GreedySearch; give one of them"):
        fit(module, data, tmp_path, GreedySearch(), GreedySearch())


def test_one_trainer_searches_again(folders, pictures, tmp_path):
    runs = []
    trainer = None
    for _ in range(2):
        module = build(RandomSearch, folders, steps=2, batch_size=4)
        data = ImageTargets(str(pictures))
        if trainer is None:
            trainer = fit(module, data, tmp_path, GreedySearch())
        else:
            module.overwrite = True
            trainer.fit(module, data)
        runs.append(found(module))
    assert runs[0] == runs[1]
    assert len(runs[0]) == 3


def test_a_strategy_that_averages_is_refused_before_it_wraps_anything():
    trainer = SimpleNamespace(
        world_size=2,
        strategy=PromptStrategy(),
        checkpoint_callbacks=[],
        _accelerator_connector=SimpleNamespace(cluster_environment=None),
    )
    check_trainer(trainer)
    trainer.strategy = DDPStrategy()
    with pytest.raises(
        FuseError, match=r"is DDPStrategy, which averages .* give strategy: prompts"
    ):
        check_trainer(trainer)
