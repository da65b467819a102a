"""Beginnings that are computed once, against one whole row at a time."""

import random
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from fuse_lightning.engine.attention import NAME, attention, branching, use
from fuse_lightning.engine.branches import Store
from fuse_lightning.engine.prefixes import find_shared_prefixes
from fuse_lightning.engine.token_batch import TokenBatch, pad
from fuse_lightning.engine.trials import try_sharing
from fuse_lightning.models import CausalLM
from tests.factories import clips
from tests.factories.builders import ALL_CAUSAL_LMS
from tests.near import assert_near

BUILDERS = ALL_CAUSAL_LMS
# Their attention is their own, has a cap on its scores, or is none.
WHOLE = {"falcon", "falcon_alibi", "falcon_grouped", "gemma2", "mamba"}
CLIPS = ("clip", "old_clip", "open_clip")


def random_rows(model, seed, first=()):
    """Rows that begin alike, of many lengths, some of them equal."""
    rng = random.Random(seed)
    known = [
        index for index in range(model.vocab_size) if index not in model.tokenizer.all_special_ids
    ]
    parents = [(*first, *rng.choices(known, k=rng.randint(1, 9))) for _ in range(3)]
    rows = []
    for _ in range(24):
        parent = rng.choice(parents)
        rows.append(
            (*parent[: rng.randint(1, len(parent))], *rng.choices(known[:4], k=rng.randint(0, 3)))
        )
    return [row if len(row) > 1 else (*row, known[0]) for row in rows]


def counted_of(rows, seed):
    """Marks a random run of each row, but never its first token."""
    rng = random.Random(seed)
    mask = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.bool)
    for place, row in enumerate(rows):
        begin = rng.randint(1, len(row) - 1)
        mask[place, begin : rng.randint(begin + 1, len(row))] = True
    return mask


def plain_nll(model, row):
    with torch.no_grad():
        logits = model.module(input_ids=torch.tensor([row])).logits[0].float()
    return -logits.log_softmax(-1)[:-1].gather(1, torch.tensor(row)[1:, None]).squeeze(1)


@pytest.mark.parametrize("name", BUILDERS)
def test_which_language_models_share(name, family):
    assert family(name).shares == (name not in WHOLE)


@pytest.mark.parametrize("name", BUILDERS)
def test_reduced_precision_changes_nothing_of_that(name, tmp_path, caplog):
    model = CausalLM(str(BUILDERS[name](tmp_path / name)), dtype="bfloat16")
    with caplog.at_level("INFO"):
        model.load()
    assert model.shares == (name not in WHOLE)
    told = [text for text in caplog.messages if "from its first token on, which is slower" in text]
    assert len(told) == (name in WHOLE)
    assert all(repr(model.model_id) in text and "\n" not in text for text in told)


@pytest.mark.parametrize("name", ["llama", "qwen2", "phi3", "gpt2"])
def test_sharing_is_tried_on_ordinary_words(name, tmp_path, monkeypatch):
    rows = []

    def note(model, ids, counted, *_):
        rows.extend(ids[:, len(model.start_ids) :][counted[:, len(model.start_ids) :]].tolist())
        return torch.zeros(ids.shape)

    monkeypatch.setattr("fuse_lightning.models.causal_lm.token_nll", note)
    model = CausalLM(str(BUILDERS[name](tmp_path / name)))
    model.load()
    special = {index for index, _ in model.tokenizer.added_tokens_decoder.items()}
    assert len(set(rows)) > 10
    assert not special.intersection(rows)


@pytest.mark.parametrize(
    ("dtype", "change", "usual", "shares"),
    [
        ("float32", 5e-5, 9.0, True),
        ("float32", 2e-3, 9.0, False),
        ("bfloat16", 0.02, 0.0, True),
        ("bfloat16", 0.06, 0.1, True),
        ("bfloat16", 0.06, 0.03, False),
        ("bfloat16", 0.3, 0.9, False),
        ("bfloat16", float("nan"), 0.1, False),
    ],
)
def test_what_precision_loses_anyway_is_no_fault_of_sharing(
    family, monkeypatch, caplog, dtype, change, usual, shares
):
    model = family("gpt2")
    monkeypatch.setattr(model, "dtype", dtype)
    changes = {"sdpa": 0.0, NAME: change, "eager": usual}
    use(model.module, "sdpa")

    def measure():
        return torch.tensor([1.0, 8.0 + 8.0 * changes[model.text_config._attn_implementation]])

    with caplog.at_level("INFO"):
        try_sharing(model, measure)
    assert model.shares == shares
    assert model.text_config._attn_implementation == (NAME if shares else "sdpa")
    assert len(caplog.messages) == (not shares)
    monkeypatch.undo()
    if not shares:
        try_sharing(model, model._example)
    assert model.shares


@pytest.mark.parametrize("name", clips.CLIPS)
def test_which_clips_share(name, family):
    assert family(name).shares == (name in CLIPS)


@pytest.mark.parametrize("name", BUILDERS)
@pytest.mark.parametrize("tokens", [8192, 20])
def test_likelihoods_are_those_of_whole_rows(name, tokens, family):
    model = family(name)
    model.budget.tokens = tokens
    for seed in range(3):
        rows = random_rows(model, seed)
        counted = counted_of(rows, seed)
        got = model.token_nll(pad(rows, None, model.pad_id).ids, counted)
        assert not got[~counted].any()
        for place, row in enumerate(rows):
            chosen = counted[place, 1 : len(row)]
            expected = plain_nll(model, row)[chosen]
            assert_near(got[place, 1 : len(row)][chosen], expected)


def labelled_rows(model, prompts=4, examples=3):
    """Rows of prompts, examples and labels, each of several tokens."""
    rng = random.Random(5)
    ends = model.tokenizer.all_special_ids
    known = [index for index in range(model.vocab_size) if index not in ends]
    parts = [
        [tuple(rng.choices(known, k=size)) for _ in range(count)]
        for count, size in ((prompts, 4), (examples, 7), (3, 3))
    ]
    return [(known[0], *prompt, *text, *label) for prompt, text, label in product(*parts)]


@pytest.mark.parametrize("name", BUILDERS)
@pytest.mark.parametrize("tokens", [8192, 40])
def test_likelihoods_behind_trunks_behind_trunks_are_those_of_whole_rows(name, tokens, family):
    model = family(name)
    model.budget.tokens = tokens
    rows = labelled_rows(model)
    assert any(find_shared_prefixes(rows, [len(row) for row in rows], nested=True).begun)
    ids = pad(rows, None, model.pad_id).ids
    counted = torch.ones(ids.shape, dtype=torch.bool)
    counted[:, 0] = False
    got = model.token_nll(ids, counted)
    for place, row in enumerate(rows):
        assert_near(got[place, 1:], plain_nll(model, row))


@pytest.mark.parametrize("name", BUILDERS)
@pytest.mark.parametrize("tokens", [8192, 60])
def test_gradients_of_shared_rows_add_up_to_those_of_whole_rows(name, tokens, family):
    model = family(name)
    shares, model.budget.tokens = model.shares, tokens
    rows = labelled_rows(model)
    ids = pad(rows, None, model.pad_id).ids
    # Rows of a prompt are alike from its second token on; one prompt has two kinds of rows.
    places = torch.arange(len(rows))
    kinds, fixed = places // 9 + 10 * (places == 4), torch.full((len(rows),), 2)
    counted = torch.zeros(ids.shape, dtype=torch.bool)
    counted[:, -4:] = True
    found = []
    for alike in (kinds, None):
        model.shares = shares and alike is not None
        embeds = model.embed(ids).detach().requires_grad_()
        losses = model.token_nll(ids, counted, embeds, fixed, alike=alike)
        # Only where some loss counts more than others would a row with a wrong one be seen.
        weights = 1 + places[:, None] % 5
        (grad,) = torch.autograd.grad((losses * weights).square().sum(), embeds)
        sums = grad.new_zeros(40, *grad.shape[1:]).index_add_(0, kinds, grad)
        # The label's own embeddings differ from row to row.
        found.append((losses.detach(), sums[:, 2:12]))
    model.shares = shares
    (losses, sums), (expected, wanted) = found
    assert_near(losses, expected)
    assert_near(sums, wanted, share=1e-3)


@pytest.mark.parametrize("several", [False, True])
def test_rows_with_gradients_read_what_they_share_once(several, family, monkeypatch):
    model, read = family("gpt2"), []
    model.budget.tokens = 8192
    rows = [row[: 15 if several else 13] for row in labelled_rows(model)]
    ids, kinds = pad(rows, None, model.pad_id).ids, torch.arange(len(rows)) // 9
    embeds = model.embed(ids).detach().requires_grad_()
    counted = torch.zeros(ids.shape, dtype=torch.bool)
    counted[:, 12:] = True
    forward = model.logits_at
    monkeypatch.setattr(
        model, "logits_at", lambda *given: read.append(int(given[2].sum())) or forward(*given)
    )
    model.token_nll(ids, counted, embeds, torch.ones(len(rows)).long(), alike=kinds)
    pairs = {row[:end] for row in rows for end in range(1, len(row))}
    assert sum(read) == len(pairs)


def test_an_example_is_read_once_for_all_labels_behind_a_prompt(family, monkeypatch):
    model, read = family("gpt2"), []
    model.budget.tokens = 8192
    rows = labelled_rows(model)
    forward = model.logits_at
    monkeypatch.setattr(
        model, "logits_at", lambda *given: read.append(int(given[2].sum())) or forward(*given)
    )
    ids = pad(rows, None, model.pad_id).ids
    counted = torch.zeros(ids.shape, dtype=torch.bool)
    counted[:, -3:] = True
    model.token_nll(ids, counted)
    assert sum(read) == len({row[:end] for row in rows for end in range(1, len(row))})


@pytest.mark.parametrize("name", BUILDERS)
def test_gradients_behind_what_is_fixed_are_those_of_whole_rows(name, family):
    model = family(name)
    model.budget.tokens = 8192
    rng = random.Random(1)
    rows = random_rows(model, 1)
    ids, counted = pad(rows, None, model.pad_id).ids, counted_of(rows, 1)
    fixed = torch.tensor([rng.randint(0, len(row)) for row in rows])
    grads = []
    for some in (fixed, None):
        model.shares = some is not None and name not in WHOLE
        embeds = model.embed(ids).detach().requires_grad_()
        losses = model.token_nll(ids, counted, embeds, some)
        (grad,) = torch.autograd.grad(losses.square().sum() + 0 * embeds.sum(), embeds)
        grads.append((losses.detach(), grad))
    model.shares = name not in WHOLE
    (losses, grad), (expected, whole) = grads
    assert_near(losses, expected)
    free = torch.arange(ids.shape[1]) >= fixed[:, None]
    scale = float(whole.abs().max())
    assert_near(grad[free], whole[free], scale, share=1e-3)


@pytest.mark.parametrize("name", BUILDERS)
def test_continuations_need_no_forward(name, family, monkeypatch):
    model = family(name)
    rows = list(dict.fromkeys(random_rows(model, 2)))
    # One row twice, as two targets may have one beam.
    model.next_log_probs([*rows, rows[0]])
    rng = random.Random(0)
    longer = [(*row, rng.randrange(model.vocab_size)) for row in rows for _ in range(3)]
    monkeypatch.setattr(model, "logits_at", None)
    ids = pad(longer, None, model.pad_id).ids
    counted = torch.zeros(ids.shape, dtype=torch.bool)
    for place, row in enumerate(longer):
        counted[place, 1 : len(row)] = True
    got = model.token_nll(ids, counted)
    for place, row in enumerate(longer):
        assert_near(got[place, 1 : len(row)], plain_nll(model, row))


@pytest.mark.parametrize("name", CLIPS)
@pytest.mark.parametrize("tokens", [8192, 20])
def test_vectors_are_those_of_whole_texts(name, tokens, family):
    model = family(name)
    model.budget.tokens = tokens
    start, end = model.encode([""]).ids[0].tolist()
    rows = [(*row, end) for row in random_rows(model, 3, (start,))]
    encoded = pad(rows, None, model.pad_id)
    got = model.text_features(encoded)
    for vector, row in zip(got, rows, strict=True):
        with torch.no_grad():
            expected = model.module.get_text_features(input_ids=torch.tensor([row])).pooler_output
        expected = torch.nn.functional.normalize(expected[0], dim=0)
        assert_near(vector, expected)


@pytest.mark.parametrize("name", CLIPS)
def test_gradients_of_vectors_are_those_of_whole_texts(name, family):
    model = family(name)
    model.budget.tokens = 8192
    start, end = model.encode([""]).ids[0].tolist()
    rows = [(*row, end) for row in random_rows(model, 4, (start,))]
    encoded = pad(rows, None, model.pad_id)
    rng = random.Random(1)
    fixed = torch.tensor([rng.randint(0, len(row)) for row in rows])
    direction = torch.randn(
        model.text_features(encoded).shape, generator=torch.Generator().manual_seed(0)
    )
    grads = []
    for some in (fixed, None):
        model.shares = some is not None
        embeds = model.embed(encoded.ids).detach().requires_grad_()
        (grad,) = torch.autograd.grad(
            (model.text_features(encoded, embeds, some) * direction).sum(), embeds
        )
        grads.append(grad)
    model.shares = True
    free = torch.arange(encoded.ids.shape[1]) >= fixed[:, None]
    grad, whole = grads
    assert_near(grad[free], whole[free], float(whole.abs().max()), share=1e-3)


def test_vectors_keep_their_places_when_memory_runs_out_in_the_middle(family, monkeypatch):
    """One end that does not fit: both trunks come again one by one, and with them all ends."""
    model = family("clip")
    start, end = model.encode([""]).ids[0].tolist()
    known = random.Random(0).sample(range(start), 30)
    parents = [(start, *known[:6]), (start, *known[6:12])]
    rows = [(*parent, *known[12 + i : 13 + i + i % 3], end) for parent in parents for i in range(9)]
    encoded = pad(rows, None, model.pad_id)
    model.budget.tokens = 8192
    expected = model.text_features(encoded)
    model.budget.tokens, model.remembered.rows = 30, None
    vectors, ends, failed = model._vectors, [], []

    def failing(ids, mask, embeds, positions):
        if positions is not None:
            ends.append(len(ids))
            if len(ends) > 1 and 1 not in failed:
                failed.append(len(ids))
                raise torch.OutOfMemoryError("out of memory")
        return vectors(ids, mask, embeds, positions)

    monkeypatch.setattr(model, "_vectors", failing)
    got = model.text_features(encoded)
    model.budget.tokens = 8192
    assert failed[-1] == 1
    assert_near(got, expected)


def test_a_network_that_refuses_is_read_whole(family, monkeypatch):
    model = family("gpt2")
    other = CausalLM(model.model_id)
    monkeypatch.setattr(
        "fuse_lightning.engine.branches.Branches.attend",
        lambda *_, **__: pytest.fail("must not be used"),
    )
    monkeypatch.setattr("fuse_lightning.engine.attention.HARMLESS", set())
    other.load()
    assert not other.shares
    assert other.module.config._attn_implementation == "sdpa"


@pytest.mark.parametrize("name", ["gpt2", "clip"])
def test_few_positions_are_read_twice(name, family):
    model = family(name)
    model.budget.tokens = 8192
    rng = random.Random(0)
    known = [
        index for index in range(model.vocab_size) if index not in model.tokenizer.all_special_ids
    ]
    first, last = ((), ()) if name == "gpt2" else ([x] for x in model.encode([""]).ids[0].tolist())
    beams = [(*first, *rng.choices(known, k=7)) for _ in range(4)]
    rows = [(*beam, token, *last) for beam in beams for token in known[:64]]
    read = [row[:-1] if name == "gpt2" else row for row in rows]
    distinct = len({row[:end] for row in read for end in range(1, len(row) + 1)})
    positions = []
    handle = model.embedding_layer.register_forward_hook(
        lambda _, inputs, __: positions.append(inputs[0].numel())
    )
    encoded = pad(rows, None, model.pad_id)
    if name == "gpt2":
        counted = encoded.mask.clone()
        counted[:, 0] = False
        model.token_nll(encoded.ids, counted)
    else:
        model.text_features(TokenBatch(encoded.ids, encoded.mask, encoded.spans))
    handle.remove()
    assert distinct <= sum(positions) <= 1.15 * distinct


@settings(max_examples=60, deadline=None)
@given(
    trunks=st.lists(st.integers(0, 4), min_size=1, max_size=12),
    own=st.integers(1, 4),
    heads=st.sampled_from([(4, 4), (4, 2), (3, 1)]),
    window=st.sampled_from([None, 1, 3]),
    seed=st.integers(0, 1000),
)
def test_attention_over_trunks_is_that_over_whole_rows(trunks, own, heads, window, seed):
    """Against each row alone with its keys side by side, in float64, with gradients."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    (queries, keys), width, length = heads, 5, 6
    layer = torch.nn.Identity()
    store = Store({layer: (draw(5, keys, length, width), draw(5, keys, length, width))})
    shared = torch.randint(1, length + 1, (len(trunks),), generator=generator)
    inputs = [draw(len(trunks), n, own, width).requires_grad_() for n in (queries, keys, keys)]
    with branching(store, torch.tensor(trunks), shared):
        found, _ = attention(layer, *inputs, None, sliding_window=window)
    expected = []
    for row, (trunk, before) in enumerate(zip(trunks, shared.tolist(), strict=True)):
        query, key, value = (part[row] for part in inputs)
        key, value = (
            torch.cat([part[trunk, :, :before], mine], dim=1).repeat_interleave(
                queries // keys, dim=0
            )
            for part, mine in zip(store.layers[layer], (key, value), strict=True)
        )
        distance = before + torch.arange(own)[:, None] - torch.arange(before + own)
        mask = (distance >= 0) & (distance < (window or length + own))
        expected.append(F.scaled_dot_product_attention(query, key, value, mask).transpose(0, 1))
    expected = torch.stack(expected)
    assert_near(found, expected)
    grads = [torch.autograd.grad(out.sin().sum(), inputs) for out in (found, expected)]
    for ours, theirs in zip(*grads, strict=True):
        assert_near(ours, theirs)
