"""The short command and the function behind it."""

import io
import json
import signal
import subprocess
import sys
from pathlib import Path

import lightning as L
import pytest
import torch
from PIL import Image

from fuse_lightning.callbacks import JoinedPrompt
from fuse_lightning.cli.main import main
from fuse_lightning.cli.zoo import scenes
from fuse_lightning.data import ImageTargets
from fuse_lightning.errors import FuseError
from fuse_lightning.inversion import invert
from fuse_lightning.models import CLIP
from fuse_lightning.objectives import ImageSimilarity
from fuse_lightning.optimizers import GCG
from fuse_lightning.results.result import Result, read_results
from tests.near import near

SHORT = {"steps": 2, "top": 3}


NAMES = ["scenes/scene-0.png", "scenes/scene-1.png"]


@pytest.fixture
def pictures():
    scenes(Path("scenes"), 2, 5)
    return NAMES


@pytest.mark.parametrize(
    ("options", "targets", "terms"),
    [
        ({}, NAMES, {"fluency", "image_similarity"}),
        ({"preset": "clip"}, NAMES, {"image_similarity"}),
        ({"preset": "style"}, ["together"], {"image_similarity"}),
        (
            {"preset": "sentiment", "text": "a red star"},
            [f"{name} (positive)" for name in NAMES],
            {"fluency", "image_similarity", "text_similarity", "sentiment"},
        ),
    ],
)
def test_presets_give_prompts_best_first(pictures, options, targets, terms):
    results = invert(pictures, **SHORT, **options)
    assert [(row.target, row.rank) for row in results] == [
        (target, rank) for target in targets for rank in (1, 2, 3)
    ]
    for target in targets:
        losses = [row.loss for row in results if row.target == target]
        assert losses == sorted(losses)
        assert len({row.prompt for row in results if row.target == target}) == 3
    assert all(set(row.losses) == terms for row in results)


@pytest.mark.parametrize("preset", ["caption", "clip"])
def test_a_text_alone_is_inverted(preset):
    results = invert(text="a big red star above two boxes", preset=preset, **SHORT)
    assert len(results) == 3
    assert "text_similarity" in results[0].losses


def test_joined_prompts_are_scored_anew_for_every_target(pictures):
    results = invert(pictures, preset="clip", join=True, **SHORT)
    joint = [row for row in results if row.rank == 0]
    best = [row.prompt for row in results if row.rank == 1]
    assert [row.target for row in joint] == NAMES
    # The tokenizer spells a comma with a space before it.
    assert {row.prompt.replace(" ", "") for row in joint} == {",".join(best).replace(" ", "")}
    model = CLIP("zoo/clip")
    model.load()
    with torch.no_grad():
        text = model.text_features(model.encode([", ".join(best)]))
        images = model.image_features([Image.open(path) for path in pictures])
    assert [row.loss for row in joint] == near((1 - images @ text[0]).tolist(), size=1)


@pytest.mark.parametrize("length", [3, 40])
def test_a_run_joins_prompts_or_says_that_they_are_too_long(pictures, length, tmp_path, caplog):
    module = GCG([ImageSimilarity("zoo/clip")], steps=1, prompt_length=length, batch_size=4)
    trainer = L.Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        callbacks=[JoinedPrompt()],
        default_root_dir=tmp_path / "run",
        enable_progress_bar=False,
        enable_checkpointing=False,
    )
    trainer.fit(module, ImageTargets(pictures, batch_size=1))
    path = tmp_path / "run" / "joined.jsonl"
    if length == 40:
        assert not path.exists()
        assert "image_similarity reads at most 64 tokens, but the joined prompt" in caplog.text
        return
    rows = read_results(path)
    assert [(row.target, row.rank) for row in rows] == [(name, 0) for name in NAMES]
    (text,) = {row.prompt for row in rows}
    model = CLIP("zoo/clip")
    model.load()
    with torch.no_grad():
        vector = model.text_features(model.encode([text]))[0]
        images = model.image_features([Image.open(path) for path in pictures])
    assert [row.loss for row in rows] == near((1 - images @ vector).tolist(), size=1)
    assert text.replace(" ", "") == ",".join(row.prompt for row in module.results).replace(" ", "")


def test_joined_prompts_that_are_too_long_are_refused(tmp_path):
    scenes(tmp_path / "nine", 9, 6)
    with pytest.raises(FuseError, match=r"the joined prompt of 9 targets takes .* shorten"):
        invert([tmp_path / "nine"], preset="clip", join=True, **SHORT)


def test_command_prints_lines_or_json(pictures, capsys):
    words = ["invert", pictures[0], "--steps", "2", "--top", "2"]
    main(words)
    shown = capsys.readouterr().out.splitlines()
    main([*words, "--json"])
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["rank"] for row in rows] == [1, 2]
    assert shown[0] == pictures[0]
    for line, row in zip(shown[1:], rows, strict=True):
        assert f"{row['loss']:7.3f}  {row['prompt']}  (fluency" in line


def test_the_bar_stands_on_standard_error_wherever_the_prompts_go(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    main(["invert", "zoo/scenes", "--steps", "1", "--top", "1", "--json"])
    told = capsys.readouterr()
    rows = [json.loads(line) for line in told.out.splitlines()]
    assert [row["target"] for row in rows] == [f"scene-{number}" for number in range(4)]
    assert "4/4 targets" in told.err
    monkeypatch.setattr("sys.stderr.isatty", lambda: False)
    main(["invert", "zoo/scenes", "--steps", "1", "--top", "1", "--json"])
    assert "targets" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "nothing to invert"),
        (["missing.png"], "image 'missing.png' does not exist"),
        (["--preset", "poem"], "invalid choice: 'poem'"),
        (["--top", "x"], "invalid int value: 'x'"),
        (["--top", "0", "--text", "a"], "top is 0"),
        (["--steps", "0", "--text", "a"], "steps is 0"),
        (["--text", "none.txt"], "give an existing file, or a text that does not end in .txt"),
        (["--nothing"], "unrecognized arguments: --nothing"),
        (
            ["--weight", "fluency", "--text", "a"],
            "argument --weight: 'fluency' is no weight; give a term's",
        ),
        (["--weight", "flow=2", "--text", "a"], "weight 'flow' is of no term here; there are: fl"),
        (["--weight", "fluencey=2", "--text", "a"], "no term here; did you mean fluency? there"),
        (["--weight", "fluency=nan", "--text", "a"], "weight of fluency is nan"),
        (["--encoder", "zoo/clip", "zoo/scenes"], "encoder is of no use here: it compares texts"),
        (["--writer", "zoo/gpt2", "zoo/scenes", "--preset", "clip"], "writer is of no use here"),
        (["--clip", "zoo/sentiment", "zoo/scenes", "--models", "zoo"], "not a CLIP-like model"),
        (["--text", "a", "--sidecar"], "no target has a picture in a file of yours"),
        (["zoo/scenes", "--sidecar"], "no target has a picture in a file of yours"),
    ],
)
def test_bad_input_is_one_line(words, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["invert", *words])
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1


def test_prompts_are_handed_on_as_they_are_found(pictures):
    handed = []
    results = invert(pictures, preset="clip", join=True, found=handed.append, **SHORT)
    assert [len(rows) for rows in handed] == [3, 3, 1, 1]
    assert [row for rows in handed for row in rows] == results


@pytest.mark.slow
def test_a_pipe_that_is_closed_is_no_traceback(pictures):
    words = [sys.executable, "-m", "fuse_lightning", "invert", *pictures, "--preset", "clip"]
    process = subprocess.Popen(
        [*words, "--steps", "2"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == f"{NAMES[0]}\n"
    process.stdout.close()
    assert "Traceback" not in process.stderr.read()
    assert process.wait(60) == 141


def test_json_stays_json_where_the_output_has_another_encoding(monkeypatch):
    row = Result("é☃", "a star\u2019s é", [1], 1.0, {"fluency": 1.0}, 1, 0, 1.0)
    for name in ("cp1252", "ascii", "utf-8"):
        file = io.TextIOWrapper(io.BytesIO(), name)
        monkeypatch.setattr("sys.stdout", file)
        monkeypatch.setattr("fuse_lightning.inversion.invert", lambda found=None, **_: found([row]))
        main(["invert", "--text", "a", "--json"])
        main(["invert", "--text", "a"])
        line, target, prompt = file.buffer.getvalue().decode(name).splitlines()
        assert json.loads(line)["prompt"] == row.prompt
        assert target == "é☃".encode(name, "backslashreplace").decode(name)
        assert row.prompt.encode(name, "backslashreplace").decode(name) in prompt


def test_a_joined_prompt_is_printed_under_a_line_that_says_what_is_joined(pictures, capsys):
    main(["invert", *pictures, "--preset", "clip", "--steps", "1", "--top", "1", "--join"])
    lines = capsys.readouterr().out.splitlines()
    assert [lines[0], lines[2]] == NAMES
    assert lines[4] == f"the best prompts of 2 targets joined into one: {', '.join(NAMES)}"
    assert [line.rpartition("  for ")[2] for line in lines[5:]] == NAMES


def test_what_cannot_be_read_is_left_out_named_and_counted(pictures, capsys):
    content = Path(pictures[0]).read_bytes()
    Path("cut.png").write_bytes(content[: len(content) // 2])
    words = ["--preset", "clip", "--steps", "1", "--top", "1", "--json"]
    with pytest.raises(SystemExit, match="1"):
        main(["invert", "cut.png", *pictures, *words])
    told = capsys.readouterr()
    assert [json.loads(line)["target"] for line in told.out.splitlines()] == NAMES
    assert "target 'cut.png' is left out: image 'cut.png' is broken" in told.err
    with pytest.raises(FuseError, match=r"image 'cut\.png' is broken"):
        invert(["cut.png", *pictures], **SHORT)


def test_an_interrupt_hands_on_what_was_found_and_the_next_one_is_heard(pictures, monkeypatch):
    handed, calls, propose = [], [], GCG.propose
    heard = signal.getsignal(signal.SIGINT)

    def interrupted(self, states):
        calls.append(0)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return propose(self, states)

    monkeypatch.setattr(GCG, "propose", interrupted)
    with pytest.raises(KeyboardInterrupt):
        invert(pictures, preset="clip", steps=2, top=1, found=handed.extend)
    assert [(row.target, row.finished, row.step) for row in handed] == [
        (NAMES[0], True, handed[0].step),
        (NAMES[1], False, 1),
    ]
    assert signal.getsignal(signal.SIGINT) is heard


def test_unknown_names_are_refused():
    with pytest.raises(FuseError, match="models is 'moon'; it must be one of zoo, hub"):
        invert(text="a", models="moon")


def test_a_file_of_texts_is_a_target_a_line():
    Path("texts.txt").write_text("a big red star\n\ntwo blue boxes\n")
    results = invert(text="texts.txt", preset="clip", steps=2, top=1)
    assert [row.target for row in results] == ["a big red star", "two blue boxes"]
    model = CLIP("zoo/clip")
    model.load()
    with torch.no_grad():
        for row, text in zip(results, ("a big red star", "two blue boxes"), strict=True):
            found, wanted = model.text_features(model.encode([row.prompt, text]))
            assert row.losses["text_similarity"] == near(float(1 - found @ wanted), size=1)


def test_beside_pictures_there_is_one_text(pictures):
    Path("one.txt").write_text("a big red star\n")
    Path("two.txt").write_text("a big red star\ntwo boxes\n")
    (file,) = invert(pictures[:1], "one.txt", preset="clip", steps=2, top=1)
    (text,) = invert(pictures[:1], "a big red star", preset="clip", steps=2, top=1)
    assert (file.prompt, file.losses) == (text.prompt, near(text.losses, size=1))
    with pytest.raises(FuseError, match="a file of several texts; beside images give one"):
        invert(pictures[:1], "two.txt", **SHORT)


def test_one_device_is_enough(pictures, monkeypatch):
    given = {}

    class Watched(L.Trainer):
        def __init__(self, **options):
            given.update(options)
            super().__init__(**options)

    monkeypatch.setattr(L, "Trainer", Watched)
    invert(pictures[:1], **SHORT)
    assert given["devices"] == 1
