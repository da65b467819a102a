"""Supported picture formats and their file endings."""

from PIL import Image

# fmt: off
FORMATS = (
    "AVIF", "BLP", "BMP", "CUR", "DCX", "DDS", "DIB", "FLI", "FTEX", "GBR", "GIF", "ICNS", "ICO",
    "IM", "JPEG", "JPEG2000", "MPO", "MSP", "PCD", "PCX", "PIXAR", "PNG", "PPM", "PSD", "QOI",
    "SGI", "SUN", "TGA", "TIFF", "WEBP", "XBM", "XPM", "XVTHUMB",
)
# fmt: on
"""Formats that Pillow decodes in this process, in a time bounded by the size of the file.

A list of what is read, so that what a later Pillow adds is not read unseen. Not in it:

- EPS: Ghostscript is started to draw it.
- FPX, MIC: OLE containers, which a package of others unpacks.
- BUFR, GRIB, HDF5, MPEG, WMF: Pillow only knows them; nothing, or a handler that a program
  registers, or Windows, draws them.
- IPTC: holds a picture that Pillow opens in any format, EPS too.
- FITS: a small gzip part unpacks to any size, and is read pixel by pixel in Python.
- IMT, MCIDAS, SPIDER: measurements and texts without a mark that tells them from other files.
"""

Image.init()
# A Pillow that was built without a library lacks its formats; JPEG opens those that MPO means.
OPENED = tuple(name for name in FORMATS if name in Image.OPEN)
SUFFIXES = frozenset(
    suffix for suffix, name in Image.registered_extensions().items() if name in FORMATS
)
"""Endings of picture files, with the dot."""

PNG = b"\x89PNG\r\n\x1a\n"
PIXELS = frozenset((b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"acTL", b"fcTL", b"fdAT", b"IEND"))
"""Chunks of a PNG that describe its pixels."""


def refused_format(beginning: bytes) -> str | None:
    """Name of a picture format that Pillow reads and this package does not, or ``None``.

    Args:
        beginning: The file's first 16 bytes.

    >>> refused_format(b"%!PS-Adobe-3.0 E")
    'EPS'
    >>> refused_format(PNG + bytes(8)) is None
    True
    """
    for name, (_, accepts) in Image.OPEN.items():
        try:
            if name not in FORMATS and accepts and accepts(beginning):
                return name
        # Each looks at the bytes in its own way, which there may be none of.
        except Exception:
            continue
    return None


def without_metadata(content: bytes) -> bytes | None:
    """Copy of a PNG without texts, dates and EXIF; ``None`` if there is nothing to remove.

    >>> without_metadata(b"GIF89a") is None
    True
    """
    if not content.startswith(PNG):
        return None
    kept, at = [PNG], len(PNG)
    while at + 8 <= len(content):
        end = at + 12 + int.from_bytes(content[at : at + 4])
        if content[at + 4 : at + 8] in PIXELS:
            kept.append(content[at:end])
        at = end
    bare = b"".join(kept)
    return bare if bare != content else None
