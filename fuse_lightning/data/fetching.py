"""Requests by http and https with limits of time and size.

Python's own time limit holds for each operation on a socket. A server that sends one byte at a time
never exceeds it.
"""

import io
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from http.client import HTTPConnection, HTTPResponse
from math import inf
from queue import Empty, SimpleQueue
from threading import Thread
from typing import IO, Any, TypeVar, cast
from urllib.error import HTTPError, URLError
from urllib.request import (
    AbstractHTTPHandler,
    BaseHandler,
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
AGENT = "fuse-lightning"
Answered = TypeVar("Answered")


class TooLargeError(OSError):
    """Answer with more bytes than are allowed."""


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
            raise TooLargeError(f"it is larger than {self.size / 2**20:g} MiB")
        self.left()


def status_words(status: int) -> str:
    """Number of a status with its meaning, as far as it has one.

    >>> status_words(404), status_words(799)
    ('404 Not Found', '799')
    """
    known = status in {*HTTPStatus}
    return f"{status} {HTTPStatus(status).phrase}" if known else f"{status}"


def failed_because(error: Exception) -> str:
    """Reason of a failed request, without the address and without text from the server.

    >>> failed_because(URLError(TimeoutError("timed out")))
    'timed out'
    """
    if isinstance(error, HTTPError):
        return status_words(error.code)
    reason = error.reason if isinstance(error, URLError) else error
    told = " ".join(str(reason).split()) if isinstance(reason, OSError) else ""
    return told or type(reason).__name__


def within(budget: Budget, fetch: Callable[[], Answered]) -> Answered:
    """Calls ``fetch`` in a thread and gives up once the budget's time is over.

    A thread that is late is left to itself: nothing can end the look-up of a host's name.

    Raises:
        OSError: If no time is left, and whatever ``fetch`` raises.
    """
    answers: SimpleQueue[tuple[Answered] | BaseException] = SimpleQueue()

    def run() -> None:
        try:
            answers.put((fetch(),))
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
    return answer[0]


def fetch_http(address: str, budget: Budget) -> bytes:
    """Downloads an http or https address; follows redirections to such addresses only.

    Raises:
        OSError: If there is no answer, or one beyond the budget.
        http.client.HTTPException: If the answer is not of the protocol.
    """
    # Python's own choice of handlers would follow a redirection to ftp.
    opener = _opener(budget, _Redirections(), HTTPDefaultErrorHandler(), HTTPErrorProcessor())
    request = Request(address, headers={"User-Agent": AGENT})
    with opener.open(request, timeout=budget.left()) as answer:
        return _body(answer)


@dataclass(frozen=True)
class Posted:
    """Answer to a request that sent something.

    Attributes:
        status: Status of the protocol, such as 200.
        headers: Headers, whose names know no upper and lower case.
        body: The content.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


def post_http(
    address: str, body: bytes, headers: Mapping[str, str], budget: Budget, connect: float
) -> Posted:
    """Sends bytes to an http or https address; follows no redirection, and takes any status.

    What is sent may hold a key, which is for this address alone.

    Args:
        address: The address.
        body: The bytes.
        headers: Headers of the request.
        budget: Time and size of the answer.
        connect: Longest time until the server takes the connection (seconds).

    Raises:
        OSError: If there is no answer, or one beyond the budget.
        http.client.HTTPException: If the answer is not of the protocol.
    """
    request = Request(address, body, {"User-Agent": AGENT, **headers}, method="POST")
    with _opener(budget, connect=connect).open(request) as answer:
        return Posted(answer.status, answer.headers, _body(answer))


def _opener(budget: Budget, *handlers: BaseHandler, connect: float = inf) -> OpenerDirector:
    opener = OpenerDirector()
    bounded = _Http(budget, connect), _Https(budget, connect)
    for handler in (ProxyHandler(), *bounded, *handlers, UnknownHandler()):
        opener.add_handler(handler)
    return opener


def _body(answer: HTTPResponse) -> bytes:
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
    def __init__(self, budget: Budget, connect: float = inf) -> None:
        super().__init__()
        self.budget = budget
        self.connect = connect

    def do_open(self, http_class: Any, req: Request, **options: Any) -> HTTPResponse:
        """Opens a connection whose answers are charged to the budget."""

        def connect(*args: Any, **given: Any) -> HTTPConnection:
            connection: HTTPConnection = http_class(*args, **given)
            answer: Any = partial(_Answer, budget=self.budget)
            connection.response_class = answer
            return connection

        req.timeout = min(self.connect, self.budget.left())
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
