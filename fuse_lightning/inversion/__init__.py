"""Ready-made searches for prompts of pictures and texts."""

from fuse_lightning.inversion.run import invert as invert
