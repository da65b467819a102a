"""LightningCLI over prompt optimizers and target data modules."""

import re
import sys
from argparse import ArgumentError
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.cli import (
    ArgsType,
    LightningArgumentParser,
    LightningCLI,
    SaveConfigCallback,
)
from lightning.pytorch.loggers import TensorBoardLogger

# Short class names on the command line and in YAML resolve for imported modules only.
import fuse_lightning.callbacks
import fuse_lightning.evaluation
import fuse_lightning.models
import fuse_lightning.objectives  # noqa: F401
from fuse_lightning.cli.config_files import check_configs
from fuse_lightning.cli.elements import check_elements, check_indices
from fuse_lightning.cli.endings import ending
from fuse_lightning.cli.messages import explain
from fuse_lightning.cli.own_config import own_config
from fuse_lightning.cli.own_folder import OwnFolder
from fuse_lightning.cli.texts import TextParser, attached, plain
from fuse_lightning.cli.trainer_options import check_callbacks, check_strategy, is_complaint
from fuse_lightning.data import TargetDataModule
from fuse_lightning.errors import FuseError
from fuse_lightning.optimizers import PromptOptimizer
from fuse_lightning.results.run_folder import RunFolder, folder_of
from fuse_lightning.search.lightning_glue import settle_precision
from fuse_lightning.search.rank_checkpoints import read_checkpoint
from fuse_lightning.utilities.addresses import without_secrets
from fuse_lightning.utilities.terminal import say

LARGEST_SEED = 2**32 - 1
LOST_PEER = re.compile("by peer|connectFullMesh|Connection (refused|reset)")
UNREADABLE = "Problems parsing config: "


class WholeConfig(SaveConfigCallback):
    """Writes a run's configuration at once, so that a kill leaves the old one or the new one."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Does nothing: a run that is refused must not change what lies in its folder."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes it on the first device, once the run is known to be its folder's own."""
        folder = folder_of(trainer)
        if trainer.is_global_zero and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            path = folder / self.config_filename
            text = self.parser.dump(self.config, skip_none=False)
            text = own_config(text, path if pl_module.goes_on else None)
            # A run that goes on needs the whole address of a picture, with a password or a key.
            taken: Any = pl_module.folder
            run_folder = taken or RunFolder(folder)
            run_folder.write(path.name, text, private=without_secrets(text) != text)


class FuseCLI(LightningCLI):
    """LightningCLI whose search seed is ``seed_everything``, and whose errors are one line.

    Args:
        args: As of LightningCLI.
        own: How the run is told to treat its folder.
        command: The first word of the command line. Where it is a subcommand, its parser alone is
            built: building all takes a third of the time before a run begins.
        kwargs: As of LightningCLI.
    """

    def __init__(self, *args: Any, command: str, own: OwnFolder, **kwargs: Any) -> None:
        self.command = command
        self.own = own
        super().__init__(*args, **kwargs)

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]
        """Which methods of a trainer are commands, with what is no option of theirs."""
        known = LightningCLI.subcommands()
        return {self.command: known[self.command]} if self.command in known else known

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Links the seed."""
        parser.link_arguments("seed_everything", "model.init_args.seed", compute_fn=int)

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Also checks what Lightning reads before it builds anything.

        Raises:
            FuseError: If an option cannot be understood, or the checkpoint cannot be read.
        """
        words = [*map(str, sys.argv[1:] if args is None else args)]
        check_configs(words)
        check_indices(words)
        try:
            super().parse_arguments(parser, args)
        except ArgumentError as error:
            raise FuseError(_about_config(error.message, args) or explain(error)) from error
        # Whatever YAML may hold, such as a list that holds itself.
        except (RecursionError, ValueError) as error:
            raise FuseError(
                _about_config(f"{UNREADABLE}{error}", args) or explain(error)
            ) from error
        self.config = plain(self.config)
        if self.config.subcommand != "fit":
            # The configuration in a run's folder stays that of its search.
            self.save_config_callback = None
        options = self.config[self.config.subcommand]
        check_elements(words, options)
        seed = options["seed_everything"]
        if not 0 <= seed <= LARGEST_SEED:
            raise FuseError(f"seed_everything is {seed}; it must be from 0 to {LARGEST_SEED}")
        _check_checkpoint(options.get("ckpt_path"))

    def after_fit(self) -> None:
        """Says what the search has left undone.

        Raises:
            SystemExit: With 1 if a target has no prompt.
        """
        code, line = ending(self.trainer, self.model, self.datamodule)
        if self.trainer.is_global_zero:
            if line:
                say(line, error=True)
            if code:
                raise SystemExit(code)

    def instantiate_classes(self) -> None:
        """Builds model, data and trainer.

        Raises:
            FuseError: If one of them does not accept its options.
        """
        try:
            super().instantiate_classes()
            self.own.tell(self.datamodule)
        except (MisconfigurationException, RuntimeError, TypeError, ValueError) as error:
            told = explain(error)
            remedy = "; an option is null that needs a value" if "NoneType" in told else ""
            raise FuseError(told + remedy) from error

    def before_fit(self) -> None:
        """Takes the run's folder, before anything is written into it or loaded.

        Raises:
            FuseError: If the folder holds another run, or another process works in it.
        """
        given = self.config[self.config.subcommand].get("ckpt_path")
        self.own.take(self.trainer, self.model, None if given is None else str(given))

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Builds the trainer, where a search can use what it is given."""
        options = self.config_init[self.config_init.subcommand]["trainer"]
        given = options["callbacks"]
        check_callbacks(given if isinstance(given, list) else [given])
        check_strategy(options["strategy"])
        if _several(options):
            kwargs["strategy"] = "prompts"
        trainer = super().instantiate_trainer(**kwargs)
        settle_precision(trainer)
        return trainer


def _several(trainer: Any) -> bool:
    """Whether Lightning's choice for these options would be a strategy that averages."""
    if trainer["strategy"] != "auto":
        return False
    devices = trainer["devices"]
    if devices == "auto" or str(devices) == "-1":
        on_cpu = trainer["accelerator"] == "cpu"
        devices = 1 if on_cpu else torch.cuda.device_count()
    elif isinstance(devices, str) and not devices.isdecimal():
        devices = devices.strip(",").split(",")
    count = len(devices) if isinstance(devices, list) else int(devices)
    return count > 1 or trainer["num_nodes"] > 1


def _about_config(message: str, args: ArgsType) -> str | None:
    """What is wrong with a configuration file, where the message does not name the file."""
    words: Sequence[Any] = sys.argv[1:] if args is None else list(args)
    files = [str(after) for word, after in pairwise(words) if word in ("-c", "--config")]
    files += [str(word).removeprefix("--config=") for word in words if "--config=" in str(word)]
    name = " or ".join(map(repr, files))
    kinds = (
        UNREADABLE,
        "Unexpected config",
        'Parser key "config": ',
        "Key must be",
        "Config file loop",
    )
    if not message.startswith(kinds):
        return None
    text = message.removeprefix(kinds[0]).removeprefix(kinds[2])
    text = " ".join(text.replace('in "<unicode string>", ', "at ").split())
    return f"config {name} cannot be read: {text}; give a YAML file with model and data"


def _check_checkpoint(path: str | Path | None) -> None:
    # Lightning finds out by itself what "last", "best" and addresses stand for.
    if path is None or path in ("last", "best", "hpc", "registry") or "://" in str(path):
        return
    if not Path(path).is_file():
        raise FuseError(f"checkpoint {str(path)!r} does not exist; check --ckpt_path")
    read_checkpoint(Path(path))


def run(words: list[str], own: OwnFolder | None = None) -> None:
    """Parses and runs a subcommand such as ``fit``.

    Args:
        words: The subcommand and its options.
        own: How the run is told to treat its folder.

    Raises:
        FuseError: If an option, a target or a model is not as it must be.
    """
    logger: dict[str, Any] = {
        "class_path": f"{TensorBoardLogger.__module__}.{TensorBoardLogger.__name__}",
        "init_args": {"save_dir": "logs", "name": "search"},
    }
    own = own or OwnFolder()
    try:
        FuseCLI(
            PromptOptimizer,
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
        if dist.is_available() and dist.is_initialized():
            # Threads that still wait for messages would abort the process at its end.
            dist.destroy_process_group()
    except FuseError:
        raise
    except Exception as error:
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
        own.leave()
