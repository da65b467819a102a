"""Warning about pictures and texts that the package's own models were not trained on."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from fuse_lightning.data import Target
from fuse_lightning.data.names import some
from fuse_lightning.errors import FuseError
from fuse_lightning.utilities.option_names import option
from fuse_lightning.zoo.drawn import is_drawn_scene, unknown_words

logger = logging.getLogger(__name__)


def tell_unlike_scenes(
    targets: Sequence[Target], beside: str | None, named: Mapping[str, bool]
) -> None:
    """Logs one warning about all targets that are no drawn scene, or no text about one.

    It says how many pictures these are, and names the first few. Every picture is read for it.

    Args:
        targets: The targets.
        beside: A text that prompts of pictures are compared with, too.
        named: Roles of the package's own models in the search, each with whether the user named
            its model.
    """
    pictures = [name for target in targets for name in _unlike(target)]
    texts = [*(target.text for target in targets), beside]
    words = [*dict.fromkeys(word for text in texts for word in unknown_words(text or ""))]
    found = []
    if len(pictures) == 1:
        found.append(f"{some(pictures)} is no drawn scene")
    elif pictures:
        found.append(f"{len(pictures)} pictures are no drawn scenes ({some(pictures)})")
    if words:
        found.append(f"the text has words that no drawn scene has ({some(words)})")
    if found:
        others = " and ".join(map(option, named))
        if "clip" in named and any(texts):
            others += f" (for texts also {option('encoder')})"
        if not any(named.values()):
            others += f", or {option('models')} hub"
        logger.warning(
            "%s: the package's own models know drawn scenes only, so the prompts will not fit; "
            "give %s as %s",
            " and ".join(found),
            "another model" if len(named) == 1 else "other models",
            others,
        )


def _unlike(target: Target) -> Iterator[str]:
    """Names of a target's pictures that are no scenes."""
    try:
        images = target.images
        # One address or row may hold several pictures.
        alone = len(target.pictures) == 1 or len(images) != len(target.pictures)
        for number, image in enumerate(images):
            if not is_drawn_scene(image):
                picture = target.id if alone else target.pictures[number]
                yield str(picture) if isinstance(picture, Path) else target.id
    except FuseError:
        # What is wrong with the picture is told when its search begins.
        pass
    finally:
        target.release()
