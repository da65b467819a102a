"""Options of list elements, names that are nearly right, and classes of the user's own."""

import sys
from pathlib import Path

import pytest
import yaml
from jsonargparse import Namespace
from PIL import Image

from fuse_lightning.cli.classes import alike, options
from fuse_lightning.cli.elements import check_elements, check_indices
from fuse_lightning.cli.main import main
from fuse_lightning.errors import FuseError
from fuse_lightning.optimizers import AutoDAN
from tests.factories.configs import short_search

PARSED = Namespace(
    model=Namespace(
        class_path="AutoDAN",
        init_args=Namespace(
            steps=3,
            terms=[Namespace(class_path="A"), Namespace(class_path="B")],
            constraints=Namespace(block=["a", "b"]),
        ),
    ),
    trainer=Namespace(callbacks=[Namespace(), Namespace()], max_steps=3),
)


@pytest.mark.parametrize(
    "words",
    [
        ["--model.terms.weight=3"],
        ["--model.init_args.terms.init_args.weight=3"],
        ["--model.steps=3", "--model.terms.weight=3"],
        ["--model.terms.weight=3", "--model.terms+=C"],
    ],
)
def test_an_option_of_the_last_element_alone_is_refused(words):
    with pytest.raises(FuseError, match=r"^option model.terms.weight would change the last of 2"):
        check_elements(words, PARSED)


@pytest.mark.parametrize(
    "words",
    [
        ["fit", "--config", "a.yaml", "--model.steps=3"],
        ["--model.terms+=C", "--model.terms.weight=3"],
        ["--model.init_args.terms=[]", "--model.terms.weight=3"],
        ["--trainer.callbacks=BeamSearch", "--trainer.callbacks.beam_width=2"],
        ["--model.constraints.block+=c", "--model.constraints.block=[a]"],
        ["--trainer.max_steps=3", "--bogus.option=3", "--model.nothing.at.all=3"],
    ],
)
def test_what_was_given_just_before_is_meant(words):
    check_elements(words, PARSED)


def test_one_element_is_meant_by_any_option():
    options = Namespace(model=Namespace(init_args=Namespace(terms=[Namespace()])))
    check_elements(["--model.terms.weight=3"], options)


@pytest.mark.parametrize(
    "name", ["model.terms.0.weight", "model.terms[0].weight", "model.terms[1]"]
)
def test_an_index_is_refused_and_the_way_told(name):
    with pytest.raises(
        FuseError, match=r"^option model.terms.*YAML.*as --model.terms='\[\.\.\.\]'"
    ):
        check_indices(["fit", f"--{name}=3"])
    check_indices(["fit", "--model.terms.model.device_map.transformer.h.0=1", "--data.limit=3"])


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("autodan", "AutoDAN"),
        ("BeemSearch", "BeamSearch"),
        ("fuse_lightning.data.ImageTarget", "ImageTargets"),
        ("fluent", "Fluency"),
        ("tensorboardlogger", "TensorBoardLogger"),
        ("Xyzzy", None),
        ("Fluency", None),
    ],
)
def test_a_name_that_is_nearly_right(wrong, right):
    assert alike(wrong) == right


def test_only_what_a_class_takes_is_among_its_options():
    # It sets this one itself.
    assert "gradient_resample" not in options(AutoDAN)
    assert {"terms", "batch_size", "steps", "rescore"} <= {*options(AutoDAN)}


@pytest.fixture
def run(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["fuse"])
    monkeypatch.setattr(sys, "path", [*sys.path])
    Image.effect_noise((32, 32), 90).save("a.png")

    def run(folder, *words, term="Fluency"):
        config = short_search("a.png", 1, batch_size=2)
        config["model"]["init_args"]["terms"][0]["class_path"] = term
        Path(folder).mkdir(exist_ok=True)
        Path(folder, "run.yaml").write_text(yaml.safe_dump(config))
        code = 0
        try:
            main(["fit", "--config", f"{folder}/run.yaml", *words])
        except SystemExit as end:
            code = end.code
        return code, (capsys.readouterr().err.splitlines() or [""])[-1]

    return run


@pytest.mark.parametrize("place", [".", "beside"])
def test_classes_of_the_current_folder_and_beside_a_configuration_are_found(place, run):
    name = f"terms_of_{place.strip('.') or 'here'}"
    Path("beside").mkdir()
    Path(place, f"{name}.py").write_text(
        "from fuse_lightning.objectives import Fluency\n\n\nclass Mine(Fluency):\n    pass\n"
    )
    assert run("beside", term=f"{name}.Mine")[0] == 0


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("--model.terms.weight=3", "option model.terms.weight would change the last of 2"),
        ("--model.terms.0.weight=3", "an element of model.terms has no name"),
        ("--model=autodan", "no class 'autodan' is known; did you mean AutoDAN?"),
        ("--data=fuse_lightning.data.ImageTarget", "did you mean ImageTargets?"),
    ],
)
def test_they_are_one_line(word, told, run):
    code, line = run("beside", word)
    assert code == 2
    assert told in line
