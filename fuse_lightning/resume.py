"""Going on with an interrupted run, given its folder alone."""

from pathlib import Path

import torch

from fuse_lightning.errors import FuseError

FLAG = "--resume"


def expand(words: list[str]) -> list[str]:
    """Replaces ``--resume FOLDER`` by the run's own configuration, last checkpoint and log folder.

    Other words follow, so that they can change what the run was given. A run without a checkpoint
    begins again.

    Raises:
        FuseError: If the folder is not that of a run.
    """
    spelled = next((word for word in words if word.split("=")[0] == FLAG), None)
    if spelled is None:
        return words
    place = words.index(spelled)
    rest = words[place + 1 :]
    name = spelled.removeprefix(f"{FLAG}=") if "=" in spelled else (rest.pop(0) if rest else "")
    folder = Path(name)
    if words[0] != "fit":
        raise FuseError(f"{FLAG} goes on with a search; use it with fuse fit")
    if not name or not (folder / "config.yaml").is_file():
        raise FuseError(
            f"{FLAG} {name!r} holds no config.yaml; give the folder of a run, such as "
            "logs/search/version_0"
        )
    folder = folder.resolve()
    logger = "--trainer.logger.init_args."
    found = ["--config", str(folder / "config.yaml")]
    found += [f"{logger}save_dir={folder.parent.parent}", f"{logger}name={folder.parent.name}"]
    found += [f"{logger}version={folder.name}"]
    checkpoint = last_checkpoint(folder)
    found += [f"--ckpt_path={checkpoint or 'null'}"]
    return [*words[:place], *found, *rest]


def last_checkpoint(folder: Path) -> Path | None:
    """The checkpoint of a run that got furthest, or ``None``; a broken file counts for nothing."""
    steps: dict[Path, int] = {}
    for path in folder.glob("checkpoints/*.ckpt"):
        try:
            steps[path] = torch.load(path, weights_only=True, map_location="cpu")["global_step"]
        # A file that was cut off makes the unpickler raise anything.
        except Exception:
            continue
    return max(steps, key=lambda path: (steps[path], path.stat().st_mtime), default=None)
