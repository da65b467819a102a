"""What is no file of bytes is refused at once; what is one is read within its limit."""

import os
import socket
from pathlib import Path

import pytest

from fuse_lightning.errors import LONGEST, FuseError
from fuse_lightning.utilities.regular import check_regular, open_regular, read_regular, read_text
from fuse_lightning.utilities.terminal import quoted

READERS = (check_regular, open_regular, read_regular, read_text)


def made(kind):
    """A path where something of a kind is."""
    path = Path(kind)
    match kind:
        case "folder":
            path.mkdir()
        case "named pipe":
            os.mkfifo(path)
        case "device":
            path.symlink_to("/dev/zero")
        case "socket":
            socket.socket(socket.AF_UNIX).bind(str(path))
    return path


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("kind", ["folder", "named pipe", "device", "socket"])
def test_what_is_no_file_of_bytes(kind, read):
    with pytest.raises(OSError, match=f"^it is a {kind}, not a file$"):
        read(made(kind))


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("name", ["gone", "a\0b", "x" * 5000, "\ud800", "gone/a"])
def test_the_reason_does_not_hold_the_path(name, read):
    with pytest.raises(OSError, match=r"\w") as error:
        read(name)
    assert name not in str(error.value)
    assert len(str(error.value)) < 100


def test_a_missing_file_is_told_from_others():
    with pytest.raises(FileNotFoundError):
        read_regular("gone")


@pytest.mark.parametrize("size", [0, 9, 10, 11])
def test_the_limit_is_the_largest_size_that_is_read(size):
    Path("a").write_bytes(bytes(size))
    if size <= 10:
        check_regular("a", 10)
        assert read_regular("a", 10) == bytes(size)
        return
    for read in READERS:
        with pytest.raises(OSError, match=r"it is larger than .* MiB"):
            read("a", 10)


def test_a_file_that_says_no_size_is_read_up_to_the_limit():
    """Files of the system say 0 and hold more."""
    assert os.stat("/proc/self/status").st_size == 0
    assert b"Pid" in read_regular("/proc/self/status")
    with pytest.raises(OSError, match="it is larger than"):
        read_regular("/proc/self/status", 10)


def test_a_file_that_becomes_a_pipe_is_not_waited_for(monkeypatch):
    Path("a").write_bytes(b"text")
    status = os.stat("a")
    Path("a").unlink()
    os.mkfifo("a")
    monkeypatch.setattr(os, "stat", lambda _: status)
    with pytest.raises(OSError, match="it is a named pipe"):
        open_regular("a")


def test_text_is_utf8_whose_lines_end_in_a_newline():
    Path("a").write_bytes(b"\xef\xbb\xbfone\r\ntwo\rthree\n")
    assert read_text("a") == "one\ntwo\nthree\n"
    Path("a").write_bytes(b"\xff")
    with pytest.raises(UnicodeDecodeError):
        read_text("a")
    assert read_text("a", errors="replace") == "\ufffd"


@pytest.mark.parametrize("length", [1, 240, 241, 5000])
def test_a_name_is_shown_whole_or_its_ends(length):
    name = "".join(chr(97 + index % 26) for index in range(length))
    if length <= 240:
        assert quoted(name) == repr(name)
    else:
        assert quoted(name) == f"'{name[:120]}…{name[-60:]}'"


def test_an_error_keeps_its_beginning_and_its_end():
    message = f"option a is {'x' * 5000}; give another"
    told = str(FuseError(message))
    assert len(told) <= LONGEST + 3
    assert told.startswith("option a is xxx")
    assert told.endswith("xxx; give another")
    assert str(FuseError("short")) == "short"
    assert str(FuseError("column a\nb\x0cc\u2028d")) == "column a b c d"
