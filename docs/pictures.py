"""Draws the targets of a run above their prompts, or the top of a page of texts.

``python docs/pictures.py logs/search/version_0 docs/quickstart.png``
``python docs/pictures.py logs/decode/version_0/report.html docs/decoding.png 700`` (needs chromium;
the number is the height in pixels)
"""

import json
import math
import subprocess
import sys
import textwrap
from pathlib import Path

import yaml
from PIL import Image, ImageDraw, ImageFont

from fuse_lightning import data
from fuse_lightning.data.targets import Target

SIDE, GAP, LINE, WIDTH = 256, 16, 23, 28
COLUMNS = 4


def main(run: Path, out: Path) -> None:
    """One cell for each target, its best prompt below it."""
    lines = (run / "prompts.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [row for row in map(json.loads, lines) if row.get("rank", 1) == 1]
    given = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))["data"]
    served = getattr(data, given["class_path"].split(".")[-1])(**given["init_args"])
    targets = {target.id: target for target in served.find_targets()}
    cells = [(targets[row["target"]], texts(targets[row["target"]], row)) for row in rows]
    height = SIDE + GAP + LINE * max(len(text.split("\n")) for _, text in cells)
    columns = min(COLUMNS, len(cells))
    size = (
        columns * (SIDE + GAP) + GAP,
        math.ceil(len(cells) / columns) * (height + GAP) + GAP,
    )
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=17)
    for number, (target, text) in enumerate(cells):
        left = GAP + number % columns * (SIDE + GAP)
        top = GAP + number // columns * (height + GAP)
        sheet.paste(square(target), (left, top))
        draw.rectangle((left, top, left + SIDE - 1, top + SIDE - 1), outline="#999999")
        draw.multiline_text((left, top + SIDE + 8), text, fill="black", font=font, spacing=5)
    sheet.save(out, optimize=True)


def photograph(page: Path, out: Path, height: int) -> None:
    """The top of a page, as a browser shows it."""
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    size = f"--window-size=1100,{height}"
    place = page.resolve().as_uri()
    subprocess.run(["chromium", *flags, size, f"--screenshot={out.resolve()}", place], check=True)
    with Image.open(out) as picture:
        picture.convert("P", palette=Image.Palette.ADAPTIVE, colors=128).save(out, optimize=True)


def texts(target: Target, row: dict[str, object]) -> str:
    """What stands below a target."""
    wanted = [f"wanted: {target.sentiment}"] if target.sentiment else []
    return "\n".join([*wanted, *textwrap.wrap(str(row["prompt"]), WIDTH)])


def square(target: Target) -> Image.Image:
    """Pictures of a target side by side, or its text."""
    sheet = Image.new("RGB", (SIDE, SIDE), "white")
    if not target.pictures:
        font = ImageFont.load_default(size=15)
        lines = "\n".join(textwrap.wrap(target.text or "", 32))
        ImageDraw.Draw(sheet).multiline_text((8, 8), lines, fill="#555555", font=font, spacing=4)
        return sheet
    across = math.ceil(math.sqrt(len(target.pictures)))
    side = SIDE // across
    for number, image in enumerate(target.images):
        place = number % across * side, number // across * side
        sheet.paste(image.resize((side, side), Image.Resampling.LANCZOS), place)
    return sheet


if __name__ == "__main__":
    given, drawn = Path(sys.argv[1]), Path(sys.argv[2])
    if given.suffix == ".html":
        photograph(given, drawn, int(sys.argv[3]))
    else:
        main(given, drawn)
