"""LightningCLI over searches and target data modules."""

import sys
from argparse import ArgumentError
from functools import partial
from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.cli import (
    ArgsType,
    LightningArgumentParser,
    LightningCLI,
    SaveConfigCallback,
)

from fuse_lightning.cli.class_folders import remember
from fuse_lightning.cli.config_files import UNREADABLE, about_config, check_configs
from fuse_lightning.cli.elements import expand_elements
from fuse_lightning.cli.endings import ending, whereabouts
from fuse_lightning.cli.messages import explain, with_nearest
from fuse_lightning.cli.own_classes import own_failure, used_folders
from fuse_lightning.cli.own_config import own_config
from fuse_lightning.cli.own_folder import OwnFolder
from fuse_lightning.cli.texts import plain
from fuse_lightning.cli.trainer_options import averages, check_callbacks, check_strategy
from fuse_lightning.data import TargetDataModule
from fuse_lightning.errors import FuseError
from fuse_lightning.results.run_folder import RunFolder, folder_of
from fuse_lightning.search import search_of
from fuse_lightning.search.lightning_glue import settle_precision
from fuse_lightning.search.rank_checkpoints import read_checkpoint
from fuse_lightning.utilities.addresses import without_secrets
from fuse_lightning.utilities.terminal import say

LARGEST_SEED = 2**32 - 1
LOGS = "logs"
"""Folder of the default logger."""


class WholeConfig(SaveConfigCallback):
    """Callback that writes a run's ``config.yaml`` atomically."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Does nothing: a refused run must leave its folder as it is."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes the file on the first device, once the run owns its folder."""
        folder = folder_of(trainer)
        if trainer.is_global_zero and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            path = folder / self.config_filename
            text = self.parser.dump(self.config, skip_none=False)
            search = search_of(pl_module)
            text = own_config(text, path if search.goes_on else None)
            # A run that goes on needs the whole address of a picture, with a password or a key.
            run_folder = search.folder or RunFolder(folder)
            run_folder.write(path.name, text, private=without_secrets(text) != text)
            remember(folder, used_folders())


class FuseCLI(LightningCLI):
    """LightningCLI of searches, with one-line errors and one seed for all random draws.

    Args:
        args: Arguments of LightningCLI.
        own: The run's folder.
        command: The first word of the command line. Where it is a subcommand, its parser alone is
            built: building all takes a third of the time before a run begins.
        kwargs: Keyword arguments of LightningCLI.
    """

    def __init__(self, *args: Any, command: str, own: OwnFolder, **kwargs: Any) -> None:
        self.command = command
        self.own = own
        super().__init__(*args, **kwargs)

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]
        """Trainer methods that are commands, each with the arguments that are not its options."""
        known = LightningCLI.subcommands()
        return {self.command: known[self.command]} if self.command in known else known

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Makes ``seed_everything`` the seed of the optimizer too."""
        parser.link_arguments("seed_everything", "model.init_args.seed", compute_fn=int)

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Parses the command line, and checks files, indices, the seed and the checkpoint.

        Raises:
            FuseError: If an option cannot be understood, or the checkpoint cannot be read.
        """
        words = [*map(str, sys.argv[1:] if args is None else args)]
        check_configs(words)
        try:
            words = expand_elements(words, partial(self._options, parser))
            super().parse_arguments(parser, words)
        except FuseError:
            raise
        except ArgumentError as error:
            line = about_config(error.message, words) or explain(error)
            raise FuseError(with_nearest(line, self._option_names())) from error
        # Whatever YAML may hold, such as a list that holds itself.
        except (RecursionError, ValueError) as error:
            raise FuseError(
                about_config(f"{UNREADABLE}{error}", words) or explain(error)
            ) from error
        self.config = plain(self.config)
        if self.config.subcommand != "fit":
            # The configuration in a run's folder stays that of its search.
            self.save_config_callback = None
        options = self.config[self.config.subcommand]
        if isinstance(options.trainer, Namespace):
            _move_logs(options.trainer)
        seed = options["seed_everything"]
        if not 0 <= seed <= LARGEST_SEED:
            raise FuseError(f"seed_everything is {seed}; it must be from 0 to {LARGEST_SEED}")
        _check_checkpoint(options.get("ckpt_path"))

    def _option_names(self) -> list[str]:
        """Names of the subcommand's own options, such as ``trainer.max_steps``."""
        parser = self._subcommand_parsers.get(self.command)
        actions = parser._actions if parser else []
        return [word.lstrip("-") for each in actions for word in each.option_strings]

    def _options(self, parser: LightningArgumentParser, words: list[str]) -> Namespace:
        """The subcommand's options as parsed from some words."""
        parsed = parser.parse_args(words)
        options: Namespace = parsed[parsed.subcommand]
        return options

    @property
    def targets(self) -> TargetDataModule:
        """The data module."""
        assert isinstance(self.datamodule, TargetDataModule)
        return self.datamodule

    def after_fit(self) -> None:
        """Prints where the prompts are, and the line about targets without one.

        Raises:
            SystemExit: With 1 if a target has no prompt.
        """
        code, line = ending(self.trainer, search_of(self.model), self.targets)
        # All processes ask together.
        place = whereabouts(self.trainer)
        if self.trainer.is_global_zero:
            if place:
                say(place)
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
            self.own.prepare(self.targets)
        except (MisconfigurationException, RuntimeError, TypeError, ValueError) as error:
            line = explain(error, own_failure(error))
            remedy = "; an option is null that needs a value" if "NoneType" in line else ""
            raise FuseError(line + remedy) from error

    def before_fit(self) -> None:
        """Locks the run's folder, before a file is written into it or a model is loaded.

        Raises:
            FuseError: If the folder holds another run, or another process works in it.
        """
        given = self.config[self.config.subcommand].get("ckpt_path")
        self.own.take(self.trainer, search_of(self.model), None if given is None else str(given))

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Builds the trainer, after a check that a search can use its callbacks and strategy."""
        options = self.config_init[self.config_init.subcommand]["trainer"]
        given = options["callbacks"]
        check_callbacks(given if isinstance(given, list) else [given])
        check_strategy(options["strategy"])
        if averages(options):
            kwargs["strategy"] = "prompts"
        trainer = super().instantiate_trainer(**kwargs)
        settle_precision(trainer)
        return trainer


def _move_logs(trainer: Namespace) -> None:
    """Makes the default logger write into ``default_root_dir``, if there is one."""
    root, logger = trainer.default_root_dir, trainer.logger
    options = logger.get("init_args") if isinstance(logger, Namespace) else None
    if root is not None and options and options.get("save_dir") == LOGS:
        options["save_dir"] = str(root)


def _check_checkpoint(path: str | Path | None) -> None:
    # Lightning finds out by itself what "last", "best" and addresses stand for.
    if path is None or path in ("last", "best", "hpc", "registry") or "://" in str(path):
        return
    if not Path(path).is_file():
        raise FuseError(f"checkpoint {str(path)!r} does not exist; check --ckpt_path")
    read_checkpoint(Path(path))
