"""Line about models that a search takes from the hub although nobody named them."""

import logging
from collections.abc import Mapping
from typing import Any

from fuse_lightning.inversion.settings import is_of_zoo
from fuse_lightning.utilities.option_names import option

logger = logging.getLogger(__name__)


def tell_of_hub(unnamed: Mapping[str, Any]) -> None:
    """Logs one warning about models of the hub that stand in for options that were not given.

    Args:
        unnamed: The models that the user did not name, by role.
    """
    hub = {role: model for role, model in unnamed.items() if not is_of_zoo(model)}
    if hub:
        logger.warning(
            "%s not given, so the hub's %s taken; give %s, or %s zoo for the package's models",
            f"{' and '.join(map(option, hub))} {'is' if len(hub) == 1 else 'are'}",
            f"{' and '.join(map(str, hub.values()))} {'is' if len(hub) == 1 else 'are'}",
            "it" if len(hub) == 1 else "them",
            option("models"),
        )
