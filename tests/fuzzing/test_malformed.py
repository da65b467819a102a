"""Malformed pictures, manifests and configurations: each is one line, or is read after all."""

import copy
import io
import json
import random
import struct
import sys
import zlib
from itertools import count
from pathlib import Path

import lightning as L
import numpy as np
import pytest
import yaml
from PIL import Image

from fuse_lightning.cli.main import main
from fuse_lightning.data import ImageTargets
from fuse_lightning.data.images import DECODED
from fuse_lightning.errors import FuseError
from tests.fuzzing import corpus

KINDS = ("png", "jpg", "gif", "bmp", "webp", "tif", "ppm")
NOISE = ("Traceback", "<class", "Namespace(", "typing.", " object at 0x")


def one_line(message):
    """Checks that a message is a line that a person can read."""
    assert message
    assert len(message.splitlines()) == 1
    assert not any(noise in message for noise in NOISE), message
    return message


def refusal(source):
    """The line about what cannot be read, or ``None`` if it is read after all."""
    try:
        for target in ImageTargets(source).find_targets():
            assert target.id.encode()
            assert all(image.mode == "RGB" for image in target.images)
    except FuseError as error:
        return one_line(str(error))
    return None


# Pictures


def picture(kind, rng):
    pixels = np.frombuffer(rng.randbytes(24 * 20 * 3), np.uint8).reshape(20, 24, 3)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, {"jpg": "jpeg", "tif": "tiff"}.get(kind, kind))
    return file.getvalue()


def damaged_pictures():
    """Name and bytes of files that are broken, each in a way of its own."""
    rng = random.Random(0)
    for kind in KINDS:
        data = picture(kind, rng)
        for share in (0.02, 0.2, 0.5, 0.8, 0.97):
            yield f"cut-{share}.{kind}", data[: int(len(data) * share)]
        for flips in (1, 1, 3, 9, 40):
            bad = bytearray(data)
            for _ in range(flips):
                bad[rng.randrange(min(len(bad), 400))] ^= 1 << rng.randrange(8)
            yield f"flipped-{flips}.{kind}", bytes(bad)
        yield f"magic.{kind}", rng.randbytes(12) + data[12:]
        yield f"middle.{kind}", data[:40] + rng.randbytes(200) + data[240:]
        yield f"zeros.{kind}", bytes(len(data))
        yield f"empty.{kind}", b""
        other = picture("png" if kind != "png" else "jpg", rng)
        yield f"begun-as-another.{kind}", data[:16] + other[16:]
    for width, height in (
        (60_000, 60_000),
        (2**31 - 1, 1),
        (1, 2**31 - 1),
        (0, 5),
        (12_000, 9_000),
    ):
        yield f"bomb-{width}x{height}.png", bomb(width, height)
    yield (
        "bomb.bmp",
        b"BM"
        + struct.pack(
            "<IHHIIiiHHIIiiII", 99, 0, 0, 54, 40, 50_000, 50_000, 1, 24, 0, 0, 0, 0, 0, 0
        ),
    )
    yield "bomb.ppm", b"P6 99999 99999 255\n" + bytes(99)
    yield "bomb.gif", b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0) + bytes(9)
    # A text chunk that unpacks to a hundred megabytes.
    yield "text-bomb.png", bomb(9, 9, extra=b"a\0\0" + zlib.compress(bytes(100_000_000)))
    yield "page.png", b"<html><body>not found</body></html>"
    yield "vector.png", b"<svg xmlns='http://www.w3.org/2000/svg'/>"


def bomb(width, height, extra=b""):
    """A PNG of a few bytes with any size in its header."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    texts = chunk(b"zTXt", extra) if extra else b""
    return b"\x89PNG\r\n\x1a\n" + header + texts + chunk(b"IDAT", zlib.compress(bytes(99)))


def test_damaged_pictures_are_one_line_or_are_read():
    refused = total = 0
    for number, (name, data) in enumerate(damaged_pictures()):
        path = Path(f"{number}-{name}")
        path.write_bytes(data)
        message = refusal(str(path))
        assert str(path) in (message or str(path))
        refused += message is not None
        total += 1
    # Some damage touches a colour or what nobody reads.
    assert total > 110
    assert refused > 0.7 * total


# Manifests


ROW = {"file_name": "a.png", "id": "one", "caption": "a red star"}
VALUES = (
    None,
    True,
    5,
    -1.5,
    1e999,
    [],
    {},
    [1],
    [None],
    {"a": 1},
    "",
    "\0",
    "a\0.png",
    "\ud800",
    "../gone.png",
    ".",
    "/",
    "a.png/b",
    "x" * 5000,
    ["a.png", 3],
    "\x1b[31m",
)


def damaged_manifests():
    """Name and bytes of manifests that are broken or odd."""
    whole = json.dumps(ROW)
    for key in ("file_name", "file_names", "id", "caption", "text", "sentiment", "references"):
        for value in VALUES:
            yield "metadata.jsonl", json.dumps({**ROW, key: value}).encode()
    for end in range(1, len(whole), 9):
        yield "metadata.jsonl", whole[:end].encode()
    for text in (
        "[]",
        "null",
        "3",
        '"a"',
        "{}",
        "NaN",
        "[" * 200_000,
        '{"a":' * 200_000,
        "{'a': 1}",
        "\0",
        whole + whole,
        f"{whole}\n{{",
        "9" * 5000,
        '{"file_name": "a.png", "id": ' + "9" * 5000 + "}",
    ):
        yield "metadata.jsonl", text.encode()
    yield "metadata.jsonl", b""
    yield "metadata.jsonl", b"\xff\xfe" + whole.encode("utf-16-le")
    yield "metadata.jsonl", b"\xef\xbb\xbf" + whole.encode()
    yield "metadata.jsonl", b"\xef\xbb\xbf\xef\xbb\xbf" + whole.encode()
    yield "metadata.jsonl", whole.encode()[:-3] + b"\xff\xfe"
    yield "metadata.jsonl", bytes(500)
    yield "metadata.jsonl", random.Random(1).randbytes(500)
    for text in (
        "",
        "\n",
        "file_name",
        "file_name\n",
        "file_name\n\n",
        'file_name\n"a.png',
        "a,b\n1,2\n",
        "file_name\na.png,b,c\n",
        "file_name\n\0\n",
        "file_name\na\0.png\n",
        'file_name,id\na.png,"x"y\n',
        "file_name,file_name\na.png,gone.png\n",
        "\ufefffile_name\na.png\n",
        "file_name;id\na.png;1\n",
        "file_names\n" + "[" * 200_000 + "\n",
        'file_names\n"[""a.png"", 3]"\n',
        "file_name\n" + "x" * 200_000 + "\n",
        'file_name,references\na.png,"{""a"": 1}"\n',
        "file_name\ra.png\r",
        "file_names\n" + "9" * 5000 + "\n",
    ):
        yield "metadata.csv", text.encode()
    yield "metadata.csv", random.Random(2).randbytes(500)
    yield "metadata.csv", "file_name\na.png\n".encode("utf-16")


def test_damaged_manifests_are_one_line_or_are_read():
    Image.new("RGB", (9, 9)).save("a.png")
    refused = total = 0
    for name, data in damaged_manifests():
        Path(name).write_bytes(data)
        refused += refusal(name) is not None
        total += 1
    assert total > 150
    assert refused > 0.6 * total


# Configurations


CONFIG = {
    **corpus.CONFIG,
    "trainer": {
        "accelerator": "cpu",
        "max_epochs": 1,
        "callbacks": [{"class_path": "BeamSearch", "init_args": {"beam_width": 2}}],
    },
}
WRONG = (
    None,
    [],
    {},
    "",
    "\0",
    -7,
    1e999,
    "many",
    [[[]]],
    {"class_path": 3},
    {"init_args": {}},
    "\x1b[31m\u202e",
)
TEXTS = (
    "",
    "\0",
    "a: b: c",
    "[",
    "{",
    "- a\n- b",
    "*gone",
    "&a *a",
    "a: &a [*a]",
    "!!python/object/apply:os.system ['touch ran']",
    "!!binary x",
    "model: !!python/name:os.system",
    "? [a]\n: b",
    "\t- a",
    "%YAML 9.9\n---\na: 1",
    "--- 1\n--- 2",
    "model: {class_path: os.system, init_args: {command: touch ran}}",
    "model: {class_path: subprocess.Popen, init_args: {args: touch ran}}",
    "model: {class_path: fuse_lightning.errors.FuseError}",
    "model: {class_path: nowhere.Class}",
    "model: {class_path: ''}",
    "a: &a [x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a]\nc: &c [*b, *b, *b, *b]\nmodel: [*c]",
    "[" * 3000,
    "{a: " * 3000,
    "model: " + "x" * 100_000,
    "9" * 5000,
    "seed_everything: " + "9" * 5000,
    "\ufeffmodel: 1",
    "model: AutoDAN",
    "data: gone.yaml",
    "trainer: null",
    "trainer: {logger: 5}",
    "trainer: {callbacks: 5}",
    "1: 2",
    "null: 3",
    "fit: {model: 3}",
    "config: config.yaml",
    "<<: 5",
    "<<: [1, 2]",
)


def paths_of(config, place=()):
    """Where the parts of a nested configuration are."""
    parts = config.items() if isinstance(config, dict) else enumerate(config)
    for key, part in parts:
        yield (*place, key)
        if isinstance(part, dict | list):
            yield from paths_of(part, (*place, key))


def damaged_configurations():
    """Texts of configurations that are broken, or wrong in one place."""
    rng = random.Random(0)
    whole = yaml.safe_dump(CONFIG)
    for place in paths_of(CONFIG):
        config = copy.deepcopy(CONFIG)
        inner = config
        for key in place[:-1]:
            inner = inner[key]
        inner[place[-1]] = rng.choice(WRONG)
        yield yaml.safe_dump(config)
    for _ in range(8):
        yield whole[: rng.randrange(len(whole))]
    for _ in range(8):
        at = rng.randrange(len(whole))
        yield whole[:at] + rng.choice("{}[]:*&!%@\0\t\"'#\x07") + whole[at + 1 :]
    yield from TEXTS


def ended(text):
    """How the process of a configuration would end; any other error fails and shows the text."""
    try:
        main(["fit", "--config", "config.yaml"])
    except SystemExit as end:
        return end.code
    except Exception as error:
        raise AssertionError(text[:600]) from error
    return 0


def test_damaged_configurations_are_one_line_or_are_read(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["fuse"])
    reached = count()
    monkeypatch.setattr(L.Trainer, "fit", lambda *_, **__: next(reached))
    Image.new("RGB", (9, 9)).save("a.png")
    refused = total = 0
    for text in damaged_configurations():
        Path("config.yaml").write_text(text, encoding="utf-8")
        total += 1
        code = ended(text)
        lines = capsys.readouterr().err.splitlines()
        assert code in (0, 2), text
        if code:
            assert sum(line.startswith("error: ") for line in lines) == 1
            one_line(lines[-1])
            refused += 1
    assert not Path("ran").exists()
    assert refused + next(reached) == total
    assert total > 60
    assert refused > 0.7 * total


def test_what_a_broken_picture_stops_goes_on_from_what_was_found(capsys):
    """The second batch cannot be read: the first one's prompts are on disk."""
    # Of a larger file the header alone is read before the search.
    for name, side in (("a.png", 64), ("b.png", 1100)):
        Image.effect_noise((side, side), 90).save(name)
    data = Path("b.png").read_bytes()
    assert len(data) > DECODED + 1000
    Path("b.png").write_bytes(data[:-1000])
    config = copy.deepcopy(CONFIG)
    config["data"]["init_args"]["images"] = ["a.png", "b.png"]
    config["model"]["init_args"] |= {"batch_size": 2, "gradient_samples": 1, "adapter": None}
    Path("config.yaml").write_text(yaml.safe_dump(config))
    words = ["fit", "--config", "config.yaml", "--trainer.enable_progress_bar=false"]
    with pytest.raises(SystemExit, match="2"):
        main(words)
    *_, kept, resume, error = capsys.readouterr().err.splitlines()
    assert error.startswith("error: image 'b.png' is broken")
    assert kept.startswith("1 prompts are in ")
    assert resume.startswith("go on with: fuse fit --resume")
    (line,) = Path("logs/search/version_0/prompts.jsonl").read_text().splitlines()
    assert json.loads(line)["target"] == "a.png"
