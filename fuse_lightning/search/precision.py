"""What the trainer's precision means for a search."""

from typing import Any

from lightning.pytorch.plugins import MixedPrecision

from fuse_lightning.errors import FuseError


def settle_precision(trainer: Any) -> None:
    """Makes a trainer's precision one of the models' forwards alone.

    Raises:
        FuseError: If it would be that of all numbers.
    """
    plugin = trainer.precision_plugin
    if plugin.precision.endswith("-true") and plugin.precision != "32-true":
        raise FuseError(
            f"trainer.precision {plugin.precision!r} would also be that of losses and their sums; "
            "give 'bf16-mixed', or '32-true' and models a dtype of their own"
        )
    if isinstance(plugin, MixedPrecision):
        # It scales the loss of a training, and there is none.
        plugin.scaler = None
