"""The cache of fitted maps."""

import logging
import threading

import pytest
import torch

from fuse_lightning.adapters.cache import cache_key, cached_tensors


def test_second_reading_does_not_compute(tmp_path):
    made = []

    def make():
        made.append(1)
        return {"1.1": torch.arange(6.0).view(2, 3).T}

    first = cached_tensors(tmp_path, "key", make)
    second = cached_tensors(tmp_path, "key", make)
    assert made == [1]
    assert torch.equal(first["1.1"], second["1.1"])


@pytest.mark.parametrize("content", [b"", b"garbage", b"\xff" * 1000])
def test_corrupt_file_is_made_again_with_a_warning(tmp_path, caplog, content):
    (tmp_path / "key.safetensors").write_bytes(content)
    with caplog.at_level(logging.WARNING):
        tensors = cached_tensors(tmp_path, "key", lambda: {"1.1": torch.ones(2)})
    assert torch.equal(tensors["1.1"], torch.ones(2))
    assert "corrupt" in caplog.text
    assert torch.equal(cached_tensors(tmp_path, "key", dict)["1.1"], torch.ones(2))


def test_cut_file_is_made_again(tmp_path):
    cached_tensors(tmp_path, "key", lambda: {"1.1": torch.ones(100)})
    path = tmp_path / "key.safetensors"
    path.write_bytes(path.read_bytes()[:-8])
    assert cached_tensors(tmp_path, "key", lambda: {"1.1": torch.zeros(1)})["1.1"].shape == (1,)


def test_folder_that_cannot_be_made_costs_a_warning_only(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    with caplog.at_level(logging.WARNING):
        tensors = cached_tensors(tmp_path / "file" / "cache", "key", lambda: {"a": torch.ones(1)})
    assert torch.equal(tensors["a"], torch.ones(1))
    assert "cannot be used" in caplog.text


def test_concurrent_readers_compute_once_and_leave_no_scraps(tmp_path):
    made = []

    def make():
        made.append(1)
        return {"a": torch.ones(1000)}

    threads = [
        threading.Thread(target=cached_tensors, args=(tmp_path, "key", make)) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [1]
    assert not list(tmp_path.glob("*.tmp"))


def test_key_changes_with_every_part():
    parts = {"models": ["a", "b"], "words": ["x"], "kind": "lookup", "max_subtokens": 4}
    keys = {cache_key(parts)}
    for name in parts:
        keys.add(cache_key({**parts, name: "other"}))
    assert len(keys) == 1 + len(parts)
