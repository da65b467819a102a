"""Options of list elements, names that are nearly right, and classes of the user's own."""

import itertools
import json
import sys
from pathlib import Path

import pytest
import yaml
from jsonargparse import Namespace
from PIL import Image

from fuse_lightning.cli.classes import alike, options
from fuse_lightning.cli.elements import expand_elements
from fuse_lightning.cli.main import main
from fuse_lightning.errors import FuseError
from fuse_lightning.optimizers import AutoDAN
from tests.factories.configs import short_search

ROOT = Path(__file__).parents[2]


def element(path, **options):
    return Namespace(class_path=path, init_args=Namespace(**options))


PARSED = Namespace(
    model=element(
        "AutoDAN",
        steps=3,
        terms=[
            element("fuse_lightning.Fluency", model="zoo/gpt2"),
            element("mine.LikesIt", model="a", name="liked"),
            element("fuse_lightning.Fluency", model="zoo/gpt2", prefix="no, \u4f60"),
        ],
        constraints=Namespace(block=["a", "b"]),
    ),
    trainer=Namespace(callbacks=element("fuse_lightning.BeamSearch"), max_steps=3),
)


def expanded(*words):
    return expand_elements(["fit", *words], lambda words: PARSED)[1:]


@pytest.mark.parametrize(
    ("word", "index"),
    [
        ("--model.terms.fluency.weight=3", 0),
        ("--model.terms.Fluency.weight=3", 0),
        ("--model.init_args.terms.liked.init_args.weight=3", 1),
        ("--model.terms.1.weight=3", 1),
        ("--model.terms[1].weight=3", 1),
        ("--model.terms.fluency_2.weight=3", 2),
        ("--model.terms.2.weight=3", 2),
    ],
)
def test_an_element_is_named_by_its_name_its_class_or_its_index(word, index):
    before, change, *after = expanded("--seed_everything=2", word, "--model.steps=1")[2:]
    assert change == "--model.terms.weight=3"
    elements = [part.partition("[")[2] for part in (before, *after)]
    terms = (
        json.loads(before.partition("=")[2]),
        *(json.loads(part.partition("+=")[2]) for part in after),
    )
    assert len(elements) == len(terms)
    assert len(terms[0]) == index + 1
    assert [*itertools.chain(*terms)] == [term.as_dict() for term in PARSED.model.init_args.terms]


def test_several_changes_stay_in_order_and_apart():
    words = expanded(
        "--model.terms.2.weight=1", "--model.terms.fluency.weight=2", "--model.terms.0.suffix=x=y"
    )
    assert [word.partition("[")[0] for word in words] == [
        "--model.terms=",
        "--model.terms.weight=2",
        "--model.terms.suffix=x=y",
        "--model.terms+=",
        "--model.terms.weight=1",
    ]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ["--model.terms.weight=3"],
            "say which of 3 model.terms it changes; write one of",
        ),
        (["--model.init_args.terms.init_args.weight=3"], "--model.terms.fluency_2, with"),
        (["--model.terms.weight=3", "--model.terms+=C"], "does not say which"),
        (["--model.terms.3.weight=3"], r"3 elements \(0 fluency, 1 liked, 2 fluency_2\), .* at 3"),
        (["--model.terms[-1].weight=3"], "and none at -1"),
        (["--model.terms.likd.weight=3"], "did you mean --model.terms.liked?"),
        (["--model.terms.fluency=Fluency"], "names an element of model.terms and no option of it"),
        (["--model.terms.0=Fluency"], "and no option of it"),
    ],
)
def test_what_names_no_element_is_refused_and_the_way_told(words, told):
    with pytest.raises(FuseError, match=told):
        expanded(*words)


@pytest.mark.parametrize(
    "words",
    [
        ["--config=a.yaml", "--model.steps=3"],
        ["--model.terms+=C", "--model.terms.weight=3"],
        ["--model.terms+=C", "--model.terms.model.device_map.transformer.h.0=1"],
        ["--model.init_args.terms=[]", "--model.terms.weight=3"],
        ["--trainer.callbacks=BeamSearch", "--trainer.callbacks.beam_width=2"],
        # One element is meant by any option.
        ["--trainer.callbacks.beam_width=2"],
        ["--model.constraints.block+=c", "--model.constraints.block=[a]"],
        ["--trainer.max_steps=3", "--bogus.option=3", "--model.nothing.at.all=3"],
    ],
)
def test_other_words_stay_as_they_are(words):
    assert expanded(*words) == words


def test_the_parser_changes_the_named_element_alone(capsys):
    words = [
        "fit",
        "--config",
        str(ROOT / "configs/quickstart.yaml"),
        "--print_config=skip_default",
    ]
    changes = ("image_similarity.weight=8", "fluency.prefix=no", "1.suffix=1e3")
    with pytest.raises(SystemExit):
        main([*words, *(f"--model.terms.{change}" for change in changes)])
    terms = yaml.safe_load(capsys.readouterr().out)["model"]["init_args"]["terms"]
    assert [term["init_args"].get("weight", 1) for term in terms] == [1, 8]
    assert [term["init_args"]["prefix"] for term in terms] == ["no", "An image of"]
    assert terms[1]["init_args"]["suffix"] == "1e3"


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
        ("--model.terms.weight=3", "option model.terms.weight does not say which of 2"),
        ("--model.terms.7.weight=3", "and none at 7"),
        ("--model=autodan", "no class 'autodan' is known; did you mean AutoDAN?"),
        ("--data=fuse_lightning.data.ImageTarget", "did you mean ImageTargets?"),
    ],
)
def test_they_are_one_line(word, told, run):
    code, line = run("beside", word)
    assert code == 2
    assert told in line
