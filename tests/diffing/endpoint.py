"""Server on this machine that speaks the protocol of chat models, well or badly."""

import json
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

KEY = "sk-secret-0123456789"
VARIABLE = "FUSE_TEST_KEY"


def completion(text, tokens=30, **choice):
    """Content of an answer with a reply."""
    message = {"role": "assistant", "content": text}
    return {"choices": [{"message": message, **choice}], "usage": {"total_tokens": tokens}}


def send(handler, content, status=200, **headers):
    """Sends a whole answer; content that is no bytes as JSON."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    handler.send_response(status)
    for name, value in {"Content-Length": len(body), **headers}.items():
        handler.send_header(name.replace("_", "-"), str(value))
    handler.end_headers()
    handler.wfile.write(body)


def says(text, **options):
    """Act that replies with a text."""
    return lambda handler: send(handler, completion(text, **options))


class Served:
    """Acts of a server, one a request; the last one for all that follow.

    Attributes:
        url: Its base address.
        requests: Path, headers and fields of each request.
    """

    def __init__(self, acts):
        self.acts = acts
        self.requests = []
        self.url = ""


@contextmanager
def serving(*acts):
    """A server that does one act after the other."""
    served = Served(acts)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.fields = json.loads(body)
            served.requests.append((self.path, dict(self.headers), self.fields))
            act = served.acts[min(len(served.requests), len(served.acts)) - 1]
            # Who asks may go before the answer is complete.
            with suppress(OSError):
                act(self)

        def do_GET(self):
            served.requests.append((self.path, dict(self.headers), None))
            send(self, completion("by GET"))

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *args: None
    server.daemon_threads = True
    Thread(target=server.serve_forever, daemon=True).start()
    served.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
