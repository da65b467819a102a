"""Pictures in memory as targets: PIL images, arrays and tensors."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps

from fuse_lightning.data.names import DIGITS, Root
from fuse_lightning.data.pictures import File
from fuse_lightning.data.targets import Target
from fuse_lightning.errors import FuseError

MODES = ("1", "L", "P", "RGB", "RGBA", "I", "I;16", "F", "CMYK")
"""Modes of images that a TIFF file keeps as they are; others are read as RGB."""
CHANNELS = (1, 3, 4)
"""Numbers of colours of an array: grey, RGB, RGB with transparency."""

# The command line reads types at run time. It can only name pictures.
if TYPE_CHECKING:
    ImageSource: TypeAlias = str | Path | Image.Image | NDArray[Any] | torch.Tensor
else:
    ImageSource = str


@dataclass(frozen=True)
class MemoryPicture:
    """Reference to a picture that was given in memory.

    Attributes:
        name: Name of the picture for errors.
        content: The picture as an uncompressed TIFF file: equal for equal pixels.
    """

    name: str
    content: bytes

    def files(self) -> list[File]:
        """The picture's file."""
        return [(f"{self.name} in memory", self.content)]


def is_in_memory(source: Any) -> bool:
    """Whether a source is an image, an array or a tensor.

    >>> is_in_memory(Image.new("L", (8, 8))), is_in_memory("a.png")
    (True, False)
    """
    return isinstance(source, Image.Image | np.ndarray | torch.Tensor)


def listed(sources: Any) -> list[Any]:
    """List of one source or of several; an array of four dimensions is a batch of pictures.

    >>> listed("a.png"), listed(["a.png", "b.png"]), len(listed(np.zeros((2, 8, 8, 3))))
    (['a.png'], ['a.png', 'b.png'], 2)
    """
    if isinstance(sources, np.ndarray | torch.Tensor):
        return [*sources] if sources.ndim == 4 else [sources]
    one = isinstance(sources, str | Path | Image.Image) or not isinstance(sources, Iterable)
    return [sources] if one else [*sources]


def memory_target(source: Any, root: Root) -> Target:
    """Target of a picture in memory.

    Its id is the path of the file that an image was opened from; else ``image-`` and the beginning
    of the SHA-256 of its pixels.

    Args:
        source: A PIL image; or an array or tensor as for :func:`image_of_array`.
        root: Folder that ids are relative to.

    Raises:
        FuseError: If an array is no picture.

    >>> memory_target(Image.new("RGB", (8, 8), "red"), Root()).id
    'image-cf75e2d6'
    """
    image = source if isinstance(source, Image.Image) else image_of_array(source)
    opened = str(getattr(image, "filename", "") or "")
    content, digest = _file(image)
    name = root.name(Path(opened)) if opened else f"image-{digest}"
    return Target(name, [MemoryPicture(name, content)], source=f"{name} in memory ({digest})")


def _file(image: Image.Image) -> tuple[bytes, str]:
    """Uncompressed file of an image, and the beginning of the SHA-256 of its pixels."""
    try:
        image = ImageOps.exif_transpose(image)
        if image.has_transparency_data:
            image = image.convert("RGBA")
        if image.mode not in MODES:
            image = image.convert("RGB")
        stream = BytesIO()
        # Profiles and the like are no part of the picture.
        Image.Image.copy(image).save(stream, "TIFF", exif=b"", icc_profile=None, compression="raw")
    # An opened image is read now, and what is wrong with its file shows in many ways.
    except Exception as error:
        why = " ".join(str(error).split()) or type(error).__name__
        raise FuseError(f"image in memory is broken ({why}); read it again") from error
    known = hashlib.sha256(f"{image.mode} {image.size}".encode() + image.tobytes())
    return stream.getvalue(), known.hexdigest()[:DIGITS]


def image_of_array(values: Any) -> Image.Image:
    """Image of an array or tensor.

    Args:
        values: Shape (height, width) for grey; with 1, 3 or 4 colours shape (height, width,
            colours) or (colours, height, width), of which a tensor is taken for the latter, and
            an array for the former, where both are possible. Bytes, booleans, or floats in [0, 1].

    Raises:
        FuseError: If it has another shape, type or range.

    >>> image_of_array(np.ones((2, 3, 3))).getpixel((0, 0))
    (255, 255, 255)
    >>> image_of_array(torch.zeros(3, 2, 4)).size
    (4, 2)
    """
    first = isinstance(values, torch.Tensor)
    found = values.detach().cpu() if first else values
    if first and found.dtype in (torch.bfloat16, torch.float16):
        found = found.float()
    array = _colours_last(np.asarray(found), first)
    kind = array.dtype.kind
    if kind == "f":
        if not (array.size and array.min() >= 0 and array.max() <= 1):
            raise _unfit(array.shape, f"{array.dtype} from {_range(array)}")
        array = np.round(array * 255).astype(np.uint8)
    elif kind == "b":
        array = array.astype(np.uint8) * 255
    elif array.dtype != np.uint8 or not array.size:
        raise _unfit(array.shape, str(array.dtype))
    return Image.fromarray(np.ascontiguousarray(array))


def _range(array: NDArray[Any]) -> str:
    return f"{array.min():.4g} to {array.max():.4g}" if array.size else "nothing"


def _colours_last(array: NDArray[Any], first: bool) -> NDArray[Any]:
    """Array of shape (height, width) or (height, width, 3 or 4)."""
    if array.ndim == 3:
        places = [
            place for place in ((0, 2) if first else (2, 0)) if array.shape[place] in CHANNELS
        ]
        if not places:
            raise _unfit(array.shape, str(array.dtype))
        array = np.moveaxis(array, places[0], -1)
        return array[..., 0] if array.shape[-1] == 1 else array
    if array.ndim != 2:
        raise _unfit(array.shape, str(array.dtype))
    return array


def _unfit(shape: Sequence[int], kind: str) -> FuseError:
    return FuseError(
        f"an array of shape {tuple(shape)} and type {kind} is no picture; give height x width, or "
        "with 1, 3 or 4 colours, as bytes or as floats from 0 to 1"
    )
