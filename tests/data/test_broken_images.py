"""Pictures that are broken, of no format, or no files: each is one line, or its pixels are read."""

import io
import mmap
import os
import re
import struct
import zlib
from contextlib import suppress
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image

from fuse_lightning.data import images
from fuse_lightning.data.images import check_image, read_image
from fuse_lightning.errors import FuseError
from tests.factories.pictures import RED, close, noise

TIFF = {"compression": "tiff_lzw"}


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "bmp", "webp", "tif"])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_a_truncated_file_is_one_clear_error(saved, suffix, share):
    path = saved(noise(), f"cut.{suffix}")
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(FuseError, match=rf"image '.*cut\.{suffix}' (is broken|cannot be read)"):
        read_image(path)


def test_a_damaged_checksum_is_one_clear_error(saved):
    path = saved(noise(), "damaged.png")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)
    with pytest.raises(FuseError, match="is broken"):
        read_image(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty"),
        (b"hello", "it is of no format"),
        (b"<svg/>", "it is of no format"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "EPS is not decoded inside this process"),
        (b"\x89HDF\r\n\x1a\n", "HDF5 is not decoded inside this process"),
        (b"\x89PNG\r\n\x1a\n", "truncated PNG file|it is of no format"),
    ],
)
def test_a_file_that_is_no_picture(tmp_path, content, reason):
    path = tmp_path / "text.png"
    path.write_bytes(content)
    for read in (check_image, read_image):
        with pytest.raises(FuseError, match="cannot be read as a picture: ") as error:
            read(path)
        assert re.search(rf"text\.png'.*({reason}); give one of AVIF, .*XVTHUMB$", str(error.value))


def test_a_missing_file_and_a_folder(tmp_path):
    (tmp_path / "folder.png").mkdir()
    for name in ("missing.png", "folder.png"):
        with pytest.raises(FuseError, match=f"{name}.*does not exist"):
            check_image(tmp_path / name)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@given(st.data())
def test_damaged_bytes_never_raise_anything_else(tmp_path_factory, data):
    suffix = data.draw(st.sampled_from(["png", "jpg", "gif", "tif"]))
    path = tmp_path_factory.getbasetemp() / f"fuzzed.{suffix}"
    noise(side=12).save(path)
    content = bytearray(path.read_bytes())
    spots = st.lists(st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255)), max_size=8)
    for position, byte in data.draw(spots):
        content[position] = byte
    path.write_bytes(content)
    # A changed header may still be a picture; anything but the one error fails the test.
    with suppress(FuseError):
        assert read_image(path).mode == "RGB"


@pytest.mark.parametrize("suffix", ["png", "webp", "jpg"])
@pytest.mark.parametrize("exif", [b"Exif\0\0no", b"II*\0\xff\xff\xff\xff", b"MM", b"", bytes(9)])
def test_a_broken_exif_block_turns_nothing(saved, suffix, exif):
    image = Image.new("RGB", (16, 32), RED)
    path = saved(image, f"a.{suffix}", exif=exif) if exif else saved(image, f"a.{suffix}")
    check_image(path)
    assert read_image(path).size == (16, 32)
    assert close(read_image(path).getpixel((8, 2)), RED)


def test_the_rotation_counts_where_the_rest_of_exif_cannot_be_written(saved, monkeypatch):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.Base.ImageWidth] = 5
    path = saved(Image.new("RGB", (16, 32)), "a.png", exif=exif)
    write = Image.Exif.tobytes

    def only_rotations(self, *args):
        if len(self) > 1:
            raise struct.error("required argument is not an integer")
        return write(self, *args)

    monkeypatch.setattr(Image.Exif, "tobytes", only_rotations)
    assert read_image(path).size == (32, 16)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def with_chunk(content, extra, place):
    """A PNG with one more chunk, behind its header or before its end."""
    at = 33 if place == "first" else len(content) - 12
    return content[:at] + extra + content[at:]


@pytest.mark.parametrize("place", ["first", "last"])
@pytest.mark.parametrize(
    "extra",
    [
        chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2_000_000))),
        chunk(b"iTXt", b"a\0\1\0\0\0" + zlib.compress(bytes(2_000_000))),
        chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(2_000_000))),
        chunk(b"tEXt", b"a\0b")[:-4] + b"sums",
        chunk(b"pHYs", b"1"),
        chunk(b"eXIf", b"no"),
    ],
    ids=["zTXt", "iTXt", "iCCP", "sum", "pHYs", "eXIf"],
)
def test_what_is_no_pixel_of_a_png_may_be_large_or_broken(saved, extra, place):
    plain = saved(noise(), "a.png")
    other = plain.with_name("b.png")
    other.write_bytes(with_chunk(plain.read_bytes(), extra, place))
    check_image(other)
    assert np.array_equal(np.asarray(read_image(other)), np.asarray(read_image(plain)))


@pytest.mark.parametrize(
    "error", [RuntimeError, NotImplementedError, ZeroDivisionError, MemoryError]
)
@pytest.mark.parametrize("part", ["open", "load"])
def test_whatever_pillow_raises_is_one_line(saved, monkeypatch, error, part):
    def fails(*args, **options):
        raise error("two\nlines")

    path = saved(noise(), "a.png")
    if part == "open":
        monkeypatch.setattr(Image, "open", fails)
    else:
        monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", fails)
    for read in (check_image, read_image):
        with pytest.raises(FuseError, match=r"image '.*a\.png' .*two lines"):
            read(path)


def test_eps_in_a_picture_starts_no_program(tmp_path, monkeypatch):
    monkeypatch.setattr("subprocess.Popen", None)
    monkeypatch.setattr("PIL.EpsImagePlugin.has_ghostscript", lambda: True)
    for name in ("a.png", "a.eps"):
        path = tmp_path / name
        Image.new("RGB", (9, 9)).save(path, "EPS")
        with pytest.raises(FuseError, match="EPS is not decoded inside this process"):
            read_image(path)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_floats_that_are_none_are_one_line_before_the_search(saved, bad):
    path = saved(Image.fromarray(np.full((9, 9), bad, np.float32)), "none.tif")
    with pytest.raises(FuseError, match=r"none\.tif' is broken \(none of its numbers is finite\)"):
        check_image(path)


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "tif"])
def test_small_pictures_are_decoded_before_the_search_and_large_ones_are_not(
    saved, monkeypatch, suffix
):
    path = saved(noise(), f"cut.{suffix}")
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 9 // 10])
    with pytest.raises(FuseError, match="is broken"):
        check_image(path)
    monkeypatch.setattr(images, "DECODED", path.stat().st_size - 1)
    check_image(path)
    with pytest.raises(FuseError, match="is broken"):
        read_image(path)


@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
@pytest.mark.parametrize("read", [check_image, read_image])
def test_what_is_no_file_is_one_line(tmp_path, kind, read):
    path = tmp_path / "a.png"
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "device":
            path.symlink_to("/dev/zero")
    with pytest.raises(FuseError, match=rf"a\.png' does not exist as a file \(it is a .*{kind}"):
        read(path)


@pytest.mark.parametrize("read", [check_image, read_image])
@pytest.mark.parametrize("suffix", ["bmp", "tif"])
def test_decoders_are_given_no_file_that_they_could_map(saved, read, suffix):
    """A mapped file that gets shorter would end the process by a signal."""
    path = saved(noise("L", 128), f"a.{suffix}", **({} if suffix == "bmp" else TIFF))
    with (
        patch.object(mmap, "mmap", wraps=mmap.mmap) as maps,
        patch.object(Image, "open", wraps=Image.open) as opens,
    ):
        read(path)
    assert not maps.called
    assert [type(call.args[0]) for call in opens.call_args_list] == [io.BytesIO]


def test_a_name_of_thousands_of_characters_is_shortened():
    with pytest.raises(FuseError, match="…") as error:
        check_image(Path("x" * 5000 + ".png"))
    assert len(str(error.value)) < 400
