import os
import re
import struct
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image

from fuse_lightning.data import images
from fuse_lightning.data.images import SUFFIXES, check_image, read_image
from fuse_lightning.errors import FuseError

RED, GREEN, BLUE, WHITE, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255,) * 3, (0,) * 3


@pytest.fixture
def saved(tmp_path):
    def save(image, name, **options):
        path = tmp_path / name
        image.save(path, **options)
        return path

    return save


def noise(mode="RGB", side=64):
    values = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
    return Image.fromarray(values).convert(mode)


def ramp():
    return (np.arange(256).reshape(16, 16) * 257).astype(np.uint16)


def close(pixel, wanted, tolerance=3):
    return max(abs(a - b) for a, b in zip(pixel, wanted, strict=True)) <= tolerance


@given(
    st.tuples(*[st.integers(0, 255)] * 4),
    st.sampled_from(["RGBA", "LA"]),
)
def test_transparency_is_laid_over_white(tmp_path_factory, pixel, mode):
    path = tmp_path_factory.getbasetemp() / "alpha.png"
    image = Image.new("RGBA", (9, 9), pixel).convert(mode)
    image.save(path)
    *color, alpha = image.getpixel((0, 0))
    color = color * 3 if mode == "LA" else color
    wanted = [round((value * alpha + 255 * (255 - alpha)) / 255) for value in color]
    read = read_image(path)
    assert read.mode == "RGB"
    assert close(read.getpixel((4, 4)), wanted, tolerance=1)


def test_a_wholly_transparent_picture_is_white(saved):
    path = saved(Image.new("RGBA", (16, 16), (0, 0, 0, 0)), "clear.png")
    assert read_image(path).getpixel((3, 3)) == WHITE


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_transparent_colour_is_white(saved, mode):
    color = (10, 20, 30) if mode == "RGB" else 10
    image = Image.new(mode, (16, 16), color)
    image.putpixel((2, 2), 0 if mode == "L" else BLACK)
    read = read_image(saved(image, "key.png", transparency=color))
    assert read.getpixel((0, 0)) == WHITE
    assert read.getpixel((2, 2)) == BLACK


def test_a_palette_gives_its_colours(saved):
    image = Image.new("P", (16, 16))
    image.putpalette([*RED, *GREEN])
    image.putpixel((3, 3), 1)
    read = read_image(saved(image, "palette.png"))
    assert (read.getpixel((0, 0)), read.getpixel((3, 3))) == (RED, GREEN)
    read = read_image(saved(image, "palette.png", transparency=bytes([0, 128])))
    assert (read.getpixel((0, 0)), read.getpixel((3, 3))) == (WHITE, (127, 255, 127))


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (3, 7)])
def test_thin_pictures_grow_to_eight_pixels(saved, size):
    read = read_image(saved(Image.new("RGB", size, RED), "thin.png"))
    assert read.size == (max(8, size[0]), max(8, size[1]))
    assert read.getpixel((0, 0)) == RED


def test_a_line_longer_than_the_limit_keeps_eight_pixels(saved):
    read = read_image(saved(Image.new("RGB", (1, 9000), RED), "line.png"))
    assert read.size == (8, 2048)


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_huge_pictures_are_shrunk_in_proportion(saved, suffix):
    read = read_image(saved(Image.new("L", (9000, 7000), 200), f"huge.{suffix}"))
    assert read.size == (2048, 1593)
    assert close(read.getpixel((1000, 1000)), (200,) * 3)


@pytest.mark.parametrize("size", [(10_000, 10_000), (20_000, 10_000)])
def test_more_pixels_than_pillow_trusts_are_one_clear_error(saved, size):
    path = saved(Image.new("1", size), "bomb.png")
    for read in (check_image, read_image):
        with pytest.raises(FuseError, match=r"bomb\.png.*too large.*make it smaller") as error:
            read(path)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("mode", ["L", "1"])
def test_greyscale_becomes_equal_channels(saved, mode):
    read = read_image(saved(Image.new(mode, (16, 16), 255), "grey.png"))
    assert (read.mode, read.getpixel((5, 5))) == ("RGB", WHITE)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_are_the_same_picture_as_eight(saved, suffix):
    sixteen = read_image(saved(Image.fromarray(ramp()), f"deep.{suffix}"))
    eight = read_image(saved(Image.fromarray((ramp() // 257).astype(np.uint8)), "flat.png"))
    assert np.array_equal(np.asarray(sixteen), np.asarray(eight))


@pytest.mark.parametrize(("value", "grey"), [(0, 0), (30_000, 116), (65_535, 255)])
def test_one_colour_of_sixteen_bits_keeps_its_brightness(saved, value, grey):
    image = Image.fromarray(np.full((16, 16), value, np.uint16))
    assert read_image(saved(image, "deep.png")).getpixel((5, 5)) == (grey,) * 3


@pytest.mark.parametrize("kind", [np.int32, np.float32])
def test_wider_numbers_are_stretched_to_their_range(saved, kind):
    read = read_image(saved(Image.fromarray(ramp().astype(kind) * 3), "wide.tif"))
    assert [read.getpixel(at)[0] for at in ((0, 0), (8, 8), (15, 15))] == [0, 136, 255]


@pytest.mark.parametrize("size", [(16, 16), (4000, 3000)])
def test_cmyk_jpeg(saved, size):
    read = read_image(saved(Image.new("CMYK", size, (0, 255, 255, 0)), "print.jpg"))
    assert (read.mode, max(read.size)) == ("RGB", min(2048, size[0]))
    assert close(read.getpixel((5, 5)), RED)


@pytest.mark.parametrize("suffix", ["png", "jpg"])
@pytest.mark.parametrize(
    ("orientation", "size", "corner"),
    [
        (1, (16, 32), (8, 2)),
        (3, (16, 32), (8, 29)),
        (6, (32, 16), (29, 8)),
        (8, (32, 16), (2, 8)),
    ],
)
def test_exif_turns_the_picture_upright(saved, suffix, orientation, size, corner):
    image = Image.new("RGB", (16, 32))
    image.paste(RED, (0, 0, 16, 8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    read = read_image(saved(image, f"turned.{suffix}", exif=exif, quality=100))
    assert read.size == size
    assert close(read.getpixel(corner), RED)
    assert close(read.getpixel((size[0] - 1 - corner[0], size[1] - 1 - corner[1])), BLACK)


def test_an_unknown_exif_orientation_changes_nothing(saved):
    exif = Image.Exif()
    exif[0x0112] = 99
    assert read_image(saved(Image.new("RGB", (16, 32)), "odd.jpg", exif=exif)).size == (16, 32)


@pytest.mark.parametrize("suffix", ["gif", "png", "tif", "webp"])
def test_an_animation_is_its_first_frame(saved, suffix):
    first, *others = (Image.new("RGB", (16, 16), color) for color in (RED, GREEN, BLUE))
    path = saved(first, f"moving.{suffix}", save_all=True, append_images=others)
    assert close(read_image(path).getpixel((5, 5)), RED)


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


def test_names_of_any_script(saved):
    assert read_image(saved(Image.new("RGB", (16, 16), RED), "ünï 🐈.png")).getpixel((1, 1)) == RED


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


def test_every_format_that_can_be_written_is_read(tmp_path):
    """Those that are left out are named, so that a new one of Pillow's is looked at."""
    unread = {"BUFR", "EPS", "GRIB", "HDF5", "PALM", "PDF", "WMF", "SPIDER"}
    read = set()
    for name in set(Image.SAVE) - unread:
        modes = {"MSP": "1", "XBM": "1", "BLP": "P"}
        path = tmp_path / f"a.{name.lower()}"
        try:
            Image.new(modes.get(name, "RGB"), (32, 32), 1).save(path, name)
        except OSError:
            continue
        check_image(path)
        # An icon of a Mac holds sizes of its own.
        assert read_image(path).size == ((1024, 1024) if name == "ICNS" else (32, 32))
        read.add(name)
    assert read >= {"BMP", "GIF", "ICO", "JPEG", "PNG", "PPM", "TGA", "TIFF", "WEBP", "DDS"}
    assert {".jfif", ".jpe", ".tga", ".png", ".webp"} <= SUFFIXES
    assert not {".eps", ".ps", ".pdf", ".wmf", ".h5", ".mpg"} & SUFFIXES
    assert ".avif" in SUFFIXES or "AVIF" not in Image.OPEN


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_the_finite_part_of_floats_is_scaled(saved, bad):
    values = (np.arange(256).reshape(16, 16) * 3).astype(np.float32)
    plain = np.asarray(read_image(saved(Image.fromarray(values), "plain.tif"))).copy()
    values[4, 5] = bad
    read = np.asarray(read_image(saved(Image.fromarray(values), "odd.tif")))
    plain[4, 5] = 255 if bad == np.inf else 0
    assert np.array_equal(read, plain)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_floats_that_are_none_are_one_line_before_the_search(saved, bad):
    path = saved(Image.fromarray(np.full((9, 9), bad, np.float32)), "none.tif")
    with pytest.raises(FuseError, match=r"none\.tif' is broken \(none of its numbers is finite\)"):
        check_image(path)


@pytest.mark.parametrize(
    ("value", "kind", "grey"),
    [
        (1, np.float32, 255),
        (0.5, np.float32, 127),
        (0, np.float32, 0),
        (-3, np.float32, 0),
        (200, np.float32, 200),
        (65535, np.float32, 255),
        (3e38, np.float32, 255),
        (1, np.int32, 1),
        (200, np.int32, 200),
        (10**6, np.int32, 255),
    ],
)
def test_one_colour_of_wide_numbers(saved, value, kind, grey):
    path = saved(Image.fromarray(np.full((16, 16), value, kind)), "flat.tif")
    assert read_image(path).getpixel((5, 5)) == (grey,) * 3


def test_floats_of_the_whole_range(saved):
    values = np.full((16, 16), -3e38, np.float32)
    values[:8] = 3e38
    read = read_image(saved(Image.fromarray(values), "wide.tif"))
    assert (read.getpixel((3, 3)), read.getpixel((3, 12))) == (WHITE, BLACK)


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


def test_a_file_that_gets_shorter_while_it_is_open_ends_nothing(saved, monkeypatch):
    """A mapped file would end the process by a signal."""
    path = saved(noise("L", 512), "a.bmp")
    opened = Image.open

    def shortened(*args, **options):
        image = opened(*args, **options)
        os.truncate(path, 2000)
        return image

    monkeypatch.setattr(Image, "open", shortened)
    with suppress(FuseError):
        assert read_image(path).size == (512, 512)


def test_a_name_of_thousands_of_characters_is_shortened():
    with pytest.raises(FuseError, match="…") as error:
        check_image(Path("x" * 5000 + ".png"))
    assert len(str(error.value)) < 400
