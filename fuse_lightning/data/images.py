"""Reading of picture files as upright RGB images."""

import warnings
from collections.abc import Iterator
from contextlib import suppress
from io import BufferedReader, BytesIO
from os.path import isfile
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from fuse_lightning.data.formats import FORMATS, OPENED, refused_format, without_metadata
from fuse_lightning.data.formats import SUFFIXES as SUFFIXES
from fuse_lightning.errors import FuseError
from fuse_lightning.utilities.addresses import shown
from fuse_lightning.utilities.regular import open_regular, read_regular
from fuse_lightning.utilities.terminal import quoted

LARGEST_SIDE = 2048
SMALLEST_SIDE = 8
DECODED = 2**20
"""Largest file, in bytes, whose pixels are decoded by the check already."""
WHITES = (1, 255, 65535)
"""White values for pictures of one float value: the first that is not exceeded counts."""
Stream = BytesIO | BufferedReader
STRIP = 2**18
"""Pixel values that are scaled at once."""
_filters = Lock()


def check_image(file: Path | bytes, name: str | None = None) -> None:
    """Checks that a file is a picture; decodes its pixels too if it has at most 1 MiB.

    Args:
        file: The file, or what is in it.
        name: Name in errors, by default the path.

    Raises:
        FuseError: If there is none.
    """
    name = name or _name(file)
    with _opened(file, name) as stream:
        beginning = stream.read(DECODED + 1)
        small = len(beginning) <= DECODED
        # Decoders are given no file, which they may map: one that gets shorter ends the process.
        _picture(BytesIO(beginning) if small else stream, name, decode=small)


def read_image(file: Path | bytes, name: str | None = None) -> Image.Image:
    """Reads a picture as an upright RGB image.

    EXIF rotation is applied, transparency laid over white, a side of more than 2 048 px shrunk
    and one of fewer than 8 px enlarged (image processors take thin pictures for channels).

    Args:
        file: The file, or what is in it.
        name: Name in errors, by default the path.

    Raises:
        FuseError: If there is no picture, or its data is broken.
    """
    name = name or _name(file)
    try:
        content = read_regular(file) if isinstance(file, Path) else file
    except OSError as error:
        raise _missing(file, name, error) from error
    image = _picture(BytesIO(content), name, decode=True)
    image.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
    if min(image.size) < SMALLEST_SIDE:
        image = image.resize([max(side, SMALLEST_SIDE) for side in image.size])
    return image


def _name(file: Path | bytes) -> str:
    return quoted(shown(str(file))) if isinstance(file, Path) else "in memory"


def _opened(file: Path | bytes, name: str) -> Stream:
    try:
        return open_regular(file) if isinstance(file, Path) else BytesIO(file)
    except OSError as error:
        raise _missing(file, name, error) from error


def _missing(file: Path | bytes, name: str, error: OSError) -> FuseError:
    # Unlike Path.is_file this says no, too, to a name that no file can have.
    if isinstance(file, Path) and not isfile(file):
        reason = "" if isinstance(error, FileNotFoundError) else f" as a file ({error})"
        return FuseError(f"image {name} does not exist{reason}; check its path")
    return FuseError(f"image {name} cannot be read: {error}; check its path")


def _picture(stream: Stream, name: str, decode: bool) -> Image.Image:
    """Upright RGB image of a stream, or an image of which only the header was read.

    Raises:
        FuseError: If there is none.
    """
    try:
        return _attempt(stream, name, decode)
    except FuseError:
        # Texts, profiles and the like are no reason to leave whole pixels unread.
        stream.seek(0)
        if (bare := without_metadata(stream.read())) is None:
            raise
        try:
            return _attempt(BytesIO(bare), name, decode)
        except FuseError:
            pass
        raise


def _attempt(stream: Stream, name: str, decode: bool) -> Image.Image:
    header = False
    try:
        with _header(stream) as source:
            header = True
            return _pixels(source) if decode else source
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        reason = str(error).rstrip(".")
        raise FuseError(f"image {name} is too large: {reason}; make it smaller") from error
    # Every format has errors of its own, and broken files meet any other.
    except Exception as error:
        if header:
            raise FuseError(
                f"image {name} is broken ({_reason(error)}); save it again or leave it out"
            ) from error
        why = _reason(error)
        if isinstance(error, UnidentifiedImageError):
            stream.seek(0)
            beginning = stream.read(16)
            known = refused_format(beginning)
            why = f"{known} is not decoded inside this process" if known else "it is of no format"
            why = why if beginning else "it is empty"
            if beginning and not known and name.strip("'\"").endswith(".txt"):
                why = "it is a text, which TextTargets reads (data.texts)"
        raise FuseError(
            f"image {name} cannot be read as a picture: {why}; give one of {', '.join(FORMATS)}"
        ) from error


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _header(stream: Stream) -> Image.Image:
    # Filters of warnings are those of all threads, and pictures are read in several.
    with _filters, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        return Image.open(stream, formats=OPENED)


def _pixels(source: Image.Image) -> Image.Image:
    source.draft("RGB", (LARGEST_SIDE, LARGEST_SIDE))
    source.load()
    image = _upright(source)
    if image.mode.startswith(("I", "F")):
        image = _to_eight_bit(image)
    if image.has_transparency_data:
        layers = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layers.size, "white"), layers)
    return image.convert("RGB")


def _upright(source: Image.Image) -> Image.Image:
    """Image turned by its EXIF orientation; unreadable EXIF is ignored."""
    image = source.copy()
    # Pillow would write all the rest of it again, which may be what is broken.
    image.info = {key: image.info[key] for key in ("transparency",) if key in image.info}
    exif = Image.Exif()
    with suppress(Exception):
        exif[ExifTags.Base.Orientation] = int(source.getexif()[ExifTags.Base.Orientation])
        image.info["exif"] = exif.tobytes()
    return ImageOps.exif_transpose(image)


def _to_eight_bit(image: Image.Image) -> Image.Image:
    """Greyscale image of 8 bits; long integers and floats are stretched to their own range.

    One value alone is as bright as in a picture from 0 to 1, 255 or 65 535. What is no finite
    number is black, infinity and what is transparent white.

    Raises:
        ValueError: If no number is finite.
    """
    low, high = 0.0, 65535.0
    if not image.mode.startswith("I;16"):
        low, high = _range(image)
    clear = float(image.info.get("transparency", np.nan))
    scaled = []
    for values in _strips(image):
        # No comparison holds for what is no number.
        values[values == clear] = np.inf
        values[np.isnan(values)] = low
        grey = (values.clip(low, high) - low) * 255 / (high - low)
        scaled.append(grey.astype(np.uint8))
    return Image.fromarray(np.concatenate(scaled))


def _range(image: Image.Image) -> tuple[float, float]:
    """Pixel values that become black and white.

    Raises:
        ValueError: If no number is finite.
    """
    low, high = np.inf, -np.inf
    for values in _strips(image):
        known = np.isfinite(values)
        low = min(low, float(values.min(where=known, initial=np.inf)))
        high = max(high, float(values.max(where=known, initial=-np.inf)))
    if low > high:
        raise ValueError("none of its numbers is finite")
    if low < high:
        return low, high
    whites = WHITES if image.mode == "F" else WHITES[1:]
    return 0.0, float(next((white for white in whites if high <= white), high))


def _strips(image: Image.Image) -> Iterator[NDArray[np.float64]]:
    """Pixel values of a picture in strips from top to bottom, to bound the memory."""
    rows = max(STRIP // image.width, 1)
    for top in range(0, image.height, rows):
        part = image.crop((0, top, image.width, min(top + rows, image.height)))
        yield np.array(part.convert("F"), dtype=np.float64)
