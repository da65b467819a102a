"""Answers that never end, come a byte at a time, or are larger than anybody would read."""

import io
import socket
import time
from http.client import HTTPConnection
from pathlib import Path
from threading import Event
from urllib.request import Request

import pytest
from PIL import Image

from fuse_lightning.data import ImageTargets
from fuse_lightning.data import web as web_module
from fuse_lightning.data.fetching import Budget, _Https
from fuse_lightning.errors import FuseError


def targets(address, **options):
    Path("m.csv").write_text(f"file_name,id\n{address},a\n")
    return ImageTargets("m.csv", **options).find_targets()


def test_what_a_redirection_brings_with_it_is_not_read(raw):
    """Its megabytes would be more than is allowed, and would take their time."""
    picture = io.BytesIO()
    Image.new("RGB", (9, 9), "red").save(picture, "PNG")

    def serve(connection, path):
        if path == "/a.png":
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + picture.getvalue())
            return
        connection.sendall(
            b"HTTP/1.1 302 Found\r\nLocation: /a.png\r\nContent-Length: 1%09d\r\n\r\n" % 0
        )
        for _ in range(4000):
            connection.sendall(bytes(2**16))

    (target,) = targets(raw(serve) + "/from", urls=True)
    assert target.images[0].size == (9, 9)


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


def drip(connection, text, seconds=0.05):
    """Sends a byte at a time, each long before a socket's own time is over."""
    for byte in text:
        connection.sendall(bytes([byte]))
        time.sleep(seconds)


def forever(connection, text, seconds=0.0):
    while True:
        connection.sendall(text)
        time.sleep(seconds)


SLOW = {
    "nothing": lambda connection, _: time.sleep(20),
    "header": lambda connection, _: drip(connection, OK + b"X: " + b"a" * 400),
    "status": lambda connection, _: drip(connection, b"HTTP/1.1 200 " + b"O" * 400),
    "continue": lambda connection, _: forever(connection, b"HTTP/1.1 100 Continue\r\n\r\n", 0.01),
    "headers of continue": lambda connection, _: forever(
        connection, b"HTTP/1.1 100 Continue\r\n" + b"X: a\r\n" * 50 + b"\r\n", 0.01
    ),
    "body": lambda connection, _: (connection.sendall(OK + b"\r\n"), drip(connection, bytes(400))),
    "sizes of chunks": lambda connection, _: (
        connection.sendall(CHUNKED),
        drip(connection, b"0" * 400),
    ),
    "chunks": lambda connection, _: (
        connection.sendall(CHUNKED),
        drip(connection, b"1\r\na\r\n" * 100),
    ),
    "trailers": lambda connection, _: (
        connection.sendall(CHUNKED + b"1\r\na\r\n0\r\n"),
        forever(connection, b"X: a\r\n", 0.01),
    ),
    "redirections": lambda connection, path: (
        time.sleep(0.4),
        connection.sendall(
            b"HTTP/1.1 302 Found\r\nLocation: %s1\r\nContent-Length: 0\r\n\r\n" % path.encode()
        ),
    ),
}


@pytest.mark.parametrize("kind", SLOW)
def test_one_time_for_all_of_a_fetch(raw, monkeypatch, kind):
    monkeypatch.setattr(web_module, "PATIENCE", 1.0)
    address = raw(SLOW[kind]) + "/a"
    began = time.monotonic()
    with pytest.raises(FuseError, match=r"cannot be fetched \(it takes longer than 1 s"):
        targets(address, urls=True)
    assert time.monotonic() - began < 8


def test_the_name_of_a_host_that_is_not_found_in_time(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(web_module, "PATIENCE", 0.5)
    done = Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: done.wait(20) and [])
    began = time.monotonic()
    with pytest.raises(FuseError, match=r"it takes longer than 0\.5 s"):
        targets("http://slow.example/a.png", urls=True)
    assert time.monotonic() - began < 8
    done.set()


LARGE = {
    "body": lambda connection, _: (
        connection.sendall(OK + b"\r\n"),
        forever(connection, bytes(4096)),
    ),
    "header": lambda connection, _: (
        connection.sendall(OK),
        forever(connection, b"X: " + b"a" * 4000 + b"\r\n"),
    ),
    "continue": lambda connection, _: forever(
        connection, b"HTTP/1.1 100 Continue\r\n" + b"X: a\r\n" * 50 + b"\r\n"
    ),
    "trailers": lambda connection, _: (
        connection.sendall(CHUNKED + b"1\r\na\r\n0\r\n"),
        forever(connection, b"X: a\r\n" * 100),
    ),
    "chunks": lambda connection, _: (
        connection.sendall(CHUNKED),
        forever(connection, b"1\r\na\r\n" * 100),
    ),
}


@pytest.mark.parametrize("kind", LARGE)
def test_one_size_for_all_of_a_fetch(raw, monkeypatch, kind):
    monkeypatch.setattr(web_module, "LARGEST_FILE", 2**18)
    began = time.monotonic()
    with pytest.raises(FuseError, match=r"cannot be fetched \(it is larger than 0.25 MiB"):
        targets(raw(LARGE[kind]) + "/a", urls=True)
    assert time.monotonic() - began < 20


def test_secure_answers_are_counted_too(monkeypatch):
    """The very stream of a secure connection; its certificate is nobody's."""
    budget = Budget(9, 10)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(OK + b"\r\n")
        with pytest.raises(OSError, match="larger than"):
            _Https(budget).do_open(
                lambda host, timeout: Connected(ours, host, timeout), Request("https://a/b")
            )


class Connected(HTTPConnection):
    """A connection over a socket that is there."""

    def __init__(self, connected, host, timeout):
        super().__init__(host, timeout=timeout)
        self.sock = connected
