"""Arrow files in batches, and tables that are no files or change while they are read."""

import itertools
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fuse_lightning.data import ImageTargets
from fuse_lightning.data.arrow_files import ArrowFiles
from fuse_lightning.data.table import Table
from fuse_lightning.data.tables import open_table
from fuse_lightning.errors import FuseError

KINDS = {"stream": pa.ipc.new_stream, "file": pa.ipc.new_file}


def written(table, path, kind="stream", batch=7):
    with pa.OSFile(str(path), "wb") as file, KINDS[kind](file, table.schema) as writer:
        writer.write_table(table, max_chunksize=batch)
    return Path(path)


def numbers(count=60, first=0):
    values = [f"value {index}" for index in range(first, first + count)]
    return pa.table({"a": values, "b": [value.encode() for value in values]})


@pytest.mark.parametrize("kind", KINDS)
@given(wanted=st.lists(st.integers(0, 119), max_size=12), batch=st.integers(1, 70))
def test_values_in_any_order(tmp_path_factory, kind, wanted, batch):
    folder = tmp_path_factory.getbasetemp()
    paths = [
        written(numbers(first=60 * part), folder / f"{part}.arrow", kind, batch)
        for part in range(2)
    ]
    table = ArrowFiles(paths, "t")
    whole = [f"value {index}" for index in range(120)]
    assert [row["a"] for row in table.read(["a"])] == whole
    assert table.read([]) == [{}] * 120
    for index, column in zip(wanted, itertools.cycle("aab"), strict=False):
        found = table.cell(index, column)
        assert (found if column == "a" else found.decode()) == whole[index]


def test_values_from_several_threads():
    table = ArrowFiles([written(numbers(400), "t.arrow")], "t")
    with ThreadPoolExecutor(4) as pool:
        cells = list(pool.map(lambda row: table.cell(row, "a"), [*range(400)] * 2))
    assert cells == [f"value {index}" for index in range(400)] * 2


def test_a_column_of_numbers_for_words():
    labels = pa.array(["red", "blue", "red"] * 5).dictionary_encode()
    table = pa.table({"a": labels, "b": pa.array([[label] for label in labels.to_pylist()])})
    found = ArrowFiles([written(table, "t.arrow", batch=4)], "t")
    assert [row["a"] for row in found.read(["a"])] == ["red", "blue", "red"] * 5
    assert (found.cell(13, "a"), found.cell(4, "b")) == ("blue", ["blue"])


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_without_its_end(kind):
    path = written(numbers(), "t.arrow", kind)
    path.write_bytes(path.read_bytes()[:-8])
    if kind == "file":
        with pytest.raises(FuseError, match=r"data set 't\.arrow' cannot be read: "):
            open_table(path)
    else:
        # Its end says nothing but that it is one.
        assert len(open_table(path).read(["a"])) == 60


def test_files_of_other_columns_are_named():
    paths = [written(numbers(), "a.arrow"), written(pa.table({"c": [1]}), "b.arrow")]
    with pytest.raises(FuseError, match=r"'b\.arrow' has other columns than data set 'a\.arrow'"):
        ArrowFiles(paths, "t")


TRUNCATED = """
import os, sys
from pathlib import Path
from fuse_lightning.data.tables import open_table, saved_table
from fuse_lightning.errors import FuseError

for source, data in zip(map(Path, sys.argv[1::2]), sys.argv[2::2]):
    table = saved_table(source) if source.is_dir() else open_table(source)
    table.cell(0, "b")
    os.truncate(data, 5000)
    try:
        for row in range(0, 2000, 7):
            assert table.cell(row, "b") == f"value {row}".encode() * 50
    except FuseError as error:
        print(error)
"""


@pytest.mark.slow
def test_files_that_get_shorter_while_they_are_read_end_nothing():
    """A mapped file would end the process by a signal."""
    table = pa.table({"b": [f"value {row}".encode() * 50 for row in range(2000)]})
    pq.write_table(table, "t.parquet", row_group_size=100)
    paths = [Path("t.parquet"), *(written(table, f"{kind}.arrow", kind, 100) for kind in KINDS)]
    words = [str(path) for path in paths for _ in range(2)] + [saved(table), "saved/data.arrow"]
    done = subprocess.run([sys.executable, "-c", TRUNCATED, *words], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    for line, source in zip(done.stdout.splitlines(), words[::2], strict=True):
        assert line.startswith(f"data set '{source}' cannot be read: ")


def saved(table, **state):
    """A folder like one of save_to_disk."""
    folder = Path("saved")
    folder.mkdir()
    written(table, folder / "data.arrow")
    state = {"_data_files": [{"filename": "data.arrow"}], **state}
    (folder / "state.json").write_text(json.dumps(state))
    return folder


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"_data_files": []}, "is empty"),
        ({"_data_files": [{"filename": "gone.arrow"}]}, "cannot be read: No such file"),
        ({"_data_files": [{"filename": "../t.arrow"}]}, "which is no file of its own"),
        ({"_data_files": [{"filename": "/dev/zero"}]}, "which is no file of its own"),
        ({"_data_files": 5}, "cannot be read: "),
        ({"_data_files": [{"filename": "state.json"}]}, "cannot be read: "),
        ({"_indices_data_files": [{"filename": "data.arrow"}]}, "write it again with save_to_disk"),
    ],
)
def test_what_is_no_saved_data_set(state, message):
    source = str(saved(numbers(), **state))
    with pytest.raises(FuseError, match=message) as error:
        ImageTargets(source).find_targets()
    assert str(error.value).startswith("data set 'saved' ")


@pytest.mark.parametrize("text", ["", "[", "[1]", "null", '{"a": 1}', "[" * 200_000])
def test_a_state_that_is_none(text):
    folder = saved(numbers())
    (folder / "state.json").write_text(text)
    with pytest.raises(FuseError, match="data set 'saved' cannot be read: "):
        ImageTargets(str(folder)).find_targets()


@pytest.mark.parametrize(
    ("thing", "name"),
    [
        *itertools.product(
            ["named pipe", "device"],
            ["m.jsonl", "m.json", "m.csv", "t.parquet", "t.arrow", "saved"],
        ),
        # Any other folder is a source of its own.
        ("folder", "saved"),
    ],
)
def test_what_is_no_file_is_one_line_at_once(thing, name):
    path = Path(name)
    if name == "saved":
        path = saved(numbers()) / "data.arrow"
        path.unlink()
    match thing:
        case "named pipe":
            os.mkfifo(path)
        case "device":
            path.symlink_to("/dev/zero")
        case "folder":
            path.mkdir()
    began = time.monotonic()
    with pytest.raises(FuseError, match=f"{name}' cannot be read: it is a {thing}, not a file"):
        ImageTargets(name).find_targets()
    assert time.monotonic() - began < 20


def test_a_manifest_that_is_too_large(monkeypatch):
    monkeypatch.setattr("fuse_lightning.data.manifest.LARGEST", 2**20)
    with Path("m.jsonl").open("wb") as file:
        file.truncate(2**20 + 1)
    with pytest.raises(
        FuseError, match=r"'m\.jsonl' cannot be read: it is larger than 1 MiB; give"
    ):
        ImageTargets("m.jsonl").find_targets()


@pytest.mark.parametrize("cell", ["9" * 5000, "[" * 100_000, "[1, 2", "{}"])
def test_a_cell_of_csv_that_is_no_list_is_a_text(cell):
    Image.new("RGB", (9, 9)).save("a.png")
    Path("m.csv").write_text(f'file_name,references\na.png,"{cell}"\n')
    (target,) = ImageTargets("m.csv").find_targets()
    assert target.references == [cell]


def test_rows_that_name_files_of_thousands_of_characters():
    Path("m.jsonl").write_text(json.dumps({"file_name": "x" * 5000}))
    with pytest.raises(FuseError, match="does not exist") as error:
        ImageTargets("m.jsonl").find_targets()
    assert len(str(error.value)) < 400


def test_a_table_is_what_every_kind_is():
    assert isinstance(ArrowFiles([written(numbers(), "t.arrow")], "t"), Table)
