"""Options by which a run goes on only as it began."""

from dataclasses import replace

from fuse_lightning.decoding import Contrast, DecodingOptions, StreamOptions
from fuse_lightning.decoding.run_identity import (
    streams_identity,
    texts_identity,
    writing_identity,
)
from fuse_lightning.utilities.identity import difference

CONTRAST, OPTIONS = Contrast((2, -1), alpha=0.1), DecodingOptions()


def written(contrast=CONTRAST, weights=((2, -1),), options=OPTIONS):
    return writing_identity(contrast, weights, options)


def test_what_changes_texts_is_part_of_it_by_the_name_of_its_option():
    for contrast, told in (
        (replace(CONTRAST, alpha=0.2), "alpha is 0.2"),
        (replace(CONTRAST, top_k=3), "mask_top_k is 3"),
        (replace(CONTRAST, gate="js"), "gate is 'js'"),
    ):
        assert told in difference(written(), written(contrast))
    for options, told in (
        (replace(OPTIONS, top_k=3), "top_k is 3"),
        (replace(OPTIONS, seed=3), "seed is 3"),
        (replace(OPTIONS, stop=("x",)), "stop is ('x',)"),
    ):
        assert told in difference(written(), written(options=options))
    assert "weights" in difference(written(), written(weights=((2, -1), (1, 0))))


def test_what_changes_no_text_is_none():
    assert written() == written(options=replace(OPTIONS, batch_size=2, samples=5))
    beams = replace(OPTIONS, beams=4, temperature=0, samples=2)
    assert "samples" in difference(
        written(options=beams), written(options=replace(beams, samples=3))
    )
    a = StreamOptions("m")
    same = streams_identity([replace(a, device="cpu")], "AB", 5)
    assert streams_identity([a], "AB", 5) == same
    assert "a.prefix is 'x'" in difference(
        same, streams_identity([replace(a, prefix="x")], "AB", 5)
    )
    assert "top is 4" in difference(same, streams_identity([a], "AB", 4))


def test_texts_count_with_their_order_and_borders():
    assert texts_identity("prompts", ["a", "b"]) != texts_identity("prompts", ["ab"])
    assert texts_identity("prompts", ["a", "b"]) != texts_identity("prompts", ["b", "a"])
