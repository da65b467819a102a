"""Classes of a user's own files, named by class_path in a configuration."""

import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from PIL import Image

from fuse_lightning.cli.class_folders import remember, remembered
from fuse_lightning.cli.main import main
from tests.factories.configs import short_search

# Of modules that earlier tests had, and that are gone.

TERM = """
from fuse_lightning import Fluency


class Mine(Fluency):
    pass


class Other:
    pass
"""
KINDS = """
from lightning.pytorch import Callback

from fuse_lightning import AutoDAN, BeamSearch, CausalLM, ImageTargets


class Optimizer(AutoDAN):
    pass


class Beam(BeamSearch):
    pass


class Pictures(ImageTargets):
    pass


class Model(CausalLM):
    pass


class Note(Callback):
    def on_fit_start(self, trainer, pl_module):
        terms = [term for term in pl_module.objective.terms]
        data = trainer.datamodule
        used = [self, pl_module, pl_module.frontier, data, terms[0], terms[0].model]
        print("used", *(f"{type(each).__module__}.{type(each).__name__}" for each in used))
"""


@pytest.fixture(autouse=True)
def fresh(monkeypatch, tmp_path):
    """A current folder with a picture; nothing of an earlier test's modules."""
    monkeypatch.setattr("sys.argv", ["fuse"])
    monkeypatch.setenv("FUSE_LIGHTNING_CACHE", str(tmp_path / "cache"))
    Path("a.png").unlink(missing_ok=True)
    Image.effect_noise((32, 32), 90).save("a.png")
    meta, modules = [*sys.meta_path], {*sys.modules}
    yield
    sys.meta_path[:] = meta
    for name in [name for name in sys.modules if name.partition(".")[0].startswith("own_")]:
        if name not in modules:
            del sys.modules[name]
    # The parser would look for the modules of classes that are still there.
    gc.collect()


def write(folder, term="Fluency", **trainer):
    """Writes a configuration into a folder, with one term of a class."""
    config = short_search(os.path.abspath("a.png"), 1, batch_size=2)
    config["model"]["init_args"]["terms"][0]["class_path"] = term
    config["trainer"] |= trainer
    file = Path(folder, "run.yaml")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump(config))
    return file


def module(path, text=TERM):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)


def refused(capsys, *words):
    with pytest.raises(SystemExit) as end:
        main(["fit", *map(str, words)])
    assert end.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    return lines[0]


def fuse(folder, *words):
    """Runs the command as a user does, in a process of its own."""
    return subprocess.run(
        [Path(sys.executable).with_name("fuse"), *map(str, words)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_kind_of_class_may_be_the_users_own(capsys):
    module("own_kinds.py", KINDS)
    module("own_terms/__init__.py", "")
    module("own_terms/first.py", "from .second import Mine\n")
    module("own_terms/second.py")
    file = write(".", "own_terms.first.Mine")
    config = yaml.safe_load(file.read_text())
    config["model"]["class_path"] = "own_kinds.Optimizer"
    model = {"class_path": "own_kinds.Model", "init_args": {"model_id": "zoo/gpt2"}}
    config["model"]["init_args"]["terms"][0]["init_args"]["model"] = model
    config["data"]["class_path"] = "own_kinds.Pictures"
    config["trainer"]["callbacks"] += [
        {"class_path": "own_kinds.Beam", "init_args": {"beam_width": 2}},
        {"class_path": "own_kinds.Note"},
    ]
    file.write_text(yaml.safe_dump(config))
    main(["fit", "--config", str(file)])
    names = [f"own_kinds.{name}" for name in ("Note", "Optimizer", "Beam", "Pictures")]
    used = " ".join(["used", *names, "own_terms.second.Mine", "own_kinds.Model"])
    assert used in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_two_processes_and_a_run_that_goes_on_from_another_folder(tmp_path):
    module("beside/own_beside.py")
    config = write("beside", "own_beside.Mine", devices=2)
    done = fuse(".", "fit", "--config", config)
    assert done.returncode == 0, done.stderr
    run = Path("logs/search/version_0").resolve()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for words in (["fit", "--resume", run], ["validate", "--run", run]):
        done = fuse(elsewhere, *words)
        assert done.returncode == 0, done.stderr


def test_a_run_knows_its_classes_and_others_cannot_add_theirs(monkeypatch, capsys, tmp_path):
    module("beside/own_known.py")
    main(["fit", "--config", str(write("beside", "own_known.Mine"))])
    run = Path("logs/search/version_0").resolve()
    assert remembered(run) == [tmp_path / "beside"]
    # As of a user who was given this run by another.
    monkeypatch.setenv("FUSE_LIGHTNING_CACHE", str(tmp_path / "other"))
    del sys.modules["own_known"]
    ran = tmp_path / "ran"
    module(run / "own_known.py", f"open({str(ran)!r}, 'w')\n")
    capsys.readouterr()
    line = refused(capsys, "--resume", run)
    assert "no module 'own_known' is installed or lies in" in line
    assert not ran.exists()
    # The user's own word is another matter.
    assert "own_known.py' has no 'Mine'" in refused(capsys, "--config", run / "config.yaml")
    assert ran.exists()


def test_folders_are_known_for_the_same_run_alone(tmp_path):
    run = tmp_path / "run"
    remember(run, [])
    assert not (tmp_path / "cache").exists()
    remember(run, [str(tmp_path)])
    assert remembered(run) == [tmp_path]
    assert remembered(tmp_path / "run" / ".." / "run") == [tmp_path]
    assert remembered(tmp_path / "other") == []
    (file,) = (tmp_path / "cache" / "class_folders").iterdir()
    for text in ("", "[]", "{}", '{"run": 1, "folders": []}', file.read_text().replace("[", "[1,")):
        file.write_text(text)
        assert remembered(run) == []
    remember(run, ["relative"])
    assert remembered(run) == []


BROKEN = {
    "an import": ("from fuse_lightning import Flunecy", "ImportError: cannot import name"),
    "a library that is missing": ("import own_missing", "No module named 'own_missing'"),
    "syntax": ("\ndef f(:", "line 2: SyntaxError: invalid syntax"),
    "any error": ("x = 1\n1 / 0", "line 2: ZeroDivisionError: division by zero"),
    "deeper": ("def f():\n    return {}['a']\n\n\nf()", "line 2: KeyError: 'a'"),
}


@pytest.mark.parametrize("kind", BROKEN)
@pytest.mark.parametrize("place", ["own_broken", "own_package.own_broken"])
def test_an_error_in_an_own_module_names_the_file_and_the_line(kind, place, capsys):
    text, told = BROKEN[kind]
    file = Path(*place.split(".")).with_suffix(".py")
    module(file, text)
    if "." in place:
        module(file.with_name("__init__.py"), "")
    line = refused(capsys, "--config", write(".", f"{place}.Mine"))
    assert f"module '{place}' cannot be imported: '{file.resolve()}' line" in line
    assert told in line


RAISES = """
from fuse_lightning import Fluency


class Mine(Fluency):
    def __init__(self, model: str, weight: float = 1.0):
        super().__init__(model, weight)
        raise KeyError("oops")
"""


def test_an_error_of_an_own_class_that_is_built_names_the_file_and_the_line(capsys):
    module("own_raises.py", RAISES)
    line = refused(capsys, "--config", write(".", "own_raises.Mine"))
    assert f"'{Path('own_raises.py').resolve()}' line 8: KeyError: 'oops'" in line
    # What the package says of an option speaks for itself.
    module("own_passes.py", RAISES.replace("(model, weight)", "(model, weight, nothing=1)"))
    assert "line 7: TypeError: " in refused(capsys, "--config", write(".", "own_passes.Mine"))


def test_an_own_module_may_do_without_another_one(capsys):
    module("own_slow.py", "import own_missing\n")
    module("own_choice.py", f"try:\n    import own_slow\nexcept ImportError:\n    pass\n{TERM}")
    main(["fit", "--config", str(write(".", "own_choice.Mine"))])


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("own_nowhere.Mine", "no module 'own_nowhere' is installed or lies in"),
        ("own_mine.Nobody", "own_mine.py' has no 'Nobody'; it has: Mine, Other"),
        ("own_mine.Other", "own_mine.py' is no Term; give a class derived from Term"),
        ("secrets.Mine", "secrets.py'; give that file another name"),
        ("own-mine.Mine", "'own-mine.Mine' is no class; write module.Class"),
    ],
)
def test_a_class_that_is_not_there_is_one_line(name, told, capsys):
    module("own_mine.py")
    module("secrets.py")
    assert told in refused(capsys, "--config", write(".", name))
    # Where a term's model may be a text as well.
    model = {"class_path": "Fluency", "init_args": {"model": {"class_path": name}}}
    word = f"--model.terms={yaml.safe_dump([model], default_flow_style=True).strip()}"
    line = refused(capsys, "--config", write("."), word)
    assert told.partition(" is no Term")[0].partition("give a")[0] in line
