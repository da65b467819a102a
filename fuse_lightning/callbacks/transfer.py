"""Other models for an evaluation, for ``--transfer`` and ``--classifier``."""

from lightning.pytorch.callbacks import Callback


class TransferModels(Callback):
    """Callback that holds other models, with which the trainer's :class:`Evaluation` measures.

    They come beside those that the evaluation was given itself.

    Args:
        models: Ids of models, as ``transfer`` of the evaluation.
        classifier: Id of a classifier, in place of the evaluation's own.
    """

    def __init__(self, models: list[str] | None = None, classifier: str | None = None) -> None:
        self.models = models or []
        self.classifier = classifier
