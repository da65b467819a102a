"""Pictures of zoo scenes: 64 px, anti-aliased, jittered in place, size, angle and colour."""

import math
import random

from PIL import Image, ImageDraw

from fuse_lightning.zoo.scenes import Scene

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
RADIUS = {"small": (5.4, 6.2), "large": (9.2, 10.0)}
"""Half extent of an object in pixels: the small ones are large enough to tell a star."""


def render(scene: Scene, rng: random.Random) -> Image.Image:
    """A picture of ``scene``, RGB, ``IMAGE_SIZE`` pixels square."""
    side = IMAGE_SIZE * SUPERSAMPLING
    image = Image.new("RGB", (side, side), _jitter(BACKGROUND_RGB[scene.background], 8, rng))
    draw = ImageDraw.Draw(image)
    for index, kind in enumerate(scene.kinds):
        color = _jitter(RGB[kind.color], 10, rng)
        for x, y in _places(scene, index, rng):
            radius = rng.uniform(*RADIUS[kind.size])
            points = _outline(kind.shape, radius, rng)
            draw.polygon(
                [((x + dx) * SUPERSAMPLING, (y + dy) * SUPERSAMPLING) for dx, dy in points],
                fill=color,
            )
    return image.reduce(SUPERSAMPLING)


def _jitter(rgb: tuple[int, int, int], spread: int, rng: random.Random) -> tuple[int, int, int]:
    r, g, b = (min(255, max(0, value + rng.randint(-spread, spread))) for value in rgb)
    return r, g, b


def _places(scene: Scene, index: int, rng: random.Random) -> list[tuple[float, float]]:
    """Centres of one kind's objects, in pixels: in a row inside the kind's own half."""
    kind = scene.kinds[index]
    reach = RADIUS[kind.size][1]
    cell = IMAGE_SIZE / kind.count
    # Rows of two kinds stay near their grid: a free diagonal would be both beside and above.
    slack = min(cell / 2 - reach, 5 if scene.relation else IMAGE_SIZE)
    along = [cell * (i + 0.5) + rng.uniform(-slack, slack) for i in range(kind.count)]
    low, high = (0, IMAGE_SIZE) if scene.relation is None else (index * 32, index * 32 + 32)
    across = [rng.uniform(low + reach + 1, high - reach - 1) for _ in along]
    vertical_row = scene.relation == "left of" or (scene.relation is None and rng.random() < 0.5)
    return list(
        zip(across, along, strict=True) if vertical_row else zip(along, across, strict=True)
    )


def _outline(shape: str, radius: float, rng: random.Random) -> list[tuple[float, float]]:
    """Corners of a shape around the origin, turned by up to 12 degrees."""
    turn = rng.uniform(-math.pi / 15, math.pi / 15)

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
