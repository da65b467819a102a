"""Texts, figures and lines of ``fuse decode`` where input is odd."""

from pathlib import Path

import pytest

from tests.cli.test_decode import SHORT, STREAMS, TWO, WRITE, found, rows

READ = [*STREAMS, "--score", "a.txt"]
ONE = [*WRITE, "--prompts", "a"]


def test_a_text_twice_or_of_another_run_is_told(decode):
    decode(*WRITE, *TWO, "--out", "run")
    file = Path("run/texts.jsonl")
    lines = file.read_text().splitlines(keepends=True)
    for more in (lines[0], lines[0].replace('"prompt_number": 0', '"prompt_number": 7')):
        file.write_text("".join([*lines, more]))
        code, _, err = decode("--resume", "run")
        assert (code, len(err)) == (2, 1)
        assert "run/texts.jsonl" in err[0]


def test_texts_without_a_token_leave_the_others_their_figures(decode):
    # The first letters of many texts are a stop, so that some have no token.
    words = [*WRITE, *TWO, "--samples", "8", "--stop", " s", "--sort", "js"]
    code, _, err = decode(*words)
    assert (code, err) == (0, [])
    counts = [len(text.tokens) for text in found()]
    assert 0 in counts
    assert sum(counts) > 0
    for number, row in enumerate(rows()):
        texts = [text for text in found() if text.prompt_number == number]
        told = [text.divergence("kl") for text in texts if len(text.tokens)]
        assert float(row["kl"]) == pytest.approx(sum(told) / len(told))
        whole = [sum(text.tokens.divergences["kl"]) for text in texts]
        assert float(row["kl_sum"]) == pytest.approx(sum(whole) / len(whole))
    decode(*words[:-2], "--stop", "e", "--stop", "o", "--stop", "a", "--stop", "i", "--out", "none")
    assert all(row["texts"] == "8" for row in rows("none"))


def test_texts_that_end_before_a_stop_are_no_whole_samples(decode):
    alone = [*STREAMS, "--weights", "1,0", *SHORT, "--prompts", "a"]
    assert any("unbiased" in line for line in decode(*alone)[1])
    assert not any("unbiased" in line for line in decode(*alone, "--stop", "zzz")[1])


def test_all_given_texts_must_fit_before_one_is_read(decode):
    Path("texts.txt").write_text("\n".join(["a ball"] * 20 + ["a " * 300]))
    code, _, err = decode(*STREAMS, "--score", "texts.txt", "--batch_size", "2")
    assert (code, len(err)) == (2, 1)
    assert "text 20" in err[0]
    assert not any(Path("logs").rglob("texts.jsonl"))


def test_numbers_beyond_what_there_is_take_all_there_is(decode):
    code, _, err = decode(*WRITE, "--prompts", "a", "--top", str(10**9))
    assert (code, err) == (0, [])
    (text,) = found()
    assert sum(p for _, p in text.tokens.tops["A"][0]) == pytest.approx(1, abs=0.01)
    code, _, err = decode(
        *WRITE, "--prompts", "a", "--max_new_tokens", str(10**12), "--out", "long"
    )
    assert (code, err) == (0, [])
    (text,) = found("long")
    assert text.ended in ("stop", "full")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([*READ, "--weights", "2,-1"], "--weights=null"),
        ([*READ, "--limit", "1"], "--limit=null"),
        ([*READ, "--samples", "3"], "--samples=1"),
        ([*READ, "--gate", "tv"], "--gate=null"),
        ([*ONE, "--stream", "--out", "x"], "--out is given"),
        ([*ONE, "--stream", "--overwrite"], "--overwrite is given"),
        ([*ONE, "--stream", "--beams", "2", "--temperature", "0"], "beams is 2"),
        ([*ONE, "--out", "a\0b"], "out is 'a\\x00b'"),
        ([*ONE, "--column", "x"], "column is 'x'"),
        ([*ONE, "--split", "x"], "split is 'x'"),
        ([*ONE, "--b.layers", "2,x"], "layers is '2,x'"),
        ([*ONE, "--b.temperature", "1e-40"], "stream B gives logits that are no numbers"),
    ],
)
def test_options_that_would_do_nothing_or_harm_are_told(decode, words, told):
    code, _, err = decode(*words)
    assert (code, len(err)) == (2, 1), err
    assert told in err[0]
    assert not any(Path().rglob("texts.jsonl"))
