"""``fuse check``: whether a search is worth its cost, without a search."""

import json
from functools import partial
from typing import Any

from lightning.pytorch import Trainer

from fuse_lightning.callbacks import Headroom
from fuse_lightning.callbacks.check_lines import print_check
from fuse_lightning.callbacks.checking import checked
from fuse_lightning.cli.lightning_cli import FuseCLI
from fuse_lightning.cli.quiet import keep_lines_apart, quiet_transformers
from fuse_lightning.cli.resume import OVERWRITE, RESUME, RUN, expand
from fuse_lightning.cli.search import HELP, find_own_classes, run
from fuse_lightning.cli.search_help import page
from fuse_lightning.data import TargetDataModule
from fuse_lightning.errors import FuseError
from fuse_lightning.search import SearchModule
from fuse_lightning.search.lightning_glue import callbacks_of
from fuse_lightning.utilities.terminal import say, visible

JSON = "--json"
SILENT = "--trainer.logger=false"
"""Option behind which nothing is written."""


class CheckCLI(FuseCLI):
    """Command line of ``fuse fit`` that checks the search in place of running it.

    Args:
        args: Arguments of :class:`FuseCLI`.
        as_json: Whether to print JSON.
        kwargs: Keyword arguments of :class:`FuseCLI`.
    """

    def __init__(self, *args: Any, as_json: bool, **kwargs: Any) -> None:
        self.as_json = as_json
        super().__init__(*args, **{**kwargs, "save_config_callback": None})

    def before_fit(self) -> None:
        """Does nothing: a check has no folder."""

    def after_fit(self) -> None:
        """Does nothing: a check has no results."""

    def fit(self, model: SearchModule[Any], datamodule: TargetDataModule, **_: Any) -> None:
        """Loads data and models, and prints the check."""
        trainer = self.trainer
        datamodule.prepare_data()
        datamodule.setup("fit")
        prepare(trainer, model)
        given = [each for each in callbacks_of(trainer) if isinstance(each, Headroom)]
        found = checked(trainer, model, datamodule.targets, given[0].examples)
        if self.as_json:
            text = json.dumps(found.to_dict(), indent=2, ensure_ascii=False)
            say(*map(visible, text.splitlines()))
        else:
            print_check(found, short=False)


def prepare(trainer: Trainer, module: SearchModule[Any]) -> None:
    """Loads the models of a search, with the callbacks that its run would have."""
    module.trainer = trainer
    callbacks_of(trainer).extend(module.configure_callbacks())
    module.to(trainer.strategy.root_device)
    module.setup("fit")


def command(words: list[str]) -> None:
    """Runs the command, which takes the options of ``fuse fit``.

    Raises:
        FuseError: If an option, a target or a model is not as it must be, or an option speaks of
            an earlier run.
    """
    keep_lines_apart()
    for option in (RESUME, RUN, OVERWRITE):
        if any(word.partition("=")[0] == option for word in words):
            raise FuseError(
                f"fuse check looks at a search that has not begun, and {option} speaks of a run; "
                "leave it out, and give --config with a file, such as the run's config.yaml"
            )
    find_own_classes(words)
    if {"-h", HELP} & {*words}:
        print(page(words[0]), end="")
        return
    quiet_transformers()
    options = [word for word in words[1:] if word != JSON]
    as_fit = expand(["fit", *options, SILENT])
    run(as_fit, cli=partial(CheckCLI, as_json=JSON in words))
