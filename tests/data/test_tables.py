"""Parquet, Arrow, saved data sets and the hub as sources of targets."""

import io
import itertools
import json
import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fuse_lightning.data import ImageTargets, SentimentTargets, images
from fuse_lightning.data.parquet_file import ParquetTable
from fuse_lightning.errors import FuseError
from fuse_lightning.results.export import json_lines
from fuse_lightning.results.result import Result

datasets.disable_progress_bars()


def png(color, size=(9, 9)):
    content = io.BytesIO()
    Image.new("RGB", size, color).save(content, "PNG")
    return content.getvalue()


COLORS = [(10 * index, 0, 0) for index in range(20)]
FEATURES = datasets.Features(
    {
        "image": datasets.Image(),
        "mood": datasets.ClassLabel(names=["negative", "positive"]),
        "caption": datasets.Value("string"),
        "key": datasets.Value("string"),
    }
)


def data_set(count=20, **columns):
    rows = {
        "image": [{"bytes": png(color), "path": None} for color in COLORS[:count]],
        "mood": [index % 2 for index in range(count)],
        "caption": [f"caption {index}" for index in range(count)],
        "key": [f"k{index}" for index in range(count)],
    }
    return datasets.Dataset.from_dict({**rows, **columns}, features=FEATURES)


def arrow(data, path, stream=True):
    table = data.with_format("arrow")[:]
    kind = pa.ipc.new_stream if stream else pa.ipc.new_file
    with pa.OSFile(path, "wb") as file, kind(file, table.schema) as writer:
        writer.write_table(table)
    return path


def parquet(columns, path="t.parquet", **options):
    pq.write_table(pa.table(columns), path, **options)
    return path


def first_pixels(targets):
    return [target.images[0].getpixel((4, 4)) for target in targets]


def error_of(images, **options):
    with pytest.raises(FuseError) as error:
        ImageTargets(images, **options).find_targets()
    assert "\n" not in str(error.value)
    return str(error.value)


def save(kind, data=None):
    data = data or data_set()
    if kind == "parquet":
        data.to_parquet("d.parquet", batch_size=7)
        return "d.parquet"
    if kind == "saved":
        data.save_to_disk("d", num_shards=2)
        return "d"
    return arrow(data, "d.arrow", stream=kind == "stream")


class TestFiles:
    @pytest.mark.parametrize("kind", ["parquet", "saved", "stream", "file"])
    def test_every_kind_gives_the_same_targets(self, kind):
        data = ImageTargets(save(kind), sentiment_column="mood", id_column="key")
        targets = data.find_targets()
        assert [target.id for target in targets] == [f"k{index}" for index in range(20)]
        assert [target.sentiment for target in targets[:3]] == ["negative", "positive", "negative"]
        assert [target.references for target in targets[:2]] == [["caption 0"], ["caption 1"]]
        assert first_pixels(targets) == COLORS
        assert first_pixels(targets[::-1]) == COLORS[::-1]

    @pytest.mark.parametrize("kind", ["parquet", "saved", "stream"])
    def test_pictures_are_read_when_asked_for_and_dropped_when_done(self, kind, monkeypatch):
        source = save(kind)
        decoded = []
        upright = images.ImageOps.exif_transpose
        monkeypatch.setattr(
            images.ImageOps,
            "exif_transpose",
            lambda image: decoded.append(image) or upright(image),
        )
        monkeypatch.setattr(datasets.Image, "decode_example", None)
        monkeypatch.setattr(images, "DECODED", 0)
        first, *others = ImageTargets(source).find_targets()
        assert not decoded
        assert first.images is first.images
        assert len(decoded) == 1
        first.release()
        first.release()
        assert not any("images" in vars(target) for target in (first, *others))
        assert first_pixels([first]) == COLORS[:1]
        assert len(decoded) == 2

    def test_rows_without_ids_are_named_by_file_and_number(self):
        data_set(2).to_parquet("p.parquet")
        targets = ImageTargets("p.parquet").find_targets()
        assert [target.id for target in targets] == ["p.parquet#1", "p.parquet#2"]

    def test_nothing_is_copied_into_the_cache(self, tmp_path, monkeypatch):
        monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache-of-datasets")
        for kind in ("parquet", "saved", "stream"):
            ImageTargets(save(kind)).find_targets()
        assert not (tmp_path / "cache-of-datasets").exists()

    @pytest.mark.parametrize("kind", ["parquet", "saved", "stream"])
    def test_pictures_alone(self, kind):
        source = save(kind, data_set(2).select_columns("image"))
        assert first_pixels(ImageTargets(source).find_targets()) == COLORS[:2]

    def test_shards_by_pattern_and_by_folder(self):
        Path("shards").mkdir()
        for part in range(2):
            data_set(2).to_parquet(f"shards/{part}.parquet")
        wanted = [f"shards/{part}.parquet#{row}" for part in (0, 1) for row in (1, 2)]
        for source in ("shards", "shards/*.parquet"):
            assert [target.id for target in ImageTargets(source).find_targets()] == wanted

    def test_a_splits_folder_is_named(self):
        datasets.DatasetDict({"train": data_set(2), "test": data_set(1)}).save_to_disk("all")
        assert "has several splits; give one of all/test, all/train" in error_of("all")
        assert len(ImageTargets("all/train").find_targets()) == 2

    def test_metadata_may_be_parquet(self):
        Path("folder").mkdir()
        Path("folder/a.png").write_bytes(png("red"))
        parquet({"file_name": ["a.png"], "caption": ["red"]}, "folder/metadata.parquet")
        (target,) = ImageTargets("folder").find_targets()
        assert (target.id, target.references) == ("folder/a.png", ["red"])

    def test_plain_json(self):
        Path("a.png").write_bytes(png("red"))
        Path("m.json").write_text(json.dumps([{"file_name": "a.png", "id": 3}]))
        assert [target.id for target in ImageTargets("m.json").find_targets()] == ["3"]
        Path("m.json").write_text('{"file_name": "a.png"}')
        assert "'m.json' cannot be read: it is no list of objects" in error_of("m.json")

    def test_damaged_files_are_one_clear_error(self):
        source = save("stream")
        content = Path(source).read_bytes()
        for name in ("a.parquet", "a.arrow"):
            for damaged in (b"", b"hello", content[: len(content) // 2]):
                Path(name).write_bytes(damaged)
                assert f"data set '{name}' cannot be read: " in error_of(name)

    @pytest.mark.parametrize("kind", ["arrow", "parquet"])
    @given(data=st.data())
    def test_changed_bytes_never_do_more_than_raise(self, tmp_path_factory, kind, data):
        path = tmp_path_factory.getbasetemp() / f"fuzzed.{kind}"
        if kind == "arrow":
            arrow(data_set(3), str(path))
        else:
            pq.write_table(data_set(3).with_format("arrow")[:], path)
        content = bytearray(path.read_bytes())
        spots = st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255))
        for position, byte in data.draw(st.lists(spots, min_size=1, max_size=4)):
            content[position] = byte
        path.write_bytes(content)
        # What is changed may be the colour of a picture; anything but the one error fails the test.
        with suppress(FuseError):
            targets = ImageTargets(str(path)).find_targets()
            assert all(image.mode == "RGB" for target in targets for image in target.images)


def test_a_search_for_targets_reads_every_row_once(monkeypatch):
    data_set(20).to_parquet("d.parquet", batch_size=7)
    begun = []
    batches = pq.ParquetFile.iter_batches
    monkeypatch.setattr(
        pq.ParquetFile,
        "iter_batches",
        lambda file, size, groups, columns: (
            begun.append((groups, columns)) or batches(file, size, groups, columns)
        ),
    )
    for options in ({}, {"shuffle": True}, {"together": True}):
        begun.clear()
        targets = ImageTargets("d.parquet", **options).find_targets()
        assert len({target.digest for target in targets}) == len(targets)
        assert begun == [([group], ["image"]) for group in range(3)]


class TestColumns:
    def test_several_pictures_of_one_target(self):
        both = [[png("red"), png("blue")], [png("lime")]]
        lists = pa.array(both, pa.list_(pa.binary()))
        structs = pa.array([[{"bytes": each, "path": None} for each in row] for row in both])
        for column in (lists, structs):
            targets = ImageTargets(parquet({"images": column})).find_targets()
            assert [len(target.images) for target in targets] == [2, 1]
            assert targets[0].images[1].getpixel((0, 0)) == (0, 0, 255)

    @pytest.mark.parametrize(
        "cell", [[[b"a"]], {"bytes": "a"}, {"bytes": None, "path": 5}, {"a": 1}, [[[0, 255]]]]
    )
    def test_what_cannot_hold_pictures(self, cell):
        source = parquet({"image": pa.array([cell])})
        assert "row 1 of data set 't.parquet'" in error_of(source)

    def test_paths_alone_in_a_struct(self):
        Path("a.png").write_bytes(png("red"))
        source = parquet({"image": pa.array([{"bytes": None, "path": "a.png"}])})
        assert first_pixels(ImageTargets(source).find_targets()) == [(255, 0, 0)]

    def test_the_only_column_that_holds_pictures_needs_no_name(self):
        assert len(ImageTargets(parquet({"n": [1], "scan": [png("red")]})).find_targets()) == 1
        two = parquet({"n": [1], "left": [png("red")], "right": [png("red")]})
        assert "give data.image_column one of: n, left, right" in error_of(two)
        assert len(ImageTargets(two, image_column="right").find_targets()) == 1

    @pytest.mark.parametrize("stored", [True, False])
    def test_paths_are_relative_to_the_file(self, stored):
        Path("sub/p").mkdir(parents=True)
        Path("sub/p/a.png").write_bytes(png("red"))
        cell = {"bytes": None, "path": "p/a.png"} if stored else "p/a.png"
        column = pa.array([cell], datasets.Image().pa_type if stored else pa.string())
        (target,) = ImageTargets(parquet({"image": column}, "sub/t.parquet")).find_targets()
        assert first_pixels([target]) == [(255, 0, 0)]
        assert target.id == ("sub/t.parquet#1" if stored else "sub/p/a.png")

    @pytest.mark.parametrize("option", ["image", "sentiment", "caption", "id"])
    def test_an_unknown_column_lists_those_there_are(self, option):
        source = parquet({"image": [png("red")], "n": [1]})
        message = error_of(source, **{f"{option}_column": "gone"})
        assert message == (
            f"data set 't.parquet' has no column 'gone'; give data.{option}_column one of: image, n"
        )

    def test_columns_of_manifests(self):
        Path("a.png").write_bytes(png("red"))
        rows = 'key,pic,says,mood\nk,a.png,"[""one"", ""two""]",sad\n'
        Path("m.csv").write_text(rows)
        (target,) = ImageTargets(
            "m.csv",
            image_column="pic",
            caption_column="says",
            id_column="key",
            sentiment_column="mood",
        ).find_targets()
        assert (target.id, target.sentiment, target.references) == ("k", "sad", ["one", "two"])
        assert error_of("m.csv", image_column="picture").endswith("one of: key, pic, says, mood")

    def test_a_text_column_of_captions_is_no_text_of_the_target(self):
        source = parquet({"image": [png("red")], "text": ["a caption"]})
        (target,) = ImageTargets(source).find_targets()
        assert (target.text, target.references) == ("a caption", [])
        (target,) = ImageTargets(source, caption_column="text").find_targets()
        assert (target.text, target.references) == (None, ["a caption"])

    def test_sentiments_of_a_class_label(self):
        data_set(3, mood=[1, -1, 0]).to_parquet("d.parquet")
        targets = ImageTargets("d.parquet", sentiment_column="mood").find_targets()
        assert [target.sentiment for target in targets] == ["positive", None, "negative"]
        data = SentimentTargets(images="d.parquet", sentiment_column="mood", on_error="skip")
        assert [target.id for target in data.find_targets()] == ["d.parquet#1", "d.parquet#3"]
        assert "wants no sentiment" in data.skipped["d.parquet#2"]

    def test_other_values_in_the_place_of_pictures(self):
        source = parquet({"image": [png("red")], "n": [5]})
        assert "row 1 of data set 't.parquet' names no picture" in error_of(
            source, image_column="n"
        )

    @pytest.mark.parametrize(
        ("cell", "message"),
        [
            (None, "row 2 of data set 't.parquet' has no picture in 'image'"),
            ({"bytes": None, "path": None}, "row 2 of data set 't.parquet' has no picture"),
            ({"bytes": b"", "path": None}, "image in row 2 of data set 't.parquet' cannot be read"),
            ({"bytes": b"text", "path": None}, "image in row 2 of .* cannot be read as a picture"),
            ({"bytes": None, "path": "gone.png"}, "image 'gone.png' does not exist"),
            ({"bytes": None, "path": "http://a/b.png"}, "'http://a/b.png' is an address"),
        ],
    )
    def test_bad_pictures_are_named(self, cell, message):
        cells = [{"bytes": png("red"), "path": None}, cell]
        source = parquet({"image": pa.array(cells, datasets.Image().pa_type)})
        with pytest.raises(FuseError, match=message):
            ImageTargets(source).find_targets()

    def test_bombs_and_broken_data_in_bytes(self):
        bomb = io.BytesIO()
        Image.new("1", (20_000, 10_000)).save(bomb, "PNG")
        assert "in row 1 of data set 't.parquet' is too large" in error_of(
            parquet({"image": [bomb.getvalue()]})
        )
        noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
        content = io.BytesIO()
        Image.fromarray(noise).save(content, "PNG")
        source = parquet({"image": [content.getvalue()[:3000]]})
        assert "image in row 1 of data set 't.parquet' is broken (" in error_of(source)

    def test_a_table_without_rows(self):
        source = parquet({"image": pa.array([], pa.binary())})
        assert "data set 't.parquet' is empty" in error_of(source)


@given(st.lists(st.integers(0, 59), max_size=12), st.integers(1, 60))
def test_parquet_values_in_any_order(tmp_path_factory, wanted, group):
    path = tmp_path_factory.getbasetemp() / "order.parquet"
    values = [f"value {index}" for index in range(60)]
    parquet({"a": values, "b": values[::-1]}, path, row_group_size=group)
    table = ParquetTable(path)
    for index, column in zip(wanted, itertools.cycle("aab"), strict=False):
        assert table.cell(index, column) == (values if column == "a" else values[::-1])[index]


def test_parquet_values_from_several_threads():
    values = [f"value {index}" for index in range(400)]
    parquet({"a": values, "b": values[::-1]}, Path("threads.parquet"), row_group_size=30)
    table = ParquetTable(Path("threads.parquet"))
    rows = random.Random(0).choices(range(400), k=1200)
    with ThreadPoolExecutor(4) as pool:
        cells = [pool.submit(table.cell, row, "ab"[row % 2]) for row in rows]
    for row, cell in zip(rows, cells, strict=True):
        assert cell.result() == (values if row % 2 == 0 else values[::-1])[row]


class TestHub:
    @pytest.fixture
    def hub(self, monkeypatch):
        """A hub of local files; says how it was asked."""
        data_set().to_parquet("hub.parquet")
        asked = []
        load = datasets.load_dataset

        def stand_in(*args, **options):
            asked.append((args, options))
            if args[0] != "user/data":
                raise ConnectionError("Couldn't reach it\nand more")
            return load(
                "parquet",
                data_files="hub.parquet",
                split="train",
                streaming=options["streaming"],
                cache_dir="cache",
            )

        monkeypatch.setattr(datasets, "load_dataset", stand_in)
        return asked

    @pytest.mark.parametrize(
        ("source", "config", "split", "name"),
        [
            ("hub:user/data", None, "train", "hub:user/data"),
            ("hub:user/data@train", None, "train", "hub:user/data"),
            ("hub:user/data@train[:10]", None, "train[:10]", "hub:user/data"),
            ("hub:user/data:en@test[:5%]", "en", "test[:5%]", "hub:user/data:en@test"),
            ("hub:user/data@test[5:10]", None, "test[5:10]", "hub:user/data@test[5:10]"),
        ],
    )
    def test_what_the_hub_is_asked_for(self, hub, source, config, split, name):
        targets = ImageTargets(source, revision="v1").find_targets()
        options = {"split": split, "revision": "v1", "streaming": False}
        assert hub == [(("user/data", config), options)]
        assert [target.id for target in targets[:2]] == [f"{name}#1", f"{name}#2"]
        assert first_pixels(targets) == COLORS

    def test_a_stream_is_read_as_far_as_needed(self, hub, monkeypatch):
        taken = []
        take = datasets.IterableDataset.take
        monkeypatch.setattr(
            datasets.IterableDataset, "take", lambda data, n: taken.append(n) or take(data, n)
        )
        data = ImageTargets("hub:user/data", limit=3, streaming=True, id_column="key")
        targets = data.find_targets()
        assert hub[0][1]["streaming"] is True
        assert (taken, first_pixels(targets)) == ([3], COLORS[:3])
        rows = [Result(name, "a", [1], 1.0, {}, 1, 0, 1.0) for name in ("k0", "k2")]
        Path("prompts.jsonl").write_text(json_lines(rows))
        data = ImageTargets(
            "hub:user/data",
            limit=3,
            streaming=True,
            id_column="key",
            skip_finished="prompts.jsonl",
        )
        assert [target.id for target in data.find_targets()] == ["k1", "k3", "k4"]

    def test_a_shuffled_stream_is_the_same_twice(self, hub, monkeypatch):
        # datasets has it from 4.1 on.
        monkeypatch.setattr(datasets.config, "SLEEP_TIME_ON_THREADS_SHUTDOWN", 0, raising=False)
        options = {"limit": 5, "streaming": True, "shuffle": True, "id_column": "key"}
        first, again, other = (
            [t.id for t in ImageTargets("hub:user/data", seed=seed, **options).find_targets()]
            for seed in (1, 1, 2)
        )
        assert first == again != other
        assert first != [f"k{index}" for index in range(5)]

    def test_a_stream_needs_a_limit(self):
        with pytest.raises(FuseError, match=r"give data\.limit"):
            ImageTargets("hub:user/data", streaming=True)

    def test_files_of_the_hub_are_fetched(self, monkeypatch):
        import fsspec

        memory = fsspec.filesystem("memory")
        memory.pipe("/a.png", png("red"))
        opened = fsspec.open
        monkeypatch.setattr(
            fsspec, "open", lambda path, mode: opened(path.replace("hf://", "memory://"), mode)
        )
        column = pa.array([{"bytes": None, "path": "hf://a.png"}], datasets.Image().pa_type)
        parquet({"image": column}, "hub.parquet")
        load = datasets.load_dataset
        monkeypatch.setattr(
            datasets,
            "load_dataset",
            lambda *args, **options: load(
                "parquet", data_files="hub.parquet", split="train", streaming=True
            ),
        )
        targets = ImageTargets("hub:user/data", limit=1, streaming=True).find_targets()
        assert first_pixels(targets) == [(255, 0, 0)]
        assert "is an address" in error_of("hub.parquet")

    def test_paths_of_a_hub_data_set_lead_nowhere(self, hub):
        Path("a.png").write_bytes(png("red"))
        parquet({"image": ["a.png"]}, "hub.parquet")
        assert "image 'a.png' is a path, but the data set has no folder" in error_of(
            "hub:user/data"
        )

    @pytest.mark.parametrize("name", ["data", "../data", "user/", "a/b/c", "", "/etc"])
    def test_what_is_no_id(self, hub, name):
        assert "is no id of the hub; give hub:USER/NAME" in error_of(f"hub:{name}")
        assert not hub

    def test_neither_a_path_nor_a_data_set(self, hub):
        assert error_of("user/data") == (
            "image 'user/data' does not exist; check its path, "
            "or give hub:user/data for a data set of the hub"
        )
        assert "hub:" not in error_of("pictures/gone.png")
        message = error_of("hub:user/nothing")
        assert "data set 'hub:user/nothing' cannot be loaded (Couldn't reach it)" in message

    def test_a_folder_of_the_same_name_is_not_taken_for_it(self, hub):
        Path("user/data").mkdir(parents=True)
        assert "is also a folder here" in error_of("hub:user/data")
        assert not hub
