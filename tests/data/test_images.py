"""Pictures of every kind as upright RGB."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fuse_lightning.data.images import SUFFIXES, check_image, read_image
from fuse_lightning.errors import FuseError
from tests.factories.pictures import BLACK, BLUE, GREEN, RED, WHITE, close


def ramp():
    return (np.arange(256).reshape(16, 16) * 257).astype(np.uint16)


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


def test_names_of_any_script(saved):
    assert read_image(saved(Image.new("RGB", (16, 16), RED), "ünï 🐈.png")).getpixel((1, 1)) == RED


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
