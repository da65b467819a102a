import pytest
import torch
from transformers import AutoModelForCausalLM

from fuse_lightning.engine.budget import Budget
from fuse_lightning.engine.token_batch import pad
from fuse_lightning.errors import FuseError
from fuse_lightning.models import CausalLM
from fuse_lightning.objectives import Fluency, Objective
from fuse_lightning.objectives.reading import Reading
from tests.factories.causal_lms import CAUSAL_LMS
from tests.near import assert_near

TEXTS = ["a red house by the sea", "hello", "the dog runs over the green field at night!"]
START = {
    "gpt2": "<|endoftext|>",
    "opt": "</s>",
    "gemma": "<bos>",
    "llama": "<|begin_of_text|>",
    "qwen2": "<|endoftext|>",
    "falcon": "<|endoftext|>",
    "mistral": "<s>",
    "mamba": "<|endoftext|>",
}
LONGEST = {
    "gpt2": 48,
    "opt": 48,
    "gemma": 64,
    "llama": 64,
    "qwen2": 64,
    "falcon": 64,
    "mistral": 64,
    "mamba": 2**31 - 1,
}
every_lm = pytest.mark.parametrize("name", CAUSAL_LMS)


def reading_of(model, texts, prompt_from=1):
    encoded = model.encode(texts)
    prompt = encoded.mask.clone()
    prompt[:, :prompt_from] = False
    return Reading.single(encoded, prompt, torch.zeros(len(texts), dtype=torch.long))


@pytest.fixture
def plain(folder):
    return lambda name: AutoModelForCausalLM.from_pretrained(folder(name)).eval()


@every_lm
def test_weights_are_frozen_in_eval_mode_and_float32(name, load):
    module = load(name).module
    assert not any(part.training for part in module.modules())
    assert not any(weight.requires_grad for weight in module.parameters())
    assert {weight.dtype for weight in module.parameters()} == {torch.float32}


@every_lm
def test_logits_of_a_padded_batch_are_those_of_plain_transformers_one_at_a_time(name, load, plain):
    model, reference = load(name), plain(name)
    batch = model.encode(TEXTS)
    got = model.logits(batch.ids, batch.mask)
    for row, text in enumerate(TEXTS):
        ids = [*model.start_ids, *model.tokenizer(text, add_special_tokens=False)["input_ids"]]
        assert batch.ids[row][batch.mask[row]].tolist() == ids
        with torch.no_grad():
            expected = reference(input_ids=torch.tensor([ids])).logits[0]
        assert_near(got[row, : len(ids)], expected)


@every_lm
def test_fluency_is_the_loss_that_plain_transformers_computes_from_labels(name, load, plain):
    model, reference = load(name), plain(name)
    got = Fluency(model).loss(reading_of(model, TEXTS))
    for row, text in enumerate(TEXTS):
        ids = model.encode([text]).ids
        with torch.no_grad():
            expected = reference(input_ids=ids, labels=ids).loss
        assert_near(got[row], expected)


@every_lm
def test_logits_from_embeddings_equal_logits_from_ids(name, load):
    model = load(name)
    batch = model.encode(TEXTS)
    from_embeds = model.logits(batch.ids, batch.mask, model.embed(batch.ids))
    assert torch.equal(from_embeds, model.logits(batch.ids, batch.mask))


@pytest.mark.parametrize(
    ("name", "share", "step"),
    # The last ones normalize in float32 whatever the weights are.
    [
        ("gpt2", 1e-6, 1e-5),
        ("opt", 1e-6, 1e-5),
        ("falcon", 1e-4, 1e-4),
        ("gemma", 1e-2, 1e-3),
        ("llama", 1e-2, 1e-3),
        ("mistral", 1e-2, 1e-3),
    ],
)
def test_gradient_of_fluency_at_embeddings_equals_differences(
    name, share, step, in_double, check_gradient
):
    model = in_double(name)
    term, reading = Fluency(model), reading_of(model, TEXTS)
    embeds = model.embed(reading.rows.ids)
    assert embeds.dtype == torch.float64
    check_gradient(lambda x: term.loss(reading, x).sum(), embeds, share, step)


@every_lm
def test_next_log_probs_are_those_after_each_row(name, load, plain):
    model, reference = load(name), plain(name)
    rows = [model.encode([text]).ids[0].tolist() for text in TEXTS]
    got = model.next_log_probs(rows)
    assert got.shape == (len(rows), model.vocab_size)
    for row, ids in enumerate(rows):
        with torch.no_grad():
            logits = reference(input_ids=torch.tensor([ids])).logits[0, -1]
        expected = logits.log_softmax(-1)[: model.vocab_size]
        assert_near(got[row], expected)


def test_next_log_probs_keep_to_the_budget(load, monkeypatch):
    model = load("gpt2")
    rows = [(1, *range(2, 2 + index % 5), index) for index in range(60)]
    expected = model.next_log_probs(rows)
    before = model.remembered.continuations.before
    sizes = []
    logits_at = model.logits_at

    def watched(places, ids, *args):
        sizes.append(ids.numel())
        return logits_at(places, ids, *args)

    monkeypatch.setattr(model, "logits_at", watched)
    monkeypatch.setattr(model, "budget", Budget(64))
    monkeypatch.setattr("fuse_lightning.engine.continuations.can_stay", lambda *_: False)
    got = model.next_log_probs(rows)
    assert_near(got, expected)
    assert_near(model.remembered.continuations.before, before)
    assert len(sizes) > 4
    assert max(sizes) <= 64


@every_lm
def test_table_pieces_and_allowed_tokens_have_one_row_for_every_known_id(name, load):
    model = load(name)
    ids = torch.arange(model.vocab_size)
    assert torch.equal(model.embedding_table, model.embedding_layer(ids))
    assert len(model.pieces) == len(model.allowed_tokens("any")) == model.vocab_size


def test_rows_beyond_the_tokenizer_are_no_tokens_but_share_the_probability(load):
    model = load("qwen2")
    assert model.vocab_size == len(model.tokenizer) == model.module.config.vocab_size - 41
    log_probs = model.next_log_probs([model.start_ids])
    assert log_probs.exp().sum() < 0.99


def test_a_padding_token_without_a_row_never_reaches_the_network(load):
    model = load("mistral")
    assert model.tokenizer.pad_token_id == model.vocab_size == len(model.tokenizer) - 1
    assert model.pad_id == model.tokenizer.eos_token_id
    assert int(model.encode(TEXTS).ids.max()) < model.vocab_size


@every_lm
def test_every_text_starts_with_the_begin_token_once(name, load):
    model = load(name)
    assert model.tokenizer.convert_ids_to_tokens(list(model.start_ids)) == [START[name]]
    plain = model.tokenizer("a dog", add_special_tokens=False).input_ids
    encoded = model.encode(["a dog", ""])
    assert encoded.ids[:, 0].tolist() == [*model.start_ids] * 2
    assert encoded.mask.sum(1).tolist() == [1 + len(plain), 1]
    assert encoded.spans[:, 0].tolist() == [[0, 0], [0, 0]]
    bare = model.encode(["a dog"], special=False)
    assert bare.ids[0].tolist() == plain


@every_lm
def test_a_text_that_writes_its_start_gets_no_second_one(name, load):
    model = load(name)
    start = model.tokenizer.decode(list(model.start_ids))
    texts = [f"{start}red houses", "red houses by the sea", start, ""]
    encoded = model.encode(texts)
    for text, ids, mask in zip(texts, encoded.ids, encoded.mask, strict=True):
        read = model.tokenizer(text.removeprefix(start), add_special_tokens=False).input_ids
        whole = model.tokenizer(text, add_special_tokens=False).input_ids
        assert ids[mask].tolist() == (
            whole if text.startswith(start) else [*model.start_ids, *read]
        )
    assert encoded.mask.sum(1).max() == encoded.ids.shape[1]


def test_all_tokens_that_a_template_puts_first_are_the_start_and_those_last_are_not(folder, load):
    model = CausalLM(str(folder("llama")))
    model.load()

    def template(text, add_special_tokens=True, **_):
        ids = [1, 2] if text else []
        return {"input_ids": [7, 8, *ids, 9] if add_special_tokens else ids}

    model.tokenizer = template
    del model.start_ids
    assert model.start_ids == (7, 8)


@pytest.mark.parametrize("name", ["gpt2", "opt", "llama", "qwen2", "gemma", "mistral"])
@pytest.mark.parametrize("prefix", ["", "the film", "hello, world!"])
@pytest.mark.parametrize("suffix", ["", "at night"])
def test_a_prompt_scores_the_same_as_ids_of_the_primary_and_as_text_of_another_model(
    name, prefix, suffix, folder
):
    terms = [
        Fluency(CausalLM(str(folder(name))), prefix=prefix, suffix=suffix),
        Fluency(CausalLM(str(folder(name)), device="cpu"), prefix=prefix, suffix=suffix),
    ]
    objective = Objective(terms)
    objective.load()
    assert terms[0].model is not terms[1].model
    states = [objective.encode_prompt(text) for text in ("was great", "house")]
    prompts = objective.prompts([*states, ()], [0, 0, 0])
    assert prompts.canonical == [True] * 3
    first, second = objective.losses(prompts).T
    assert_near(first, second)
    assert first[2] == 0


@pytest.mark.parametrize(
    ("name", "ends"),
    [
        ("gpt2", ["<|endoftext|>"]),
        ("opt", ["</s>"]),
        ("llama", ["<|end_of_text|>", "<|eot_id|>"]),
        ("gemma", ["<eos>"]),
    ],
)
def test_end_ids_are_all_that_stop_generation(name, ends, load):
    model = load(name)
    assert model.tokenizer.convert_ids_to_tokens(list(model.end_ids)) == ends


@every_lm
def test_longest_input_is_what_the_network_has_positions_for(name, load):
    model = load(name)
    assert model.max_tokens == LONGEST[name]
    assert bool((torch.tensor([3]) <= model.max_tokens).all())
    ids = torch.full((1, min(model.max_tokens, 64)), 3)
    assert model.logits(ids, torch.ones_like(ids).bool()).isfinite().all()


def test_embeddings_include_what_a_network_does_outside_its_layer(load, plain):
    model, reference = load("gemma"), plain("gemma")
    ids = model.encode(TEXTS[:1]).ids
    with torch.no_grad():
        by_embeds = reference(inputs_embeds=reference.get_input_embeddings()(ids)).logits
        by_ids = reference(input_ids=ids).logits
    # What transformers makes of its layer's output, the wrapper makes of it too.
    assert_near(by_embeds, by_ids)
    got = model.logits(ids, torch.ones_like(ids).bool(), 2 * model.embed(ids))
    assert (got - by_ids).abs().max() > 1e-3


def test_a_window_hides_what_lies_before_it(load):
    model = load("mistral")
    rows = [[1, 5, *range(300, 312)], [1, 6, *range(300, 312)]]
    batch = pad(rows, None, model.pad_id)
    logits = model.logits(batch.ids, batch.mask)
    assert not torch.allclose(logits[0, 2], logits[1, 2])
    assert_near(logits[0, -1], logits[1, -1])


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_weights_have_the_wanted_type_and_logits_are_float32(dtype, load, folder):
    model = load(folder("gpt2"), CausalLM, dtype=dtype)
    assert model.module.dtype == getattr(torch, dtype)
    batch, exact = model.encode(TEXTS), load("gpt2")
    logits = model.logits(batch.ids, batch.mask)
    assert logits.dtype == torch.float32
    expected = exact.logits(batch.ids, batch.mask)
    assert (logits - expected).abs().max() < 0.05 * expected.abs().max()


def test_a_masked_language_model_is_refused_because_it_sees_later_tokens(load, folder):
    with pytest.raises(FuseError, match="reads later tokens") as raised:
        load(folder("masked_lm"), CausalLM)
    assert "\n" not in str(raised.value)
