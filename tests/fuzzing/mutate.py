"""Whole files made into broken ones, each way by a random number."""

from random import Random

WORDS = (b"\x00", b"\xff", b"\x7f", b"\x80", b"\xff\xff", b"\x00\x00\x00\x00", b"\xff\xff\xff\xff")
WIDE = (b"\xff\xff\xff\x7f", b"\x00\x00\x00\x80", b"\x01\x00\x00\x00", b"\x00" * 8, b"\xff" * 8)
TEXTS = (
    b"9" * 400,
    b"-1",
    b"1e999",
    b"NaN",
    b"null",
    b"true",
    b"\x00",
    b"\xff\xfe",
    b"\\ud800",
    b"\xed\xa0\x80",
    b'"',
    b"'",
    b"[" * 300,
    b"{",
    b"}",
    b"]",
    b",",
    b":",
    b"\n",
    b"\r",
    b"\t",
    b"&a ",
    b"*a",
    b"!!python/name:os.system",
    b"../" * 9,
    b"/dev/zero",
    b"http://127.0.0.1:1/a?k",
    b"\x1b[31m",
    "\u202e\u2028".encode(),
    b" ",
)
HEADER = 200
"""Bytes that half of the changes are made in."""


def mutated(content: bytes, rng: Random, other: bytes = b"", text: bool = False) -> bytes:
    """The content, changed in one to four ways.

    Args:
        content: A whole file.
        rng: Where chance comes from.
        other: Another file, of which parts are taken.
        text: Whether words of texts are written into it, and not numbers of bytes.
    """
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4))):
        rng.choice(WAYS)(data, rng, other, text)
    return bytes(data)


def _place(data: bytearray, rng: Random) -> int:
    most = len(data) if rng.random() < 0.5 else min(len(data), HEADER)
    return rng.randrange(most) if most else 0


def _bits(data: bytearray, rng: Random, other: bytes, text: bool) -> None:
    for _ in range(rng.choice((1, 1, 2, 5, 20))):
        if data:
            data[_place(data, rng)] ^= 1 << rng.randrange(8)


def _bytes(data: bytearray, rng: Random, other: bytes, text: bool) -> None:
    for _ in range(rng.choice((1, 2, 8))):
        if data:
            data[_place(data, rng)] = rng.randrange(256)


def _words(data: bytearray, rng: Random, other: bytes, text: bool) -> None:
    word = rng.choice(TEXTS if text else WORDS + WIDE)
    at = _place(data, rng)
    # Over what is there, or between.
    data[at : at + (len(word) if rng.random() < 0.6 else 0)] = word


def _cut(data: bytearray, rng: Random, other: bytes, text: bool) -> None:
    if rng.random() < 0.6:
        del data[rng.randrange(len(data) + 1) :]
    else:
        at = _place(data, rng)
        del data[at : at + rng.choice((1, 2, 4, 16, 100, 1000))]


def _repeat(data: bytearray, rng: Random, other: bytes, text: bool) -> None:
    at = _place(data, rng)
    part = data[at : at + rng.choice((1, 4, 32, 300))]
    data[at:at] = part * rng.choice((1, 2, 30))


def _noise(data: bytearray, rng: Random, other: bytes, text: bool) -> None:
    at, size = _place(data, rng), rng.choice((4, 16, 100, 500))
    data[at : at + size] = rng.randbytes(size) if rng.random() < 0.7 else bytes(size)


def _splice(data: bytearray, rng: Random, other: bytes, text: bool) -> None:
    at = _place(data, rng)
    if rng.random() < 0.5:
        data[at:] = other[at:]
    else:
        data[: min(at, 64)] = other[: min(at, 64)]


def _move(data: bytearray, rng: Random, other: bytes, text: bool) -> None:
    at, to, size = _place(data, rng), _place(data, rng), rng.choice((2, 8, 64))
    part = data[at : at + size]
    data[to : to + len(part)] = part


WAYS = (_bits, _bits, _bytes, _words, _words, _cut, _repeat, _noise, _splice, _move)
