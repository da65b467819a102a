"""The cache of fitted maps."""

import hashlib
import logging
import os
import threading
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save, save_file

from fuse_lightning.adapters import cache
from fuse_lightning.adapters.cache import cache_key, cached_tensors, default_cache_dir
from fuse_lightning.adapters.maps import check_maps


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
    made = []
    with caplog.at_level(logging.WARNING):
        tensors = cached_tensors(
            tmp_path / "file" / "cache", "key", lambda: made.append(1) or {"a": torch.ones(1)}
        )
    assert made == [1]
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
    assert {path.name for path in tmp_path.iterdir()} <= {"key.safetensors", "key.safetensors.lock"}


def test_key_changes_with_every_part():
    parts = {"models": ["a", "b"], "words": ["x"], "kind": "lookup", "max_subtokens": 4}
    keys = {cache_key(parts)}
    for name in parts:
        keys.add(cache_key({**parts, name: "other"}))
    assert len(keys) == 1 + len(parts)


GOOD = {"1.1": torch.arange(6.0).view(1, 1, 2, 3), "2.1": torch.ones(2, 1, 2, 3)}


def check(tensors):
    check_maps(tensors, (2, 3), 4)


def forged(path, tensors, key="key"):
    """A file whose content is wrong, and which says that it is right."""
    digest = hashlib.sha256(save(tensors)).hexdigest()
    save_file(tensors, path, {"key": key, "sha256": digest})


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"1.1": torch.ones(1, 1, 3, 2)},
        {"1.1": torch.ones(2, 3)},
        {"1.2": torch.ones(1, 1, 2, 3)},
        {"5.1": torch.ones(5, 1, 2, 3)},
        {"0.1": torch.ones(0, 1, 2, 3)},
        {"1": torch.ones(1, 1, 2, 3)},
        {"1.1.1": torch.ones(1, 1, 2, 3)},
        {"a.b": torch.ones(1, 1, 2, 3)},
        {"1.1": torch.ones(1, 1, 2, 3, dtype=torch.int8)},
        {"1.1": torch.ones(1, 1, 2, 3, dtype=torch.float16)},
        {"1.1": torch.ones(1, 1, 2, 3, dtype=torch.bfloat16)},
        {"1.1": torch.full((1, 1, 2, 3), torch.nan)},
        {"1.1": torch.full((1, 1, 2, 3), torch.inf)},
    ],
)
def test_a_file_of_the_right_form_and_wrong_content_is_made_again(tmp_path, caplog, wrong):
    forged(tmp_path / "key.safetensors", wrong)
    for warnings in (1, 1):
        found = cached_tensors(tmp_path, "key", lambda: GOOD, check)
        assert found.keys() == GOOD.keys()
        assert all(torch.equal(found[name], GOOD[name]) for name in GOOD)
        assert caplog.text.count("is corrupt") == warnings


def test_a_file_of_another_name_is_made_again(tmp_path, caplog):
    cached_tensors(tmp_path, "other", lambda: GOOD, check)
    (tmp_path / "other.safetensors").rename(tmp_path / "key.safetensors")
    assert cached_tensors(tmp_path, "key", lambda: {"1.1": GOOD["1.1"]}, check).keys() == {"1.1"}
    assert "it was written under another name" in caplog.text


@pytest.mark.parametrize("change", ["lost", "more", "number", "no word of itself"])
def test_a_changed_file_is_made_again(tmp_path, caplog, change):
    cached_tensors(tmp_path, "key", lambda: GOOD, check)
    path = tmp_path / "key.safetensors"
    with safe_open(path, "pt") as file:
        told = file.metadata()
    tensors = {name: tensor.clone() for name, tensor in GOOD.items()}
    match change:
        case "lost":
            del tensors["2.1"]
        case "more":
            tensors["1.2"] = torch.ones(1, 2, 2, 3)
        case "number":
            tensors["1.1"][0, 0, 1, 1] += 1
        case _:
            told = None
    save_file(tensors, path, told)
    found = cached_tensors(tmp_path, "key", lambda: GOOD, check)
    assert all(torch.equal(found[name], GOOD[name]) for name in GOOD)
    assert "is corrupt" in caplog.text


def test_a_pipe_in_the_place_of_a_file_is_replaced(tmp_path, caplog):
    os.mkfifo(tmp_path / "key.safetensors")
    for _ in range(2):
        assert cached_tensors(tmp_path, "key", lambda: GOOD, check).keys() == GOOD.keys()
    assert caplog.text.count("it is a named pipe") == 1


def test_what_is_wrong_with_the_fit_itself_is_not_hidden(tmp_path):
    made = []

    def fails():
        made.append(1)
        raise OSError("of the fit")

    with pytest.raises(OSError, match="of the fit"):
        cached_tensors(tmp_path, "key", fails)
    assert made == [1]


def test_a_full_disk_costs_a_warning_only(tmp_path, caplog, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache, "replace_file", full)
    assert cached_tensors(tmp_path, "key", lambda: GOOD).keys() == GOOD.keys()
    assert "cannot be written" in caplog.text


def test_where_adapters_are_kept(monkeypatch, caplog):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    monkeypatch.setenv("FUSE_LIGHTNING_CACHE", "own")
    assert default_cache_dir() == Path("own")
    monkeypatch.delenv("FUSE_LIGHTNING_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "xdg")
    assert default_cache_dir() == Path("xdg/fuse_lightning")
    assert not caplog.text
    for empty in ("", None):
        if empty is None:
            monkeypatch.delenv("XDG_CACHE_HOME")
        else:
            monkeypatch.setenv("XDG_CACHE_HOME", empty)
        assert default_cache_dir() is None
    assert "adapters are not kept (Could not determine home directory.)" in caplog.text
    monkeypatch.setattr(Path, "home", lambda: Path("home"))
    assert default_cache_dir() == Path("home/.cache/fuse_lightning")
