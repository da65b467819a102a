"""Other models for an evaluation: what ``--transfer`` and ``--classifier`` stand for."""

from lightning.pytorch.callbacks import Callback


class TransferModels(Callback):
    """Models that took no part in a search, for the trainer's :class:`Evaluation` to measure with.

    They come beside those that the evaluation was given itself.

    Args:
        models: Ids of models, as ``transfer`` of the evaluation.
        classifier: Id of a classifier, in place of the evaluation's own.
    """

    def __init__(self, models: list[str] | None = None, classifier: str | None = None) -> None:
        self.models = models or []
        self.classifier = classifier
