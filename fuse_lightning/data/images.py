"""Reading pictures of any kind as upright RGB."""

import struct
import warnings
from io import BytesIO
from os.path import isfile
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from fuse_lightning.errors import FuseError

LARGEST_SIDE = 2048
SMALLEST_SIDE = 8
SUFFIXES = frozenset(
    (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
)


def check_image(file: Path | bytes, name: str | None = None) -> None:
    """Reads the header of a picture.

    Args:
        file: The file, or what is in it.
        name: What to call it in errors, by default its path.

    Raises:
        FuseError: If there is none.
    """
    name = name or repr(str(file))
    # Unlike Path.is_file this says no, too, to a name that no file can have.
    if isinstance(file, Path) and not isfile(file):
        raise FuseError(f"image {name} does not exist; check data.images")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(_readable(file)):
                pass
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        reason = str(error).rstrip(".")
        raise FuseError(f"image {name} is too large: {reason}; make it smaller") from error
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise FuseError(
            f"image {name} cannot be read as a picture; give PNG, JPEG, WebP or similar"
        ) from error


def read_image(file: Path | bytes, name: str | None = None) -> Image.Image:
    """A picture as upright RGB.

    EXIF rotation is applied, transparency laid over white, a side of more than 2 048 px shrunk
    and one of fewer than 8 px enlarged (image processors take thin pictures for channels).

    Args:
        file: The file, or what is in it.
        name: What to call it in errors, by default its path.

    Raises:
        FuseError: If there is no picture, or its data is broken.
    """
    name = name or repr(str(file))
    check_image(file, name)
    try:
        with Image.open(_readable(file)) as source:
            source.draft("RGB", (LARGEST_SIDE, LARGEST_SIDE))
            image = ImageOps.exif_transpose(source)
            if image.mode.startswith(("I", "F")):
                image = _to_eight_bit(image)
            if image.has_transparency_data:
                layers = image.convert("RGBA")
                image = Image.alpha_composite(Image.new("RGBA", layers.size, "white"), layers)
            image = image.convert("RGB")
    # Rotations are read by struct.
    except (OSError, ValueError, SyntaxError, struct.error) as error:
        raise FuseError(
            f"image {name} is broken ({error}); save it again or leave it out"
        ) from error
    image.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
    if min(image.size) < SMALLEST_SIDE:
        image = image.resize([max(side, SMALLEST_SIDE) for side in image.size])
    return image


def _readable(file: Path | bytes) -> Path | BytesIO:
    return file if isinstance(file, Path) else BytesIO(file)


def _to_eight_bit(image: Image.Image) -> Image.Image:
    """Sixteen-bit greyscale as it is; longer integers and floats stretched to their own range."""
    values = image.convert("F")
    low, high = 0.0, 65535.0
    if not image.mode.startswith("I;16"):
        extrema = values.getextrema()
        low, high = float(extrema[0]), float(extrema[1])  # type: ignore[arg-type]
    scale = 255 / (high - low) if high > low else 1.0
    return values.point(lambda v: (v - low) * scale).convert("L")
