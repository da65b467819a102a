"""Measure of captions of zoo scenes."""

from collections.abc import Mapping, Sequence

from torchmetrics import Metric

from fuse_lightning.data.targets import Target
from fuse_lightning.evaluation.measures import JudgedPrompt, Measure
from fuse_lightning.metrics import MeanScore
from fuse_lightning.zoo.scenes import names_all
from fuse_lightning.zoo.vocabulary import COLORS, SHAPES


class ObjectsRight(Measure):
    """Measure: share of captions that name colour and shape of all objects of their zoo scene.

    Higher is better. It applies to targets whose manifest says what a scene of the zoo holds, as
    ``fuse zoo scenes`` writes it.

    >>> scene = Target("a", metadata={"objects": [{"color": "red", "shape": "star"}]})
    >>> measure = ObjectsRight()
    >>> measure.applies(scene, "found"), measure.applies(Target("b"), "found")
    (True, False)
    >>> metric = measure.metric()
    >>> texts = ("a red star", "a blue star")
    >>> measure.update(metric, [JudgedPrompt(scene, "found", text) for text in texts])
    >>> metric.compute()
    tensor(0.5000)
    """

    name = "objects_right"

    def metric(self) -> Metric:
        """Share of right captions."""
        return MeanScore("share")

    def applies(self, target: Target, source: str) -> bool:
        """Whether the target is a scene of the zoo."""
        return bool(_objects(target))

    def update(self, metric: Metric, prompts: Sequence[JudgedPrompt]) -> None:
        """Adds captions."""
        metric.update([float(names_all(each.text, _objects(each.target))) for each in prompts])


def _objects(target: Target) -> list[Mapping[str, str]]:
    """Objects of a target's zoo scene; empty for other targets."""
    objects = target.metadata.get("objects")
    known = isinstance(objects, list) and all(
        isinstance(each, Mapping) and each.get("color") in COLORS and each.get("shape") in SHAPES
        for each in objects
    )
    return list(objects) if known and objects else []
