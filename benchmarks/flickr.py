"""Captions of the Flickr8k test images."""

from pathlib import Path


def first_captions(captions: Path, images: Path, count: int, number: int = 0) -> list[str]:
    """One caption of each of the first images.

    Args:
        captions: Lines of image name, "#", caption number, tab, caption.
        images: Names of the test images.
        count: How many images.
        number: Number of the caption, from 0.
    """
    lines = captions.read_text(encoding="utf-8").splitlines()
    known = dict(line.split("\t", 1) for line in lines if "\t" in line)
    names = [f"{name}#{number}" for name in images.read_text(encoding="utf-8").split()]
    return [known[name].strip() for name in names if name in known][:count]
