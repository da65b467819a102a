"""Figures of found prompts: measures, floors, transfer, adapter fidelity."""

from fuse_lightning.evaluation.floors import Floor, FloorSetting
from fuse_lightning.evaluation.measures import JudgedPrompt, Measure
from fuse_lightning.evaluation.term_metrics import TermMetrics, transfer

__all__ = ["Floor", "FloorSetting", "JudgedPrompt", "Measure", "TermMetrics", "transfer"]
