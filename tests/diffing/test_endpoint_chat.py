"""Chat models behind addresses: what is returned, how many requests, and what is said."""

import json
import logging
import pickle
import random
import re
import socket
import struct
import time
import traceback
from datetime import UTC, datetime, timedelta

import pytest

from fuse_lightning.diffing.endpoint_chat import EndpointChat
from fuse_lightning.errors import FuseError
from tests.diffing.endpoint import KEY, VARIABLE, completion, says, send, serving

ASK = [{"role": "user", "content": "Say hello."}]


@pytest.fixture(autouse=True)
def key(monkeypatch, caplog, capfd):
    """A key in the environment that is in no log and no output at the end."""
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv(VARIABLE, KEY)
    caplog.set_level(logging.DEBUG)
    yield
    assert KEY not in caplog.text
    assert not any(KEY in str(text) for text in capfd.readouterr())


def chat(served, **options):
    quick = {"timeout": 5.0, "retries": 2, "first_wait": 0.01, "longest_wait": 0.2}
    return EndpointChat("tiny", served.url, **{"key_variable": VARIABLE, **quick, **options})


def refused(asked):
    """What an error says; the key is in no part of it."""
    with pytest.raises(FuseError) as error:
        asked.reply(ASK)
    said = str(error.value)
    assert "\n" not in said
    assert error.value.__context__ is None
    assert KEY not in "".join(traceback.format_exception(error.value)) + repr(error.value)
    frames = [frame.f_locals for frame, _ in traceback.walk_tb(error.value.__traceback__)]
    assert not any(KEY in repr(value) for some in frames[1:] for value in some.values())
    return said


def test_a_reply():
    with serving(says("hello")) as served:
        asked = chat(served, extra={"max_tokens": None, "max_completion_tokens": 7})
        assert asked.reply(ASK, temperature=0.5, seed=3) == "hello"
    ((path, headers, fields),) = served.requests
    assert path == "/v1/chat/completions"
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert fields == {
        "model": "tiny",
        "messages": ASK,
        "temperature": 0.5,
        "seed": 3,
        "max_completion_tokens": 7,
    }
    assert (asked.spending.calls, asked.spending.tokens) == (1, 30)


def test_a_reply_in_parts_and_its_first_tokens():
    tops = [{"token": "he", "logprob": -0.1}, {"token": "no", "logprob": "x"}, {"token": 1}, 7]
    parts = [{"type": "text", "text": "hel"}, {"type": "text", "text": "lo"}, 3]
    act = says(parts, logprobs={"content": [{"top_logprobs": tops}]})
    with serving(act) as served:
        reply = chat(served).answer(ASK, firsts=2)
    assert (reply.text, reply.firsts) == ("hello", {"he": -0.1})
    assert served.requests[0][2]["top_logprobs"] == 2


def test_no_key_is_sent_where_there_is_none(monkeypatch):
    with serving(says("hello"), lambda handler: send(handler, {}, 401)) as served:
        assert chat(served, key_variable="").reply(ASK) == "hello"
        monkeypatch.delenv(VARIABLE)
        assert f"set the environment variable {VARIABLE} to a key" in refused(chat(served))
    assert not any("Authorization" in headers for _, headers, _ in served.requests)


def reset(handler):
    """Ends a connection without a word."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()


def half(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(json.dumps(completion("hello")).encode()[:40])


def faulty(status, content=b"", **headers):
    return lambda handler: send(handler, content, status, **headers)


PASSING = {
    "429": faulty(429),
    "429 with seconds": faulty(429, Retry_After=0.05),
    "429 with a past date": faulty(429, Retry_After="Wed, 21 Oct 2015 07:28:00 GMT"),
    "429 with nonsense": faulty(429, Retry_After="soon"),
    "500": faulty(500, b"<html>"),
    "503": faulty(503, Retry_After=0),
    "garbage": faulty(200, b"\xff\x00<html>"),
    "half a JSON": half,
    "deep JSON": faulty(200, b"[" * 100_000),
    "reset": reset,
    "no HTTP": lambda handler: handler.wfile.write(b"hello\r\n\r\n"),
}


@pytest.mark.parametrize("kind", PASSING)
def test_what_passes_is_tried_again(kind):
    with serving(PASSING[kind], PASSING[kind], says("hello")) as served:
        asked = chat(served)
        assert asked.reply(ASK) == "hello"
    assert len(served.requests) == asked.spending.calls == 3


@pytest.mark.parametrize("kind", PASSING)
def test_what_does_not_pass_is_told_after_all_tries(kind):
    with serving(PASSING[kind]) as served:
        said = refused(chat(served, retries=1))
    assert said.startswith(f"the chat model 'tiny' at '{served.url}' gives no reply (")
    assert said.endswith("; 2 requests)")
    assert len(served.requests) == 2


CODES = {"error": {"code": "model_not_found", "message": f"Wrong key {KEY}", "param": KEY}}
SPENT = {"error": {"code": "insufficient_quota", "type": "insufficient_quota"}}
LASTING = {
    "400": (faulty(400, CODES), r"\(400 Bad Request, model_not_found\); check model and base_url"),
    "401": (faulty(401, KEY.encode()), r"\(401 Unauthorized\); check the key in .* FUSE_TEST_KEY"),
    "404": (faulty(404, b"[]"), r"\(404 Not Found\); check model and base_url"),
    "599": (faulty(599, b"{"), r"\(599; 3 requests\)"),
    "no money": (faulty(429, SPENT), r"\(429 Too Many Requests, insufficient_quota\)$"),
    "long wait": (
        faulty(429, Retry_After=3600),
        r"Too Many Requests; it asks for 3600 s, and longest_wait is 0\.2\)$",
    ),
    "later date": (
        faulty(503, Retry_After=f"{datetime.now(UTC) + timedelta(days=1):%a, %d %b %Y %X} GMT"),
        r"Service Unavailable; it asks for \d{5} s",
    ),
    "other JSON": (faulty(200, {"choices": []}), "is no chat completion"),
    "list": (faulty(200, [1]), "is no chat completion"),
    "null": (says(None), "is no chat completion"),
    "empty": (says("  "), "is no chat completion"),
    "number": (says(7), "is no chat completion"),
}


@pytest.mark.parametrize("kind", LASTING)
def test_what_will_not_pass_is_not_tried_again(kind):
    act, said = LASTING[kind]
    with serving(act) as served:
        told = refused(chat(served))
    assert re.search(said, told), told
    assert len(served.requests) == (3 if kind == "599" else 1)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirection_is_followed(status):
    """Not even at the same host: the key is for the address that was given."""
    with serving(says("theirs")) as other:
        act = faulty(status, Location=f"{other.url}/chat/completions")
        with serving(act) as served:
            assert "a redirection); give the address it leads to" in refused(chat(served))
    assert len(served.requests) == 1
    assert not other.requests


def never(handler):
    time.sleep(20)


def drips(handler):
    handler.send_response(200)
    handler.end_headers()
    for _ in range(400):
        handler.wfile.write(b" ")
        handler.wfile.flush()
        time.sleep(0.05)


@pytest.mark.parametrize("act", [never, drips])
def test_one_time_for_all_of_a_request(act):
    began = time.monotonic()
    with serving(act) as served:
        said = refused(chat(served, timeout=0.5, retries=1))
    assert "(it takes longer than 0.5 s; 2 requests)" in said
    assert len(served.requests) == 2
    assert time.monotonic() - began < 10


def test_a_huge_answer_is_cut():
    def huge(handler):
        handler.send_response(200)
        handler.end_headers()
        for _ in range(10_000):
            handler.wfile.write(bytes(2**16))

    with serving(huge) as served:
        assert "(it is larger than 0.25 MiB)" in refused(chat(served, largest=2**18))
    assert len(served.requests) == 1


def test_a_server_that_is_not_there():
    with serving() as served:
        pass
    assert "refused; 3 requests)" in refused(chat(served))


def test_a_connection_that_nobody_takes():
    """A port whose queue is full."""
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen(0)
        waiting = [socket.socket() for _ in range(3)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(busy.getsockname())
        asked = EndpointChat(
            *("tiny", f"http://127.0.0.1:{busy.getsockname()[1]}"),
            key_variable="",
            connect_timeout=0.3,
            timeout=30,
            retries=0,
        )
        began = time.monotonic()
        assert "timed out" in refused(asked)
        assert time.monotonic() - began < 10
        for one in waiting:
            one.close()


def test_a_limit_of_calls_holds_for_repetitions_too():
    with serving(faulty(500)) as served:
        asked = chat(served, max_calls=2)
        assert "is not asked: max_calls is 2, and all are used; give more" in refused(asked)
        assert "is not asked" in refused(asked)
    assert len(served.requests) == 2


def test_a_limit_of_tokens():
    with serving(says("hello", tokens=30)) as served:
        asked = chat(served, max_tokens_total=50)
        for _ in range(2):
            asked.reply(ASK, max_tokens=40)
        assert "max_tokens_total is 50, and all are used" in refused(asked)
    assert [fields["max_tokens"] for _, _, fields in served.requests] == [40, 20]


@pytest.mark.parametrize("tokens", [None, 0, -5, True, "9", 1.5])
def test_tokens_that_the_server_does_not_count_are_estimated(tokens):
    with serving(says("hello" * 100, tokens=tokens)) as served:
        asked = chat(served)
        asked.reply(ASK)
    assert 125 < asked.spending.tokens < 300


def test_the_key_is_nowhere():
    """Not even where a server sends back what it got."""

    def echo(handler):
        send(handler, completion(f"You sent {handler.headers['Authorization']}"))

    with serving(echo) as served:
        asked = chat(served)
        assert asked.reply(ASK) == "You sent Bearer [key]"
    shown = [repr(asked), repr(vars(asked)), asked.name, pickle.dumps(asked)]
    assert not any(KEY in str(each) for each in shown)
    again = pickle.loads(pickle.dumps(asked))
    assert (again.spending.calls, again.base_url) == (1, asked.base_url)
    again.spending.begin("it")


@pytest.mark.parametrize("key", ["sk-secret\n-0123456789", "sk-sécret-0123456789", "sk secret-01"])
def test_a_key_that_no_header_can_hold(monkeypatch, key):
    monkeypatch.setenv(VARIABLE, key)
    with serving(says("hello")) as served, pytest.raises(FuseError) as error:
        chat(served, retries=0).reply(ASK)
    assert f"environment variable {VARIABLE} holds white space" in str(error.value)
    assert "cret" not in str(error.value)
    assert not served.requests


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"base_url": "ftp://host/v1"}, "'ftp://host/v1' is no http or https address"),
        ({"base_url": "file:///etc/hostname"}, "is no http or https address"),
        ({"base_url": "host/v1"}, "is no http or https address"),
        ({"base_url": "https://"}, "is no http or https address"),
        ({"base_url": "https://[::1/v1"}, "is no address"),
        ({"base_url": "https://host:port/v1"}, "is no address"),
        ({"base_url": "https://me:pass1@host/v1"}, "'https://host/v1' holds a user"),
        ({"base_url": "https://host/v1?key=pass1"}, "'https://host/v1' holds a user"),
        ({"base_url": "https://host/v 1"}, "holds white space"),
        ({"base_url": "http://example.com/v1"}, f"key in {VARIABLE} would be sent to it"),
        ({"key_variable": "sk-pass1"}, "key_variable is no name of an environment variable"),
        ({"timeout": 0}, "timeout is 0"),
        ({"retries": -1}, "retries is -1"),
        ({"max_calls": -1}, "max_calls is -1"),
        ({"at_once": 0}, "at_once is 0"),
        ({"extra": {"stop": {1}}}, "that JSON cannot hold"),
    ],
)
def test_bad_options(options, said):
    with pytest.raises(FuseError) as error:
        EndpointChat("tiny", **{"key_variable": VARIABLE, **options})
    assert said in str(error.value)
    assert "pass1" not in str(error.value)


def test_without_a_key_another_machine_may_be_asked_by_http():
    assert EndpointChat("tiny", "http://example.com/v1/", key_variable="").at_once == 4


def test_random_numbers_of_a_search_stay_as_they_are():
    before = random.getstate()
    with serving(faulty(500), says("hello")) as served:
        chat(served).reply(ASK)
    assert random.getstate() == before
