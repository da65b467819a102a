"""A server on this machine that answers with whatever bytes it is given."""

from contextlib import suppress
from socketserver import BaseRequestHandler, ThreadingTCPServer
from threading import Thread

from tests.fuzzing.corpus import answers


class Answers(ThreadingTCPServer):
    """Serves ``answer`` to the first request of each path, and a good picture to all others.

    Attributes:
        answer: Bytes of an answer.
    """

    daemon_threads = True

    def __init__(self) -> None:
        self.answer = b""
        super().__init__(("127.0.0.1", 0), _Handler)
        Thread(target=self.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def stop(self) -> None:
        """Ends it."""
        self.shutdown()
        self.server_close()


class _Handler(BaseRequestHandler):
    server: Answers

    def handle(self) -> None:
        # Who asks may go before the answer is complete.
        with suppress(OSError):
            words = self.request.recv(2**16).split()
            good = not words[1:] or words[1].startswith(b"/good")
            self.request.sendall(answers()[0] if good else self.server.answer)
