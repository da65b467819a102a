"""Pictures of zoo scenes: 64 px, anti-aliased, jittered in place, size, angle and colour."""

import math
import random
from dataclasses import dataclass

from PIL import Image, ImageDraw

from fuse_lightning.zoo.scenes import Kind, Scene

IMAGE_SIZE = 64
SUPERSAMPLING = 4

RGB = {
    "red": (214, 32, 36),
    "orange": (250, 132, 10),
    "yellow": (248, 222, 30),
    "green": (28, 132, 48),
    "turquoise": (32, 196, 190),
    "blue": (34, 66, 214),
    "purple": (126, 42, 160),
    "pink": (255, 128, 190),
}
BACKGROUND_RGB = {
    "snow": (244, 246, 250),
    "night": (18, 18, 40),
    "sand": (222, 200, 156),
    "fog": (150, 152, 156),
    "sky": (176, 216, 246),
    "grass": (164, 208, 112),
}
RADIUS = {"small": (6.1, 6.7), "large": (9.4, 10.0)}
"""Least and most half extent of an object in pixels; a small star can still be told."""
JITTER = 3.0
"""Largest random shift of an object along either axis, in pixels."""


@dataclass(frozen=True)
class Placed:
    """One object in a picture: centre and half extent in pixels."""

    kind: Kind
    x: float
    y: float
    radius: float


def layout(scene: Scene, rng: random.Random) -> list[Placed]:
    """Random places of a scene's objects, in pixels."""
    return [
        Placed(kind, x, y, rng.uniform(*RADIUS[kind.size]))
        for index, kind in enumerate(scene.kinds)
        for x, y in _places(scene, index, rng)
    ]


def draw(scene: Scene, objects: list[Placed], rng: random.Random) -> Image.Image:
    """A picture of placed objects, RGB, ``IMAGE_SIZE`` pixels square."""
    side = IMAGE_SIZE * SUPERSAMPLING
    image = Image.new("RGB", (side, side), _jitter(BACKGROUND_RGB[scene.background], 8, rng))
    canvas = ImageDraw.Draw(image)
    for placed in objects:
        points = _outline(placed.kind.shape, placed.radius, rng)
        canvas.polygon(
            [((placed.x + x) * SUPERSAMPLING, (placed.y + y) * SUPERSAMPLING) for x, y in points],
            fill=_jitter(RGB[placed.kind.color], 10, rng),
        )
    return image.reduce(SUPERSAMPLING)


def render(scene: Scene, rng: random.Random) -> Image.Image:
    """A picture of ``scene``, RGB, ``IMAGE_SIZE`` pixels square."""
    return draw(scene, layout(scene, rng), rng)


def _jitter(rgb: tuple[int, int, int], spread: int, rng: random.Random) -> tuple[int, int, int]:
    r, g, b = (min(255, max(0, value + rng.randint(-spread, spread))) for value in rgb)
    return r, g, b


def _places(scene: Scene, index: int, rng: random.Random) -> list[tuple[float, float]]:
    """Centres of one kind's objects, in pixels: in a row inside the kind's own half."""
    kind = scene.kinds[index]
    cell = IMAGE_SIZE / kind.count
    along = [cell * (i + 0.5) for i in range(kind.count)]
    lane = IMAGE_SIZE / 2 if scene.relation is None else IMAGE_SIZE * (0.25 + 0.5 * index)
    if scene.relation is None:
        # A single kind has the whole picture to itself.
        lane += rng.uniform(-16, 16)
    across = [lane] * kind.count
    along, across = ([v + rng.uniform(-JITTER, JITTER) for v in row] for row in (along, across))
    vertical_row = scene.relation == "left of" or (scene.relation is None and rng.random() < 0.5)
    return list(
        zip(across, along, strict=True) if vertical_row else zip(along, across, strict=True)
    )


def _outline(shape: str, radius: float, rng: random.Random) -> list[tuple[float, float]]:
    """Corners of a shape around the origin, turned by up to 8 degrees."""
    turn = rng.uniform(-math.pi / 22, math.pi / 22)

    def polar(radii: list[float], start: float) -> list[tuple[float, float]]:
        step = 2 * math.pi / len(radii)
        angles = [start + turn + i * step for i in range(len(radii))]
        return [(r * math.cos(a), r * math.sin(a)) for r, a in zip(radii, angles, strict=True)]

    match shape:
        case "circle":
            return polar([0.95 * radius] * 48, 0.0)
        case "square":
            return polar([1.2 * radius] * 4, math.pi / 4)
        case "triangle":
            return polar([1.15 * radius] * 3, -math.pi / 2)
        case "star":
            return polar([1.15 * radius, 0.45 * radius] * 5, -math.pi / 2)
        case _:
            outer, inner = 1.05 * radius, 0.36 * radius
            arm = math.hypot(outer, inner)
            half = math.atan2(inner, outer)
            corners = []
            for quarter in range(4):
                for radius_, angle in (
                    (arm, -half),
                    (arm, half),
                    (inner * math.sqrt(2), math.pi / 4),
                ):
                    a = angle + turn + quarter * math.pi / 2
                    corners.append((radius_ * math.cos(a), radius_ * math.sin(a)))
            return corners
