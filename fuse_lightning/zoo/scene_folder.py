"""Folder of pictures of random scenes with their captions."""

import json
import random
from pathlib import Path

from fuse_lightning.zoo.render import render
from fuse_lightning.zoo.scenes import Sentiment, sample_scene, sample_wording

REFERENCES = 4
"""Number of captions of a scene beside its first one."""


def write_scenes(out: Path, count: int, rng: random.Random, sentiment: Sentiment = "none") -> None:
    """Writes pictures and a metadata.jsonl, as an image folder of the datasets library has them.

    Args:
        out: The folder to write.
        count: How many scenes.
        rng: Source of randomness.
        sentiment: Sentiment of the captions' mood word, "none" for no mood word.

    Raises:
        OSError: If the folder cannot be written.
    """
    out.mkdir(parents=True, exist_ok=True)
    rows = []
    for index in range(count):
        scene = sample_scene(rng)
        name = f"scene-{index:0{len(str(count - 1))}}"
        render(scene, rng).save(out / f"{name}.png")
        caption, *references = (
            sample_wording(scene, rng, sentiment, full=True)[0].text()
            for _ in range(REFERENCES + 1)
        )
        rows.append(
            {
                "id": name,
                "file_name": f"{name}.png",
                "caption": caption,
                "references": references,
                "objects": [
                    {"shape": kind.shape, "color": kind.color, "size": kind.size}
                    for kind in scene.kinds
                    for _ in range(kind.count)
                ],
                "background": scene.background,
                "relation": scene.relation,
                "sentiment": sentiment,
            }
        )
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (out / "metadata.jsonl").write_text(text, encoding="utf-8")
