"""Default of revision: edits where they are cheap to read, growth alone elsewhere."""

from types import SimpleNamespace

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from fuse_lightning.data import ImageTargets, SentimentTargets
from fuse_lightning.engine.meter import position_operations
from fuse_lightning.models import CLIP, CausalLM, Classifier
from fuse_lightning.objectives import Fluency, ImageSimilarity, Sentiment, TextSimilarity
from fuse_lightning.optimizers import AutoDAN, revision_default
from fuse_lightning.optimizers.revision_default import Plan
from fuse_lightning.search import BeamSearch
from tests.optimizers.runs import fit

MODELS = {"gpt2": CausalLM, "clip": CLIP, "sentiment": Classifier}


@pytest.mark.parametrize("name", MODELS)
def test_operations_of_a_position_are_those_that_torch_counts(name):
    model = MODELS[name](f"zoo/{name}")
    model.load()
    ids = torch.zeros(1, 1, dtype=torch.long)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter, torch.no_grad():
        model.text_network(input_ids=ids)
    # Attention to one key, and what reads only one position of a text.
    assert position_operations(model.text_network) == pytest.approx(
        counter.get_total_flops(), rel=0.1
    )


def test_a_packed_weight_counts_as_it_multiplies():
    packed = torch.nn.Linear(4, 8, bias=False)
    whole = position_operations(packed)
    packed.weight = torch.nn.Parameter(torch.zeros(16, 1, dtype=torch.uint8), requires_grad=False)
    packed.weight.quant_state = SimpleNamespace(shape=torch.Size([8, 4]))
    assert position_operations(packed) == whole == 2 * 8 * 4


def two(clip=1, sentiment=1):
    return [
        Fluency("zoo/gpt2"),
        ImageSimilarity("zoo/clip", clip),
        Sentiment("zoo/sentiment", sentiment),
    ]


CASES = {
    # A position takes 1.35 million operations of the writer, and 1.18 of each other model.
    "two other models, one reading": (two(), {"revise_reads": 1}, 2),
    "two other models, two readings": (two(), {"revise_reads": 2}, 0),
    "two other models, as it comes": (two(), {}, 0),
    "one of them has no weight": (two(sentiment=0), {"revise_reads": 1}, 0),
    "one other model": (two()[:2], {"revise_reads": 1}, 0),
    "one other model, twice": (
        [*two()[:2], TextSimilarity("zoo/clip", text="a star")],
        {"revise_reads": 1},
        0,
    ),
    "no other model": (two()[:1], {"revise_reads": 1}, 0),
    "nothing is read": (two(), {"revise_reads": 0}, 0),
    "no likelihood": (
        [Fluency("zoo/gpt2", weight=0), *two()[1:]],
        {"revise_reads": 1},
        0,
    ),
    "a number was given": (two()[:1], {"revise": 3}, 3),
    "none were wanted": (two(), {"revise_reads": 1, "revise": 0}, 0),
}


@pytest.mark.parametrize(("terms", "options", "expected"), CASES.values(), ids=CASES)
def test_prompts_are_edited_where_edits_are_cheap_to_read(terms, options, expected):
    module = AutoDAN(terms, **options)
    module.load()
    assert module.revised == expected


@pytest.mark.parametrize(
    ("prices", "reads", "expected"),
    [
        ((1, 4), 4, (Plan(True, 4, 0.5), True)),
        ((1, 3.9), 4, (Plan(True, 4, 0.5), False)),
        ((11.9, 1), 4, (Plan(True, 4, 0.5), False)),
        ((12, 1), 4, (Plan(False, 12, 0.2), True)),
        ((1000, 1), 1, (Plan(False, 3, 0.2), True)),
        ((1000, 1), 0, (Plan(True, 0, 0.5), False)),
    ],
)
def test_the_cheap_side_reads_edits(prices, reads, expected, monkeypatch):
    module = AutoDAN(two()[:2], revise_reads=reads)
    module.load()
    networks = [term.model.text_network for term in module.objective.terms]
    told = dict(zip(map(id, networks), prices, strict=True))
    monkeypatch.setattr(revision_default, "position_operations", lambda network: told[id(network)])
    assert module._planned == expected
    assert module.revised == 2 * expected[1]


def test_a_term_of_many_examples_is_not_read_for_edits(monkeypatch):
    module = AutoDAN(two()[:2], revise_reads=1)
    module.load()
    writer = module.writer.text_network
    monkeypatch.setattr(
        revision_default, "position_operations", lambda network: 100 if network is writer else 1
    )
    module.objective.terms[1].examples = [5]
    assert not module.revised


@pytest.mark.parametrize(("count", "revise"), [(3, 2), (2, 0)])
def test_a_search_without_options_goes_as_its_default_says(count, revise, tmp_path):
    found = []
    for options in ({}, {"revise": revise}):
        module = AutoDAN(
            two()[:count], steps=4, batch_size=6, gradient_samples=2, revise_reads=1, **options
        )
        data = SentimentTargets("positive", images="zoo/scenes", limit=1)
        data = ImageTargets("zoo/scenes", limit=1) if count == 2 else data
        proposed, refine = [], module.refine
        module.refine = lambda scored, refine=refine, proposed=proposed: (
            proposed.append(refine(scored)) or proposed[-1]
        )
        fit(module, data, tmp_path, BeamSearch(2))
        found.append((proposed, [result.prompt for result in module.results]))
    assert found[0] == found[1]
    assert any(edits for step in found[0][0] for edits in step) == bool(revise)
