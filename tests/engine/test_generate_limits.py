"""How texts end, what is read for them, and where memory, devices and input set limits."""

import random
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from fuse_lightning import FuseError
from fuse_lightning.engine import growing_keys
from fuse_lightning.models import CausalLM
from tests.engine.writing import assert_greedy, known_ids, prompts_of
from tests.factories.virtual import accelerators

# Their attention is their own, has a cap on its scores, or is none.
WHOLE = {"falcon", "falcon_alibi", "falcon_grouped", "gemma2", "mamba"}


@pytest.mark.parametrize("name", ["gpt2", "gemma2"])
def test_a_stop_id_ends_a_text(name, loaded):
    model = loaded(name)
    prompts = prompts_of(model)
    free = model.generate(prompts, 12, stop_ids=())
    stops = {free.ids[0][3], free.ids[-1][0]}
    cut = model.generate(prompts, 12, stop_ids=[*stops])
    kept = model.generate(prompts, 12, stop_ids=[*stops], keep_stop=True)
    for whole, before, after, how in zip(free.ids, cut.ids, kept.ids, cut.ended, strict=True):
        stop = next((n for n, index in enumerate(whole) if index in stops), None)
        assert how == ("length" if stop is None else "stop")
        assert before == whole[:stop]
        assert after == (whole if stop is None else whole[: stop + 1])
    assert cut.ended[-1] == "stop"
    assert cut.ids[-1] == ()
    assert [len(told) for told in cut.log_probs] == [*map(len, cut.ids)]


def test_by_default_a_text_ends_where_the_model_ends_it(loaded, monkeypatch):
    model = loaded("gpt2")
    (prompt, *_) = prompts_of(model)
    written = model.generate([prompt], 8, stop_ids=()).ids[0]
    monkeypatch.setitem(vars(model), "end_ids", (written[2],))
    assert model.generate([prompt], 8).ids[0] == written[: written.index(written[2])]


@pytest.mark.parametrize("name", ["gpt2", "llama2", "gemma2"])
def test_a_stop_text_ends_a_text_wherever_its_tokens_begin(name, loaded):
    model = loaded(name)
    for prompt in prompts_of(model):
        (whole,) = model.generate([prompt], 12, stop_ids=()).ids
        texts = [model.decode([(*prompt, *whole[:count])])[0] for count in range(13)]
        # From the middle of one token to the middle of another.
        begin = len(texts[3]) + (len(texts[4]) - len(texts[3])) // 2
        stop = texts[7][begin : len(texts[6]) + 1]
        if "\ufffd" in texts[7] or not stop.strip():
            continue
        found = model.generate([prompt], 12, stop_ids=(), stop=[stop])
        text = texts[12][len(texts[0]) :]
        at = text.find(stop)
        assert found.ended == ["stop"]
        written = model.decode([(*prompt, *found.ids[0])])[0][len(texts[0]) :]
        assert stop not in written
        assert text[:at].startswith(written)
        # No more is missing than the beginning of one token.
        following = len(model.decode([(*prompt, *whole[: len(found.ids[0]) + 1])])[0])
        assert following - len(texts[0]) > at
        kept = model.generate([prompt], 12, stop_ids=(), stop=[stop], keep_stop=True).ids[0]
        assert kept == whole[: len(kept)]
        assert stop in texts[len(kept)][len(texts[0]) :]
        assert stop not in texts[len(kept) - 1][len(texts[0]) :]


@pytest.mark.parametrize("name", ["gpt2", "falcon"])
def test_a_text_ends_at_the_longest_input(name, loaded, monkeypatch):
    model = loaded(name)
    monkeypatch.setitem(vars(model), "max_tokens", 12)
    known = known_ids(model)
    prompts = [tuple(known[:3]), tuple(known[3:12]), tuple(known[1:12])]
    found = model.generate(prompts, 5, stop_ids=())
    assert [*map(len, found.ids)] == [5, 3, 1]
    assert found.ended == ["length", "full", "full"]
    for prompt, ids, log_probs in zip(prompts, found.ids, found.log_probs, strict=True):
        assert_greedy(model, prompt, ids, log_probs)


@pytest.mark.parametrize("shares", [True, False])
def test_no_position_is_read_that_does_not_exist(shares, loaded, monkeypatch):
    model = loaded("gpt2")
    monkeypatch.setattr(model, "shares", shares)
    assert model.max_tokens == model.module.config.n_positions
    known = random.Random(0).choices(known_ids(model), k=model.max_tokens)
    prompts = [tuple(known[:-2]), tuple(known[:5]), tuple(known[:-1])]
    found = model.generate(prompts, 9, stop_ids=())
    assert found.ended == ["full", "length", "full"]
    for prompt, ids, log_probs in zip(prompts, found.ids, found.log_probs, strict=True):
        assert len(ids) == min(9, model.max_tokens - len(prompt))
        assert_greedy(model, prompt, ids, log_probs)


@pytest.fixture
def watched(monkeypatch):
    """Notes rows and positions of each forward of a model."""

    def get(model):
        shapes = []
        layer = model.embedding_layer
        handle = layer.register_forward_hook(
            lambda _, inputs, __: shapes.append(tuple(inputs[0].shape))
        )
        monkeypatch.setattr(model, "_unwatch", handle.remove, raising=False)
        return SimpleNamespace(shapes=shapes, stop=handle.remove)

    return get


def test_what_prompts_share_is_read_once(loaded, watched):
    model = loaded("gpt2")
    known = known_ids(model)
    shared = tuple(known[:20])
    prompts = [(*shared, *known[20 + 4 * n : 24 + 4 * n]) for n in range(5)]
    seen = watched(model)
    model.generate(prompts, 6, temperature=1.0, samples=4, stop_ids=())
    seen.stop()
    # The last token of a text is not read.
    assert sum(a * b for a, b in seen.shapes) == 20 + 5 * 4 + 5 * 4 * 5


def test_texts_that_end_leave_their_batch(loaded, watched):
    model = loaded("gpt2")
    prompts = list(dict.fromkeys(prompts_of(model, count=14)))
    free = model.generate(prompts, 16, stop_ids=())
    # Half of them end early.
    stops = {ids[1] for ids in free.ids[::2]}
    seen = watched(model)
    found = model.generate(prompts, 16, stop_ids=[*stops])
    seen.stop()
    decoded = [rows for rows, width in seen.shapes if width == 1]
    needed = [sum(len(ids) > n for ids in found.ids) for n in range(15)]
    assert needed[0] > needed[-1]
    # An eighth of a batch may be carried along, until as much again has ended.
    assert all(a <= max(1, b) * 8 / 7 for a, b in zip(decoded, needed, strict=False))


@pytest.mark.parametrize("name", ["gpt2", "falcon"])
def test_memory_that_runs_out_halves_the_batch(name, loaded, monkeypatch):
    model = loaded(name)
    prompts = prompts_of(model, count=9)
    expected = model.generate(prompts, 6, temperature=1.0, samples=2, stop_ids=())
    failed, part = [], type(model.module).forward

    def failing(self, input_ids, **kwargs):
        if len(input_ids) > 4 and (input_ids.shape[1] == 1 or len(input_ids) > 7):
            failed.append(len(input_ids))
            raise torch.OutOfMemoryError("out of memory")
        return part(self, input_ids=input_ids, **kwargs)

    monkeypatch.setattr(type(model.module), "forward", failing)
    found = model.generate(prompts, 6, temperature=1.0, samples=2, stop_ids=())
    monkeypatch.undo()
    assert failed
    assert model.budget.tokens < 8192
    assert found.ids == expected.ids


@pytest.mark.parametrize("tokens", [60, 200])
def test_no_batch_holds_more_positions_than_the_budget(tokens, loaded, monkeypatch):
    model = loaded("gpt2")
    model.budget.tokens = tokens
    held = []
    room = growing_keys.GrowingKeys._room

    def noted(self, known, columns):
        made = room(self, known, columns)
        held.append(made.shape[0] * made.shape[2])
        return made

    monkeypatch.setattr(growing_keys.GrowingKeys, "_room", noted)
    prompts = prompts_of(model, count=12)
    model.generate(prompts, 9, stop_ids=(), cache=True)
    model.generate(prompts, 9, temperature=1.0, samples=8, stop_ids=())
    assert 10 < max(held) <= tokens


@pytest.mark.parametrize("name", sorted(WHOLE))
@pytest.mark.parametrize("can", ["padded", "equal lengths", "plain"])
def test_what_cannot_share_is_written_in_every_way(name, can, loaded, monkeypatch):
    model = loaded(name)
    prompts = prompts_of(model)
    assert model.pads_left
    if can != "padded":
        monkeypatch.setitem(vars(model), "pads_left", False)
    if can == "plain":
        monkeypatch.setattr(model, "module", Bare(model.module))
    found = model.generate(prompts, 5, stop_ids=())
    monkeypatch.undo()
    for prompt, ids, log_probs in zip(prompts, found.ids, found.log_probs, strict=True):
        assert_greedy(model, prompt, ids, log_probs)


class Bare:
    """A network without ``generate``."""

    def __init__(self, module):
        self.__call__ = module
        self.get_output_embeddings = module.get_output_embeddings
        self.get_input_embeddings = module.get_input_embeddings
        self.run = module

    def __call__(self, **kwargs):
        return self.run(**kwargs)


def test_a_network_that_reads_padding_on_the_left_is_found_out(loaded, monkeypatch):
    model = loaded("falcon_alibi")
    forward = type(model.module).forward

    def blind(self, *args, attention_mask=None, **kwargs):
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(type(model.module), "forward", blind)
    monkeypatch.delitem(vars(model), "pads_left", raising=False)
    assert not model.pads_left
    monkeypatch.undo()
    vars(model).pop("pads_left", None)


@pytest.mark.parametrize("spread", [False, True])
def test_other_devices_write_the_same(spread, folder, loaded):
    pytest.importorskip("accelerate", reason="a device map needs accelerate")
    expected = loaded("gpt2").generate(prompts_of(loaded("gpt2")), 8, stop_ids=(), cache=True)
    places = {
        "transformer.wte": "cuda:0",
        "transformer.wpe": "cuda:0",
        "transformer.h.0": "cuda:0",
        "transformer.h.1": 1,
        "transformer.ln_f": 1,
        "lm_head": "cuda:0",
    }
    options = {"device_map": places} if spread else {"device": "cuda:1"}
    with accelerators():
        model = CausalLM(str(folder("gpt2")), **options)
        model.load()
        model.worth = 0
        found = model.generate(prompts_of(model), 8, stop_ids=(), cache=True)
        sampled = model.generate(
            prompts_of(model), 8, temperature=1.0, samples=2, stop_ids=(), cache=True
        )
    assert found.ids == expected.ids
    again = loaded("gpt2").generate(
        prompts_of(loaded("gpt2")), 8, temperature=1.0, samples=2, stop_ids=()
    )
    assert sampled.ids == again.ids


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_new_tokens": 0}, "max_new_tokens is 0"),
        ({"samples": 0}, "samples is 0"),
        ({"samples": 2}, "samples is 2 with temperature 0"),
        ({"temperature": -1.0}, "temperature is -1.0"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"top_k": 0}, "top_k is 0"),
        ({"top_p": 0.0}, "top_p is 0.0"),
        ({"streams": [1]}, "streams has 1 numbers for 2 prompts"),
        ({"streams": [0, -1]}, "streams"),
        ({"seed": -1}, "seed is -1"),
        ({"stop": ["a", ""]}, "none of them empty"),
        ({"stop": "abc"}, "give a list of texts"),
        ({"prompts": [(5,), ()]}, "prompt 1 has no tokens"),
        ({"prompts": [(5,), (5, 10**6)]}, "prompt 1 holds an id"),
        ({"prompts": [(5,) * 10**4]}, "prompt 0 has 10000 tokens"),
    ],
)
def test_what_cannot_be_written_is_told_in_one_line(options, message, loaded):
    with pytest.raises(FuseError, match=message) as raised:
        loaded("gpt2").generate(**{"prompts": [(5,), (6,)], "max_new_tokens": 3, **options})
    assert "\n" not in str(raised.value)
    assert "give" in str(raised.value)


def test_no_prompts_have_no_texts(loaded):
    for name in ("gpt2", "gemma2"):
        found = loaded(name).generate([], 3)
        assert (found.ids, found.log_probs, found.ended) == ([], [], [])


def test_the_documentation_writes_texts():
    page = Path(__file__).parents[2] / "docs" / "models.md"
    _, _, section = page.read_text(encoding="utf-8").partition("## Texts that a model writes")
    code = section.partition("```python\n")[2].partition("```")[0]
    names = {}
    exec(code, names)
    found = names["found"]
    assert len(found.ids) == len(found.ended) == 4
    assert {*found.ended} <= {"stop", "length"}
    assert all("." not in text for text in names["model"].decode(found.ids))
