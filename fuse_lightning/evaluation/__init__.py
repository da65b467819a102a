"""Figures of prompts: measures, floors, transfer, adapter fidelity."""

from fuse_lightning.evaluation.floors import Floor as Floor
from fuse_lightning.evaluation.floors import FloorSetting as FloorSetting
from fuse_lightning.evaluation.measures import JudgedPrompt as JudgedPrompt
from fuse_lightning.evaluation.measures import Measure as Measure
from fuse_lightning.evaluation.term_metrics import TermMetrics as TermMetrics
from fuse_lightning.evaluation.term_metrics import transfer as transfer
