"""Texts are written in smaller batches where memory runs out, and stay the same."""

import pytest
import torch

from fuse_lightning.decoding import Contrast, ContrastiveDecoder, DecodingOptions, Stream
from fuse_lightning.decoding.readers import Readers
from fuse_lightning.models import CausalLM


def test_memory_that_runs_out_changes_no_text(monkeypatch):
    model = CausalLM("zoo/gpt2")
    streams = [Stream(model, prefix="a lovely "), Stream(model)]
    decoder = ContrastiveDecoder(streams, Contrast((2, -1), alpha=0.1))
    options = DecodingOptions(max_new_tokens=8, samples=6)

    def write():
        texts = decoder.write(["photo of"], options)
        return [(text.text, text.tokens.ids, text.tokens.divergences["kl"]) for text in texts]

    expected = write()
    step, failed = Readers.step, []

    def fails(self, tokens):
        if len(tokens) > 2:
            failed.append(len(tokens))
            raise torch.OutOfMemoryError("out of memory")
        step(self, tokens)

    monkeypatch.setattr(Readers, "step", fails)
    found = write()
    assert failed
    assert [each[:2] for each in found] == [each[:2] for each in expected]
    for (*_, kl), (*_, before) in zip(found, expected, strict=True):
        assert kl == pytest.approx(before, abs=1e-4)
