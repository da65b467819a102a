"""Broken inputs by kind and seed, each read by the package's own function."""

import io
import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from random import Random
from unittest.mock import patch

import pyarrow as pa
import torch
from lightning.pytorch import Trainer
from PIL import Image
from safetensors.torch import save

from fuse_lightning.adapters.cache import cached_tensors
from fuse_lightning.adapters.maps import check_maps
from fuse_lightning.cli.config_files import config_text
from fuse_lightning.cli.lightning_cli import _check_checkpoint
from fuse_lightning.cli.main import main
from fuse_lightning.cli.resume import _given, last_checkpoint
from fuse_lightning.data import ImageTargets
from fuse_lightning.data.finished import Finished
from fuse_lightning.data.images import check_image, read_image
from fuse_lightning.data.web import Web
from fuse_lightning.errors import FuseError
from fuse_lightning.report import read_run
from fuse_lightning.report.write import page
from fuse_lightning.results.result import run_results
from tests.fuzzing import corpus
from tests.fuzzing.mutate import TEXTS, mutated
from tests.fuzzing.server import Answers

SHARES = {
    "picture": 50,
    "parquet": 8,
    "arrow": 8,
    "saved": 4,
    "manifest": 9,
    "config": 5,
    "checkpoint": 5,
    "cache": 5,
    "results": 3,
    "events": 1.5,
    "answer": 1.5,
}
"""Shares of the kinds in percent. "command" is read by the whole command line, at a tenth of a
second each."""


class Inputs:
    """Whole files, and what becomes of them.

    Args:
        folder: Where inputs are written; it becomes the working folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pictures = [content for _, content in corpus.pictures()]
        self.tables = corpus.tables()
        self.manifests = corpus.manifests()
        (folder / "board").mkdir()
        self.events = corpus.events(folder / "board")
        self.answers = corpus.answers()
        self.maps = {"1.1": torch.ones(1, 1, 2, 3), "2.1": torch.arange(12.0).view(2, 1, 2, 3)}
        cached_tensors(folder / "whole", "key", lambda: self.maps)
        self.cache = (folder / "whole/key.safetensors").read_bytes()
        self.parquets = [
            corpus.parquet(table, compression=name, row_group_size=2)
            for table in self.tables
            for name in ("none", "snappy", "zstd")
        ]
        self.arrows = [
            corpus.arrow(table, kind, compression=compression)
            for table in self.tables
            for kind in (pa.ipc.new_stream, pa.ipc.new_file)
            for compression in (None, "zstd", "lz4")
        ]
        self.server = Answers()

    def close(self) -> None:
        """Ends the server."""
        self.server.stop()

    def read(self, kind: str, seed: int) -> bool:
        """Makes an input and reads it.

        Args:
            kind: Its kind.
            seed: Its number; the same gives the same.

        Returns:
            Whether it was read after all; otherwise it was refused by one FuseError.
        """
        scratch = self.folder / "input"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        shutil.copy(self.folder / "whole" / "a.png", scratch / "a.png")
        reader: Callable[[Path, Random], None] = getattr(self, f"_{kind}")
        try:
            reader(scratch, Random(f"{kind}/{seed}"))
        except FuseError as error:
            if len(str(error).splitlines()) != 1:
                raise ValueError(f"several lines: {error}") from error
            return False
        return True

    def _change(self, content: bytes, rng: Random, text: bool = False) -> bytes:
        return mutated(content, rng, rng.choice(self.pictures), text)

    def _picture(self, folder: Path, rng: Random) -> None:
        content = self._change(rng.choice(self.pictures), rng)
        suffix = rng.choice(("png", "eps", "tif", "x"))
        file = folder / f"b.{suffix}" if rng.random() < 0.3 else None
        if file:
            file.write_bytes(content)
        with suppress(FuseError):
            check_image(file or content)
        assert read_image(file or content).mode == "RGB"

    def _targets(self, source: Path) -> None:
        for target in ImageTargets(str(source)).find_targets():
            assert all(image.mode == "RGB" for image in target.images)
            assert target.digest

    def _parquet(self, folder: Path, rng: Random) -> None:
        (folder / "t.parquet").write_bytes(self._change(rng.choice(self.parquets), rng))
        self._targets(folder / "t.parquet")

    def _arrow(self, folder: Path, rng: Random) -> None:
        (folder / "t.arrow").write_bytes(self._change(rng.choice(self.arrows), rng))
        self._targets(folder / "t.arrow")

    def _saved(self, folder: Path, rng: Random) -> None:
        names = ["data-0.arrow", "data-1.arrow"]
        state = {"_data_files": [{"filename": name} for name in names], "_split": None}
        files = {"state.json": json.dumps(state).encode()}
        files |= dict.fromkeys(names, rng.choice(self.arrows))
        name = rng.choice(list(files))
        files[name] = self._change(files[name], rng, text=name == "state.json")
        for name, content in files.items():
            (folder / name).write_bytes(content)
        self._targets(folder)

    def _manifest(self, folder: Path, rng: Random) -> None:
        name, content = rng.choice(self.manifests)
        (folder / name).write_bytes(self._change(content, rng, rng.random() < 0.7))
        self._targets(folder / name)

    def _config(self, folder: Path, rng: Random) -> None:
        content = self._change(corpus.configuration(), rng, rng.random() < 0.7)
        (folder / "config.yaml").write_bytes(content)
        config_text(folder / "config.yaml")
        assert _given(folder)

    def _command(self, folder: Path, rng: Random) -> None:
        config = folder / "config.yaml"
        config.write_bytes(self._change(corpus.configuration(), rng, rng.random() < 0.7))
        told = io.StringIO()
        with (
            patch.object(Trainer, "fit", lambda *_, **__: None),
            patch.object(sys, "argv", ["fuse"]),
            redirect_stdout(io.StringIO()),
            redirect_stderr(told),
        ):
            try:
                place = ("--trainer.logger=false", f"--trainer.default_root_dir={folder / 'run'}")
                main(["fit", "--config", str(config), *place])
            except SystemExit as end:
                lines = told.getvalue().splitlines()
                errors = [line for line in lines if line.startswith("error: ")]
                if (end.code, len(errors)) != (2, 1):
                    raise ValueError(f"code {end.code}: {told.getvalue()}") from end
                raise FuseError(errors[0]) from None

    def _checkpoint(self, folder: Path, rng: Random) -> None:
        (folder / "checkpoints").mkdir()
        values = corpus.checkpoint(str(folder.resolve()))
        for number in range(2):
            if rng.random() < 0.5:
                content = corpus.saved(corpus.wrong(values, rng))
            else:
                content = self._change(corpus.saved(values), rng)
            (folder / f"checkpoints/{number}.ckpt").write_bytes(content)
        found = last_checkpoint(folder)
        assert found is None or found.is_file()
        _check_checkpoint(folder / "checkpoints/0.ckpt")

    def _cache(self, folder: Path, rng: Random) -> None:
        content = self._change(self.cache, rng)
        if rng.random() < 0.3:
            values = corpus.wrong(dict(self.maps), rng)
            values = values if isinstance(values, dict) else {}
            tensors = {key: value for key, value in values.items() if torch.is_tensor(value)}
            content = save(tensors, {"key": "key"})
        (folder / "key.safetensors").write_bytes(content)

        def check(maps: dict[str, torch.Tensor]) -> None:
            check_maps(maps, (2, 3), 4)

        found = cached_tensors(folder, "key", lambda: self.maps, check)
        assert found.keys() == self.maps.keys()
        assert all(torch.equal(found[name], self.maps[name]) for name in self.maps)

    def _results(self, folder: Path, rng: Random) -> None:
        content = self._change(corpus.results(), rng, rng.random() < 0.7)
        (folder / "prompts.jsonl").write_bytes(content)
        with suppress(FuseError):
            Finished([str(folder)])
        assert run_results(folder)

    def _events(self, folder: Path, rng: Random) -> None:
        (folder / "events.out.tfevents.1").write_bytes(self._change(self.events, rng))
        (folder / "prompts.jsonl").write_bytes(corpus.results())
        assert page(read_run(folder))

    def _answer(self, folder: Path, rng: Random) -> None:
        content = rng.choice(self.answers)
        head, _, body = content.partition(b"\r\n\r\n")
        if rng.random() < 0.7:
            content = mutated(head, rng, rng.choice(TEXTS), text=True) + b"\r\n\r\n" + body
        else:
            content = self._change(content, rng)
        self.server.answer = content
        # The file goes with it.
        web = Web(urls=True)
        check_image(web.file(f"{self.server.address}/a.png"))


def prepared(folder: Path) -> Inputs:
    """Inputs in a folder, where temporary files are from now on."""
    (folder / "whole").mkdir()
    Image.new("RGB", (9, 9), "red").save(folder / "whole" / "a.png")
    (folder / "temporary").mkdir()
    tempfile.tempdir = str(folder / "temporary")
    return Inputs(folder)
