"""Search strategies: callbacks that own the frontier of every target."""

from fuse_lightning.search.beam import BeamSearch, GreedySearch
from fuse_lightning.search.frontier import Frontier, Scored, distinct
from fuse_lightning.search.history import HistorySearch
from fuse_lightning.search.uniform_cost import UniformCostSearch

__all__ = [
    "BeamSearch",
    "Frontier",
    "GreedySearch",
    "HistorySearch",
    "Scored",
    "UniformCostSearch",
    "distinct",
]
