"""Pictures behind addresses, served by this machine."""

import io
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from PIL import Image

from fuse_lightning.data import ImageTargets
from fuse_lightning.data import web as web_module
from fuse_lightning.errors import FuseError
from fuse_lightning.utilities.addresses import shown


@pytest.fixture
def server(monkeypatch):
    """An address, and the paths that were asked for."""
    monkeypatch.setenv("no_proxy", "*")
    content = io.BytesIO()
    Image.new("RGB", (9, 9), "red").save(content, "PNG")
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            if self.path.startswith("/to-"):
                self.send_response(302)
                wanted = {"/to-good": "/a.png", "/to-ftp": "ftp://localhost/a.png"}
                self.send_header("Location", wanted.get(self.path, "file:///etc/hostname"))
                self.end_headers()
                return
            self.send_response(404 if "gone" in self.path else 200)
            self.end_headers()
            self.wfile.write(b"text" if "text" in self.path else content.getvalue())

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    # Who asks may go before the answer is complete.
    server.handle_error = lambda *args: None
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


def targets(address, **options):
    Path("m.csv").write_text(f"file_name,id\n{address},a\n")
    return ImageTargets("m.csv", **options).find_targets()


def test_an_address_is_fetched_once(server):
    address, asked = server
    (target,) = targets(f"{address}/a.png?key=1", urls=True)
    for _ in range(2):
        assert target.images[0].getpixel((4, 4)) == (255, 0, 0)
        target.release()
    assert asked == ["/a.png?key=1"]


def test_nothing_is_fetched_by_default(server):
    address, asked = server
    with pytest.raises(FuseError, match=r"is an address, .*data\.urls: true"):
        targets(f"{address}/a.png")
    assert not asked


def test_the_file_goes_with_the_targets(server):
    address, _ = server
    found = targets(f"{address}/a.png", urls=True)
    file = found[0].pictures[0].web.file(f"{address}/a.png")
    assert file.is_file()
    found.clear()
    assert not file.exists()


def test_keys_and_passwords_are_not_shown(server):
    address, _ = server
    secret = address.replace("http://", "http://me:word@") + "/gone.png?key=secret#part"
    with pytest.raises(FuseError) as error:
        targets(secret, urls=True)
    assert f"image '{address}/gone.png' cannot be fetched" in str(error.value)
    assert "word" not in str(error.value)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/gone.png", "cannot be fetched .*404"),
        ("/text.png", "cannot be read as a picture"),
        ("/to-ftp", "cannot be fetched"),
        ("/to-file", "cannot be fetched"),
    ],
)
def test_what_is_no_picture(server, path, message):
    with pytest.raises(FuseError, match=message) as error:
        targets(server[0] + path, urls=True)
    assert "\n" not in str(error.value)


def test_redirections_are_followed(server):
    (target,) = targets(f"{server[0]}/to-good", urls=True)
    assert target.images[0].size == (9, 9)


@pytest.mark.parametrize("limit", ["LARGEST_FILE", "PATIENCE"])
def test_more_or_slower_than_allowed(server, monkeypatch, limit):
    monkeypatch.setattr(web_module, limit, 0 if limit == "LARGEST_FILE" else 1e-9)
    with pytest.raises(FuseError, match="cannot be fetched"):
        targets(f"{server[0]}/a.png", urls=True)


@pytest.mark.parametrize(
    "secret",
    [
        "http://me:PASS@127.0.0.1:1/a.png?key=KEY#PART",
        "http://me:PASS@[bad/a.png?key=KEY",
        "http://me:PA/PASS@127.0.0.1:1/a.png?key=KEY",
        "http://me:12/PASS@127.0.0.1:1/a.png",
        "http://me:PA?PASS@127.0.0.1:1/a.png",
        "http://me:PA#PASS@127.0.0.1:1/a.png",
        "http://PASS@127.0.0.1:1/a.png?KEY",
        "HTTPS://me:PASS@127.0.0.1:1/a.png",
        "ftp://me:PASS@127.0.0.1/a.png?KEY",
        "zip://a.png::http://me:PASS@127.0.0.1:1/a.zip?KEY",
        "http:/me:PASS@127.0.0.1:1/a.png?KEY",
        "http://me:PASS@a b/c?KEY",
        "http://me:PASS@x:y/?KEY",
    ],
)
@pytest.mark.parametrize("urls", [True, False])
def test_no_message_and_no_log_shows_a_secret(secret, urls, monkeypatch, caplog):
    monkeypatch.setenv("no_proxy", "*")
    Image.new("RGB", (9, 9)).save("good.png")
    rows = [{"file_name": secret}, {"file_name": "good.png"}]
    Path("m.json").write_text(json.dumps(rows))
    with pytest.raises(FuseError) as error:
        ImageTargets("m.json", urls=urls).find_targets()
    data = ImageTargets("m.json", urls=urls, on_error="skip")
    (target,) = data.find_targets()
    with pytest.raises(FuseError) as named:
        ImageTargets(secret, urls=urls).find_targets()
    told = f"{error.value} {named.value} {caplog.text} {data.skipped} {target.id}"
    for word in ("PASS", "KEY", "PART", "PA/", "PA?", "PA#"):
        assert word not in told


@pytest.mark.parametrize(
    ("address", "wanted"),
    [
        ("http://host/a.png", "http://host/a.png"),
        ("https://host:80/a/b.png", "https://host:80/a/b.png"),
        ("https://host/@me/a.png", "https://host/@me/a.png"),
        ("hf://datasets/a/b@main/c.png", "hf://datasets/a/b@main/c.png"),
        ("http://u:p@host/a?b#c", "http://host/a"),
        ("/home/a:b/@c?.png", "/home/a:b/@c?.png"),
        ("C:/a/@b?.png", "C:/a/@b?.png"),
        ("a.png", "a.png"),
    ],
)
def test_what_is_no_secret_is_shown(address, wanted):
    assert shown(address) == wanted


def test_what_a_server_says_is_not_repeated(raw):
    def serve(connection, path):
        text = b"HTTP/1.1 302 token=KEY\r\nLocation: file:///?token=KEY\r\n\r\n"
        connection.sendall(text if path == "/302" else b"HTTP/1.1 404 token=KEY\r\n\r\n")

    address = raw(serve)
    for path, reason in (("/302", "302 Found"), ("/404", "404 Not Found")):
        with pytest.raises(FuseError, match=f"cannot be fetched .{reason}.;") as error:
            targets(address + path, urls=True)
        assert "KEY" not in str(error.value)


def test_an_address_as_a_source_is_one_line():
    with pytest.raises(
        FuseError, match=r"'https://host/a\.png' is an address, which is not fetched"
    ):
        ImageTargets("https://me:word@host/a.png?token=key").find_targets()


def test_a_picture_that_cannot_be_kept_is_not_half_there(server, monkeypatch):
    def full(path, content):
        path.with_name("other").write_bytes(content[:5])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(web_module, "replace_file", full)
        with pytest.raises(FuseError, match="No space left"):
            targets(f"{server[0]}/a.png", urls=True)
    (target,) = targets(f"{server[0]}/a.png", urls=True)
    assert target.images[0].size == (9, 9)


@pytest.mark.parametrize(
    "address",
    ["file:///etc/hostname", "ftp://host/a.png", "s3://b/a.png", "zip://a.png::file:///a.zip"],
)
def test_other_schemes_are_refused(address):
    with pytest.raises(FuseError, match="is neither a file nor an http or https address"):
        targets(address, urls=True)


@pytest.mark.parametrize(
    "address", ["http://", "http://[bad", "http://a b/c", "http://127.0.0.1:1/a", "http://x:y/"]
)
def test_addresses_that_are_none(address, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with pytest.raises(FuseError, match="cannot be fetched") as error:
        targets(address, urls=True)
    assert "\n" not in str(error.value)
