"""A measure and a floor: a row and a column in the table of ``fuse test``."""

from fuse_lightning.evaluation import Floor, Measure
from fuse_lightning.metrics import MeanScore


class Article(Measure):
    """Share of prompts that begin with an article; higher is better."""

    name = "article"

    def metric(self):
        """A metric of torchmetrics; its ``higher_is_better`` gives the arrow."""
        return MeanScore("share")

    def update(self, metric, prompts):
        """Adds prompts: ``each.text``, ``each.target`` and more."""
        metric.update([float(each.text.startswith(("a ", "an ", "the "))) for each in prompts])


class Fixed(Floor):
    """One text for all targets, which costs no search.

    Args:
        text: The text.
        name: Name of the column.
    """

    def __init__(self, text: str = "a picture", name: str = "fixed") -> None:
        self.text, self.name = text, name

    def prompt(self, target):
        """The prompt of a target; ``None`` where it has none."""
        return self.text
