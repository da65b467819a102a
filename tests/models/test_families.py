"""Every family of models against plain transformers: one text at a time, no padding."""

import copy
import inspect
from itertools import chain
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.nn import functional as F
from transformers import AutoModel, AutoModelForCausalLM, AutoModelForSequenceClassification

from fuse_lightning.adapters import AdapterSettings
from fuse_lightning.data.targets import Target
from fuse_lightning.models import CLIP, CausalLM, Classifier, SentenceEncoder
from fuse_lightning.models.auto import auto_model
from fuse_lightning.objectives import (
    Fluency,
    ImageSimilarity,
    Objective,
    Sentiment,
    TextSimilarity,
    term_gradients,
)
from tests.factories.builders import ALL_CAUSAL_LMS, ALL_CLASSIFIERS, ALL_CLIPS
from tests.factories.clips import SIGLIP_LENGTH
from tests.factories.more_causal_lms import MORE_CAUSAL_LMS
from tests.factories.sentence_encoders import SENTENCE_ENCODERS
from tests.near import assert_near

# The builders of a kind of model, how transformers loads it, and a term of it.
KINDS = {
    CausalLM: (ALL_CAUSAL_LMS, AutoModelForCausalLM, Fluency),
    Classifier: (ALL_CLASSIFIERS, AutoModelForSequenceClassification, Sentiment),
    SentenceEncoder: (SENTENCE_ENCODERS, AutoModel, TextSimilarity),
    CLIP: (ALL_CLIPS, AutoModel, ImageSimilarity),
}
KIND = {name: kind for kind, (builders, *_) in KINDS.items() for name in builders}
SECONDARIES = [name for name, kind in KIND.items() if kind is not CausalLM]
# What stands before every text, where it is not the token that ends a text and begins the next.
START = {
    **dict.fromkeys(["opt", "opt_wide"], "</s>"),
    **dict.fromkeys(["llama2", "mistral", "phi3"], "<s>"),
    **dict.fromkeys(["gemma", "gemma2", "gemma3"], "<bos>"),
    "llama": "<|begin_of_text|>",
}
FULL_LENGTH = {"siglip": SIGLIP_LENGTH, "siglip2": 64, "siglip2_flexible": 64}
ROWS_BEYOND = {
    "opt": 7,
    "qwen2": 41,
    "phi": 9,
    "phi3": 5,
    "gpt_neox": 11,
    "deberta_classifier": 6,
}
# WordPiece and the small Unigrams here know no letter beyond ASCII.
ANY_TEXT = [
    *ALL_CAUSAL_LMS,
    *("roberta_classifier", "gpt2_classifier", "masked_lm"),
    *("clip", "old_clip", "open_clip", "siglip2", "siglip2_flexible"),
]
PREFIX = "a photo of"
PROMPTS = ["red boats", "a small dog runs, at night", "the two houses"]
TARGET = "two old boats"
every_family = pytest.mark.parametrize("name", KIND)


@pytest.fixture(scope="module")
def family(tmp_path_factory):
    """Loads a family once, as the package does and as transformers does; not to be changed."""
    made = {}

    def get(name):
        if name not in made:
            kind = KIND[name]
            builders, auto, _ = KINDS[kind]
            folder = builders[name](tmp_path_factory.mktemp(name) / name)
            model = auto_model(str(folder))
            assert type(model) is kind
            model.load()
            plain = auto.from_pretrained(folder).eval().requires_grad_(False)
            made[name] = SimpleNamespace(model=model, plain=plain)
        return made[name]

    return get


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    path = tmp_path_factory.mktemp("picture") / "0.png"
    values = np.random.default_rng(0).integers(0, 255, (40, 56, 3), dtype=np.uint8)
    Image.fromarray(values).save(path)
    return path


def term_of(model, prefix=PREFIX):
    term = KINDS[type(model)][2]
    return term(model, prefix=prefix)


def plain_tokens(name, tokenizer, text):
    """Ids of a text read as the family's documentation says, and the places of its own tokens."""
    if KIND[name] is CausalLM:
        start = tokenizer.convert_tokens_to_ids(START.get(name, "<|endoftext|>"))
        ids = [start, *tokenizer(text, add_special_tokens=False).input_ids]
        return ids, list(range(1, len(ids)))
    full = {"padding": "max_length", "max_length": FULL_LENGTH[name]} if name in FULL_LENGTH else {}
    tokens = tokenizer(text, return_special_tokens_mask=True, **full)
    return tokens.input_ids, [i for i, no in enumerate(tokens.special_tokens_mask) if not no]


def plain_output(name, plain, ids):
    """What transformers' own network makes of one text, and the leaf that its embeddings are."""
    ids = torch.tensor([ids])
    layer = (plain.text_model if KIND[name] is CLIP else plain).get_input_embeddings()
    if "inputs_embeds" in inspect.signature(plain.forward).parameters:
        embeds = layer(ids).requires_grad_()
        return plain(inputs_embeds=embeds), embeds
    # The others read ids only; as all weights are frozen, the layer's output is a leaf.
    leaves = []
    handle = layer.register_forward_hook(lambda *args: leaves.append(args[-1].requires_grad_()))
    output = plain.get_text_features(input_ids=ids)
    handle.remove()
    return output, leaves[0]


def plain_loss(name, family, prompt, picture):
    """A prompt's loss behind PREFIX, and its gradient at each of the prompt's tokens."""
    tokenizer, plain = family.model.tokenizer, family.plain
    ids, inside = plain_tokens(name, tokenizer, f"{PREFIX} {prompt}")
    inside = inside[len(tokenizer(PREFIX, add_special_tokens=False).input_ids) :]
    output, embeds = plain_output(name, plain, ids)
    if KIND[name] is CausalLM:
        log_probs = output.logits[0].log_softmax(-1)
        loss = -torch.stack([log_probs[i - 1, ids[i]] for i in inside]).mean()
    elif KIND[name] is Classifier:
        loss = F.cross_entropy(output.logits, torch.tensor([1]))
    elif KIND[name] is SentenceEncoder:
        other, _ = plain_output(name, plain, plain_tokens(name, tokenizer, TARGET)[0])
        vectors = [each.last_hidden_state[0].mean(0) for each in (output, other)]
        loss = 1 - torch.cosine_similarity(*vectors, dim=0)
    else:
        inputs = family.model.processor(images=Image.open(picture), return_tensors="pt")
        vectors = output.pooler_output[0], plain.get_image_features(**inputs).pooler_output[0]
        loss = 1 - torch.cosine_similarity(*vectors, dim=0)
    (grad,) = torch.autograd.grad(loss, embeds)
    return loss.detach(), grad[0, inside]


@every_family
def test_losses_and_gradients_of_a_padded_batch_are_those_of_plain_transformers(
    name, family, picture
):
    family = family(name)
    # The second term's model is another one, so it reads the text and not the ids.
    objective = Objective([term_of(family.model), term_of(copy.copy(family.model))])
    objective.set_targets([Target("t", pictures=[picture], text=TARGET, sentiment="1")])
    states = [objective.encode_prompt(prompt) for prompt in PROMPTS]
    assert len({len(state) for state in states}) > 1
    prompts = objective.prompts(states, [0] * len(PROMPTS))
    losses = objective.losses(prompts)
    first = objective.terms[0]
    slots = [set(range(len(state))) for state in states]
    (found,) = term_gradients(objective, prompts, lambda term: term is first, slots)
    (head,) = found.heads
    for row, prompt in enumerate(PROMPTS):
        loss, grad = plain_loss(name, family, prompt, picture)
        assert_near(losses[row], loss.expand(2))
        assert head.valid[row].sum() == len(states[row]) == len(grad)
        assert grad.abs().max() > 1e-4
        got = head.grad[row, : len(grad)]
        assert_near(got, grad, share=1e-3)
    assert losses[:, 0].max() - losses[:, 0].min() > 1e-4


@pytest.mark.parametrize("name", MORE_CAUSAL_LMS)
def test_next_log_probs_are_those_of_plain_transformers(name, family):
    family = family(name)
    rows = [plain_tokens(name, family.model.tokenizer, text)[0] for text in PROMPTS]
    got = family.model.next_log_probs(rows)
    for row, ids in zip(got, rows, strict=True):
        logits = family.plain(input_ids=torch.tensor([ids])).logits[0, -1]
        expected = logits.log_softmax(-1)[: family.model.vocab_size]
        assert_near(row, expected)


@every_family
def test_allowed_tokens_have_a_row_and_are_neither_special_nor_added(name, family):
    model = family(name).model
    rows = model.embedding_layer.weight.shape[0]
    assert rows - model.vocab_size == ROWS_BEYOND.get(name, 0)
    kept = {*model.tokenizer.all_special_ids, *model.tokenizer.added_tokens_decoder}
    kept |= set(model.tokenizer("a").input_ids) - set(
        model.tokenizer("a", add_special_tokens=False).input_ids
    )
    assert len(model.embedding_table) == model.vocab_size
    for tokens in ("any", "ascii", "words"):
        allowed = model.allowed_tokens(tokens)
        assert allowed.shape == (model.vocab_size,)
        assert not kept.intersection(allowed.nonzero().flatten().tolist())


@every_family
def test_every_token_of_a_text_spans_some_of_it(name, family):
    text = "two Xs run"
    encoded = family(name).model.encode([text], special=False)
    starts, ends = encoded.spans[0].T.tolist()
    assert all(0 <= start < end <= len(text) for start, end in zip(starts, ends, strict=True))
    assert starts == sorted(starts)


@every_family
@pytest.mark.parametrize("prefix", ["", PREFIX])
def test_a_prompt_behind_a_prefix_is_read_as_its_ids_and_spells_its_text(name, prefix, family):
    model = family(name).model
    objective = Objective([term_of(model, prefix)])
    head = tuple(model.tokenizer(prefix, add_special_tokens=False).input_ids)
    texts = [*PROMPTS, "größe 猫"] if name in ANY_TEXT else PROMPTS
    for text in texts:
        state = objective.encode_prompt(text)
        prompts = objective.prompts([state], [0])
        assert prompts.canonical == [True]
        # What marks the ends of words spells a comma apart.
        assert prompts.texts[0].replace(" ,", ",") == text
        whole = model.tokenizer(f"{prefix} {text}".strip(), add_special_tokens=False).input_ids
        assert (*head, *state) == tuple(whole)


# CLIP's own tokens all stand apart behind the end of a word.
@pytest.mark.parametrize("name", sorted({*KIND} - {"clip", "old_clip", "open_clip"}))
def test_a_token_that_runs_on_the_prefix_is_no_prompt(name, family):
    model = family(name).model
    glued = next(index for index, piece in enumerate(model.pieces) if piece == "s")
    prompts = Objective([term_of(model)]).prompts([(glued,)], [0])
    assert prompts.canonical == [False]


@pytest.mark.parametrize("name", ANY_TEXT)
def test_a_part_of_a_character_is_no_prompt_and_no_token_of_one(name, family):
    model = family(name).model
    objective = Objective([term_of(model)])
    state = objective.encode_prompt("red 猫")
    assert objective.prompts([state, state[:-1]], [0, 0]).canonical == [True, False]
    assert not model.allowed_tokens("any")[state[-1]]


@pytest.mark.parametrize("name", ALL_CLIPS)
def test_cosines_are_the_logits_of_a_text_and_a_picture(name, family, picture):
    model, plain = family(name).model, family(name).plain
    image = Image.open(picture)
    cosine = model.text_features(model.encode([PROMPTS[0]])) @ model.image_features([image]).T
    inputs = model.processor(images=image, return_tensors="pt")
    ids = torch.tensor([plain_tokens(name, model.tokenizer, PROMPTS[0])[0]])
    logits = plain(input_ids=ids, **inputs).logits_per_text
    expected = plain.logit_scale.exp() * cosine + getattr(plain, "logit_bias", 0.0)
    assert_near(logits, expected)


@pytest.mark.parametrize("name", SECONDARIES)
def test_gradients_that_reach_another_tokenizer_are_exact_for_whole_words(name, family, picture):
    model, primary = family(name).model, family("gpt2").model
    term = term_of(model)
    objective = Objective([Fluency(primary), term], AdapterSettings(cache=False))
    objective.set_targets([Target("t", pictures=[picture], text=TARGET, sentiment="1")])
    state = objective.encode_prompt("the red")
    prompts = objective.prompts([state], [0])
    slot = len(state) - 1
    (found,) = term_gradients(objective, prompts, lambda other: other is term, [{slot}])
    head = next(head for head in found.heads if head.valid[0, slot])
    words = {}
    for index, piece in enumerate(primary.pieces):
        ids = model.tokenizer(f"a{piece}", add_special_tokens=False).input_ids
        if piece[:1] == " " and piece[1:].isalpha() and len(ids) == 2:
            words[index] = ids[1]
    assert len(words) > 5
    assert head.valid[0, slot]
    got = head.table[list(words)] @ head.grad[0, slot]
    _, grad = plain_loss(name, family(name), "the red", picture)
    expected = model.embedding_table[list(words.values())] @ grad[-1]
    assert_near(got, expected, float(expected.std()), share=1e-3)


WORDS = ["the", "House", "red", "2", "3.14", "don't", "(a)", "e-mail", "naïve", "字", "🙂", "x_y"]
WORDS += ["!?", "co-op's", "É", "e\u0301", "\u0301", "ß", "12345", "'s", "--", "<s>", "[UNK]", "▁a"]
PARTS = st.sampled_from(WORDS) | st.text(max_size=5)
GAPS = st.sampled_from([" "] * 8 + ["  ", "\n", " \n ", "\t", "\u00a0", "\u3000", ", ", ""])
TEXTS = st.lists(st.lists(st.tuples(GAPS, PARTS), max_size=8), min_size=1, max_size=4)


def joined(parts):
    text = "".join(gap + part for gap, part in parts)
    return text[1:] if text.startswith(" ") else text


@every_family
@settings(max_examples=60, deadline=None)
@given(rows=TEXTS, special=st.booleans())
def test_words_that_are_read_once_give_the_tokens_of_whole_texts(name, family, rows, special):
    model = family(name).model
    texts = [joined(row) for row in rows]
    found = model.words.read(texts, special=special)
    whole = model.tokenizer(
        texts, add_special_tokens=special, return_offsets_mapping=True, verbose=False
    )
    assert [row.ids for row in found] == whole.input_ids
    assert [row.spans for row in found] == [[*chain(*row)] for row in whole.offset_mapping]


def test_tokenizers_that_join_words_are_told_from_those_that_do_not(family):
    together = {name for name in KIND if not family(name).model.words.separable}
    assert together == {
        *("llama2", "mistral", "phi3", "gemma", "gemma2", "gemma3", "siglip2", "siglip2_flexible")
    }
