"""Search strategies: callbacks that own the frontier of every target."""

from fuse_lightning.search.beam import BeamSearch, GreedySearch
from fuse_lightning.search.history import HistorySearch
from fuse_lightning.search.strategy import Scored, SearchStrategy, distinct
from fuse_lightning.search.uniform_cost import UniformCostSearch

__all__ = [
    "BeamSearch",
    "GreedySearch",
    "HistorySearch",
    "Scored",
    "SearchStrategy",
    "UniformCostSearch",
    "distinct",
]
