"""Downloads by http and https with limits of time and size.

Python's own time limit holds for each operation on a socket. A server that sends one byte at a time
never exceeds it.
"""

import io
import time
from collections.abc import Callable
from functools import partial
from http.client import HTTPConnection, HTTPResponse
from queue import Empty, SimpleQueue
from threading import Thread
from typing import IO, Any, cast
from urllib.request import (
    AbstractHTTPHandler,
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    UnknownHandler,
)

PIECE = 2**16


class Budget:
    """Remaining time and bytes of one download.

    Args:
        seconds: Time for the whole download.
        size: Bytes for the whole download, headers and redirections included.
    """

    def __init__(self, seconds: float, size: int) -> None:
        self.seconds = seconds
        self.size = size
        self._end = time.monotonic() + seconds
        self._bytes = 0

    def late(self) -> OSError:
        """Error for a download that takes too long."""
        return OSError(f"it takes longer than {self.seconds:g} s")

    def left(self) -> float:
        """Seconds left.

        Raises:
            OSError: If no time is left.
        """
        if (left := self._end - time.monotonic()) <= 0:
            raise self.late()
        return left

    def spend(self, size: int) -> None:
        """Subtracts received bytes.

        Raises:
            OSError: If they are too many, or no time is left.
        """
        self._bytes += size
        if self._bytes > self.size:
            raise OSError(f"it is larger than {self.size / 2**20:g} MiB")
        self.left()


def within(budget: Budget, fetch: Callable[[], bytes]) -> bytes:
    """Calls ``fetch`` in a thread and gives up once the budget's time is over.

    A thread that is late is left to itself: nothing can end the look-up of a host's name.

    Raises:
        OSError: If no time is left, and whatever ``fetch`` raises.
    """
    answers: SimpleQueue[bytes | BaseException] = SimpleQueue()

    def run() -> None:
        try:
            answers.put(fetch())
        except BaseException as error:
            answers.put(error)

    Thread(target=run, daemon=True).start()
    try:
        answer = answers.get(timeout=budget.left())
    except Empty:
        raise budget.late() from None
    if isinstance(answer, BaseException):
        # A socket whose time is over says so in its own words.
        budget.left()
        raise answer
    return answer


def fetch_http(address: str, budget: Budget) -> bytes:
    """Downloads an http or https address; follows redirections to such addresses only.

    Raises:
        OSError: If there is no answer, or one beyond the budget.
        http.client.HTTPException: If the answer is not of the protocol.
    """
    # Python's own choice of handlers would follow a redirection to ftp.
    opener = OpenerDirector()
    for handler in (
        ProxyHandler(),
        _Http(budget),
        _Https(budget),
        _Redirections(),
        HTTPDefaultErrorHandler(),
        HTTPErrorProcessor(),
        UnknownHandler(),
    ):
        opener.add_handler(handler)
    request = Request(address, headers={"User-Agent": "fuse-lightning"})
    with opener.open(request, timeout=budget.left()) as answer:
        return b"".join(iter(partial(answer.read1, PIECE), b""))


class _Counted(io.RawIOBase):
    """Socket stream that charges every read to the budget."""

    def __init__(self, stream: io.RawIOBase, connection: Any, budget: Budget) -> None:
        self._stream = stream
        self._connection = connection
        self._budget = budget

    def readable(self) -> bool:
        """Whether the stream can be read: always."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Reads received bytes into a buffer and counts them."""
        self._connection.settimeout(self._budget.left())
        # Sockets wait for an answer, so that there always is a count.
        count = cast(int, self._stream.readinto(buffer))
        self._budget.spend(count)
        return count

    def close(self) -> None:
        """Closes the socket's stream."""
        self._stream.close()
        super().close()


class _Answer(HTTPResponse):
    def __init__(self, connection: Any, *args: Any, budget: Budget, **options: Any) -> None:
        super().__init__(connection, *args, **options)
        stream = self.fp.detach()
        self.fp = io.BufferedReader(_Counted(stream, connection, budget))


class _Bounded(AbstractHTTPHandler):
    def __init__(self, budget: Budget) -> None:
        super().__init__()
        self.budget = budget

    def do_open(self, http_class: Any, req: Request, **options: Any) -> HTTPResponse:
        """Opens a connection whose answers are charged to the budget."""

        def connect(*args: Any, **given: Any) -> HTTPConnection:
            connection: HTTPConnection = http_class(*args, **given)
            answer: Any = partial(_Answer, budget=self.budget)
            connection.response_class = answer
            return connection

        req.timeout = self.budget.left()
        return super().do_open(connect, req, **options)


class _Http(_Bounded, HTTPHandler):
    pass


class _Https(_Bounded, HTTPSHandler):
    pass


class _Redirections(HTTPRedirectHandler):
    def http_error_302(self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Any) -> Any:
        """Follows a redirection without reading the body that comes with it."""
        fp.close()
        return super().http_error_302(req, io.BytesIO(), code, msg, headers)

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302
