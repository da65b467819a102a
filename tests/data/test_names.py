"""A target's name is its own: it does not depend on what else is searched."""

import json
import os
import unicodedata
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fuse_lightning.data import ImageTargets, SentimentTargets, Target, TextTargets
from fuse_lightning.data.names import Root, address_name, clean, normal, text_name
from fuse_lightning.errors import FuseError

SECRET = "https://me:word@host.example:8080/a/b.png?token=key#part"


def picture(path, color="red"):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (9, 9), color).save(path, "png")
    return str(path)


def rows(path, *found):
    Path(path).write_text("".join(json.dumps(row) + "\n" for row in found))
    return str(path)


def ids(data):
    return [target.id for target in data.find_targets()]


def hidden(name):
    return [c for c in name if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")]


# Files may have any name but "." and "..", of any characters but "/" and the null character. A
# source that begins with "hub:" is no file, unless "./" stands before it.
PARTS = st.one_of(
    st.sampled_from(["cat", "dog", "a", "[x]", "a…b", "x#2", "a\x1b", "a\\u001b", "n" * 120]),
    st.text(st.characters(exclude_characters="/\x00", exclude_categories=["Cs"]), max_size=9),
).filter(
    lambda part: part.strip(".") and not part.startswith((".", "hub:")) and len(part.encode()) < 200
)
PATHS = st.tuples(
    st.lists(PARTS, max_size=2), PARTS, st.sampled_from([".png", ".jpg", ".PNG", ".webp"])
).map(lambda found: (*found[0], found[1] + found[2]))
places = count()


@given(st.sets(PATHS, min_size=1, max_size=6), st.data())
def test_an_id_is_the_same_in_every_selection_and_in_none_twice(tmp_path_factory, paths, data):
    root = tmp_path_factory.getbasetemp() / f"tree-{next(places)}"
    files = []
    for parts in sorted(paths):
        path = Path(root, *parts)
        # A name may be that of a folder already.
        if not path.is_dir() and not any(up.is_file() for up in path.parents):
            files.append(picture(path))
    outside = picture(root.parent / f"{root.name}-outside" / "a.png")
    named = {}
    part = st.lists(st.sampled_from([*files, outside]), min_size=1, unique=True)
    for chosen in [[*files, outside], *data.draw(st.lists(part, max_size=4))]:
        sources = [os.path.relpath(path, root) if path != outside else path for path in chosen]
        targets = ImageTargets(sources, root=str(root)).find_targets()
        assert len({target.id for target in targets}) == len(chosen)
        for path, target in zip(chosen, targets, strict=True):
            assert not hidden(target.id)
            assert len(target.id) <= 200
            assert named.setdefault(path, target.id) == target.id
    inside = [path for path in files if clean(path) == path and len(path) < 200]
    for path in inside:
        assert named[path] == Path(path).relative_to(root).as_posix()


a_text = st.text(min_size=1).filter(lambda text: text.strip() and not text.endswith(".txt"))


@given(st.lists(a_text, min_size=1, unique_by=str.strip), st.data())
def test_names_of_texts_are_their_own(texts, data):
    def named(chosen):
        targets = TextTargets(chosen).find_targets()
        assert [target.text for target in targets] == [text.strip() for text in chosen]
        found = {target.text: target.id for target in targets}
        assert len({*found.values()}) == len(chosen)
        return found

    whole = named(texts)
    some = data.draw(st.lists(st.sampled_from(sorted(whole)), min_size=1, unique=True))
    assert named(some).items() <= whole.items()
    for text, name in whole.items():
        assert not hidden(name)
        assert name == text or (name[-10:-8] == "… " and len(name) < 200)


class TestTexts:
    def test_a_short_text_is_its_own_name(self):
        for text in ("a red star", "a/the lawn", "null", "- a", "# Title", "1e3", "x" * 40):
            assert text_name(text) == text

    def test_a_longer_text_begins_its_name(self):
        text = "a long text about two well-known stars above a blue box, and more of it"
        assert text_name(text) == "a long text about two well-known stars… 1192ae8f"
        assert text_name(text + ".")[:-8] == text_name(text)[:-8]
        assert text_name(text + ".") != text_name(text)
        assert text_name("x" * 41).startswith("x" * 40 + "… ")

    def test_lines_and_controls_are_in_no_name(self):
        assert text_name("one\ntwo").startswith("one two… ")
        assert text_name("a \x1b[31mstar").startswith("a \\u001b[31mstar… ")


class TestFiles:
    def test_files_that_differ_in_their_ending_alone(self):
        picture("cat.png")
        before = ids(ImageTargets("."))
        picture("cat.jpg", "blue")
        assert before == ["cat.png"]
        assert ids(ImageTargets(".")) == ["cat.jpg", "cat.png"]
        assert ids(ImageTargets("cat.png")) == ["cat.png"]

    def test_what_lies_elsewhere_has_its_whole_path(self, tmp_path_factory):
        path = picture(tmp_path_factory.mktemp("elsewhere") / "a.png")
        assert ids(ImageTargets(path)) == [path]

    def test_the_root_is_where_sources_and_names_begin(self, tmp_path, monkeypatch):
        picture("set/p/a.png")
        picture("set/p/style/b.png")
        (tmp_path / "other").mkdir()
        data = ImageTargets(["p/a.png", "p/*", "p"], root="set")
        assert data.root == str(tmp_path / "set")
        monkeypatch.chdir("other")
        assert ids(data) == ["p/a.png", "p/style"]
        texts = tmp_path / "set" / "t.txt"
        texts.write_text("a\nb\n")
        assert ids(TextTargets("t.txt", root="../set")) == ["a", "b"]

    def test_a_root_of_any_name_is_no_pattern(self):
        picture("[a]/p/a.png")
        assert ids(ImageTargets("p/*.png", root="[a]")) == ["p/a.png"]

    def test_a_root_that_is_none(self):
        picture("a.png")
        for root in ("gone", "a.png"):
            with pytest.raises(FuseError, match=rf"data\.root '{root}' is no folder"):
                ImageTargets("a.png", root=root)

    def test_a_current_folder_that_is_gone(self, tmp_path, monkeypatch):
        gone = tmp_path / "gone"
        gone.mkdir()
        monkeypatch.chdir(gone)
        gone.rmdir()
        with pytest.raises(FuseError, match="the current folder is gone"):
            TextTargets("a")
        # Whoever says where things lie needs none.
        picture(tmp_path / "p" / "a.png")
        assert ids(ImageTargets("p", root=str(tmp_path))) == ["p/a.png"]

    def test_one_file_by_several_spellings_is_one_target(self, tmp_path, caplog):
        picture("p/a.png")
        spellings = ["p/a.png", "./p//a.png", "p/../p/a.png", str(tmp_path / "p" / "a.png"), "p"]
        targets = ImageTargets([*spellings, "p/*.png"]).find_targets()
        assert [(target.id, target.pictures) for target in targets] == [
            ("p/a.png", [Path("p/a.png")])
        ]
        assert caplog.messages == ["given more than once, searched once: 'p/a.png'"]

    def test_a_link_is_another_file(self, caplog):
        picture("p/a.png")
        Path("p/b.png").symlink_to("a.png")
        assert ids(ImageTargets("p")) == ["p/a.png", "p/b.png"]
        Path("deep/below").mkdir(parents=True)
        picture("deep/a.png")
        Path("q").symlink_to("deep/below")
        assert normal(Path("q/../a.png")) == Path.cwd() / "deep/a.png"
        assert ids(ImageTargets(["q/../a.png", "deep/a.png"])) == ["deep/a.png"]

    def test_equal_content_of_two_names_is_two_targets(self):
        first, second = ImageTargets([picture("a.png"), picture("b.png")]).find_targets()
        assert first.digest == second.digest
        assert (first.id, second.id) == ("a.png", "b.png")

    def test_long_names_and_controls(self):
        name = "/".join(["x" * 250] * 4)
        assert clean(name) == f"{name[:90]}…{name[-90:]}#{clean(name)[-8:]}"
        assert len(Target("n" * 5000).id) < 200
        assert clean("n" * 5000) != clean("n" * 5001)
        assert clean("a\x1b") != clean("a\\u001b") == "a\\u001b"
        assert clean(clean("a\x1b")) == clean("a\x1b")

    def test_a_name_that_is_no_text(self):
        name = os.fsdecode(b"a\xff.png")
        try:
            picture(name)
        except OSError:
            pytest.skip("this system has no such names")
        (target,) = ImageTargets(name).find_targets()
        assert target.id.startswith("a\\udcff.png#")
        assert target.source == "a\\udcff.png"


class TestRows:
    @pytest.fixture(autouse=True)
    def pictures(self):
        picture("p/a.png")
        picture("p/b.png", "blue")

    def test_rows_without_an_id_are_named_by_their_picture(self):
        source = rows("p/m.jsonl", {"file_name": "a.png"}, {"file_names": ["b.png", "a.png"]})
        assert ids(ImageTargets(source)) == ["p/a.png", "p/b.png"]

    def test_a_second_row_of_one_name_adds_its_number(self):
        found = rows(
            "m.jsonl",
            {"file_name": "p/a.png"},
            {"file_name": "p/b.png", "id": "A"},
            {"file_name": "p/a.png", "caption": "another"},
            {"file_name": "p/a.png", "id": "A"},
            {"file_name": "p/b.png", "id": "A#6"},
            {"file_name": "p/b.png", "id": "A"},
        )
        names = ["p/a.png", "A", "p/a.png#3", "A#4", "A#6", "A#6#6"]
        assert ids(ImageTargets(found)) == names
        assert ids(ImageTargets([found, "./m.jsonl"])) == names

    def test_rows_of_several_manifests(self, caplog):
        sources = [
            rows("1.jsonl", {"file_name": "p/a.png", "id": "A"}, {"file_name": "p/b.png"}),
            rows("2.jsonl", {"file_name": "p/b.png", "id": "A"}, {"file_name": "p/b.png"}),
            "p/a.png",
            "p/b.png",
        ]
        assert ids(ImageTargets(sources)) == ["A", "p/b.png", "A (p/b.png)", "p/a.png"]
        assert caplog.messages == ["given more than once, searched once: 'p/b.png'"]

    def test_a_row_that_cannot_be_read_is_named_by_its_number(self):
        source = rows("p/m.jsonl", {"file_name": "a.png"}, {"file_name": 5})
        data = ImageTargets(source, on_error="skip")
        assert ids(data) == ["p/a.png"]
        assert [*data.skipped] == ["p/m.jsonl#2"]


class TestAddresses:
    def test_no_secret_is_in_a_name(self):
        name = address_name(SECRET)
        assert name == f"https://host.example:8080/a/b.png#{name[-8:]}"
        assert address_name("https://host/a.png") == "https://host/a.png"
        assert address_name("https://host/a?i=1") != address_name("https://host/a?i=2")

    def test_rows_and_sources(self, capsys, caplog):
        source = rows("m.jsonl", {"file_name": SECRET}, {"file_name": SECRET, "id": "A"})
        data = ImageTargets([picture("a.png"), source, SECRET], on_error="skip")
        assert ids(data) == ["a.png"]
        assert [*data.skipped] == [address_name(SECRET), "A"]
        with pytest.raises(FuseError, match=r"is an address, which is not fetched") as error:
            ImageTargets(SECRET).find_targets()
        shown = f"{error.value} {data.skipped} {caplog.text} {capsys.readouterr()}"
        assert "word" not in shown
        assert "key" not in shown


class TestSentiments:
    def test_a_picture_is_read_once_for_all_labels(self, monkeypatch):
        read = []
        monkeypatch.setattr(
            "fuse_lightning.data.targets.content_digest",
            lambda name, file: read.append(name) or f"digest of {name}",
        )
        sources = [picture("a.png"), picture("b.png")]
        found = SentimentTargets(["good", "bad", "odd"], sources).find_targets()
        assert len({target.digest for target in found}) == 6
        assert read == ["'a.png'", "'b.png'"]

    def test_pictures_of_their_own_have_a_digest_of_their_own(self):
        first, second = ImageTargets([picture("a.png"), picture("b.png", "blue")]).find_targets()
        assert replace(first, id="c").digest == first.digest
        assert replace(first, pictures=second.pictures).digest == second.digest


def test_ids_that_a_data_module_of_others_gives_twice_are_refused():
    class Twice(TextTargets):
        def all_targets(self):
            return [Target("a", text="a"), Target("a", text="b")]

    with pytest.raises(FuseError, match="2 targets have the id 'a'; give each its own"):
        Twice("a").find_targets()


def test_the_current_folder_is_the_root(tmp_path):
    assert Root().folder == tmp_path
    assert Root().name(Path("a/b.png")) == "a/b.png"
    assert Root("a/..").folder == tmp_path
