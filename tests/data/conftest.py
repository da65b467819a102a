from contextlib import suppress
from socketserver import BaseRequestHandler, ThreadingTCPServer
from threading import Thread

import pytest


@pytest.fixture
def saved(tmp_path):
    """Writes a picture and gives its path."""

    def save(image, name, **options):
        path = tmp_path / name
        image.save(path, **options)
        return path

    return save


@pytest.fixture
def raw(monkeypatch):
    """Serves what a function sends to each connection, which is given it and the path."""
    monkeypatch.setenv("no_proxy", "*")
    servers = []

    def begin(serve):
        class Handler(BaseRequestHandler):
            def handle(self):
                words = self.request.recv(2**16).split()
                # Who asks goes before the answer is complete.
                with suppress(OSError):
                    serve(self.request, words[1].decode())

        class Server(ThreadingTCPServer):
            daemon_threads = True

        servers.append(Server(("127.0.0.1", 0), Handler))
        Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_address[1]}"

    yield begin
    for server in servers:
        server.shutdown()
        server.server_close()
