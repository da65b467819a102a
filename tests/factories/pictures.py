"""Small pictures, and how to compare their colours."""

import numpy as np
from PIL import Image

RED, GREEN, BLUE, WHITE, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255,) * 3, (0,) * 3


def noise(mode="RGB", side=64):
    values = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
    return Image.fromarray(values).convert(mode)


def close(pixel, wanted, tolerance=3):
    return max(abs(a - b) for a, b in zip(pixel, wanted, strict=True)) <= tolerance


def write_pictures(folder, count=3):
    """Writes pictures of noise, ``0.png`` and on."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    for index in range(count):
        pixels = rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
    return folder
