"""GReaTer against plain forwards: pools, gradients, whole searches, and the rules of acceptance."""

import pytest
import torch

from fuse_lightning.models import CausalLM
from fuse_lightning.optimizers import GReaTer
from fuse_lightning.optimizers.greater_positions import Slot
from fuse_lightning.search import GreedySearch
from tests.factories.causal_lms import llama
from tests.near import DOUBLE, assert_near, near
from tests.optimizers.example_sets import Given
from tests.optimizers.plain_greater import Plain, Steps, target, term
from tests.optimizers.runs import fit
from tests.precision import NORMAL, use_double

START = "a red dog"
SEARCHES = {
    "own": ({}, {}),
    "own, growing": ({"max_length": 4, "keep_incumbent": True}, {}),
    "paper": ({"preset": "paper"}, {"preset": "paper"}),
    "code": ({"preset": "code"}, {"preset": "code"}),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A tiny Llama in float64, loaded once."""
    with pytest.MonkeyPatch.context() as patch:
        use_double(patch)
        found = CausalLM(str(llama(tmp_path_factory.mktemp("greater") / "llama")))
        found.load()
        found.module.double()
    torch.set_default_dtype(NORMAL)
    return found


@pytest.fixture
def search(model, monkeypatch):
    """Makes a loaded search over a target, in float64."""
    use_double(monkeypatch)

    def make(one=None, reasoning=None, **options):
        given = {"starts": [], "initial_prompt": START, **options}
        module = GReaTer([term(model, **{"judge": "labels", **(reasoning or {})})], **given)
        module.load()
        module.objective.set_targets([one or target()])
        return module

    yield make
    torch.set_default_dtype(NORMAL)


def plain_of(module, one):
    """The plain objective of a search."""
    options = module.objective.terms[0].options
    return Plain(
        module.objective.primary,
        one,
        among=options.answer_loss == "labels",
        temperature=options.answer_temperature,
        fluency=options.fluency,
        score_fluency=options.score_fluency,
        perplexity=options.perplexity,
        select_by=options.select_by,
    )


def steps_of(module, one, steps):
    """The plain search that a search should equal."""
    choices = module.choices
    admission, objective = module.admission, module.objective

    def admits(state):
        return bool(admission.first([[state]], [0], 1)[0])

    options = {
        "top_k": choices.top_k,
        "intersect": choices.intersect,
        "pools": choices.pools,
        "least": choices.least,
        "shortlist": choices.shortlist,
        "keep": choices.keep_incumbent,
        "force": choices.force_ends,
        "most": choices.max_length,
        "samples": module.gradient_samples,
        "favoured": choices.gradient_pool,
    }
    pieces = objective.primary.pieces
    return Steps(plain_of(module, one), module.allowed.cpu(), admits, pieces, options, steps)


class Traced(GReaTer):
    """Also notes the prompts that steps go on from, with their positions."""

    def propose(self, states):
        noted = vars(self).setdefault("trace", [])
        for owner, group in enumerate(states):
            noted += [(state, self._place(owner, state)) for state in group]
        return super().propose(states)


@pytest.mark.parametrize("name", SEARCHES)
def test_a_whole_search_equals_the_plain_one(model, monkeypatch, tmp_path, name):
    use_double(monkeypatch)
    options, reasoning = SEARCHES[name]
    reasoning = reasoning or {"judge": "labels"}
    module = Traced([term(model, **reasoning)], steps=7, starts=[], initial_prompt=START, **options)
    one = target()
    fit(module, Given([one]), tmp_path, GreedySearch())
    plain = steps_of(module, one, 7)
    found, score = plain.run(module.objective.encode_prompt(START))
    assert module.trace == plain.trace
    assert tuple(module.results[0].ids) == found
    assert module.results[0].loss == near(score, size=1, share=DOUBLE)
    torch.set_default_dtype(NORMAL)


@pytest.mark.parametrize("preset", [None, "paper", "code"])
def test_the_gradient_at_a_position_is_that_of_the_one_hot_vector(search, preset):
    """Only what stands behind the position is differentiated, over chains of the prompt."""
    one = target(3)
    module = search(one, {"preset": preset}, gradient_samples=0, label_part=False)
    plain = plain_of(module, one)
    state = module.objective.encode_prompt(START)
    slots = [Slot(state, 0, place) for place in (0, 2, 3)]
    means = [torch.zeros(len(module.allowed)).index_fill(0, torch.tensor(state[:1]), 1.0)] * 3
    found = module.proposer.changes(slots, means, [torch.Generator()] * 3)
    allowed = module.allowed
    for slot, row in zip(slots, found, strict=True):
        held = state if slot.token is not None else slot.put(state[0])
        wanted = plain.gradient(held, slot.place, range(3), state)[: len(allowed)]
        assert_near(row, wanted - wanted[allowed].mean(), share=DOUBLE)
        # Differences of the loss along the way to another token, the chains fixed.
        there, step = int(allowed.nonzero()[9]), 1e-5
        way = plain.table[there] - plain.table[held[slot.place]]
        ends = [
            sum(
                float(
                    plain.loss(held, n, state, slot.place, plain.table[held[slot.place]] + s * way)
                )
                for n in range(3)
            )
            / 3
            for s in (step, -step)
        ]
        change = float(wanted[there] - wanted[held[slot.place]])
        assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(change, rel=1e-5)


def test_exact_scores_are_of_fresh_chains(search):
    one = target(4)
    module = search(one)
    plain = plain_of(module, one)
    objective = module.objective
    states = [objective.encode_prompt(text) for text in (START, "the green field", "two")]
    found = objective.losses(objective.prompts(states, [0, 0, 0]))[:, 0]
    wanted = [plain.score(state, range(4)) for state in states]
    assert_near(found, torch.tensor(wanted, dtype=found.dtype), share=DOUBLE)
    chains = {tuple(plain.chain(state, 0)) for state in states}
    assert len(chains) > 1
