"""``fuse fit``, ``validate``, ``test`` and ``predict``: commands of LightningCLI."""

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch.distributed as dist
from lightning.pytorch.loggers import TensorBoardLogger

import fuse_lightning
from fuse_lightning.cli.class_folders import remembered
from fuse_lightning.cli.config_files import config_paths
from fuse_lightning.cli.help import EVERY
from fuse_lightning.cli.lightning_cli import LOGS, FuseCLI, WholeConfig
from fuse_lightning.cli.messages import explain
from fuse_lightning.cli.own_classes import OwnClasses
from fuse_lightning.cli.own_folder import OwnFolder
from fuse_lightning.cli.quiet import keep_lines_apart, quiet_transformers, quiet_words
from fuse_lightning.cli.resume import OVERWRITE, expand, measured_folder, resumed_folder
from fuse_lightning.cli.search_help import page
from fuse_lightning.cli.texts import TextParser, attached
from fuse_lightning.cli.trainer_options import is_complaint
from fuse_lightning.data import TargetDataModule
from fuse_lightning.errors import FuseError
from fuse_lightning.search import SearchModule
from fuse_lightning.utilities.early import wait_for_turn

# Short class names on the command line and in YAML resolve for imported modules only.
for part in fuse_lightning.PARTS:
    fuse_lightning.public_names(part)

HELP = "--help"
LOST_PEER = re.compile("by peer|connectFullMesh|Connection (refused|reset)")


def command(words: list[str]) -> None:
    """Runs the command, after short options such as ``--resume`` are expanded.

    Raises:
        FuseError: If an option, a target or a model is not as it must be.
        SystemExit: With 1 if a target has no prompt; with 0 in a process that was begun early and
            is not needed.
    """
    wait_for_turn()
    keep_lines_apart()
    find_own_classes(words)
    if {"-h", HELP} & {*words}:
        print(page(words[0]), end="")
        return
    # The parser's own help knows neither the short words nor which options a search refuses.
    words = [HELP if word == EVERY else word for word in words]
    words = quiet_words(words)
    quiet_transformers()
    own = OwnFolder(resumed_folder(words), OVERWRITE in words, measured_folder(words))
    run(expand(words), own)


def find_own_classes(words: list[str]) -> None:
    """Installs the import finder of the user's own classes.

    These are, in this order, the folders whose classes the named run is known to use, the current
    folder, and the folders of configuration files. A run's own folder is none of them: what lies
    there may come from others.

    Args:
        words: The command line as it was typed.
    """
    beside = [Path(file).parent for file in config_paths(words)]
    runs = [run for run in (resumed_folder(words), measured_folder(words), *beside) if run]
    known = [folder for run in runs for folder in remembered(run)]
    folders = [os.path.abspath(folder) for folder in (*known, Path(), *beside)]
    OwnClasses(folder for folder in folders if os.path.isdir(folder)).install()


def run(
    words: list[str], own: OwnFolder | None = None, cli: Callable[..., FuseCLI] | None = None
) -> None:
    """Parses and runs a subcommand such as ``fit``.

    Args:
        words: The subcommand and its options.
        own: The run's folder; by default that of a new run.
        cli: Makes the command line, which runs at once; by default :class:`FuseCLI`.

    Raises:
        FuseError: If an option, a target or a model is not as it must be.
    """
    logger: dict[str, Any] = {
        "class_path": f"{TensorBoardLogger.__module__}.{TensorBoardLogger.__name__}",
        "init_args": {"save_dir": LOGS, "name": "search"},
    }
    own = own or OwnFolder()
    try:
        (cli or FuseCLI)(
            SearchModule,
            TargetDataModule,
            command=words[0],
            own=own,
            subclass_mode_model=True,
            subclass_mode_data=True,
            auto_configure_optimizers=False,
            seed_everything_default=0,
            trainer_defaults={
                "max_epochs": 1,
                "logger": logger,
                "log_every_n_steps": 1,
                "enable_model_summary": False,
                "use_distributed_sampler": False,
            },
            save_config_callback=WholeConfig,
            parser_kwargs={"prog": "fuse", "exit_on_error": False},
            parser_class=TextParser,
            # Lightning warns if it is given the words that it would read itself.
            args=None if attached(words) == sys.argv[1:] else attached(words),
        )
        _leave_group()
    except Exception as error:
        own.fail()
        if isinstance(error, FuseError):
            raise
        lost = isinstance(error, dist.DistError) or LOST_PEER.search(str(error))
        if isinstance(error, RuntimeError) and lost:
            raise FuseError(
                "another process of this run has ended; what it says is the reason"
            ) from error
        # An error of the system speaks for itself.
        if isinstance(error, OSError) or not is_complaint(error):
            raise
        raise FuseError(explain(error)) from error
    finally:
        _leave_group(failed=True)
        own.leave()


def _leave_group(*, failed: bool = False) -> None:
    """Leaves the processes of a run, whose threads would abort this one at its end.

    Args:
        failed: Whether the others may not leave with this one. NCCL would wait for them.
    """
    if not (dist.is_available() and dist.is_initialized()):
        return
    if not failed or dist.get_backend() == "gloo":
        dist.destroy_process_group()
