"""LightningCLI over prompt optimizers and target data modules."""

import sys
from typing import Any

from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import TensorBoardLogger

# Short class names on the command line and in YAML resolve for imported modules only.
import fuse_lightning.callbacks
import fuse_lightning.models
import fuse_lightning.objectives
import fuse_lightning.search  # noqa: F401
from fuse_lightning.data import TargetDataModule
from fuse_lightning.optimizers import PromptOptimizer


class FuseCLI(LightningCLI):
    """LightningCLI whose search seed is ``seed_everything``."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Links the seed."""
        parser.link_arguments("seed_everything", "model.init_args.seed", compute_fn=int)


def run(words: list[str]) -> None:
    """Parses and runs a subcommand such as ``fit``."""
    logger: dict[str, Any] = {
        "class_path": f"{TensorBoardLogger.__module__}.{TensorBoardLogger.__name__}",
        "init_args": {"save_dir": "logs", "name": "search"},
    }
    FuseCLI(
        PromptOptimizer,
        TargetDataModule,
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
        save_config_kwargs={"overwrite": True},
        parser_kwargs={"prog": "fuse"},
        # Lightning warns if it is given the words that it would read itself.
        args=None if words == sys.argv[1:] else words,
    )
