"""Expands ``--resume``, ``--run`` and similar options into options of a run's ``config.yaml``."""

import json
import shlex
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from lightning.pytorch.utilities import rank_zero_info

from fuse_lightning.cli.config_files import config_text
from fuse_lightning.decoding.run import DecodingRun
from fuse_lightning.errors import FuseError
from fuse_lightning.results.run_folder import RunFolder
from fuse_lightning.search.rank_checkpoints import EXTRA, read_checkpoint
from fuse_lightning.utilities.terminal import visible

RESUME, RUN, OVERWRITE = "--resume", "--run", "--overwrite"
EVALUATES = ("validate", "test", "predict")
PICTURES = {"generate": "generator", "judge": "judge", "sentences": "sentences"}
"""Short options of an evaluation, each with the option of :class:`GeneratedPictures`."""
EXAMPLE = "such as logs/search/version_0"


def expand(words: list[str]) -> list[str]:
    """Replaces ``--resume FOLDER`` and ``--run FOLDER`` by the run's configuration and folder.

    Also ``--transfer``, ``--classifier``, ``--generate``, ``--judge``, ``--sentences`` and
    ``--out``, by the callbacks whose options they are.
    Other words follow, so that they can change what the run was given. A resumed run without a
    checkpoint begins again.

    Raises:
        FuseError: If the folder is not that of a run, or a word does not belong to the command.
    """
    command = words[0]
    words, resumed = take(words, RESUME)
    if OVERWRITE in words:
        if command != "fit" or resumed:
            raise FuseError(
                f"{OVERWRITE} lets a new search replace what lies in its folder; use it with "
                f"fuse fit, without {RESUME}"
            )
        words = [word for word in words if word != OVERWRITE]
    if resumed:
        if command != "fit":
            raise FuseError(f"{RESUME} goes on with a search; use it with fuse fit")
        folder = _folder(RESUME, resumed[-1])
        checkpoint = last_checkpoint(folder)
        if checkpoint is None:
            rank_zero_info(
                f"no checkpoint in {visible(str(folder))}: searches that were under way begin again"
            )
        return [command, *_given(folder), f"--ckpt_path={checkpoint or 'null'}", *words[1:]]
    words, runs = take(words, RUN)
    words, transfer = take(words, "--transfer")
    words, classifiers = take(words, "--classifier")
    words, outs = take(words, "--out")
    pictures: dict[str, str] = {}
    for option, name in PICTURES.items():
        words, given = take(words, f"--{option}")
        if given:
            pictures[name] = given[-1]
    scored = bool(transfer or classifiers)
    for flags, used, commands in (
        (RUN, bool(runs), EVALUATES),
        ("--transfer and --classifier", scored, EVALUATES[:2]),
        (", ".join(f"--{option}" for option in PICTURES), bool(pictures), EVALUATES[:2]),
        ("--out", bool(outs), EVALUATES[2:]),
    ):
        if used and command not in commands:
            names = " or ".join(f"fuse {name}" for name in commands)
            raise FuseError(f"{flags} cannot be used with fuse {command}; use {names}")
    before = ["--verbose=false"] if command in EVALUATES[:2] else []
    after = []
    if runs:
        folder = _folder(RUN, runs[-1])
        before += [*_given(folder), "--ckpt_path=null"]
        after += _callback("StoredPrompts", run=str(folder))
    if scored:
        last = classifiers[-1] if classifiers else None
        after += _callback("TransferModels", models=transfer, classifier=last)
    if pictures:
        after += _callback("GeneratedPictures", **pictures)
    if outs:
        after += _callback("Predictions", out=outs[-1])
    return [command, *before, *words[1:], *after]


def resumed_folder(words: list[str]) -> Path | None:
    """The folder that ``--resume`` names, absolute; ``None`` without this option."""
    return _named(words, RESUME)


def measured_folder(words: list[str]) -> Path | None:
    """The folder that ``--run`` names, absolute; ``None`` without this option."""
    return _named(words, RUN)


def _named(words: list[str], flag: str) -> Path | None:
    _, names = take(words, flag)
    return Path(names[-1]).resolve() if names else None


def take(words: list[str], flag: str) -> tuple[list[str], list[str]]:
    """The words of a command line without one option, and the values of that option."""
    rest, values = [], []
    left = iter(words)
    for word in left:
        if word == flag:
            values.append(next(left, ""))
        elif word.startswith(f"{flag}="):
            values.append(word.removeprefix(f"{flag}="))
        else:
            rest.append(word)
    if "" in values and flag not in (RESUME, RUN):
        raise FuseError(f"{flag} has no value; give one")
    return rest, values


def go_on_line(command: str, run: DecodingRun) -> str:
    """Line about the texts of a run that ends too early.

    Args:
        command: The command whose run it is.
        run: The run.
    """
    found = "1 text is" if run.count == 1 else f"{run.count} texts are"
    resume = f"{command} {RESUME} {shlex.quote(str(run.path))}"
    return visible(f"{found} in {run.path}; go on with: {resume}")


def _folder(flag: str, name: str) -> Path:
    if not name or not (Path(name) / "config.yaml").is_file():
        raise FuseError(
            f"{flag} {name!r} holds no config.yaml; give the folder of a run, {EXAMPLE}"
        )
    return Path(name).resolve()


def _given(folder: Path) -> list[str]:
    """Options that load a run's configuration and set its log folder."""
    config = ["--config", str(folder / "config.yaml")]
    trainer = _trainer(folder)
    if "logger" not in trainer:
        return config
    logger = trainer["logger"]
    if logger is False:
        return [*config, f"--trainer.default_root_dir={folder}"]
    parts = (folder.parent.parent, folder.parent.name, folder.name)
    place = dict(zip(("save_dir", "name", "version"), map(str, parts), strict=True))
    if not isinstance(logger, dict | list):
        logger = {"class_path": "lightning.pytorch.loggers.TensorBoardLogger", "init_args": {}}
        logger["init_args"] |= place
    for each in logger if isinstance(logger, list) else [logger]:
        if isinstance(each, dict) and isinstance(options := each.get("init_args"), dict):
            options |= {name: value for name, value in place.items() if name in options}
    return [*config, f"--trainer.logger={json.dumps(logger)}"]


def _callback(name: str, **options: object) -> list[str]:
    """Option that adds a callback."""
    return [f"--trainer.callbacks+={json.dumps({'class_path': name, 'init_args': options})}"]


def last_checkpoint(folder: Path) -> Path | None:
    """The checkpoint of a run with the most steps; ``None`` if no checkpoint file is whole.

    It is looked for in the run's folder and where its ``ModelCheckpoint`` writes, where
    there may be checkpoints of other runs.
    """
    steps: dict[Path, int] = {}
    for place in (folder / "checkpoints", *_other_places(folder)):
        for path in place.glob("*.ckpt"):
            with suppress(FuseError):
                saved = read_checkpoint(path)
                here = place == folder / "checkpoints"
                # A folder that was overwritten may have left checkpoints elsewhere.
                if here or (saved["run"] == str(folder.resolve()) and _is_of(saved, folder)):
                    steps[path] = saved["global_step"]
    return max(steps, key=lambda path: (steps[path], path.stat().st_mtime), default=None)


def _is_of(checkpoint: dict[str, Any], folder: Path) -> bool:
    """Whether a checkpoint and a folder belong to the same search."""
    known: bool = checkpoint["state_dict"][EXTRA]["identity"] == RunFolder(folder).identity()
    return known


def _other_places(folder: Path) -> list[Path]:
    callbacks = _trainer(folder).get("callbacks")
    callbacks = callbacks if isinstance(callbacks, list) else [callbacks]
    options = [each.get("init_args") for each in callbacks if isinstance(each, dict)]
    places = [each.get("dirpath") for each in options if isinstance(each, dict)]
    return [Path(place).resolve() for place in places if isinstance(place, str)]


def _trainer(folder: Path) -> dict[str, Any]:
    """Trainer options of a run's configuration; empty if it cannot be read."""
    try:
        given = yaml.safe_load(config_text(folder / "config.yaml"))["trainer"]
        json.dumps(given)
    except (KeyError, OSError, RecursionError, TypeError, ValueError, yaml.YAMLError):
        return {}
    return given if isinstance(given, dict) else {}
