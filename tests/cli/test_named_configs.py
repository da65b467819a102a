"""Configurations of the package by name, and their list."""

import shlex
from pathlib import Path

import pytest
import yaml

from fuse_lightning.cli.configs import config_list
from fuse_lightning.cli.main import main
from fuse_lightning.cli.named_configs import shipped_configs, with_config_paths
from fuse_lightning.errors import FuseError

FOLDER = Path(__file__).parents[2] / "configs"


def test_all_files_of_the_folder_have_names():
    assert shipped_configs() == {path.stem: path for path in FOLDER.glob("*.yaml")}
    assert "quickstart" in shipped_configs()


@pytest.mark.parametrize("name", ["style", "style.yaml", "style.yml"])
@pytest.mark.parametrize("option", [["--config", "{}"], ["--config={}"], ["-c", "{}"]])
def test_a_name_becomes_the_path(option, name):
    # Pictures lie in folders of any name.
    Path("style").mkdir()
    given = [word.format(name) for word in option]
    expected = [word.format(FOLDER / "style.yaml") for word in option]
    assert with_config_paths(["fit", *given, "--x", "y"]) == ["fit", *expected, "--x", "y"]


@pytest.mark.parametrize(
    ("files", "given", "taken"),
    [
        (["style"], "style", "style"),
        (["style.yaml"], "style.yaml", "style.yaml"),
        (["style.yaml"], "style", "style.yaml"),
        (["style", "style.yaml"], "style", "style"),
        (["own.yaml"], "own", "own.yaml"),
        (["own.json"], "own.json", "own.json"),
    ],
)
def test_an_own_file_comes_first(files, given, taken):
    for name in files:
        Path(name).write_text("{}")
    assert with_config_paths(["fit", "--config", given]) == ["fit", "--config", taken]


@pytest.mark.parametrize(
    "value",
    ["model: Fluency", "{}", "null", "", "a.png", "a/gone.yaml", "/gone", "a b", "x: y.yaml"],
)
def test_what_is_no_name_is_left_to_the_parser(value):
    for words in (["fit", "--config", value], ["fit", f"--config={value}"], ["fit", "-c"]):
        assert with_config_paths(words) == words


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("quickstrat", "did you mean quickstart"),
        ("caption-image.yaml", "did you mean caption_image"),
        ("configs/quickstart.yaml", "did you mean quickstart"),
        ("gone.yaml", "give a YAML file, or the name"),
    ],
)
def test_an_unknown_name_is_told_in_one_line(name, told, capsys):
    for command in ("fit", "check", "test", "predict", "validate", "decode", "diff"):
        with pytest.raises(SystemExit, match="2"):
            main([command, "--config", name])
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"error: config {name!r} cannot be read: it does not exist; ")
        assert told in line
        assert "fuse configs lists" in line


@pytest.mark.parametrize(
    ("name", "told"),
    [("nope", "; there are: agnews, "), ("quikstart.yaml", "; did you mean quickstart? there are")],
)
def test_an_unknown_name_to_print_is_told_with_all_that_there_are(name, told, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["configs", name])
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: there is no configuration {name!r}{told}")
    assert line.endswith(", ".join(shipped_configs()))


def test_the_list_has_a_short_line_for_each(capsys):
    main(["configs"])
    out = capsys.readouterr().out
    lines = config_list()
    assert out.startswith("\n".join(lines))
    assert [line.split()[0] for line in lines] == [*shipped_configs()]
    for line in lines:
        assert len(line) <= 102, line
        assert line.endswith("."), line


def test_one_is_printed_as_it_is(capsys):
    for name in ("style", "style.yaml"):
        main(["configs", name])
        assert capsys.readouterr().out == (FOLDER / "style.yaml").read_text()
    main(["configs", "--help"])
    assert "fuse configs [NAME]" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "told"),
    [(["quickstrat"], "did you mean quickstart"), (["style", "pez"], "leave out 'pez'")],
)
def test_odd_words_of_the_list_are_told(words, told, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["configs", *words])
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line


@pytest.mark.parametrize("name", shipped_configs())
def test_its_first_lines_say_how_to_run_it(name):
    lines = (FOLDER / f"{name}.yaml").read_text().splitlines()
    (command, *_) = (line for line in lines if line.startswith("#   fuse "))
    words = shlex.split(command.removeprefix("#   fuse "))
    assert words[words.index("--config") + 1] == name
    config = yaml.safe_load("\n".join(lines))
    data = config.get("data", {})
    options = data.get("init_args", {})
    if data.get("class_path") in ("ImageTargets", "SentimentTargets") and "images" not in options:
        assert words[words.index("--data.images") + 1] == "PATH"
    if options.get("data") == "PATH":
        assert words[words.index("--data.data") + 1] == "PATH"


@pytest.mark.parametrize("name", ["find_divergence", "quickstart"])
def test_a_check_takes_names(name, capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["check", "--config", name, "--print_config"])
    assert yaml.safe_load(capsys.readouterr().out)["model"]


def test_a_wheel_holds_them_in_the_package(tmp_path, monkeypatch):
    package = tmp_path / "fuse_lightning"
    (package / "configs").mkdir(parents=True)
    (package / "configs" / "quickstart.yaml").write_text("{}")
    monkeypatch.setattr("fuse_lightning.__file__", str(package / "__init__.py"))
    assert shipped_configs() == {"quickstart": package / "configs" / "quickstart.yaml"}
    with pytest.raises(FuseError, match="cannot be read"):
        with_config_paths(["fit", "--config", "style"])
