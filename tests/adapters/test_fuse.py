"""The adapter as a whole: word lists, cases, cache, lookup, command."""

import random
import re
from dataclasses import replace
from functools import partial

import pytest
import torch
from tokenizers.normalizers import Lowercase

from fuse_lightning.adapters import AdapterSettings, AlignedWord, FuseAdapter
from fuse_lightning.adapters.fuse import _fingerprint
from fuse_lightning.adapters.maps import fit_map, pull_back
from fuse_lightning.adapters.word_list import corpus_words, vocabulary_words
from fuse_lightning.cli.main import main
from fuse_lightning.errors import FuseError
from fuse_lightning.models import CLIP, CausalLM
from fuse_lightning.objectives import predicted_change
from fuse_lightning.zoo.scenes import sample_sentence
from tests.factories import tiny
from tests.factories.causal_lms import gpt2
from tests.near import assert_near


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    source, target = CausalLM(tiny.gpt2(folder / "gpt2")), CLIP(tiny.clip(folder / "clip"))
    source.load()
    target.load()
    return source, target


@pytest.fixture
def word_file(tmp_path):
    rng = random.Random(0)
    path = tmp_path / "words.txt"
    path.write_text("\n".join(sample_sentence(rng)[0] for _ in range(500)))
    return str(path)


def test_maps_are_fitted_on_the_embeddings_of_each_case(models, word_file):
    adapter = FuseAdapter(*models, AdapterSettings(kind="t_product", words=word_file, cache=False))
    cases = adapter.cases(corpus_words(word_file))
    # A single word tells no map.
    often = {case: words for case, words in cases.items() if len(words[0]) > 1}
    assert set(adapter.maps) == set(often) < set(cases)
    assert len(often) > 6
    for case, (source_ids, target_ids) in often.items():
        x = models[0].embedding_table[torch.tensor(source_ids)]
        y = models[1].embedding_table[torch.tensor(target_ids)]
        assert (x.shape[1], y.shape[1]) == case
        assert_near(adapter.maps[case], fit_map("t_product", x, y))


def test_words_of_a_case_spell_the_same_in_both_models(models, word_file):
    adapter = FuseAdapter(*models, AdapterSettings(words=word_file))
    for source_ids, target_ids in adapter.cases(corpus_words(word_file)).values():
        for a, b in zip(source_ids, target_ids, strict=True):
            assert models[0].decode([a])[0].strip().lower() == models[1].decode([b])[0].strip()


def test_cases_keep_to_their_limits(models, word_file):
    settings = AdapterSettings(words=word_file, max_subtokens=2, max_examples_per_case=5)
    cases = FuseAdapter(*models, settings).cases(corpus_words(word_file))
    assert max(max(case) for case in cases) == 2
    assert max(len(ids) for ids, _ in cases.values()) == 5


def test_lookup_table_holds_the_mean_embedding_of_each_tokens_text(models):
    adapter = FuseAdapter(*models, AdapterSettings(cache=False))
    source, target = models
    for index in random.Random(0).sample(range(len(source.pieces)), 60):
        piece = source.pieces[index]
        row = adapter.lookup_table[index]
        if piece[:1].isspace() and piece.strip().isalnum() and piece.isascii():
            ids = target.encode([piece.strip()], special=False).ids[0]
            assert_near(row, target.embedding_table[ids].mean(0))
        elif not piece[:1].isspace():
            assert not row.any()


def test_pull_back_of_a_word_is_its_own_cases_map(models, word_file):
    adapter = FuseAdapter(*models, AdapterSettings(kind="t_product", words=word_file, cache=False))
    case = next(case for case in adapter.maps if case[0] == 2 and case[1] == 3)
    grad = torch.randn(2, 8, 16, generator=torch.Generator().manual_seed(0))
    words = [[], [AlignedWord((0, 3), (1, 2), (4, 5, 6)), AlignedWord((4, 6), (3,), ())]]
    (head,) = adapter.pull_back(words, 5, grad)
    expected = torch.einsum("ijab,jb->ia", adapter.maps[case], grad[1, 4:7])
    assert_near(head.grad[1, 1:3], expected)
    assert head.valid.tolist() == [[False] * 5, [False, True, True, False, False]]
    assert not head.grad[0].any()


def test_cache_is_read_again_and_depends_on_models_words_and_settings(models, word_file, tmp_path):
    folder = tmp_path / "adapters"

    def maps(**changes):
        settings = AdapterSettings(
            **{"kind": "t_product", "words": word_file, "cache_dir": str(folder), **changes}
        )
        return FuseAdapter(*models, settings).maps

    first = maps()
    assert len(list(folder.glob("*.safetensors"))) == 1
    again = maps()
    assert len(list(folder.glob("*.safetensors"))) == 1
    assert all(torch.equal(first[case], again[case]) for case in first)
    maps(kind="least_squares")
    maps(max_subtokens=3)
    maps(words="vocabulary")
    assert len(list(folder.glob("*.safetensors"))) == 4
    for path in folder.glob("*.safetensors"):
        path.write_bytes(b"broken")
    repaired = maps()
    assert all(torch.equal(first[case], repaired[case]) for case in first)


def test_vocabulary_words_are_tokens_of_either_model(models):
    words = vocabulary_words(*models)
    assert {"circle", "red", "An"} <= set(words)
    assert all(word.isalpha() for word in words)


def test_corpus_words_come_most_frequent_first(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_text("red star, red circle.\n\nred star 42\n", encoding="utf-8")
    assert corpus_words(str(path)) == ["red", "star", "circle"]


def test_corpus_words_come_from_a_data_set_too(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train.txt").write_text("teal star\nteal\n")
    assert corpus_words(str(tmp_path / "data")) == ["teal", "star"]


@pytest.mark.parametrize("content", [None, "", "12 34 !?", b"\xff\xfe\x00"])
def test_word_lists_without_words_are_refused_in_one_line(tmp_path, content):
    path = tmp_path / "list.txt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        path.write_text(content)
    with pytest.raises(FuseError, match=re.escape(str(path))) as caught:
        corpus_words(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["max_subtokens", "max_examples_per_case"])
def test_impossible_settings_are_refused(name):
    with pytest.raises(FuseError, match=f"{name} is 0"):
        AdapterSettings(**{name: 0})


def test_command_prints_a_row_for_every_way_to_predict(tmp_path, models, capsys):
    rng = random.Random(0)
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(sample_sentence(rng)[0] for _ in range(6)))
    words = ["--positions", "2", "--tokens", "60", "--texts", str(texts)]
    ids = ["--source", models[0].model_id, "--target", models[1].model_id]
    main(["adapter", "evaluate", *ids, *words])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["gradient", "rho", "recall"]
    numbers = [[float(number) for number in line.split()[-2:]] for line in lines[1:]]
    assert len(numbers) == 11
    assert all(-1 <= rho <= 1 and 0 <= recall <= 1 for rho, recall in numbers)


@pytest.mark.parametrize("content", [None, "one line only"])
def test_command_refuses_too_few_texts_in_one_line(tmp_path, models, capsys, content):
    texts = tmp_path / "texts.txt"
    if content:
        texts.write_text(content)
    ids = ["--source", models[0].model_id, "--target", models[1].model_id]
    with pytest.raises(SystemExit, match="2"):
        main(["adapter", "evaluate", *ids, "--texts", str(texts)])
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1


def test_an_unknown_kind_is_refused():
    with pytest.raises(FuseError, match="adapter kind is 'lookups'; give one of lookup,"):
        AdapterSettings(kind="lookups")


def test_a_word_of_several_tokens_begins_with_one_that_can(models):
    source, target = models
    adapter = FuseAdapter(source, target, AdapterSettings(cache=False))
    begins = adapter.lookup_table.any(1)
    assert begins.any()
    assert not begins.all()
    words = [[AlignedWord((0, 1), (0,), (0,)), AlignedWord((2, 4), (1, 2), (1, 2))]]
    grad = torch.randn(1, 3, target.embedding_table.shape[1])
    heads = adapter.pull_back(words, 3, grad)
    assert len(heads) == 3
    slots = [{place for place in range(3) if head.valid[0, place]} for head in heads]
    assert slots == [{0}, {1}, {2}]
    heads = [replace(head, grad=head.grad * head.valid[..., None]) for head in heads]
    change = predicted_change(heads, [(0, 1), (0, 2)], torch.ones(len(begins), dtype=torch.bool))
    pulled = pull_back(adapter.maps[2, 2], grad[0, 1:][None])[0]
    for row, known in enumerate((begins, ~begins)):
        expected = source.embedding_table @ pulled[row]
        size = float(expected.abs().max())
        expected = torch.where(known, expected - expected[known].mean(), 0.0)
        assert_near(change[row], expected, size)
    # Where the text itself begins, its first token need not.
    heads = adapter.pull_back([[AlignedWord((0, 2), (0, 1), (0, 1))]], 3, grad, opening=True)
    assert [bool(head.valid.any()) for head in heads] == [False, False, True]


def test_words_come_in_no_order(models):
    words = vocabulary_words(*models)
    assert words != sorted(words)
    assert words == vocabulary_words(*models)
    half = words[: len(words) // 2]
    assert sum(word < "m" for word in half) / len(half) == pytest.approx(
        sum(word < "m" for word in words) / len(words), abs=0.15
    )


def test_fitted_maps_are_of_one_table_and_one_tokenizer(tmp_path):
    model = CausalLM(tiny.gpt2(tmp_path / "gpt2"))
    model.load()
    key = _fingerprint(model)
    model.tokenizer(["two red stars above a circle"], truncation=True, max_length=3)
    assert _fingerprint(model) == key
    with torch.no_grad():
        model.embedding_table[1, 0] += 1
    assert _fingerprint(model) != key
    with torch.no_grad():
        model.embedding_table[1, 0] -= 1
    model.tokenizer.backend_tokenizer.normalizer = Lowercase()
    # Of a loaded model it is known once.
    del model.vocabulary
    assert _fingerprint(model) != key


def test_every_row_of_the_lookup_is_the_text_of_its_token(tmp_path):
    source = CausalLM(str(gpt2(tmp_path / "gpt2")))
    source.load()
    target = CLIP(tiny.clip(tmp_path / "clip"))
    target.load()
    # Tokens of several kinds of characters, as code has them, and one that is half a character.
    pieces = [' "__', " _(", " '_x", " red", " \ufffd", " (_", "_"]
    source.pieces[:] = [*pieces, *source.pieces[len(pieces) :]]
    table = FuseAdapter(source, target, AdapterSettings(cache=False)).lookup_table
    read = partial(target.tokenizer, add_special_tokens=False)
    for index, piece in enumerate(pieces):
        first, whole = read("a").input_ids, read(f"a {piece.strip()}").input_ids
        known = piece[0] == " " and "\ufffd" not in piece
        rows = target.embedding_table[torch.tensor(whole[len(first) :])]
        torch.testing.assert_close(table[index], rows.mean(0) if known else 0 * rows[0])
