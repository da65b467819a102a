"""Line that says that the package's models were never shown such pictures or texts."""

import logging
from collections.abc import Sequence

from fuse_lightning.data import Target
from fuse_lightning.data.names import some
from fuse_lightning.errors import FuseError
from fuse_lightning.zoo.drawn import is_drawn_scene, unknown_words

logger = logging.getLogger(__name__)


def tell_unlike_scenes(targets: Sequence[Target], beside: str | None) -> None:
    """Logs a warning if one of the targets is no drawn scene, or no text about one.

    Pictures are read one after the other, up to the first that is none.

    Args:
        targets: The targets.
        beside: A text that prompts of pictures are compared with, too.
    """
    what = next(filter(None, map(_unlike, targets)), None) or _unlike_text(beside)
    if what:
        logger.warning(
            "%s: the package's own models know drawn scenes only, so the prompts will not fit; "
            "give other models as writer and clip (for texts also encoder), or models hub",
            what,
        )


def _unlike(target: Target) -> str:
    """What is unlike a scene; empty for a scene."""
    try:
        for image in target.images:
            if not is_drawn_scene(image):
                return f"{target.id!r} is no drawn scene"
    except FuseError:
        # What is wrong with the picture is told when its search begins.
        return ""
    finally:
        target.release()
    return _unlike_text(target.text)


def _unlike_text(text: str | None) -> str:
    words = unknown_words(text or "")
    return f"the text has words that no drawn scene has ({some(words)})" if words else ""
