"""Whole files of every kind that the package reads."""

import io
import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import yaml
from PIL import ExifTags, Image, PngImagePlugin
from torch.utils.tensorboard import SummaryWriter

from fuse_lightning.results.export import json_lines
from fuse_lightning.results.result import Result

SIZE = 20, 14
CONFIG = {
    "seed_everything": 1,
    "model": {
        "class_path": "AutoDAN",
        "init_args": {
            "steps": 2,
            "constraints": {"tokens": "words", "block": ["red"]},
            "adapter": {"kind": "lookup"},
            "terms": [
                {"class_path": "Fluency", "init_args": {"model": "zoo/gpt2", "weight": 1.0}},
                {"class_path": "ImageSimilarity", "init_args": {"model": "zoo/clip"}},
            ],
        },
    },
    "data": {"class_path": "ImageTargets", "init_args": {"images": "a.png", "batch_size": 1}},
    "trainer": {
        "accelerator": "cpu",
        "max_epochs": 1,
        "logger": {
            "class_path": "lightning.pytorch.loggers.TensorBoardLogger",
            "init_args": {"save_dir": "logs", "name": "search", "version": None},
        },
        "callbacks": [
            {"class_path": "BeamSearch", "init_args": {"beam_width": 2}},
            {"class_path": "ModelCheckpoint", "init_args": {"dirpath": "kept"}},
        ],
    },
}


def pictures() -> Iterator[tuple[str, bytes]]:
    """A name and a file of every format that Pillow writes, in its modes and compressions."""
    Image.init()
    values = np.random.default_rng(0).integers(0, 256, (*SIZE[::-1], 4), np.uint8)
    source = Image.fromarray(values)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif.get_ifd(ExifTags.IFD.GPSInfo)[1] = "N"
    texts = PngImagePlugin.PngInfo()
    texts.add_text("a", "b" * 50, zip=True)
    texts.add_itxt("c", "d", zip=True)
    two: dict[str, Any] = {"save_all": True, "append_images": [source.convert("RGB")]}
    more: dict[str, list[dict[str, Any]]] = {
        "PNG": [{"exif": exif, "pnginfo": texts, "icc_profile": b"icc"}, two],
        "JPEG": [{"exif": exif, "progressive": True}, {"quality": 5, "comment": b"c"}],
        "TIFF": [{"compression": name} for name in ("tiff_lzw", "jpeg", "tiff_deflate", "packbits")]
        + [{"exif": exif}, two],
        "GIF": [two],
        "WEBP": [{"lossless": True, "exif": exif}, two],
        "AVIF": [{"exif": exif}, two],
        "DDS": [{"pixel_format": name} for name in ("DXT1", "DXT5", "BC5")],
        "JPEG2000": [{"irreversible": True}, {"no_jp2": True}],
        "TGA": [{"compression": "tga_rle"}],
        "BLP": [{"blp_version": "BLP1"}],
        "SGI": [{"bpc": 2}],
        "MPO": [two],
        "ICO": [{"bitmap_format": "bmp"}],
    }
    for name in sorted(Image.SAVE):
        for mode in ("RGB", "RGBA", "L", "P", "1", "LA", "CMYK", "I;16", "F"):
            # An icon of a Mac is drawn in ten sizes each time.
            if name == "ICNS" and mode != "RGBA":
                continue
            for options in [{}, *(more.get(name, []) if mode == "RGB" or name == "BLP" else [])]:
                file = io.BytesIO()
                try:
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore")
                        _in_mode(source, mode).save(file, name, **options)
                # Each format has its own words for a mode that it cannot write.
                except Exception:
                    continue
                if len(file.getvalue()) < 20_000:
                    yield f"{name} {mode} {options}", file.getvalue()


def _in_mode(source: Image.Image, mode: str) -> Image.Image:
    if mode == "I;16":
        return Image.fromarray(np.asarray(source.convert("L"), np.uint16) * 257)
    return source.convert("RGB").convert(mode) if mode in ("P", "CMYK") else source.convert(mode)


def png(color: str = "red") -> bytes:
    """A small picture."""
    file = io.BytesIO()
    Image.new("RGB", (9, 9), color).save(file, "PNG")
    return file.getvalue()


def tables() -> list[pa.Table]:
    """Tables whose columns are of several kinds."""
    info = {"_type": "ClassLabel", "names": ["negative", "positive"]}
    meta = {b"huggingface": json.dumps({"info": {"features": {"mood": info}}}).encode()}
    cells = [{"bytes": png(color), "path": None} for color in ("red", "blue", "lime")]
    columns = {
        "image": pa.array([*cells, {"bytes": None, "path": "a.png"}]),
        "mood": [0, 1, 1, 0],
        "caption": ["a star", "b", "c", None],
    }
    labels = pa.array(["x", "y", "x"]).dictionary_encode()
    lists = pa.array([[png()], [png("blue"), png()], [png()]], pa.list_(pa.binary()))
    return [
        pa.table(columns).replace_schema_metadata(meta),
        pa.table({"images": lists, "kind": labels, "references": [["a"], [], ["b", "c"]]}),
        pa.table({"file_name": ["a.png"] * 9, "id": range(9)}),
    ]


def arrow(table: pa.Table, kind: Callable[..., Any] = pa.ipc.new_stream, **options: Any) -> bytes:
    """A table as an Arrow stream or file."""
    file = io.BytesIO()
    with kind(file, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table, max_chunksize=2)
    return file.getvalue()


def parquet(table: pa.Table, **options: Any) -> bytes:
    """A table as a Parquet file."""
    file = io.BytesIO()
    pq.write_table(table, file, **options)
    return file.getvalue()


def manifests() -> list[tuple[str, bytes]]:
    """Names and contents of manifests."""
    rows = [
        {"file_name": "a.png", "id": number, "caption": "a red star", "sentiment": "positive"}
        for number in range(3)
    ]
    rows.append({"file_names": ["a.png", "a.png"], "text": "words", "references": ["a", "b"]})
    cells = 'file_name,id,references\na.png,1,"[""a"", ""b""]"\n"a.png",2,text\n'
    return [
        ("metadata.jsonl", "\n".join(map(json.dumps, rows)).encode()),
        ("metadata.json", json.dumps(rows, indent=1).encode()),
        ("metadata.csv", cells.encode()),
    ]


def configuration() -> bytes:
    """A run's configuration."""
    return yaml.safe_dump(CONFIG).encode()


def saved(value: Any) -> bytes:
    """A value as torch saves it."""
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


def checkpoint(run: str) -> dict[str, Any]:
    """What Lightning and a search write of themselves."""
    search = {"name": "a", "step": 3, "kept": [], "generator": torch.zeros(16)}
    state = {
        "identity": {"seed": "0", "weight of fluency": "1.0"},
        "searches": {"a": {"search": search, "frontier": {"frontier": [(1.5, [1, 2])]}}},
        "results": [json.loads(line) for line in results().splitlines()],
    }
    progress = {"total": {"ready": 3, "completed": 3}, "current": {"ready": 1, "completed": 1}}
    return {
        "epoch": 0,
        "global_step": 3,
        "run": run,
        "pytorch-lightning_version": "2.6.4",
        "state_dict": {"_extra_state": state},
        "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": progress}},
        "callbacks": {"BeamSearch": {"beams": [[1, 2], [3]], "losses": [0.5, 1.5]}},
        "optimizer_states": [{}],
    }


def wrong(value: Any, rng: Random) -> Any:
    """A value of the same form with one part of another kind."""
    if isinstance(value, dict) and value and rng.random() < 0.8:
        key = rng.choice(list(value))
        if rng.random() < 0.15:
            return {name: part for name, part in value.items() if name != key}
        return {**value, key: wrong(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.8:
        at = rng.randrange(len(value))
        return [*value[:at], wrong(value[at], rng), *value[at + 1 :]]
    odd = (None, -1, 2**70, 1e999, float("nan"), "", "x", [], {}, [[]], True, (1, 2))
    return rng.choice((*odd, torch.zeros(3), torch.full((2,), torch.nan)))


def results() -> bytes:
    """A ``prompts.jsonl``."""
    rows = [
        Result(f"t{number}", "a red star", [1, 2], 1.5, {"fluency": 1.0}, 3, 0, 2.0, rank)
        for number in range(3)
        for rank in (1, 2)
    ]
    return json_lines(rows).encode()


def events(folder: Path) -> bytes:
    """A file of TensorBoard's events."""
    with SummaryWriter(folder) as board:
        for step in range(3):
            board.add_scalar("train/best", 1.0 / (step + 1), step)
        board.add_image("target/t0", np.zeros((3, 4, 3), np.uint8), 0, dataformats="HWC")
    (path,) = folder.glob("events*")
    return path.read_bytes()


def answers() -> list[bytes]:
    """Answers of a web server."""
    body = png()
    ok = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n"
    half = len(body) // 2
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:half], body[half:]))
    return [
        ok + b"Content-Length: %d\r\n\r\n" % len(body) + body,
        ok + b"\r\n" + body,
        ok + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\nX: a\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" + ok + b"\r\n" + body,
        b"HTTP/1.1 302 Found\r\nLocation: /good\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.0 404 Not Found\r\n\r\nno",
    ]
