"""Whole runs of GReaTer: frontiers, starts, constraints, progress, resuming, no work twice."""

from collections import Counter

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from fuse_lightning.errors import FuseError
from fuse_lightning.models import CausalLM
from fuse_lightning.objectives import Fluency
from fuse_lightning.objectives.chains import ChainWriter
from fuse_lightning.optimizers import Constraints, GReaTer
from fuse_lightning.optimizers.racing import Racing
from fuse_lightning.optimizers.screen import screened
from fuse_lightning.search import BeamSearch, GreedySearch, HistorySearch, UniformCostSearch
from tests.factories.causal_lms import llama
from tests.near import DOUBLE, assert_near
from tests.optimizers.example_sets import Given
from tests.optimizers.plain_greater import Plain, target, term
from tests.optimizers.runs import close, fit, found
from tests.precision import NORMAL, use_double

STARTS = ["the green field", "a small house"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A tiny Llama in float64, loaded once."""
    with pytest.MonkeyPatch.context() as patch:
        use_double(patch)
        loaded = CausalLM(str(llama(tmp_path_factory.mktemp("greater") / "llama")))
        loaded.load()
        loaded.module.double()
    torch.set_default_dtype(NORMAL)
    return loaded


@pytest.fixture(autouse=True)
def _double(double):
    """Float64, so that a search has one way to go."""


def make(model, kind=GReaTer, reasoning=None, terms=(), **options):
    """A short search."""
    given = {"starts": STARTS, "steps": 5, "gradient_samples": 2, "shortlist": 2, **options}
    first = term(model, **{"judge": "labels", "max_chain_tokens": 3, **(reasoning or {})})
    return kind([first, *terms], **given)


def two():
    """Two targets, one with examples that choose."""
    return [target(4, name="one"), target(3, select=4, name="two")]


FRONTIERS = {
    "greedy": GreedySearch,
    "beam": lambda: BeamSearch(2),
    "history": lambda: HistorySearch(3, patience=1),
    "cost": lambda: UniformCostSearch(6),
}


@pytest.mark.parametrize("name", FRONTIERS)
def test_a_resumed_run_gives_the_same_prompts_and_no_chain_is_written_twice(
    model, tmp_path, monkeypatch, name
):
    written = Counter()
    whole = ChainWriter._chains

    def noted(writer, asked, *given):
        written.update((id(writer), each) for each in asked)
        return whole(writer, asked, *given)

    monkeypatch.setattr(ChainWriter, "_chains", noted)
    more = {"greedy": {"progressive": 2}, "beam": {"anneal": True}}.get(name, {})
    if name == "history":
        more = {"examples_per_step": 2, "racing": Racing(entrants=2, block=2)}
    search = make(model, top=2, **more)
    saver = ModelCheckpoint(tmp_path / "ckpt", every_n_train_steps=1, save_top_k=-1)
    fit(search, Given(two(), batch_size=2), tmp_path / "whole", FRONTIERS[name](), saver)
    assert max(written.values()) == 1
    expected = found(search)
    assert {row["target"] for row in expected} == {"one", "two"}
    (checkpoint,) = (tmp_path / "ckpt").glob("*step=3.ckpt")
    torch.manual_seed(99)
    resumed = make(model, top=2, **more)
    rest = tmp_path / "rest"
    fit(resumed, Given(two(), batch_size=2), rest, FRONTIERS[name](), ckpt_path=checkpoint)
    assert found(resumed) == close(expected)


def test_the_same_evaluations_are_neither_made_nor_counted_twice(model, tmp_path):
    """Prompts that come back, and the incumbent of each step, are known."""
    search = make(
        model, steps=12, settled=None, initial_prompt="a red dog", starts=[], max_length=3
    )
    read = []
    scores = search.objective.scores
    whole = type(scores.by_example[0])._read

    def noted(each, prompts, wanted):
        read.extend((prompts.owners[row], prompts.states[row], n) for row, n in wanted)
        return whole(each, prompts, wanted)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(scores.by_example[0]), "_read", noted)
        fit(search, Given([target(4)]), tmp_path, GreedySearch())
    assert len({*read}) == len(read) == search.results[0].evaluations


def test_a_search_ends_after_passes_without_a_change(model, tmp_path):
    steps = {}
    for settled in (1, 2, None):
        search = make(
            model,
            settled=settled,
            steps=40,
            grow=False,
            initial_prompt="red",
            starts=[],
            top_k=2,
            least=1,
            gradient_pool=0,
            gradient_samples=0,
        )
        trainer = fit(search, Given([target(3)]), tmp_path, GreedySearch())
        steps[settled] = trainer.global_step
    assert steps[1] < steps[2] < steps[None] == 40
    batches = make(
        model,
        settled=1,
        steps=9,
        grow=False,
        initial_prompt="red",
        starts=[],
        top_k=2,
        least=1,
        gradient_pool=0,
        examples_per_step=2,
    )
    assert fit(batches, Given([target(3)]), tmp_path, GreedySearch()).global_step == 9


def test_questions_are_added_once_all_are_answered_right_or_nothing_changes(
    model, tmp_path, monkeypatch
):
    taken = []

    class Watched(GReaTer):
        def propose(self, states):
            numbers = self.objective.terms[0].numbers(0)
            taken.append([*numbers])
            return super().propose(states)

    right = []
    search = make(model, Watched, progressive=2, settled=None, steps=6)
    monkeypatch.setattr(
        type(search.objective.terms[0]),
        "correct",
        lambda own, values, reading: (
            right.append(len(taken) >= 3) or torch.full((len(reading.pairs),), float(right[-1]))
        ),
    )
    search.objective.scores.by_example[0].memory.recall = lambda cells: ([], torch.empty(0, 3))
    fit(search, Given([target(5)]), tmp_path, GreedySearch())
    # From the fourth step on all answers are right.
    assert taken == [[0, 1]] * 3 + [[0, 1, 2, 3], [0, 1, 2, 3, 4], [0, 1, 2, 3, 4]]


def test_starts_of_a_user_that_can_be_no_prompts_are_refused_and_own_ones_left_out(model, tmp_path):
    for starts, options, message in (
        (["a #1 house"], {"constraints": Constraints("words")}, r"'a #1 house', which the constr"),
        (["red house"], {"constraints": Constraints(block=["red"])}, r"'red house', which the co"),
        (["red " * 60], {"max_length": 99}, r"reads at most 64 tokens, but 'red red"),
        (["a red house by the sea"], {"max_length": 3}, r"of starts has .* but max_length is 3"),
        ([], {"initial_prompt": "a red house by", "max_length": 3}, r"the prompt to start from ha"),
    ):
        search = make(model, starts=starts, **options)
        with pytest.raises(FuseError, match=message):
            fit(search, Given([target(2)]), tmp_path, GreedySearch())
    own = make(model, starts=None, max_length=9, steps=1)
    fit(own, Given([target(2)]), tmp_path, GreedySearch())
    assert len(own.results[0].ids) <= 9


def test_the_best_start_begins(model, tmp_path):
    begun = []

    class Watched(GReaTer):
        def propose(self, states):
            begun.append(states[0])
            return super().propose(states)

    search = make(model, Watched, steps=1, initial_prompt="a red dog")
    fit(search, Given([target(4)]), tmp_path, BeamSearch(2))
    states = [search.objective.encode_prompt(text) for text in ("a red dog", *STARTS)]
    plain = Plain(search.objective.primary, target(4), most=3, among=True)
    order = sorted(states, key=lambda state: plain.score(state, range(4)))
    assert begun == [order[:2]]


def test_screened_losses_are_those_over_the_chains_of_another_prompt(model):
    search = make(model)
    search.load()
    one = target(4)
    search.objective.set_targets([one])
    plain = Plain(search.objective.primary, one, most=3, among=True)
    texts = ("a red dog", "two old boats", "the sea")
    states = [search.objective.encode_prompt(text) for text in texts]
    for count in (None, 2):
        parents = [states[0]] * 3
        with torch.no_grad():
            wanted = [
                sum(float(plain.loss(state, n, states[0])) for n in range(count or 4))
                / (count or 4)
                for state in states
            ]
        told = screened(search.objective, states, parents, [0] * 3, count)
        assert_near(told, torch.tensor(wanted).to(told), share=DOUBLE)


def test_every_option_changes_what_a_search_does(model, tmp_path):
    """Else a flag would be without effect."""

    def trace(**options):
        noted = []

        class Watched(GReaTer):
            def score(self, proposed):
                scored = super().score(proposed)
                noted.append(scored)
                return scored

        base = {"steps": 4, "initial_prompt": "a red dog", "starts": [], "settled": None}
        reasoning = {}
        for name in [*options]:
            if name not in GReaTer.__init__.__annotations__ and name not in ("seed",):
                reasoning[name] = options.pop(name)
        search = make(model, Watched, reasoning, **{**base, **options})
        fit(search, Given([target(5)]), tmp_path, GreedySearch())
        return noted

    usual = trace()
    assert trace() == usual
    alike = []
    for options in (
        *(
            {"top_k": 3},
            {"intersect": 1},
            {"pools": 1},
            {"least": 30},
            {"gradient_pool": 0},
            {"gradient_among": 1},
        ),
        *({"rank_by": "random"}, {"rank_by": "likelihood"}, {"residual_damping": 0.0}),
        *({"screen": 12}, {"screen": 12, "screen_examples": 1}, {"screen": 12, "verify": False}),
        *({"shortlist": 5}, {"keep_incumbent": False}, {"max_length": 3}, {"grow": False}),
        *({"starts": STARTS}, {"initial_prompt": "the sea"}, {"gradient_samples": 0}),
        *({"preset": "paper"}, {"preset": "code"}, {"progressive": 2}, {"seed": 5}),
        *({"max_chain_tokens": 0}, {"answer_loss": "tokens"}, {"answer_temperature": 0.2}),
        *({"judge": "parse"}, {"select_by": "loss"}, {"fluency": 2.0}, {"score_fluency": 0.5}),
        {"temperature": 1.0},
        {"score_fluency": 0.5, "perplexity": True},
    ):
        if trace(**options) == usual:
            alike.append(options)
    assert not alike
    assert trace(fluency=2.0, label_part=False) != trace(fluency=2.0)


def test_only_allowed_tokens_are_proposed_and_a_prompt_is_no_longer_than_allowed(model, tmp_path):
    class Watched(GReaTer):
        def propose(self, states):
            proposed = super().propose(states)
            vars(self).setdefault("seen", []).extend(proposed[0])
            return proposed

    constraints = Constraints(tokens="words")
    for preset in (None, "code"):
        search = make(
            model,
            Watched,
            steps=8,
            preset=preset,
            starts=["a red dog"],
            max_length=5,
            keep_incumbent=False,
            settled=None,
            constraints=constraints,
            reasoning={"judge": "labels"},
        )
        fit(search, Given([target(3)]), tmp_path, GreedySearch())
        tokens = {token for state in search.seen for token in state}
        pieces = "".join(search.objective.primary.pieces[token] for token in tokens)
        assert tokens <= {*search.allowed.nonzero().flatten().tolist()}
        assert tokens.isdisjoint(search.objective.primary.vocabulary.special_ids)
        assert all(sign.isalpha() or sign in ",. " for sign in pieces)
        assert max(map(len, search.seen)) == 5


def test_a_term_beside_reasoning_counts(model, tmp_path):
    fluency = Fluency(model, weight=0.5)
    search = make(model, terms=[fluency], screen=6, steps=3)
    fit(search, Given([target(3)]), tmp_path, GreedySearch())
    (row,) = search.results
    parts = row.losses
    assert row.loss == pytest.approx(parts["reasoning"] + 0.5 * parts["fluency"], rel=1e-9)
