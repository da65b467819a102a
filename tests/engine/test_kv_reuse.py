"""Rows that go on from those of the last forward, against rows that are read whole."""

import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fuse_lightning.engine.kv_reuse import behind, can_stay, join
from fuse_lightning.engine.token_batch import pad
from tests.factories.builders import ALL_CAUSAL_LMS
from tests.near import assert_near

CLIPS = ("clip", "old_clip", "open_clip")


def search(model, rng, steps=5, beams=4, first=(), last=()):
    """Rows of each step: most go on from some of the last, some fall back or are new."""
    known = [
        index for index in range(model.vocab_size) if index not in model.tokenizer.all_special_ids
    ]
    rows = [(*first, *rng.choices(known, k=rng.randint(1, 4))) for _ in range(beams)]
    for _ in range(steps):
        yield [(*row, *last) for row in dict.fromkeys(rows)]
        rows = [(*rng.choice(rows), *rng.choices(known, k=rng.randint(1, 3))) for _ in range(beams)]
        cut = rng.randrange(beams)
        rows[cut] = (*rows[cut][: len(first) + rng.randint(1, 3)], rng.choice(known))


def counted_positions(model):
    positions = []
    handle = model.embedding_layer.register_forward_hook(
        lambda _, inputs, __: positions.append(inputs[0].numel())
    )
    return positions, handle


@pytest.mark.parametrize("name", ALL_CAUSAL_LMS)
def test_likelihoods_of_rows_that_grow(name, family):
    model = family(name)
    steps = [*search(model, random.Random(name))]
    # The last rows once more: nothing of them is new.
    for rows in [*steps, steps[-1]]:
        after = model.next_log_probs(rows)
        ids = pad(rows, None, model.pad_id).ids
        before = model.remembered.continuations.before
        for place, row in enumerate(rows):
            with torch.no_grad():
                expected = model.module(input_ids=torch.tensor([row])).logits[0].float()
            expected = expected.log_softmax(-1)
            assert_near(after[place], expected[-1, : model.vocab_size])
            told = -expected[:-1].gather(1, ids[place, 1 : len(row), None]).squeeze(1)
            assert_near(before[place, 1 : len(row)], told)


@pytest.mark.parametrize("name", CLIPS)
def test_vectors_of_texts_that_grow(name, family):
    model = family(name)
    rng = random.Random(name)
    start, end = model.encode([""]).ids[0].tolist()
    for parents in search(model, rng, first=(start,)):
        rows = [(*parent, rng.randrange(3, 30), end) for parent in parents for _ in range(4)]
        encoded = pad(rows, None, model.pad_id)
        got = model.text_features(encoded)
        for vector, row in zip(got, rows, strict=True):
            with torch.no_grad():
                found = model.module.get_text_features(input_ids=torch.tensor([row]))
            expected = torch.nn.functional.normalize(found.pooler_output[0], dim=0)
            assert_near(vector, expected)


@pytest.mark.parametrize("name", ["gpt2", "clip"])
def test_only_what_is_new_is_read(name, family):
    """What a step reads does not grow with the length of its prompts."""
    model = family(name)
    rng = random.Random(0)
    first, last = ((), ()) if name == "gpt2" else ([x] for x in model.encode([""]).ids[0].tolist())
    known = range(10, 40)
    rows = [(*first, *rng.choices(known, k=6)) for _ in range(4)]
    read = []
    for _ in range(6):
        positions, handle = counted_positions(model)
        if name == "gpt2":
            model.next_log_probs(rows)
        else:
            longer = [(*row, token, *last) for row in rows for token in rng.sample(known, 8)]
            model.text_features(pad(longer, None, model.pad_id))
        handle.remove()
        read.append(sum(positions))
        rows = [(*row, rng.choice(known)) for row in rows]
    # Each beam's new token, and of a text what follows it.
    assert max(read[1:]) <= (4 if name == "gpt2" else 4 + 32 * 2)
    assert read[0] > max(read[1:])


def test_what_inference_mode_kept_does_not_meet_gradients(family):
    model = family("clip")
    start, end = model.encode([""]).ids[0].tolist()
    rows = [(start, 5, 6, 7, 8, token, end) for token in range(10, 20)]
    encoded = pad(rows, None, model.pad_id)
    with torch.inference_mode():
        expected = model.text_features(encoded).clone()
    embeds = model.embed(encoded.ids).detach().requires_grad_()
    found = model.text_features(encoded, embeds, torch.full((10,), 5))
    found.sum().backward()
    assert_near(found.detach(), expected)
    assert embeds.grad[:, 5].any()


def test_much_is_not_kept(family, monkeypatch):
    model = family("gpt2")
    monkeypatch.setattr("fuse_lightning.engine.kv_reuse.MOST_KEPT", 20)
    rows = [(5, 6, 7, 8, 9, token) for token in range(10, 13)]
    model.next_log_probs(rows)
    assert model.remembered.continuations.kept is not None
    model.next_log_probs([*rows, (5, 6, 7, 8)])
    assert model.remembered.continuations.kept is None
    model.forget()
    assert model.remembered.continuations is None


@pytest.mark.parametrize("name", ["gpt2", "clip"])
def test_nothing_is_kept_in_reduced_precision(name, family):
    """A resumed run, which keeps nothing, would round otherwise."""
    model = family(name)
    rows = [(5, 6, 7, 8, 9, token, 11) for token in range(12, 20)]
    with torch.autocast("cpu", torch.bfloat16):
        if name == "gpt2":
            model.next_log_probs(rows)
            assert model.remembered.continuations.kept is None
        else:
            model.text_features(pad(rows, None, model.pad_id))
            assert model.remembered.rows is None


@pytest.mark.parametrize("change", [{"dtype": "bfloat16"}, {"quantization": "8bit"}])
def test_nothing_is_kept_of_a_model_in_reduced_precision(change, family, monkeypatch):
    model = family("gpt2")
    rows = [(5, 6, 7, 8, 9, token, 11) for token in range(12, 20)]
    assert can_stay(model, rows)
    for name, value in change.items():
        monkeypatch.setattr(model if name == "dtype" else model.placement, name, value)
    assert not can_stay(model, rows)


@given(
    lengths=st.lists(st.integers(0, 5), min_size=1, max_size=5),
    new=st.integers(1, 4),
    dim=st.sampled_from([1, 2]),
)
def test_new_entries_stand_right_behind_the_old_ones(lengths, new, dim):
    shape = (len(lengths), 5, 3) if dim == 1 else (len(lengths), 2, 5, 3)
    old = torch.arange(torch.tensor(shape).prod()).view(shape)
    shape = [new if axis == dim else size for axis, size in enumerate(shape)]
    more = -1 - torch.arange(torch.tensor(shape).prod()).view(shape)
    found = join(old, more, behind(torch.tensor(lengths), 5, new), dim)
    for row, length in enumerate(lengths):
        expected = torch.cat([old[row].narrow(dim - 1, 0, length), more[row]], dim - 1)
        assert found[row].narrow(dim - 1, 0, length + new).equal(expected)


@pytest.mark.parametrize("name", ALL_CAUSAL_LMS)
def test_beginnings_of_texts_are_read_with_them(name, family):
    """Each row as if it were alone, no position twice, and what was kept stays."""
    model = family(name)
    rows = [*search(model, random.Random(name), steps=3)][-1]
    asked = [row[:n] for row in rows for n in range(len(row), 0, -1)]
    model.next_log_probs(rows)
    kept = model.remembered.continuations
    positions, handle = counted_positions(model)
    told = model.nested_log_probs(asked)
    handle.remove()
    assert model.remembered.continuations is kept
    # No more than the texts, as long as the longest.
    assert sum(positions) <= len(rows) * max(map(len, rows))
    for row, found in zip(asked, told, strict=True):
        with torch.no_grad():
            expected = model.module(input_ids=torch.tensor([row])).logits[0, -1].float()
        assert_near(found, expected.log_softmax(-1)[: model.vocab_size])
