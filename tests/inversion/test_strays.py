"""What a pattern of the shell brings along with pictures is left out, and nothing else."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fuse_lightning.cli.main import main
from fuse_lightning.errors import FuseError
from fuse_lightning.inversion import invert
from fuse_lightning.inversion.strays import without_strays
from fuse_lightning.utilities.option_names import as_typed

SHORT = {"steps": 1, "top": 1}


@pytest.fixture(autouse=True)
def photos(tmp_path, monkeypatch):
    """A folder with two pictures, one of them of an odd name, and with other files."""
    monkeypatch.chdir(tmp_path)
    folder = Path("photos")
    (folder / "more").mkdir(parents=True)
    for name, kind in (("a.png", "PNG"), ("b.raw", "BMP")):
        Image.effect_noise((32, 32), 90).save(folder / name, kind)
    for name in ("a.txt", "b.txt", "c.txt", "notes.md"):
        (folder / name).write_text("hello")
    (folder / "exif.csv").write_text("name,iso\na,100\n")
    (folder / "meta.json").write_text("{}")
    (folder / "list.jsonl").write_text(json.dumps({"file_name": "a.png"}))
    return folder


def test_files_without_pictures_are_told_in_one_line(photos, caplog):
    given = sorted(map(str, photos.iterdir()))
    names = [Path(each).name for each in without_strays(given)]
    assert names == ["a.png", "b.raw", "list.jsonl", "more"]
    (line,) = caplog.messages
    assert line.startswith("the given pictures: 4 left out: 'photos/c.txt' (no picture by its")
    assert "'photos/exif.csv'" in line
    assert "a.txt" not in line
    assert "b.txt" not in line


def test_what_is_no_file_or_a_broken_picture_stays(photos):
    (photos / "broken.png").write_text("no picture")
    given = [np.zeros((9, 9)), "photos/gone.md", "photos/*.md", "photos/broken.png", Path("photos")]
    kept = without_strays([*given, "photos/notes.md"])
    assert all(one is other for one, other in zip(kept, given, strict=True))


@pytest.mark.parametrize(
    "given",
    [["photos/meta.json"], ["photos/c.txt", "photos/meta.json"], ["a text", "photos/c.txt"]],
)
def test_without_a_picture_among_them_all_stay(given):
    assert without_strays(given) == given


def test_the_command_searches_the_pictures_and_ends_well(photos, capsys):
    given = [str(path) for path in sorted(photos.iterdir()) if path.is_file()]
    main(["invert", *given, "--steps", "1", "--top", "1"])
    told = capsys.readouterr()
    names = [line for line in told.out.splitlines() if line[0] != " "]
    assert names == ["photos/a.png", "photos/b.raw"]


def test_pictures_and_texts_by_name_from_python(photos):
    (row,) = invert(["photos/a.png", "photos/a.txt"], **SHORT)
    assert row.target == "photos/a.png"


def test_a_text_alone_is_told_how_to_give_it(photos):
    with pytest.raises(FuseError, match=r"^'photos/c.txt' is no picture; give texts as text$"):
        invert(images="photos/c.txt")
    with as_typed(), pytest.raises(FuseError, match=r"give texts as --text$"):
        invert(images="photos/c.txt")
    with pytest.raises(FuseError, match=r"'photos/meta.json' cannot be read: it is no list"):
        invert(images="photos/meta.json")
