"""Draws docs/quickstart.png from the results of a quickstart run.

``python docs/pictures.py logs/search/version_0``
"""

import json
import sys
import textwrap
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from fuse_lightning.data import ImageTargets

SIDE, GAP, TEXT = 256, 16, 96


def main(run: Path) -> None:
    """Places each target above its prompt."""
    rows = [json.loads(line) for line in (run / "prompts.jsonl").read_text().splitlines()]
    targets = {target.id: target for target in ImageTargets("zoo/scenes").find_targets()}
    width = len(rows) * (SIDE + GAP) + GAP
    sheet = Image.new("RGB", (width, SIDE + TEXT + 2 * GAP), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=17)
    for column, row in enumerate(rows):
        left = GAP + column * (SIDE + GAP)
        image = targets[row["target"]].images[0].resize((SIDE, SIDE), Image.Resampling.LANCZOS)
        sheet.paste(image, (left, GAP))
        draw.rectangle((left, GAP, left + SIDE - 1, GAP + SIDE - 1), outline="#999999")
        text = "\n".join(textwrap.wrap(row["prompt"], 28))
        draw.multiline_text((left, GAP + SIDE + 10), text, fill="black", font=font, spacing=5)
    sheet.save(Path(__file__).parent / "quickstart.png", optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
