import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from fuse_lightning import __version__
from fuse_lightning.cli.help import COMMANDS
from fuse_lightning.cli.main import main

FLUENCY = {"class_path": "Fluency", "init_args": {"model": "zoo/gpt2", "prefix": "An image of"}}
SIMILARITY = {"class_path": "ImageSimilarity", "init_args": {"model": "zoo/clip", "weight": 8}}
BEAM = {"class_path": "BeamSearch"}
SENTIMENT = {"class_path": "Sentiment", "init_args": {"model": "zoo/sentiment"}}


def search(terms=(FLUENCY, SIMILARITY), data=None, callbacks=None, **options):
    """Words that run a short search, with its configuration in a file."""
    config = {
        "model": {
            "class_path": "AutoDAN",
            "init_args": {
                "terms": copy.deepcopy(list(terms)),
                "steps": 2,
                "batch_size": 4,
                **options,
            },
        },
        "data": data or {"class_path": "ImageTargets", "init_args": {"images": "a.png"}},
        "trainer": {
            "accelerator": "cpu",
            "enable_progress_bar": False,
            "callbacks": callbacks,
        },
    }
    Path("config.yaml").write_text(json.dumps(config))
    return ["fit", "--config", "config.yaml"]


def with_term(term, **options):
    return {**term, "init_args": {**term["init_args"], **options}}


def placed(**options):
    model = {"class_path": "CausalLM", "init_args": {"model_id": "zoo/gpt2", **options}}
    return with_term(FLUENCY, model=model)


def pictures(images, **options):
    return {"class_path": "ImageTargets", "init_args": {"images": images, **options}}


def checkpoint(content):
    torch.save(content, "a.ckpt")
    return [*search(), "--ckpt_path", "a.ckpt"]


def wants(sentiment):
    return {"class_path": "SentimentTargets", "init_args": {"sentiment": sentiment}}


def keeps(width):
    return {"class_path": "BeamSearch", "init_args": {"beam_width": width}}


def written(text):
    Path("config.yaml").write_text(text)
    return ["fit", "--config", "config.yaml"]


@pytest.fixture(autouse=True)
def files(monkeypatch):
    # Lightning warns about words of a process that are not the ones it is given.
    monkeypatch.setattr(sys, "argv", ["fuse"])
    Image.new("RGB", (32, 32), "red").save("a.png")
    Path("text.png").write_text("hello")
    Path("empty").mkdir()
    Path("folder").mkdir()
    Path("folder/config.json").write_text("{}")


@pytest.fixture
def run(capsys):
    def run(words):
        with pytest.raises(SystemExit) as end:
            main(words)
        return end.value.code, capsys.readouterr().err

    return run


CASES = {
    "missing image": (
        lambda: [*search(), "--data.images", "gone.png"],
        ["image 'gone.png' does not exist", "check its path"],
    ),
    "unreadable image": (
        lambda: [*search(), "--data.images", "text.png"],
        ["image 'text.png' cannot be read as a picture: it is of no format", "give one of AVIF"],
    ),
    "empty folder": (
        lambda: [*search(), "--data.images", "empty"],
        ["folder 'empty' holds no images", "it needs pictures such as .jpg"],
    ),
    "no images": (
        lambda: [*search(), "--data.images", ""],
        ["data.images is empty", "give a picture"],
    ),
    "images of another type": (
        lambda: search(data={"class_path": "ImageTargets", "init_args": {"images": 5}}),
        ["option data.images", "expected str or list", "got '5'"],
    ),
    "unknown model": (
        lambda: search([with_term(FLUENCY, model="nobody/nothing"), SIMILARITY]),
        ["cannot load model 'nobody/nothing'", "check the id and the network"],
    ),
    "unknown zoo model": (
        lambda: search([with_term(FLUENCY, model="zoo/nothing"), SIMILARITY]),
        ["unknown zoo model 'zoo/nothing'", "there are: zoo/clip"],
    ),
    "folder without a model": (
        lambda: search([with_term(FLUENCY, model="./folder"), SIMILARITY]),
        ["cannot load a model from folder './folder'", "save_pretrained"],
    ),
    "CLIP as language model": (
        lambda: search([with_term(FLUENCY, model="zoo/clip"), SIMILARITY]),
        ["'zoo/clip' is a CLIPModel, not a causal language model"],
    ),
    "language model as CLIP": (
        lambda: search([FLUENCY, with_term(SIMILARITY, model="zoo/gpt2")]),
        ["'zoo/gpt2' is a GPT2LMHeadModel, not a CLIP"],
    ),
    "unknown sentiment": (
        lambda: search([FLUENCY, SENTIMENT], wants("sad")),
        ["unknown label 'sad' for 'zoo/sentiment'", "its labels are"],
    ),
    "unknown sentiment of a term": (
        lambda: search([FLUENCY, with_term(SENTIMENT, label="sad"), SIMILARITY]),
        ["unknown label 'sad'", "its labels are"],
    ),
    "no sentiment": (
        lambda: search([FLUENCY, SENTIMENT], wants(None)),
        ["neither sentiment nor images", "give at least data.sentiment"],
    ),
    "no image for CLIP": (
        lambda: search([FLUENCY, SIMILARITY], wants("positive")),
        ["target 'positive' has no image", "give data.images or remove the term"],
    ),
    "beam width": (
        lambda: search(callbacks=[keeps(0)]),
        ["beam_width is 0", "at least 1"],
    ),
    "beam width on the command line": (
        lambda: [*search(), "--trainer.callbacks=BeamSearch", "--trainer.callbacks.beam_width=0"],
        ["beam_width is 0", "at least 1"],
    ),
    "two frontiers": (
        lambda: search(callbacks=[keeps(2), {"class_path": "UniformCostSearch"}]),
        ["BeamSearch and UniformCostSearch", "give one"],
    ),
    "negative steps": (
        lambda: [*search(), "--model.init_args.steps", "-3"],
        ["steps is -3", "at least 1"],
    ),
    "candidates": (lambda: search(batch_size=0), ["batch_size is 0", "at least 1"]),
    "targets at once": (
        lambda: [*search(), "--data.init_args.batch_size", "0"],
        ["data.batch_size is 0", "at least 1"],
    ),
    "long prefix": (
        lambda: search([FLUENCY, with_term(SIMILARITY, prefix="a red cube " * 99)]),
        ["prefix and suffix of image_similarity take", "that 'zoo/clip' reads; shorten"],
    ),
    "weights of zero": (
        lambda: search([with_term(FLUENCY, weight=0), with_term(SIMILARITY, weight=0)]),
        ["all weights of the objective are 0", "give a term a weight"],
    ),
    "weight of another type": (
        lambda: search([FLUENCY, with_term(SIMILARITY, weight="heavy")]),
        ["option model.terms.image_similarity.weight: expected float, got 'heavy'"],
    ),
    "weight of another type on the command line": (
        lambda: [*search(), "--model.terms.fluency.weight=heavy"],
        ["option model.terms.fluency.weight: expected float, got 'heavy'"],
    ),
    "width of another type on the command line": (
        lambda: [*search(callbacks=[BEAM]), "--trainer.callbacks.beam_width=wide"],
        ["option trainer.callbacks.beam_search.beam_width: expected int, got 'wide'"],
    ),
    "no terms": (lambda: search([]), ["the objective has no terms", "give at least one"]),
    "term of another type": (
        lambda: search([FLUENCY, 5]),
        ["option model.terms", "expected class_path and init_args of a Term"],
    ),
    "steps of another type": (
        lambda: search(steps="many"),
        ["option model.steps", "expected int", "got 'many'"],
    ),
    "a choice that is none": (
        lambda: search(constraints={"tokens": "emoji"}),
        ["option model.constraints.tokens", "one of 'any', 'ascii', 'words'", "got 'emoji'"],
    ),
    "unknown model option": (
        lambda: search(stepps=3),
        ["AutoDAN has no option 'stepps'", "it has: terms, batch_size", ", steps, "],
    ),
    "unknown option of a term": (
        lambda: search([FLUENCY, with_term(SIMILARITY, wight=3)]),
        ["option model.terms", "ImageSimilarity has no option 'wight'", "it has: model, weight"],
    ),
    "unknown option of a callback": (
        lambda: search(callbacks=[{"class_path": "BeamSearch", "init_args": {"width": 2}}]),
        ["BeamSearch has no option 'width'", "it has: beam_width"],
    ),
    "unknown trainer option": (
        lambda: written("trainer: {max_stepps: 3}"),
        ["unknown option 'trainer.max_stepps'", "`fuse fit --help`"],
    ),
    "unknown section": (
        lambda: written("modell: 3"),
        ["unknown option 'modell'", "`fuse fit --help`"],
    ),
    "unknown callback": (
        lambda: search(callbacks=[{"class_path": "BeemSearch"}]),
        ["option trainer.callbacks", "no class 'BeemSearch'", "did you mean BeamSearch?"],
    ),
    "unknown term": (
        lambda: search([FLUENCY, {"class_path": "Fluent"}]),
        ["option model.terms", "no class 'Fluent'", "did you mean Fluency?"],
    ),
    "unknown flag": (
        lambda: [*search(), "--bogus", "3"],
        ["unknown option '--bogus 3'", "--help"],
    ),
    "missing option of a class": (
        lambda: search(data={"class_path": "ImageTargets"}),
        ["option data: ImageTargets needs images; give --data.images"],
    ),
    "shipped configuration without pictures": (
        lambda: ["fit", "--config", "caption_image"],
        ["option data: ImageTargets needs images; give --data.images"],
    ),
    "nothing configured": (lambda: ["fit"], ["missing options: fit.data, fit.model", "--config"]),
    "missing configuration": (
        lambda: ["fit", "--config", "gone.yaml"],
        ["config 'gone.yaml' cannot be read", "does not exist", "give a YAML file"],
    ),
    "folder as configuration": (
        lambda: ["fit", "--config=empty"],
        ["config 'empty' cannot be read", "give a YAML file"],
    ),
    "unreadable configuration": (
        lambda: written("model: [1,\n  x: {"),
        ["config 'config.yaml' cannot be read", "line 3, column 1", "give a YAML file"],
    ),
    "text as configuration": (
        lambda: written("hello"),
        ["config 'config.yaml' cannot be read", "hello", "give a YAML file"],
    ),
    "empty configuration": (
        lambda: written(""),
        ["config 'config.yaml' cannot be read", "give a YAML file"],
    ),
    "picture as configuration": (
        lambda: ["fit", "--config", "a.png"],
        ["config 'a.png' cannot be read", "give a YAML file"],
    ),
    "missing checkpoint": (
        lambda: [*search(), "--ckpt_path", "gone.ckpt"],
        ["checkpoint 'gone.ckpt' does not exist", "check --ckpt_path"],
    ),
    "text as checkpoint": (
        lambda: [*search(), "--ckpt_path", "text.png"],
        ["checkpoint 'text.png' cannot be read", "give a file"],
    ),
    "seed": (
        lambda: [*search(), "--seed_everything", "-1"],
        ["seed_everything is -1", "it must be from 0"],
    ),
    "seed of another type": (
        lambda: [*search(), "--seed_everything", "abc"],
        ["option seed_everything", "expected bool or int", "got 'abc'"],
    ),
    "unknown accelerator": (
        lambda: [*search(), "--trainer.accelerator", "gppu"],
        ["gppu", "cpu"],
    ),
    "unknown device": (
        lambda: search([placed(device="gpu"), SIMILARITY]),
        ["device 'gpu' of 'zoo/gpt2' is unknown", "give cpu, cuda or cuda:N"],
    ),
    "missing device": (
        lambda: search([placed(device="cuda:99"), SIMILARITY]),
        ["device 'cuda:99' of 'zoo/gpt2' is not there", "this machine has: cpu"],
    ),
    "missing device of a part": (
        lambda: search([placed(device_map={"transformer": "cpu", "lm_head": 99}), SIMILARITY]),
        ["device 99 of 'zoo/gpt2' is not there", "this machine has: cpu"],
    ),
    "unknown quantization": (
        lambda: search([placed(quantization="3bit"), SIMILARITY]),
        ["quantization", "4bit", "got '3bit'"],
    ),
    "unknown precision": (
        lambda: [*search(), "--trainer.precision", "17-mixed"],
        ["option trainer.precision", "'bf16-mixed'"],
    ),
    "precision of losses": (
        lambda: [*search(), "--trainer.precision", "bf16-true"],
        ["trainer.precision 'bf16-true' would also be that of losses", "give 'bf16-mixed'"],
    ),
    "no devices": (lambda: [*search(), "--trainer.devices", "0"], ["devices='0'"]),
    "results in a file": (
        lambda: [*search(), "--trainer.logger.init_args.save_dir", "a.png"],
        ["a.png", "check the path"],
    ),
    "unknown command": (
        lambda: ["bogus"],
        ["unknown command 'bogus'", f"there are: {', '.join(COMMANDS)}"],
    ),
    "unknown first flag": (lambda: ["--bogus"], ["unknown option '--bogus'", "--help"]),
    "checkpoint of something else": (
        lambda: checkpoint({"weights": torch.zeros(1)}),
        ["checkpoint 'a.ckpt' cannot be read", "a search of this version has written"],
    ),
    "checkpoint of another module": (
        lambda: checkpoint({"loops": {}, "state_dict": {"weight": torch.zeros(1)}}),
        ["checkpoint 'a.ckpt' cannot be read", "a search of this version has written"],
    ),
    "unknown zoo command": (
        lambda: ["zoo", "bogus"],
        ["unknown command 'bogus'", "'scenes', 'moods', 'sums', 'train', 'evaluate'"],
    ),
    "no zoo command": (lambda: ["zoo"], ["{scenes,moods,sums,train,evaluate}"]),
    "zoo option of another type": (
        lambda: ["zoo", "scenes", "--out", "out", "--count", "many"],
        ["option --count", "expected int", "got 'many'"],
    ),
    "no scenes": (
        lambda: ["zoo", "scenes", "--out", "out", "--count", "0"],
        ["count is 0", "at least 1"],
    ),
    "no moods": (
        lambda: ["zoo", "moods", "--out", "out.csv", "--count", "0"],
        ["count is 0", "at least 1"],
    ),
    "no scenes to measure on": (
        lambda: ["zoo", "evaluate", "--scenes", "0"],
        ["scenes is 0", "at least 1"],
    ),
    "nothing trains": (
        lambda: ["zoo", "train", "--jobs", "0"],
        ["jobs is 0", "at least 1"],
    ),
    "an empty folder name": (lambda: ["report", ""], ["holds no prompts.jsonl"]),
    "home of nobody": (
        lambda: search(data=pictures("~nobody-of-this-name/a.png")),
        ["image '~nobody-of-this-name/a.png'", "write the whole path"],
    ),
    "texts of nobody": (
        lambda: search(
            data={"class_path": "TextTargets", "init_args": {"texts": "~nobody-of-this-name/a.txt"}}
        ),
        ["text file '~nobody-of-this-name/a.txt'", "write the whole path"],
    ),
    "finished runs of nobody": (
        lambda: search(data=pictures("a.png", skip_finished="~nobody-of-this-name")),
        ["data.skip_finished '~nobody-of-this-name'", "write the whole path"],
    ),
    "scenes into a file": (
        lambda: ["zoo", "scenes", "--out", "a.png"],
        ["File exists: 'a.png'", "check the path"],
    ),
    "missing options of a tool": (
        lambda: ["adapter", "evaluate"],
        ["missing options: evaluate.source"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_one_line_and_exit_code_two(name, run):
    words, parts = CASES[name]
    code, err = run(words())
    assert code == 2
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    for part in parts:
        assert part in err
    for noise in ("<class", "Traceback", "Namespace(", "typing."):
        assert noise not in err


def test_a_mistake_of_ours_keeps_its_traceback(monkeypatch):
    def broken(*_):
        raise KeyError("a bug")

    monkeypatch.setattr("fuse_lightning.cli.zoo.scenes", broken)
    with pytest.raises(KeyError):
        main(["zoo", "scenes"])


def test_good_input_writes_prompts(capsys):
    main(search())
    assert len(Path("logs/search/version_0/prompts.csv").read_text().splitlines()) == 2
    assert "│ a" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["fit", "--help"], "--trainer.max_steps"),
        (["fit", "--help-all"], "--trainer.max_epochs"),
        (["fit", "--model.help", "AutoDAN"], "--model.steps"),
        (["validate", "--help"], "fuse validate --run RUN [--transfer MODEL"),
        (["zoo", "--help"], "scenes"),
        (["zoo", "scenes", "--help"], "--count"),
        (["adapter", "--help"], "evaluate"),
    ],
)
def test_help_ends_well(words, shown, capsys):
    code = 0
    try:
        main(words)
    except SystemExit as end:
        code = end.code
    captured = capsys.readouterr()
    assert code == 0
    assert shown in captured.out
    assert captured.err == ""


@pytest.mark.parametrize("words", [[], ["-h"], ["--help"]])
def test_the_commands_are_explained(words, capsys):
    main(words)
    assert "fuse fit --config quickstart" in capsys.readouterr().out


def test_version(capsys):
    main(["--version"])
    assert capsys.readouterr().out == f"fuse-lightning {__version__}\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["bogus"], "error: unknown command 'bogus'"),
        (
            ["fit", "--config", "config.yaml", "--data.images", "gone.png"],
            "error: image 'gone.png' does not exist",
        ),
    ],
)
def test_a_process_ends_with_the_line_and_loads_no_diffusers(words, message):
    search()
    code = (
        "import atexit, sys; atexit.register(lambda: print('diffusers' in sys.modules)); "
        "from fuse_lightning.cli.main import main; main(sys.argv[1:])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout.splitlines()[-1] == "False"
    assert "Traceback" not in done.stderr
    # Lightning tells which devices it uses before it meets the pictures.
    *_, last = done.stderr.splitlines()
    assert last.startswith(message)
    assert done.stderr.count("error: ") == 1
