"""Folders and patterns: what is a picture, what is left out, and that neither ever waits."""

import os
from pathlib import Path

import pytest
from PIL import Image

from fuse_lightning.data import ImageTargets, folders
from fuse_lightning.data.folders import matching
from fuse_lightning.data.images import SUFFIXES
from fuse_lightning.errors import FuseError


def picture(path):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (9, 9), "red").save(path, "png")


def ids(source, **options):
    return [target.id for target in ImageTargets(source, **options).find_targets()]


@pytest.fixture
def mixed():
    """A folder of all sorts."""
    for name in ("a.png", "style/1.png", "deep/below/1.png", "deep/below/more/1.png", ".h/1.png"):
        picture(f"m/{name}")
    Path("m/note.txt").write_text("no picture")
    Path("m/style/read.me").write_text("no picture")
    Path("m/.hidden.txt").write_text("of the system")
    Path("m/gone.png").symlink_to("nowhere.png")
    os.mkfifo("m/pipe.png")
    return "m"


@pytest.fixture
def locked(monkeypatch):
    """A folder with a sub-folder that may not be read, whoever asks."""
    picture("l/a.png")
    picture("l/shut/1.png")
    listdir, scandir = os.listdir, os.scandir

    def refusing(read):
        def asked(path="."):
            if Path(path).name == "shut":
                raise PermissionError(13, "Permission denied", str(path))
            return read(path)

        return asked

    monkeypatch.setattr(os, "listdir", refusing(listdir))
    monkeypatch.setattr(os, "scandir", refusing(scandir))
    return "l"


def test_what_a_folder_leaves_out_is_counted_and_named(mixed, caplog):
    assert ids(mixed) == ["m/a.png", "m/style"]
    assert caplog.messages == [
        "folder 'm': 6 left out: 'note.txt' (no picture by its ending), "
        "'gone.png' (a link to nothing), 'pipe.png' (no regular file), "
        "'deep/below/1.png' (two folders down), 'deep/below/more' (two folders down) and 1 more"
    ]


def test_a_folder_of_pictures_alone_says_nothing(caplog):
    picture("m/a.png")
    picture("m/style/b.png")
    assert ids("m") == ["m/a.png", "m/style"]
    assert not caplog.messages


@pytest.mark.parametrize("name", ["a.txt", "b.pdf/../c.doc", "deep/below/1.png"])
def test_a_folder_of_other_things_says_what_it_holds(name):
    Path("m/b.pdf").mkdir(parents=True)
    path = Path("m", name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("no picture")
    with pytest.raises(FuseError, match=r"folder 'm' holds no images; .*; it holds '") as error:
        ids("m")
    assert repr(os.path.normpath(name)) in str(error.value)


@pytest.mark.parametrize("suffix", sorted(SUFFIXES))
def test_whatever_can_be_read_is_a_picture(suffix, caplog):
    picture(f"m/a{suffix}")
    assert ids("m") == ids("m/*") == ids(f"m/*{suffix}") == [f"m/a{suffix}"]
    assert not caplog.messages


def test_an_ending_that_a_pattern_names_is_meant(caplog):
    picture("m/a.scan")
    picture("m/b.png")
    assert ids("m/*.scan") == ["m/a.scan"]
    Path("m/c.scan").write_text("no picture")
    with pytest.raises(FuseError, match=r"image 'm/c\.scan' cannot be read as a picture"):
        ids("m/*.scan")
    Path("m/m.jsonl").write_text('{"file_name": "b.png", "id": "B"}\n')
    assert ids("m/*.jsonl") == ["B"]


def test_what_a_pattern_leaves_out_is_counted_and_named(mixed, caplog):
    assert ids("m/*") == ["m/a.png"]
    assert ids("m/**") == [
        "m/a.png",
        "m/deep/below/1.png",
        "m/deep/below/more/1.png",
        "m/style/1.png",
    ]
    assert caplog.messages == [
        "pattern 'm/*': 5 left out: 'm/note.txt' (no picture by its ending), "
        "'m/gone.png' (a link to nothing), 'm/pipe.png' (no regular file), "
        "'m/deep' (a folder), 'm/style' (a folder)",
        "pattern 'm/**': 4 left out: 'm/note.txt' (no picture by its ending), "
        "'m/style/read.me' (no picture by its ending), 'm/gone.png' (a link to nothing), "
        "'m/pipe.png' (no regular file)",
    ]
    with pytest.raises(FuseError, match=r"no image matches 'm/n\*'; it matches 'm/note\.txt'"):
        ids("m/n*")


def test_two_links_in_a_circle_end(mixed):
    for name in ("one", "two"):
        Path("m", name).symlink_to(".")
    assert ids("m/**/*.png") == [
        "m/a.png",
        "m/deep/below/1.png",
        "m/deep/below/more/1.png",
        "m/style/1.png",
    ]
    assert [str(path) for path in matching("**/**/m/**/s*/**/1.png").files] == ["m/style/1.png"]
    # Each link is a sub-folder of the pictures that lie in the folder.
    assert ids("m") == ["m/a.png", "m/one", "m/style", "m/two"]


def test_a_pattern_begins_anywhere(tmp_path, monkeypatch):
    picture("m/a.png")
    picture("m/[x]/b.png")
    assert ids("**/*.png") == ids("./**/*.png") == ids(f"{tmp_path}/**/*.png")
    assert ids("**/*.png") == ["m/[x]/b.png", "m/a.png"]
    monkeypatch.chdir("m")
    assert ids("../**/a.png") == ["a.png"]


def test_a_sub_folder_that_cannot_be_read_is_a_target_that_cannot_be_read(locked):
    with pytest.raises(FuseError, match=r"folder 'l/shut' cannot be read \(Permission denied\)"):
        ids(locked)
    data = ImageTargets(locked, on_error="skip")
    assert [target.id for target in data.find_targets()] == ["l/a.png"]
    assert [*data.skipped] == ["l/shut"]
    with pytest.raises(FuseError, match="folder 'l/shut' cannot be read"):
        ids("l/shut")


def test_what_cannot_be_read_is_left_out_of_patterns_and_further_down(locked, caplog):
    assert ids("**/*.png") == ["l/a.png"]
    picture("up/l/a.png")
    Path("up/l/shut").mkdir()
    assert ids("up") == ["up/l"]
    assert caplog.messages == [
        "pattern '**/*.png': 1 left out: 'l/shut' (it cannot be read)",
        "folder 'up': 1 left out: 'l/shut' (it cannot be read)",
    ]


def test_a_name_that_cannot_be_looked_at_is_left_out(caplog, monkeypatch):
    """As where a folder tells names and lets nobody in."""
    picture("m/a.png")
    listdir = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: [*listdir(path), "b.png"])
    assert ids("m") == ["m/a.png"]
    assert caplog.messages == ["folder 'm': 1 left out: 'b.png' (it cannot be read)"]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("source", ["m/pipe.png", "m/p*.png", "m/null.png"])
def test_pipes_and_devices_are_not_opened(mixed, source):
    Path("m/null.png").symlink_to("/dev/zero")
    with pytest.raises(FuseError, match=r"does not exist|no image matches .*\(no regular file\)"):
        ids(source)


def test_long_names_are_told_short():
    assert len(folders.told([(Path("n" * 5000), "why")] * 9)) < 1200
